import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli.main import exit_code, new_app
from lymphct.cli.prepare import prepared_line, register
from lymphct.io.manifest import write_manifest
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings

Program = Callable[..., Any]
COARSE = ("--config", "phantom_nano")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = PhantomSettings(size="nano", phase_shift=False)
    folder = tmp_path_factory.mktemp("phantoms")
    return write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=8, patients=1))


def test_a_cohort_is_prepared_and_told_patient_by_patient(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    result = lymphct("prepare", manifest, "--out", tmp_path / "work", *COARSE)
    assert (result.code, result.out) == (
        0,
        "phantom-8-0000: not registered; attention from 10 structures (drawn)\n",
    )
    assert "a worker takes up to" in result.err
    again = lymphct("prepare", manifest, "--out", tmp_path / "work", *COARSE, "--json")
    summary = json.loads(again.out)
    assert (summary["done"], summary["failed"]) == (1, 0)
    assert summary["patients"][0]["structures_used"] == 10


def test_within_the_limit_of_time_the_same_is_told(lymphct: Program, manifest: Path, tmp_path: Path) -> None:
    limits = ("--patient-timeout", 250)
    result = lymphct("prepare", manifest, "--out", tmp_path / "work", *COARSE, *limits)
    assert result.code == 0, result.err
    assert result.out == "phantom-8-0000: not registered; attention from 10 structures (drawn)\n"
    refused = lymphct("prepare", manifest, "--out", tmp_path / "none", *COARSE, "--patient-timeout", 0.5)
    assert (refused.code, (tmp_path / "none").exists()) == (2, False)


def test_a_limit_of_time_is_for_the_patients_of_a_manifest(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    venous = manifest.parent / "phantom-8-0000" / "venous.nii.gz"
    refused = lymphct("predict", "--venous", venous, "--patient-timeout", 9, "--out", tmp_path / "result")
    assert refused.code == 2
    assert "--patient-timeout goes with a manifest" in refused.err
    assert not (tmp_path / "result").exists()


def test_a_failed_patient_ends_with_code_4_and_the_others_are_there(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    venous = manifest.parent / "phantom-8-0000" / "venous.nii.gz"
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(venous.read_bytes()[:3000])
    both = tmp_path / "cohort.csv"
    write_manifest(both, [{"patient_id": "good", "venous": venous}, {"patient_id": "bad", "venous": cut}])
    result = lymphct("prepare", both, "--out", tmp_path / "work", *COARSE)
    assert result.code == 4
    assert result.out.splitlines()[0] == "good: no arterial phase; no structures, no attention"
    assert result.out.splitlines()[1].startswith("bad: failed: incomplete or damaged file")
    assert "1 of 2 patients failed: bad [E_PARTLY] - see failures.jsonl" in result.err
    assert list((tmp_path / "work" / "good").glob("images-*/DONE.json"))


def test_an_unknown_method_is_a_usage_error(manifest: Path, tmp_path: Path) -> None:
    app = new_app()
    register(app)
    app.command("other")(lambda: None)  # a program of one command takes no verb
    arguments = ["prepare", str(manifest), "--out", str(tmp_path), "--registration", "demons"]
    assert exit_code(app, arguments) == 2


def test_a_line_says_how_the_phases_were_brought_together() -> None:
    result = {
        "patient_id": "a",
        "registration": {"method": "deeds", "flags": []},
        "has_arterial": True,
        "notices": [{"code": "no_aorta", "text": "something to know", "value": None}],
        "structures": "model",
        "structures_used": ["aorta"],
        "structure_sources": {},
    }
    assert prepared_line(result).splitlines() == [
        "a: registered by deeds; attention from 1 structures (model)",
        "  notice: something to know",
    ]
    flagged = {**result, "registration": {"method": "deeds", "flags": ["it folds"]}, "notices": []}
    assert prepared_line(flagged).startswith("a: registration flagged;")
    brought = {**result, "structure_sources": {"aorta": "pants", "spleen": "pants", "pancreas": "trace"}}
    assert "(pants, trace)" in prepared_line(brought)
