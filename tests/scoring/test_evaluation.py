import csv
import json
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import EnvironmentProblemError, GeometryMismatchError, InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.evaluation.segmentation import segmentation_scores
from lymphct.evaluation.surfaces import SurfaceSettings
from lymphct.io.images.reading import write_volume
from lymphct.io.results.store import is_current
from lymphct.scoring import evaluation
from lymphct.scoring.evaluation import MaskPair, pair_files, read_pair
from lymphct.scoring.instances import InstanceRequest, evaluate_instances, instances_of
from lymphct.scoring.segmentation import SegmentationRequest, evaluate_segmentation

C, S = math.cos(0.2), math.sin(0.2)
GRID = Geometry(
    shape=(14, 12, 10),
    spacing=(0.68, 0.68, 0.8),
    origin=(3.0, -5.0, 8.0),
    direction=((C, -S, 0.0), (S, C, 0.0), (0.0, 0.0, 1.0)),
)


def volume(array: AnyArray) -> Volume:
    return Volume(array=array, geometry=GRID)


def box(start: tuple[int, int, int], stop: tuple[int, int, int], value: int = 1) -> AnyArray:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = value
    return array


def write_cases(folder: Path, masks: dict[str, tuple[AnyArray, AnyArray]]) -> tuple[MaskPair, ...]:
    """Write (prediction, truth) of each case and pair them."""
    for role in ("p", "t"):
        (folder / role).mkdir()
    for case, (prediction, truth) in masks.items():
        write_volume(folder / "p" / f"{case}.nii.gz", volume(prediction))
        write_volume(folder / "t" / f"{case}.nii.gz", volume(truth))
    return pair_files(folder / "p", folder / "t")


def written(folder: Path, kind: str = "segmentation") -> Any:
    return json.loads((folder / f"{kind}.json").read_text())


def test_files_of_equal_name_are_pairs_whatever_else_lies_there(tmp_path: Path) -> None:
    write_cases(tmp_path, {"b": (box((0, 0, 0), (2, 2, 2)),) * 2, "a": (box((0, 0, 0), (2, 2, 2)),) * 2})
    (tmp_path / "p" / "a.json").write_text("{}")
    (tmp_path / "t" / ".b.nii.gz.writing").write_text("")
    (tmp_path / "t" / "a.nii.gz").rename(tmp_path / "t" / "a.nii")
    pairs = pair_files(tmp_path / "p", tmp_path / "t")
    assert [(pair.case, pair.prediction.name, pair.truth.name) for pair in pairs] == [
        ("a", "a.nii.gz", "a.nii"),
        ("b", "b.nii.gz", "b.nii.gz"),
    ]


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=r"truth: no such file or folder \[E_MISSING\]"):
        pair_files(tmp_path / "p", tmp_path / "none")
    with pytest.raises(InputError, match="the folders hold no NIfTI files"):
        pair_files(tmp_path / "p", tmp_path / "t")
    (tmp_path / "p" / "a.nii").write_text("")
    with pytest.raises(InputError, match=r"1 masks have no partner of equal name: a \(no truth\)"):
        pair_files(tmp_path / "p", tmp_path / "t")
    with pytest.raises(UsageError, match="two files or two folders"):
        pair_files(tmp_path / "p" / "a.nii", tmp_path / "t")
    (tmp_path / "p" / "a.nii.gz").write_text("")
    with pytest.raises(InputError, match=r"a\.nii\.gz and a\.nii have one name"):
        pair_files(tmp_path / "p", tmp_path / "t")


def test_another_axis_order_is_undone_exactly(tmp_path: Path) -> None:
    truth = volume(np.random.default_rng(0).integers(0, 3, GRID.shape).astype(np.uint8))
    turned = AxisOrder(axes=(2, 0, 1), flipped=(True, False, True)).apply(truth)
    write_volume(tmp_path / "p.nii.gz", turned)
    write_volume(tmp_path / "t.nii.gz", truth)
    pairs = pair_files(tmp_path / "p.nii.gz", tmp_path / "t.nii.gz")
    evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")
    record = written(tmp_path / "out")
    assert record["labels"]["1"]["pooled"]["dice"] == 1.0
    assert list(record["cases"]) == ["t"]


