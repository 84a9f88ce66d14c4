import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume

Program = Callable[..., Any]

GRID = Geometry(shape=(12, 10, 8), spacing=(0.68, 0.7, 0.8), origin=(1.0, 2.0, 3.0))


def write(path: Path, array: Any) -> Path:
    write_volume(path, Volume(array=array, geometry=GRID))
    return path


@pytest.fixture
def masks(tmp_path: Path) -> tuple[Path, Path]:
    """A true mask with labels 4 and 5 and a prediction that is one voxel too long in label 4."""
    truth = np.zeros(GRID.shape, dtype=np.uint8)
    truth[1:4, 2:6, 2:6] = 4
    truth[7:10, 2:6, 2:6] = 5
    prediction = truth.copy()
    prediction[4, 2:6, 2:6] = 4
    return (write(tmp_path / "prediction.nii.gz", prediction), write(tmp_path / "truth.nii.gz", truth))


def test_segmentation_prints_the_result_it_writes(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ["--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "new" / "result"]
    result = lymphct("evaluate", "segmentation", *given, "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert record == json.loads((tmp_path / "new" / "result" / "segmentation.json").read_text())
    assert record["labels"]["4"]["pooled"]["dice"] == pytest.approx(6 / 7)
    assert record["labels"]["5"]["mean"]["dice"]["mean"] == 1.0
    table = lymphct("evaluate", "segmentation", *given).out.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [["4", "1", "0.857"], ["5", "1", "1.000"]]


def test_labels_are_listed_by_their_number(lymphct: Program, tmp_path: Path) -> None:
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[1:3], mask[4:6], mask[7:9] = 10, 9, 1
    path = write(tmp_path / "mask.nii.gz", mask)
    words = ("evaluate", "segmentation", "--prediction", path, "--truth", path, "--out", tmp_path / "r")
    for _ in range(2):
        lines = lymphct(*words).out.splitlines()
        assert [line.split()[0] for line in lines[1:]] == ["1", "9", "10"]


def test_structures_are_scored_by_name(lymphct: Program, masks: tuple[Path, Path], tmp_path: Path) -> None:
    given = ["--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "r", "--labels", "lymphct"]
    record = json.loads(lymphct("evaluate", "segmentation", *given, "--json").out)
    assert list(record["labels"]) == [Structure.AORTA.label, Structure.PANCREAS.label]


def test_labels_to_score_are_given_one_way_only(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ["--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "r"]
    record = json.loads(lymphct("evaluate", "segmentation", *given, "--label", 5, "--json").out)
    assert list(record["labels"]) == ["5"]
    result = lymphct("evaluate", "segmentation", *given, "--label", 5, "--labels", "lymphct")
    assert result.code == 2
    assert "--label and --labels exclude each other" in result.err


def test_instances_are_split_counted_and_listed(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ["--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "r"]
    result = lymphct("evaluate", "instances", *given, "--iou", 0.8)
    assert result.code == 0
    assert result.out.splitlines() == [
        "1 case: 1 true positive, 1 false positive, 1 false negative",
        "pooled: recall 0.500, precision 0.500, f 0.500",
        "mean over cases: recall 0.500, precision 0.500, f 0.500",
    ]
    with (tmp_path / "r" / "instances_pairs.csv").open() as file:
        rows = [(row["prediction"], row["truth"], row["iou"]) for row in csv.DictReader(file)]
    assert rows == [("5", "5", "1.0"), ("", "4", ""), ("4", "", "")]


def test_an_iou_that_is_none_is_a_wrong_use(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ["--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "r"]
    result = lymphct("evaluate", "instances", *given, "--iou", 1.5)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "an IoU of 1.5 cannot be demanded" in result.err
    assert not (tmp_path / "r").exists()


def test_detection_maps_are_scored_by_confidence(lymphct: Program, tmp_path: Path) -> None:
    truth = np.zeros(GRID.shape, dtype=np.uint8)
    truth[1:4, 2:6, 2:6] = 1
    detection = truth * np.float32(0.7)
    detection[8:10, 8:10, 1:3] = 0.2
    given = [
        "--prediction", write(tmp_path / "p.nii.gz", detection),
        "--truth", write(tmp_path / "t.nii.gz", truth),
        "--out", tmp_path / "r",
    ]  # fmt: skip
    result = lymphct("evaluate", "instances", *given, "--confidence")
    assert result.code == 0
    *_, line, sensitivities = result.out.splitlines()
    assert line == "by confidence: average precision 1.000, AUC of cases -"
    assert sensitivities.startswith(
        "sensitivity at false positives per case: 0.125: 1.000 (1.000 to 1.000), 0.25: 1.000 (1.000 to"
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fractions", "the prediction holds fractional values"),
        ("negative", "the prediction holds values from -1 to"),
        ("grid", "the prediction lies on another voxel grid than the truth"),
        ("damaged", "[E_"),
    ],
)
def test_what_is_no_mask_of_this_grid_is_refused(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path, kind: str, words: str
) -> None:
    bad = tmp_path / "bad.nii.gz"
    labels = np.zeros(GRID.shape, dtype=np.int16)
    labels[2:5, 2:5, 2:5] = 3
    if kind == "fractions":
        write(bad, labels / np.float32(7))
    elif kind == "negative":
        write(bad, labels - np.int16(1))
    elif kind == "grid":
        coarse = Geometry(shape=GRID.shape, spacing=(0.68, 0.7, 0.9), origin=GRID.origin)
        write_volume(bad, Volume(array=labels, geometry=coarse))
    else:
        bad.write_bytes(masks[0].read_bytes()[:-40])
    given = ["--prediction", bad, "--truth", masks[1], "--out", tmp_path / "r"]
    for command in ("segmentation", "instances"):
        result = lymphct("evaluate", command, *given)
        assert (result.code, result.err.count("\n")) == (3, 1)
        assert words in result.err
    assert not (tmp_path / "r").exists()


def test_masks_without_a_partner_are_listed(lymphct: Program, tmp_path: Path) -> None:
    for folder, name in (("p", "a"), ("p", "b"), ("t", "b"), ("t", "c")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / folder / f"{name}.nii.gz", np.zeros(GRID.shape, dtype=np.uint8))
    result = lymphct(
        "evaluate", "instances", "--prediction", tmp_path / "p", "--truth", tmp_path / "t", "--out", "r"
    )
    assert result.code == 3
    assert "2 masks have no partner of equal name: a (no truth), c (no prediction)" in result.err


def test_a_folder_that_holds_something_else_is_not_replaced(
    lymphct: Program, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "notes.txt").write_text("mine")
    result = lymphct(
        "evaluate", "instances", "--prediction", masks[0], "--truth", masks[1], "--out", tmp_path / "r"
    )
    assert result.code == 5
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"


@pytest.fixture
def by_patient(tmp_path: Path) -> Path:
    for n, name in enumerate(("p1", "p2")):
        array = np.zeros(GRID.shape, dtype=np.uint8)
        array[1:6, 2:6, 2:6] = Structure.AORTA
        array[8:10, 2:4, 2:6] = Structure.SUPERIOR_MESENTERIC_ARTERY
        for folder in ("truth", "v"):
            (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / "truth" / f"{name}.nii.gz", array)
        array[array == Structure.SUPERIOR_MESENTERIC_ARTERY] = 0
        array[5, :, n:] = 0
        write(tmp_path / "v" / f"{name}.nii.gz", array)
    return tmp_path


def test_table_3_is_printed_as_the_paper_does(lymphct: Program, by_patient: Path) -> None:
    given = ["--preset", "table3", "--truth", by_patient / "truth", "--out", by_patient / "t3"]
    given += ["--method", f"teacher V={by_patient / 'v'}"]
    result = lymphct("evaluate", "segmentation", *given)
    assert result.code == 0
    lines = result.out.splitlines()
    assert re.fullmatch(r"Aorta +teacher V +0.889 ± 0.000 +0.049 ± 0.000 +0.68 ± 0.00  2 of 2", lines[1])
    assert lines[2].split() == ["SMA", "teacher", "V", "-", "-", "-", "0", "of", "2"]
    assert lines[3] == "mean ± SD over 2 patients"
    record = json.loads(lymphct("evaluate", "segmentation", *given, "--json").out)
    assert record == json.loads((by_patient / "t3" / "table3.json").read_text())
    weighted = json.loads(lymphct("evaluate", "segmentation", *given, "--surface", "elements", "--json").out)
    assert weighted["settings"]["definition"] == "elements"
    assert weighted["rows"][0]["asd_mean"] != record["rows"][0]["asd_mean"]
    thick = lymphct("evaluate", "segmentation", *given, "--slice-thickness", 5).out
    assert thick.splitlines()[-1] == "mean ± SD over 2 patients, in slices of 5 mm"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--preset", "table3", "--prediction", "x"], "takes no --prediction"),
        (["--method", "a=b"], "--prediction is missing"),
        (["--prediction", "x", "--slice-thickness", "5"], "need --preset"),
        (["--preset", "table3"], "no method is named"),
    ],
)
def test_what_belongs_to_a_preset_is_told(
    lymphct: Program, tmp_path: Path, given: list[str], words: str
) -> None:
    result = lymphct("evaluate", "segmentation", "--truth", tmp_path, "--out", tmp_path / "o", *given)
    assert result.code == 2
    assert words in result.err
