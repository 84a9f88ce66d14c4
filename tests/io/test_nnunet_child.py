import json
import logging
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import EnvironmentProblemError, InputError, ModelError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.nifti import read_nifti, write_nifti
from lymphct.io.nnunet_child import PROGRAM, VARIABLE, NnunetLimits, predict_by_nnunet

FAKE = """#!{python}
import json, os, shutil, sys, time
from pathlib import Path
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
given, made = Path(arguments["-i"]), Path(arguments["-o"])
for step in range(0, 101, 5):
    print(f"\\r{{step}}%|###   | {{step}}/100", end="", file=sys.stderr, flush=True)
{body}
"""
GRID = Geometry(shape=(4, 5, 6), spacing=(0.68, 0.68, 0.8))
WORKS = """shutil.copy(sorted(given.iterdir())[-1], made / "case.nii.gz")
print(json.dumps([sys.argv[1:], sorted(p.name for p in given.iterdir())]), file=open({seen!r}, "w"))"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder as far as its own nnU-Net would be asked."""
    place = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (place / "fold_all").mkdir(parents=True)
    (place / "fold_all" / "checkpoint_final.pth").write_bytes(b"x")
    (place / "plans.json").write_text("{}", encoding="utf-8")
    dataset = {"channel_names": {"0": "CT", "1": "CT"}, "labels": {}, "file_ending": ".nii.gz"}
    (place / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    return place


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Arterial and venous phase; the venous one holds a one."""
    paths = [tmp_path / "arterial.nii.gz", tmp_path / "venous.nii.gz"]
    for number, path in enumerate(paths):
        write_nifti(path, Volume(array=np.full(GRID.shape, number, np.int16), geometry=GRID))
    return paths


def _program(tmp_path: Path, body: str, name: str = PROGRAM) -> Path:
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(FAKE.format(python=sys.executable, body=body), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_program_gets_folder_fold_and_one_file_per_channel_and_its_map_comes_back(
    tmp_path: Path,
    folder: Path,
    images: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = tmp_path / "seen.json"
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, WORKS.format(seen=str(seen)))))
    with caplog.at_level(logging.INFO, "lymphct"):
        out = predict_by_nnunet(folder, images, tmp_path / "out" / "labels.nii.gz")
    assert out == tmp_path / "out" / "labels.nii.gz"
    assert int(read_nifti(out).volume.array.min()) == 1
    arguments, names = json.loads(seen.read_text(encoding="utf-8"))
    assert names == ["case_0000.nii.gz", "case_0001.nii.gz"]
    assert arguments[4:10] == ["-m", str(folder), "-f", "all", "-chk", "checkpoint_final.pth"]
    assert "--disable_tta" in arguments
    told = [record.message for record in caplog.records if record.name == "lymphct.io.nnunet_child"]
    assert told == [f"nnU-Net: {n} %" for n in range(10, 101, 10)]


def test_a_program_on_the_path_is_found(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    program = _program(tmp_path, WORKS.format(seen=str(tmp_path / "seen")))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert predict_by_nnunet(folder, images, tmp_path / "labels.nii.gz").is_file()


def test_an_interpreter_that_has_nnunet_is_enough(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in for the package, found by the interpreter as the real one would be.
    module = tmp_path / "lib" / "nnunetv2" / "inference"
    module.mkdir(parents=True)
    for package in (module, module.parent):
        (package / "__init__.py").touch()
    body = WORKS.format(seen=str(tmp_path / "seen")).replace("\n", "\n    ")
    (module / "predict_from_raw_data.py").write_text(
        "import json, shutil, sys\nfrom pathlib import Path\n"
        "def predict_entry_point_modelfolder():\n"
        "    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "    given, made = Path(arguments['-i']), Path(arguments['-o'])\n"
        f"    {body}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv(VARIABLE, sys.executable)
    assert predict_by_nnunet(folder, images, tmp_path / "labels.nii.gz").is_file()


def test_a_child_that_takes_too_long_is_stopped_with_all_it_started(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "alive"
    code = f"import time; time.sleep(2); open({str(trace)!r}, 'w')"
    body = f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {code!r}])\ntime.sleep(60)"
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, body)))
    begun = time.perf_counter()
    with pytest.raises(EnvironmentProblemError, match=r"stopped after 0.5 s") as caught:
        predict_by_nnunet(folder, images, tmp_path / "out.nii.gz", limits=NnunetLimits(seconds=0.5))
    assert caught.value.code == "E_NNUNET_TIME"
    assert time.perf_counter() - begun < 30
    time.sleep(2.2)
    assert not trace.exists()
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_child_gets_no_more_memory_than_it_may(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, "x = bytearray(2_000_000_000)")))
    with pytest.raises(ModelError, match="ended with code 1: MemoryError"):
        predict_by_nnunet(folder, images, tmp_path / "out.nii.gz", limits=NnunetLimits(memory=1_000_000_000))


def test_what_goes_wrong_is_one_line(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.nii.gz"
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, "raise ValueError('/a/x/y.pth is bad')")))
    with pytest.raises(ModelError, match=r"ended with code 1: ValueError: y.pth is bad"):
        predict_by_nnunet(folder, images, out)
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, "pass")))
    with pytest.raises(ModelError, match="wrote no label map"):
        predict_by_nnunet(folder, images, out)
    with pytest.raises(ModelError, match="has 2 channels, 1 images are given"):
        predict_by_nnunet(folder, images[:1], out)
    with pytest.raises(ModelError, match="only folds all"):
        predict_by_nnunet(folder, images, out, fold="3")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentProblemError, match="which is no program"):
        predict_by_nnunet(folder, images, out)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblemError, match=r"no nnU-Net found.*LYMPHCT_NNUNET=") as caught:
        predict_by_nnunet(folder, images, out)
    assert caught.value.exit_code == 6
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"the folder has no plans.json"):
        predict_by_nnunet(folder, images, out)


def test_an_image_of_another_format_is_converted_where_nnunet_reads_nifti(
    tmp_path: Path, folder: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import SimpleITK as sitk  # noqa: PLC0415, N813 - writes the other format

    nrrd = tmp_path / "venous.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(images[1])), str(nrrd))
    monkeypatch.setenv(VARIABLE, str(_program(tmp_path, WORKS.format(seen=str(tmp_path / "seen")))))
    out = predict_by_nnunet(folder, [images[0], nrrd], tmp_path / "labels.nii.gz")
    assert int(read_nifti(out).volume.array.min()) == 1
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    (folder / "dataset.json").write_text(json.dumps({**dataset, "file_ending": ".mha"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"reads .mha files alone"):
        predict_by_nnunet(folder, images, tmp_path / "labels.mha")