def test_another_grid_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    shifted = Geometry(shape=GRID.shape, spacing=GRID.spacing, origin=(3.1, -5.0, 8.0))
    write_volume(tmp_path / "p.nii.gz", Volume(array=box((0, 0, 0), (2, 2, 2)), geometry=shifted))
    write_volume(tmp_path / "t.nii.gz", volume(box((0, 0, 0), (2, 2, 2))))
    pairs = pair_files(tmp_path / "p.nii.gz", tmp_path / "t.nii.gz")
    message = r"^t: p\.nii\.gz: the prediction lies on another voxel grid than the truth"
    with pytest.raises(GeometryMismatchError, match=message):
        evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


def test_probabilities_are_refused(tmp_path: Path) -> None:
    pairs = write_cases(tmp_path, {"a": (np.full(GRID.shape, 0.3, np.float32), box((0, 0, 0), (2, 2, 2)))})
    with pytest.raises(InputError, match=r"^a: a\.nii\.gz: the prediction holds fractional values"):
        read_pair(pairs[0])


def test_an_image_instead_of_a_label_map_is_refused(tmp_path: Path) -> None:
    values = np.arange(math.prod(GRID.shape), dtype=np.int16).reshape(GRID.shape)
    pairs = write_cases(tmp_path, {"a": (values, values)})
    with pytest.raises(InputError, match=r"^a: more than 256 different numbers"):
        evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")


def test_all_cases_that_fail_are_counted(tmp_path: Path) -> None:
    bad = np.full(GRID.shape, 0.3, np.float32)
    good = box((0, 0, 0), (2, 2, 2))
    pairs = write_cases(tmp_path, {"a": (bad, good), "b": (good, good), "c": (bad, good)})
    with pytest.raises(InputError, match=r"^a: .*\(and 1 more cases failed\)"):
        evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")


