"""The shipped bundle on real files: it must finish, say what it had, and keep the grid of the input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SHARED = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2] / "shared" / "data"))
ADAPTER = Path(__file__).parents[1] / "benchmarks" / "bad_cases_adapter.json"
LYMPHCT = str(Path(sys.executable).with_name("lymphct"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here (set LYMPHCT_DATA)"),
]

NATIVE = SHARED / "open_totalseg_example_ct"
PAIR = SHARED / "open_synth_phase_pair"
DICOM = SHARED / "open_totalseg_example_dicom"


def _predict(out: Path, *options: str | Path) -> dict[str, object]:
    command = [LYMPHCT, "--device", "cpu", "predict", *map(str, options), "--labels", "totalsegmentator"]
    done = subprocess.run(
        [*command, "--out", str(out), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def _same_grid(mask: Path, image: Path) -> None:
    one, other = nib.load(mask), nib.load(image)
    assert one.shape == other.shape
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)


def test_a_native_ct_with_a_totalsegmentator_map_says_what_it_had_and_lacked(tmp_path: Path) -> None:
    result = _predict(
        tmp_path / "out",
        "--venous", NATIVE / "example_ct.nii.gz",
        "--structures", NATIVE / "example_seg_fast_force_split.nii.gz",
    )  # fmt: skip
    assert result["structures_used"] == ["spleen", "stomach", "aorta", "pancreas", "duodenum"]
    assert "esophagus" in result["structures_missing"]  # type: ignore[operator] # a list of names
    for name in ("structures", "tumor", "nodes", "node_instances", "attention"):
        _same_grid(tmp_path / "out" / "seg" / f"{name}.nii.gz", NATIVE / "example_ct.nii.gz")


def test_two_real_phases_are_predicted(tmp_path: Path) -> None:
    result = _predict(
        tmp_path / "out",
        "--venous", PAIR / "fixed.nii.gz",
        "--arterial", PAIR / "moving.nii.gz",
        "--structures", PAIR / "fixed_labels.nii.gz",
    )  # fmt: skip
    assert "no_arterial" not in str(result["notices"])
    _same_grid(tmp_path / "out" / "seg" / "attention.nii.gz", PAIR / "fixed.nii.gz")


def test_a_dicom_series_is_predicted_on_the_grid_of_its_label_map(tmp_path: Path) -> None:
    labels = DICOM / "example_seg_dicom.nii.gz"
    result = _predict(tmp_path / "out", "--venous", DICOM / "dicom", "--structures", labels)
    assert "aorta" in result["structures_used"]  # type: ignore[operator] # a list of names
    voxels = {nib.load(tmp_path / "out" / "seg" / "nodes.nii.gz").shape, nib.load(labels).shape}
    assert len({tuple(sorted(shape)) for shape in voxels}) == 1


def test_every_open_bad_case_gets_its_verdict(tmp_path: Path) -> None:
    cases = SHARED.parent / "badcases"
    adapter = tmp_path / "adapter.json"
    adapter.write_text(ADAPTER.read_text().replace('"lymphct ', f'"{LYMPHCT} '))
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            sys.executable, str(cases / "run_bad_cases.py"),
            "--index", str(cases / "open" / "index.json"),
            "--adapter", str(adapter),
            "--report", str(report),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(report.read_text())["passed"] == 12, done.stdout
    assert shutil.which(LYMPHCT)
