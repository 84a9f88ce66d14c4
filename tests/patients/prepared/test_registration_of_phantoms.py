"""What registration promises on synthetic patients that breathe between the phases."""

import numpy as np
import pytest
from benchmarks.phantom_registration import LARGEST_HARM, aims, measured, patients_table, summary_table

from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings, SizeName
from lymphct.registration.settings import RegistrationSettings

SETTINGS = RegistrationSettings()


def errors(size: SizeName, patients: int) -> tuple[list[float], list[float]]:
    """Return each patient's mean error in the body before and after registration, mm."""
    phantoms = PhantomSettings(size=size, mode="unbiased", phase_shift=True)
    found = [measured(generate_patient(phantoms, seed=31, index=n), SETTINGS) for n in range(patients)]
    return [f["before"]["body"]["mean"] for f in found], [f["after"]["body"]["mean"] for f in found]


def test_registration_halves_the_error_of_a_coarse_phantom() -> None:
    (before,), (after,) = errors("nano", 1)
    assert before > 1.0
    assert after < 0.5 * before


@pytest.mark.slow
def test_registration_halves_the_mean_error_and_harms_nobody() -> None:
    sizes: tuple[SizeName, ...] = ("nano", "tiny")
    for size in sizes:
        before, after = errors(size, 6)
        assert np.mean(after) <= 0.5 * np.mean(before), size
        assert max(np.subtract(after, before)) <= LARGEST_HARM, size


def test_a_registration_that_is_not_trusted_counts_with_the_error_before() -> None:
    patient = generate_patient(PhantomSettings(size="nano"), seed=31, index=0)
    none = measured(patient, RegistrationSettings(method="none"))
    assert none["before"] == none["after"]
    assert none["before"]["body"]["mean"] == pytest.approx(1.5, abs=1.5)


def record(before: float, after: float, nodes: float | None, flags: list[str]) -> dict[str, object]:
    def of(value: float) -> dict[str, dict[str, float | None]]:
        whole: dict[str, float | None] = {"mean": value, "p95": 2 * value}
        return {"body": whole, "structures": whole, "nodes": {"mean": nodes, "p95": nodes}}

    report = {"flags": flags, "consistency_p95_mm": 0.1}
    return {"patient": "p", "before": of(before), "after": of(after), "cpu_seconds": 2.0, "report": report}


def test_tables_hold_means_over_patients_and_name_who_was_harmed() -> None:
    records = [record(4.0, 1.0, 3.0, []), record(2.0, 3.5, None, ["it folds"])]
    gone, harm = aims(records)
    assert gone.reached == pytest.approx(1 - 4.5 / 6)
    assert harm.reached == pytest.approx(1.5)
    assert [gone.is_met, harm.is_met] == [False, False]
    text = summary_table(records).markdown()
    assert "| body, mean | 3.000" in text
    assert "| lymph nodes, mean | 3.000" in text
    assert "Flagged: 1. 2.0 CPU seconds per patient." in text
    assert patients_table(records).rows[1] == ("p", 2.0, 3.5, None, None, 0.1, "it folds")
