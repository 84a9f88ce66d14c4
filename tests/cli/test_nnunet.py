import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # what several rooms' tests share lies beside them

from tests.nnunet_results import write_results

from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings

Program = Callable[..., Any]
COARSE = ("--config", "phantom_nano")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = PhantomSettings(size="nano", phase_shift=False)
    folder = tmp_path_factory.mktemp("phantoms")
    return write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=8, patients=3))


def test_a_cohort_is_exported_and_what_comes_back_names_its_teachers(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    words = (
        "export",
        "nnunet",
        manifest,
        "--out",
        tmp_path / "raw",
        "--number",
        "12",
        "--folds",
        "3",
        *COARSE,
    )
    result = lymphct(*words, "--target", "tumor", "--channels", "V")
    assert (result.code, result.out) == (
        0,
        f"{tmp_path / 'raw' / 'Dataset012_LymphCT'}: 3 training patients, no other patients, 0 left out\n",
    )
    again = json.loads(lymphct(*words, "--target", "tumor", "--channels", "V", "--json").out)
    assert again["train"] == [f"phantom-8-000{n}" for n in range(3)]
    dataset = json.loads((tmp_path / "raw" / "Dataset012_LymphCT" / "dataset.json").read_text("utf-8"))
    assert dataset["lymphct"]["is_phantom"] is True
    folder, _ = write_results(
        tmp_path, channels=1, labels={"background": 0, "tumor": 1}, ours=dataset["lymphct"]
    )
    back = lymphct("import", "nnunet", folder, "--out", tmp_path / "bundle")
    assert (back.code, back.out) == (0, f"{tmp_path / 'bundle'}\n")
    overlap = lymphct("models", "trained-on", tmp_path / "bundle", manifest)
    assert overlap.code == 3
    assert lymphct("models", "verify", tmp_path / "bundle", "--parts", "tumor").code == 0


def test_bad_input_is_one_line(lymphct: Program, manifest: Path, tmp_path: Path) -> None:
    bare = tmp_path / "cohort.csv"
    folders = sorted(manifest.parent.glob("phantom-8-*"))
    lines = [f"{folder.name},{folder / 'venous.nii.gz'}" for folder in folders]
    bare.write_text("\n".join(["patient_id,venous", *lines]), encoding="utf-8")
    out = tmp_path / "raw"
    result = lymphct("export", "nnunet", bare, "--out", out, "--channels", "V", "--folds", "3", *COARSE)
    assert result.code == 3
    assert "no training patient has a structures mask" in result.err
    result = lymphct("export", "nnunet", manifest, "--out", out, "--channels", "A,X")
    assert (result.code, "names 'x'" in result.err) == (2, True)
    result = lymphct("export", "nnunet", manifest, "--out", out, "--set", "nodes.threshold=0.2")
    assert (result.code, "no effect on lymphct export" in result.err) == (2, True)
    result = lymphct("import", "nnunet", tmp_path / "nowhere", "--out", tmp_path / "b")
    assert result.code == 7
    assert "no trained nnU-Net: the folder has no plans.json" in result.err
    result = lymphct("import", "nnunet", tmp_path, "--out", tmp_path / "b", "--checkpoint", "../x.pth")
    assert result.code == 2


def test_an_unsafe_checkpoint_ends_with_code_7_and_has_no_effect(lymphct: Program, tmp_path: Path) -> None:
    folder, _ = write_results(tmp_path)
    victim = tmp_path / "victim"

    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {victim}",)

    torch.save({"network_weights": Payload()}, folder / "fold_0" / "checkpoint_final.pth")  # noqa: TID251 - as an attacker does
    words = ("import", "nnunet", folder, "--out", tmp_path / "b", "--as", "structures", "--channels", "A,V")
    result = lymphct(*words)
    assert result.code == 7
    assert result.err.count("\n") == 1
    assert "[E_UNSAFE]" in result.err
    assert not victim.exists()
    assert not (tmp_path / "b").exists()


def test_init_from_an_nnunet_is_for_stage_1_and_is_looked_at_before_any_work(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    words = ("--cohort", manifest, "--out", tmp_path / "run", "--init", f"nnunet:{tmp_path / 'nowhere'}")
    result = lymphct("train", "tumor", *words, *COARSE)
    assert (result.code, "for the stage nodes alone" in result.err) == (2, True)
    result = lymphct("train", "nodes", *words, *COARSE)
    assert (result.code, "no trained nnU-Net" in result.err) == (7, True)
    assert not (tmp_path / "run").exists()
