"""`lymphct annotate` hands out and takes back, and says in one line what it cannot do."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.dicom_exports import ct_volume, some_nodes, write_made_result
from tests.segmentation_files import named, slicer_file

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.images.reading import write_volume
from lymphct.io.manifest import write_manifest


def run(*arguments: str | Path) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two patients and the result of the first."""
    place = tmp_path_factory.mktemp("annotate")
    for number in range(2):
        ct = ct_volume()
        write_volume(place / f"p{number}.nii.gz", ct.with_array(ct.array + number))
    ct = ct_volume()
    nodes = some_nodes(ct.geometry, 2, seed=4)
    write_made_result(place / "results" / "p0", ct, nodes, venous=place / "p0.nii.gz")
    rows = [{"patient_id": f"p{number}", "venous": place / f"p{number}.nii.gz"} for number in range(2)]
    write_manifest(place / "cohort.csv", rows)
    return place


def test_out_and_back_with_a_patient_who_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort, readers, fixed = folder / "cohort.csv", tmp_path / "readers", tmp_path / "fixed"
    assert run("annotate", cohort, "--results", folder / "results", "--out", readers) == 4
    told = capsys.readouterr()
    assert "1 patient exported, the most uncertain first:" in told.out
    assert "p0: uncertainty " in told.out
    assert "1 of 2 patients failed: p1" in told.err
    ct = ct_volume()
    array = np.zeros(ct.geometry.shape, dtype=np.uint8)
    array[20:24, 18:22, 8:11] = 1
    path = readers / "p0" / "nodes.seg.nrrd"
    slicer_file(path, [array], ct.geometry, [named("Segment_1", "positive 8a", 1)])
    assert run("annotate", cohort, "--import", readers, "--reader", "AB", "--out", fixed) == 0
    told = capsys.readouterr()
    assert "p0: nodes: 1 added, 2 removed" in told.out
    assert told.out.splitlines()[-2:] == ["3 lines added to annotations.jsonl", str(fixed / "cohort.csv")]
    assert run("annotate", cohort, "--import", readers, "--reader", "AB", "--out", fixed, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["logged"] == 0
    assert told["patients"]["p0"]["masks"] == ["nodes"]
    assert run("annotate", cohort, "--import", readers, "--reader", "AB", "--out", fixed) == 0
    assert "p0: nodes: as taken back before" in capsys.readouterr().out
    assert run("check", fixed / "cohort.csv") == 0
    slicer_file(path, [array], ct.geometry, [named("Segment_1", "benign", 1)])
    assert run("annotate", cohort, "--import", readers, "--reader", "AB", "--out", fixed) == 4
    assert "p0: refused: p0: nodes.seg.nrrd: the segment 'benign' holds 'benign'" in capsys.readouterr().out


def test_json_of_an_export_names_the_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--results", folder / "results", "--out", tmp_path / "out", "--json", "--top", "1")
    assert run("annotate", folder / "cohort.csv", *arguments) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["patients"][0]["patient_id"] == "p0"
    assert told["patients"][0]["exported"] is True
    assert list(told["failed"]) == ["p1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reader", "AB"), "--reader has no effect without --import"),
        (("--import", "x"), "--import needs --reader"),
        (("--import", "x", "--reader", "AB", "--top", "2"), "--top has no effect on --import"),
        (("--results", "x", "--bundle", "y"), "--bundle has no effect on --results"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert run("annotate", folder / "cohort.csv", *options, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
