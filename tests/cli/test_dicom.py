"""`lymphct dicom` adds DICOM objects to a result, or says in one line why it cannot."""

import json
from pathlib import Path

import pytest
from tests.dicom_exports import ct_volume, some_nodes, write_made_result, write_series

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.images.reading import write_volume


def run(*arguments: str | Path) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, [*map(str, arguments)])


def test_it_lists_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 0), venous=tmp_path / "ct")
    assert run("dicom", result, "--venous", tmp_path / "ct", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["attention.dcm", "sr.dcm", "structures.dcm", "tumor.dcm"]
    assert run("dicom", result, "--venous", tmp_path / "ct") == 0
    assert capsys.readouterr().out.splitlines() == [f"{told['folder']}/{name}" for name in told["files"]]


def test_a_nifti_file_is_refused_by_both_commands_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct = ct_volume()
    write_volume(tmp_path / "v.nii.gz", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 0))
    assert run("dicom", result, "--venous", tmp_path / "v.nii.gz") == 3
    assert "E_NO_DICOM" in capsys.readouterr().err
    out = tmp_path / "out"
    assert run("predict", "--venous", tmp_path / "v.nii.gz", "--dicom", "--out", out) == 3
    assert "v.nii.gz: the venous phase is no DICOM series" in capsys.readouterr().err
    assert not out.exists()


def test_masks_alone_cannot_become_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("predict", "--venous", tmp_path, "--only", "tumor", "--dicom", "--out", out) == 2
    assert "--dicom has no effect on --only" in capsys.readouterr().err
