"""What results and tables say of a registration: its numbers, and whether they can be trusted."""

from dataclasses import asdict
from typing import Final

from pydantic import JsonValue

from lymphct.cascade.alignment import Aligned
from lymphct.core.patient import Check
from lymphct.registration.result import RegistrationReport

CHECK_NAME: Final = "arterial phase registered to the venous phase"

NUMBERS: Final = (
    "overlap",
    "distance_before",
    "distance_after",
    "consistency_mean_mm",
    "consistency_p95_mm",
    "folding_percent",
    "min_jacobian",
    "sd_log_jacobian",
)
"""Fields of a report that are measured on the images; time and memory differ from run to run."""


def registration_check(aligned: Aligned) -> Check | None:
    """Return what a result says of the registration; None without an arterial phase."""
    if aligned.ct.arterial is None:
        return None
    report = aligned.registration
    if report is None:
        failed = bool(aligned.notices)
        text = aligned.notices[0].text if failed else "not asked for: the phases share coordinates"
        return Check(name=CHECK_NAME, passed=False if failed else None, text=text)
    return Check(
        name=CHECK_NAME,
        passed=not report.flags,
        value=registration_record(report),
        text="; ".join(report.flags) or "folding, consistency and likeness are within their limits",
    )


def registration_record(report: RegistrationReport) -> dict[str, JsonValue]:
    """Return method, numbers and flags for JsonValue; the same bytes in every run."""
    values = asdict(report)
    numbers: dict[str, JsonValue] = {name: _rounded(values[name]) for name in NUMBERS}
    return {"method": report.method, **numbers, "flags": list(report.flags)}


def _rounded(value: float | None) -> float | None:
    """Keep four decimals, more than anybody reads; None where nothing was measured."""
    return None if value is None else round(value, 4)