def test_scores_are_those_of_the_metrics_pooled_and_per_case(tmp_path: Path) -> None:
    first = (box((1, 1, 1), (5, 5, 5)), box((1, 1, 1), (5, 5, 7)))
    second = (box((0, 0, 0), (0, 0, 0)), box((2, 2, 2), (4, 4, 4)))
    pairs = write_cases(tmp_path, {"one": first, "two": second})
    request = SegmentationRequest(surface=SurfaceSettings(tolerance=1.0, definition="elements"))
    evaluate_segmentation(pairs, request, tmp_path / "out")
    assert is_current(tmp_path / "out", verify=True)
    record = written(tmp_path / "out")
    expected = segmentation_scores(*first, GRID.spacing, tolerance=1.0, definition="elements")
    assert record["cases"]["one"]["1"] == pytest.approx(expected.record())
    label = record["labels"]["1"]
    assert label["pooled"]["truth_voxels"] == 96 + 8
    assert label["pooled"]["dice"] == pytest.approx(2 * 64 / (64 + 96 + 8))
    assert label["mean"]["dice"]["mean"] == pytest.approx(expected.dice / 2)
    assert label["mean"]["hd"] == {
        "mean": None,
        "sd": None,
        "median": None,
        "n": 2,
        "undefined": 0,
        "infinite": 1,
    }
    assert record["settings"] == {"labels": [], "scheme": None, "tolerance": 1.0, "definition": "elements"}
    assert set(record["inputs"]) == {"prediction/one", "prediction/two", "truth/one", "truth/two"}
    with (tmp_path / "out" / "segmentation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["label"]) for row in rows] == [("one", "1"), ("two", "1")]
    assert float(rows[0]["hd95"]) == pytest.approx(expected.hd95)
    assert rows[1]["hd95"] == ""


def test_only_the_labels_asked_for_are_scored_also_where_they_are_absent(tmp_path: Path) -> None:
    both = box((1, 1, 1), (3, 3, 3), 2) + box((6, 6, 6), (8, 8, 8), 9)
    pairs = write_cases(tmp_path, {"a": (both, both)})
    evaluate_segmentation(pairs, SegmentationRequest(labels=(2, 7)), tmp_path / "out")
    record = written(tmp_path / "out")
    assert list(record["labels"]) == ["2", "7"]
    scores = record["cases"]["a"]
    assert (scores["2"]["dice"], scores["7"]["dice"]) == (1.0, None)


def test_structures_are_read_by_the_numbering_and_named(tmp_path: Path) -> None:
    spleen_and_aorta = box((1, 1, 1), (3, 3, 3), 1) + box((6, 6, 6), (8, 8, 8), 52)
    pairs = write_cases(tmp_path, {"a": (spleen_and_aorta, spleen_and_aorta)})
    evaluate_segmentation(pairs, SegmentationRequest(scheme="totalsegmentator"), tmp_path / "out")
    assert list(written(tmp_path / "out")["labels"]) == ["aorta", "spleen"]


def test_case_names_never_read_as_formulas(tmp_path: Path) -> None:
    mask = box((1, 1, 1), (3, 3, 3))
    evaluate_segmentation(
        write_cases(tmp_path, {"=1+1": (mask, mask)}), SegmentationRequest(), tmp_path / "out"
    )
    assert "\n'=1+1," in (tmp_path / "out" / "segmentation.csv").read_text()


def test_masks_of_0_and_1_are_split_and_instance_maps_are_not() -> None:
    two_parts = box((0, 0, 0), (2, 2, 2)) + box((5, 5, 5), (7, 7, 7))
    binary, numbered = volume(two_parts), volume(two_parts * np.uint8(3))
    diagonal = volume(box((0, 0, 0), (2, 2, 2)) + box((2, 2, 2), (4, 4, 4)))
    counts = {
        rule: [len(np.unique(instances_of(mask, rule))) - 1 for mask in (binary, numbered, diagonal)]
        for rule in ("auto", "always", "never")
    }
    # Parts that touch at a corner are one node: 26-connected.
    assert counts == {"auto": [2, 1, 1], "always": [2, 2, 1], "never": [1, 1, 1]}


def test_touching_instances_of_unlike_number_stay_apart() -> None:
    touching = volume(box((0, 0, 0), (2, 2, 2), 1) + box((2, 0, 0), (4, 2, 2), 2))
    assert len(np.unique(instances_of(touching, "always"))) == 3


def test_instances_are_matched_pooled_and_averaged(tmp_path: Path) -> None:
    found, missed = box((0, 0, 0), (3, 3, 3)), box((8, 8, 6), (11, 11, 9))
    # Of 27 voxels 18 are shared: IoU 18 / 36.
    shifted = box((1, 0, 0), (4, 3, 3))
    empty = np.zeros(GRID.shape, dtype=np.uint8)
    masks = {"one": (shifted, found + missed), "two": (missed, missed), "none": (empty, empty)}
    pairs = write_cases(tmp_path, masks)
    evaluate_instances(pairs, InstanceRequest(), tmp_path / "out")
    record = written(tmp_path / "out", "instances")
    assert record["pooled"] == {
        "true_positives": 2,
        "false_positives": 0,
        "false_negatives": 1,
        "recall": pytest.approx(2 / 3),
        "precision": 1.0,
        "f": pytest.approx(0.8),
    }
    assert record["mean"]["recall"] == pytest.approx(0.75)
    assert (record["mean"]["cases"], record["mean"]["cases_with_truth"]) == (3, 2)
    assert record["cases"]["one"]["matches"] == [{"prediction": 1, "truth": 1, "iou": 0.5}]
    assert record["cases"]["one"]["missed"] == [2]
    assert record["cases"]["none"]["recall"] is None
    with (tmp_path / "out" / "instances_pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    voxel = round(27 * 0.68 * 0.68 * 0.8, 3)
    assert [(row["case"], row["prediction"], row["truth"]) for row in rows] == [
        ("one", "1", "1"),
        ("one", "", "2"),
        ("two", "1", "1"),
    ]
    assert float(rows[1]["truth_mm3"]) == voxel
    evaluate_instances(pairs, InstanceRequest(iou=0.6), tmp_path / "out")
    assert written(tmp_path / "out", "instances")["pooled"]["true_positives"] == 1


def test_candidates_of_a_detection_map_are_traced_by_their_confidence(tmp_path: Path) -> None:
    node, other = box((0, 0, 0), (3, 3, 3)), box((8, 8, 6), (11, 11, 9))
    second = box((0, 0, 4), (3, 3, 7))  # IoU 9 / 45 with a node from 2 to 6: a duplicate at 0.2
    long_node = box((0, 0, 0), (3, 3, 6))
    sure, unsure = np.float32(0.9), np.float32(0.4)
    maps: dict[str, tuple[AnyArray, AnyArray]] = {
        "one": (node * sure + second * unsure, long_node),
        "two": (node * unsure + other * sure, other),
        "none": (node * sure, np.zeros(GRID.shape, dtype=np.uint8)),
    }
    pairs = write_cases(tmp_path, maps)
    request = InstanceRequest(iou=0.2, confidence=True)
    evaluate_instances(pairs, request, tmp_path / "out")
    record = written(tmp_path / "out", "instances")
    intervals = record["confidence"].pop("intervals")
    assert intervals["average_precision"]["estimate"] == pytest.approx(2 / 3)
    # Resamples of nothing but the case without a node are left out; some have no false positive at 0.9.
    assert 0 < intervals["average_precision"]["undefined"] < 80
    assert intervals["average_precision"]["low"] < 2 / 3 < intervals["average_precision"]["high"] == 1.0
    assert intervals["sensitivity_at_false_positives"]["8"] == {
        "estimate": 1.0, "low": 1.0, "high": 1.0, "undefined": intervals["average_precision"]["undefined"]
    }  # fmt: skip
    # At 0.9: two hits and one false positive in three cases; at 0.4 two more false positives.
    assert record["confidence"] == {
        "average_precision": pytest.approx(2 / 3),
        "sensitivity_at_false_positives": {
            "0.125": 0.0, "0.25": 0.0, "0.5": 1.0, "1": 1.0, "2": 1.0, "4": 1.0, "8": 1.0
        },
        "case_auc": 0.5,
    }  # fmt: skip
    assert record["cases"]["two"]["confidences"] == {"1": pytest.approx(0.4), "2": pytest.approx(0.9)}
    with (tmp_path / "out" / "instances_froc.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert [row["threshold"] for row in rows] == pytest.approx([0.9, 0.4])
    assert [row["false_positives_per_case"] for row in rows] == pytest.approx([1 / 3, 1.0])
    with (tmp_path / "out" / "instances_pairs.csv").open() as file:
        outcomes = [(row["case"], row["outcome"], row["confidence"][:3]) for row in csv.DictReader(file)]
    assert outcomes == [
        ("none", "spurious", "0.8"),
        ("one", "matched", "0.8"),
        ("one", "duplicate", "0.4"),
        ("two", "matched", "0.8"),
        ("two", "spurious", "0.4"),
    ]
    kinder = InstanceRequest(iou=0.2, confidence=True, ignore_duplicates=True)
    evaluate_instances(pairs, kinder, tmp_path / "kinder")
    found = written(tmp_path / "kinder", "instances")
    assert (record["pooled"]["false_positives"], found["pooled"]["false_positives"]) == (3, 2)
    assert found["cases"]["one"]["duplicates"] == 1


def test_without_true_nodes_there_is_no_curve(tmp_path: Path) -> None:
    empty = np.zeros(GRID.shape, dtype=np.uint8)
    pairs = write_cases(tmp_path, {"a": (box((0, 0, 0), (2, 2, 2)) * np.float32(0.5), empty)})
    evaluate_instances(pairs, InstanceRequest(confidence=True), tmp_path / "out")
    found = written(tmp_path / "out", "instances")["confidence"]
    assert (found["average_precision"], found["intervals"], found["case_auc"]) == (None, None, None)
    assert set(found["sensitivity_at_false_positives"].values()) == {None}
    assert not (tmp_path / "out" / "instances_froc.csv").exists()


def test_maps_that_are_no_detection_maps_are_refused(tmp_path: Path) -> None:
    good = box((0, 0, 0), (2, 2, 2))
    soft = np.linspace(0, 1, good.size).astype(np.float32).reshape(good.shape)
    negative = good * np.float32(-0.5)
    pairs = write_cases(tmp_path, {"n": (negative, good), "s": (soft, good)})
    request = InstanceRequest(confidence=True)
    with pytest.raises(InputError, match=r"^n: n\.nii\.gz: the prediction holds confidences from -0\.5 to"):
        evaluate_instances(pairs[:1], request, tmp_path / "out")
    with pytest.raises(InputError, match=r"^s: s\.nii\.gz: a connected part holds confidences from"):
        evaluate_instances(pairs[1:], request, tmp_path / "out")


def test_empty_maps_have_no_labels_to_score(tmp_path: Path) -> None:
    empty = np.zeros(GRID.shape, dtype=np.uint8)
    pairs = write_cases(tmp_path, {"a": (empty, empty)})
    evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")
    assert written(tmp_path / "out")["labels"] == {}
    evaluate_segmentation(pairs, SegmentationRequest(labels=(1,)), tmp_path / "out")
    label = written(tmp_path / "out")["labels"]["1"]
    assert label["mean"]["dice"]["undefined"] == 1
    assert label["pooled"]["dice"] is None


def test_the_same_evaluation_writes_the_same_bytes(tmp_path: Path) -> None:
    mask = box((1, 1, 1), (3, 3, 3))
    pairs = write_cases(tmp_path, {"a": (mask, mask), "b": (mask, mask)})
    for folder in ("x", "y"):
        evaluate_instances(pairs, InstanceRequest(), tmp_path / folder)
    for path in sorted((tmp_path / "x").iterdir()):
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes(), path.name


def test_the_same_evaluation_again_costs_nothing_and_returns_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = box((1, 1, 1), (3, 3, 3))
    pairs = write_cases(tmp_path, {"a": (mask, mask)})
    first = evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")
    assert first == written(tmp_path / "out")

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("scored again")

    monkeypatch.setattr(evaluation, "score_pairs", refuse)
    assert evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out") == first
    with pytest.raises(pytest.fail.Exception, match="scored again"):
        evaluate_segmentation(pairs, SegmentationRequest(labels=(1,)), tmp_path / "out")
    assert not (tmp_path / "out").exists()  # it answers another question
    assert evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out") == first


def test_a_mask_that_changes_while_it_is_scored_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = box((1, 1, 1), (3, 3, 3))
    pairs = write_cases(tmp_path, {"a": (mask, mask)})
    score_pairs = evaluation.score_pairs

    def slowly(*arguments: Any, **named: Any) -> Any:
        write_volume(pairs[0].truth, volume(box((1, 1, 1), (4, 4, 4))))
        return score_pairs(*arguments, **named)

    monkeypatch.setattr(evaluation, "score_pairs", slowly)
    with pytest.raises(InputError, match=r"the input truth/a changed during the run \[E_CHANGED\]"):
        evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_costs_no_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = box((1, 1, 1), (3, 3, 3))
    pairs = write_cases(tmp_path, {"a": (mask, mask)})

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("scored")

    monkeypatch.setattr(evaluation, "score_pairs", refuse)
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblemError, match="a part of the path is a file"):
        evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "file" / "out")


def with_names(path: Path, array: AnyArray, **names: str) -> Path:
    """Write a label map with a table of names in its header."""
    labels = "".join(f'<Label Key="{key[1:]}">{name}</Label>' for key, name in names.items())
    image = nib.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0]))
    table = f"<CaretExtension><LabelTable>{labels}</LabelTable></CaretExtension>".encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, table))
    nib.save(image, path)
    return path


