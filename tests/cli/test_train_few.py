"""`lymphct train tumor --few` from phantoms that breathe to a bundle, as a user types it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.core.terms import StageName
from lymphct.io.manifest import read_manifest, write_manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import read_json
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings

Program = Callable[..., Any]
DRAWN = 4
SHORT = {
    "tumor.training.epochs": 2,
    "tumor.training.iterations_per_epoch": 6,
    "tumor.threshold": 0.05,  # networks that have learned next to nothing must find something
    "tumor.phases": "venous",
    "tumor.sampling.phase_dropout": 0,
    "tumor_harvest.confidence": 0,
    "tumor_harvest.least_volume": 0,
    "tumor_harvest.largest_volume": 1e9,
    "registration.method": "deeds",
    "registration.spacing_mm": 4,
}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Nano phantoms that breathe between the phases, four of them with a drawn tumor."""
    settings = PhantomSettings(size="nano")
    whole = write_phantoms(PhantomCohort(folder=tmp_path / "nano", settings=settings, seed=4, patients=9))
    rows: list[dict[str, object]] = [
        {
            "patient_id": record.patient_id,
            "venous": record.venous,
            "arterial": record.arterial,
            "tumor": record.tumor if number < DRAWN else "",
            "synthetic": 1,
        }
        for number, record in enumerate(read_manifest(whole).patients)
    ]
    write_manifest(tmp_path / "few.csv", rows)
    return tmp_path / "few.csv"


@pytest.mark.slow
def test_one_command_leads_from_few_drawn_masks_to_a_scored_network(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = [word for name, value in SHORT.items() for word in ("--set", f"{name}={value}")]
    command = ("train", "tumor", "--few", "--cohort", manifest, "--out", out, "--config", "phantom_nano")
    first = lymphct(*command, *words, "--device", "cpu")
    assert (first.code, first.out.strip()) == (0, str(out / "bundle")), first.err
    assert "1 patient of 4 with one are kept for the scores: phantom-4-000" in first.err
    part = read_bundle(out / "bundle").info.parts[StageName.TUMOR]
    assert part.architecture["phases"] == "venous"
    scores: Any = read_json(out / "few" / "scores.json")
    assert set(scores) == {"teacher", "tuned", "final"}
    assert all(found["patients"] == 1 for found in scores.values())
    assert any((place / "field").is_dir() for place in (out / "few" / "arterial").iterdir())
    again = lymphct(*command, *words, "--device", "cpu")
    assert again.code == 0
    assert "tumor: already in the bundle" in again.err