def test_names_in_both_files_must_not_contradict_each_other(tmp_path: Path) -> None:
    array = box((0, 0, 0), (3, 3, 3), value=5)
    truth = with_names(tmp_path / "t.nii.gz", array, n5="liver", n6="tumor")
    same = with_names(tmp_path / "same.nii.gz", array, n5="Liver", n6="cyst")
    other = with_names(tmp_path / "other.nii.gz", array, n5="pancreas")
    foreign = with_names(tmp_path / "foreign.nii.gz", array, n5="lung")
    read_pair(MaskPair(case="c", prediction=same, truth=truth))
    with pytest.raises(
        InputError, match=r"^c: other\.nii\.gz: by the names in both files number 5 is the pancreas in the "
        r"prediction, the liver in the truth \[E_LABELS\] - say --labels auto",
    ):  # fmt: skip
        read_pair(MaskPair(case="c", prediction=other, truth=truth))
    with pytest.raises(InputError, match="number 5 is something else in the prediction, the liver in the tr"):
        read_pair(MaskPair(case="c", prediction=foreign, truth=truth))
    by_name, _ = read_pair(MaskPair(case="c", prediction=other, truth=truth), "auto")
    assert by_name.array.max() == 5  # the pancreas, by its name
    with pytest.raises(InputError, match="number 5 is the liver, by --labels lymphct the pancreas"):
        read_pair(MaskPair(case="c", prediction=other, truth=truth), "lymphct")


def test_shapes_that_cannot_be_are_measured_like_any_other(tmp_path: Path) -> None:
    pairs = write_cases(tmp_path, {"a": (box((1, 1, 1), (4, 4, 4), value=11),) * 2})
    evaluate_segmentation(pairs, SegmentationRequest(scheme="auto"), tmp_path / "r")
    assert written(tmp_path / "r")["labels"]["liver"]["pooled"]["dice"] == 1


def test_a_file_that_names_the_labels_is_an_input_of_the_evaluation(tmp_path: Path) -> None:
    pairs = write_cases(tmp_path, {"a": (box((1, 1, 1), (4, 4, 4), value=1),) * 2})
    evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "r")
    assert set(written(tmp_path / "r")["inputs"]) == {"prediction/a", "truth/a"}
    (tmp_path / "t" / "dataset.json").write_text('{"labels": {"liver": 1}}')
    evaluate_segmentation(pairs, SegmentationRequest(), tmp_path / "r")
    assert set(written(tmp_path / "r")["inputs"]) == {"prediction/a", "truth/a", "truth-names/a"}
