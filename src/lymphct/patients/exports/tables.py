"""What an import of an export writes for people: every series and its fate, and what is to decide."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lymphct.core.errors import InputError
from lymphct.io.manifest import write_rows
from lymphct.io.table import read_table
from lymphct.patients.exports.choosing import Proposal
from lymphct.patients.exports.phases import Judged

SERIES_FILE: Final = "series.csv"
PROPOSALS_FILE: Final = "proposals.csv"
SERIES_COLUMNS: Final = (
    "patient_id", "study", "days", "series", "number", "modality", "description", "kernel", "files", "copies",
    "columns", "rows", "slices", "spacing_mm", "slice_spacing_mm", "minutes", "after_injection_s", "aorta_hu",
    "liver_hu", "kidney_hu", "by_tags", "by_hu", "phase", "used_as", "reason",
)  # fmt: skip
PROPOSAL_COLUMNS: Final = (
    "patient_id", "state", "venous", "arterial", "proposed_venous", "proposed_arterial", "reason",
)  # fmt: skip
_DAY: Final = 86_400.0


def patient_of(one: Judged) -> str:
    """Return the pseudonym of the patient of a series."""
    return f"p{one.series.tags.person}"


class Use(NamedTuple):
    """What a series is used as, or proposed to be.

    Attributes:
        column: of the manifest.
        is_taken: whether the manifest names it.
        is_sure: whether nobody needs to decide.

    """

    column: str
    is_taken: bool
    is_sure: bool


def write_series(path: Path, series: Sequence[Judged], used: Mapping[str, Use]) -> None:
    """Write one line per series: what it is, what was measured, what it is used as or why it is left out.

    Args:
        path: of the table.
        series: all of them, in the order of patients and times.
        used: key → use, of those that are used or proposed.

    """
    by_patient: dict[str, list[Judged]] = {}
    for one in series:
        by_patient.setdefault(patient_of(one), []).append(one)
    rows = [row for group in by_patient.values() for row in _rows(group, used)]
    write_rows(path, SERIES_COLUMNS, rows)


def _rows(group: Sequence[Judged], used: Mapping[str, Use]) -> Iterable[dict[str, object]]:
    """Times are told from the patient's first study and the study's first series, never as dates."""
    begun: dict[str, float] = {}
    for one in group:
        study, time = one.series.tags.study, one.series.time
        begun[study] = min(begun.get(study, math.inf), time if math.isfinite(time) else math.inf)
    order = sorted(begun, key=lambda study: (begun[study], study))
    first = begun[order[0]]
    for one in group:
        tags, contrast, start = one.series.tags, one.contrast, begun[one.series.tags.study]
        use = used.get(one.series.key)
        yield {
            "patient_id": patient_of(one),
            "study": order.index(tags.study) + 1,
            "days": _whole(start // _DAY - first // _DAY),
            "series": one.series.key,
            "number": tags.number or None,
            "modality": tags.modality,
            "description": tags.description,
            "kernel": tags.kernel,
            "files": len(one.series.heads),
            "copies": one.series.copies or None,
            "columns": tags.shape[0] or None,
            "rows": tags.shape[1] or None,
            "slices": None if one.look is None else one.look["shape"][2],
            "spacing_mm": round(tags.spacing[0], 4) if tags.spacing else None,
            "slice_spacing_mm": None if one.look is None else one.look["spacing"][2],
            "minutes": _rounded((one.series.time - start) / 60),
            "after_injection_s": _rounded(one.series.delay),
            "aorta_hu": _whole(contrast.aorta),
            "liver_hu": _whole(contrast.liver),
            "kidney_hu": _whole(contrast.kidney),
            "by_tags": one.by_tags,
            "by_hu": one.by_contrast,
            "phase": one.phase,
            "used_as": use.column if use is not None and use.is_taken else None,
            "reason": why_left_out(one, use),
        }


def why_left_out(one: Judged, use: Use | None = None) -> str:
    """Return why a series is used as no phase; nothing of one that is."""
    if use is not None and use.is_taken:
        return ""
    reasons = [one.reason] if one.reason else list(one.doubts)
    if use is not None:
        how = "--accept takes it" if use.is_sure else "to be decided: see proposals.csv"
        return "; ".join((f"proposed as {use.column}, {how}", *reasons))
    if not reasons:
        reasons = [f"{one.phase} phase" if one.phase in {"native", "late"} else "another series is proposed"]
    return "; ".join(reasons)


def _whole(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else round(value)


def _rounded(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None


def write_proposals(path: Path, proposals: Iterable[Proposal]) -> None:
    """Write one line per patient. A copy of it, filled in by the user, is what `--choices` takes.

    Series stand in `venous` and `arterial` where they are sure, or were named; else as proposals beside.
    """
    write_rows(path, PROPOSAL_COLUMNS, [_proposal(one) for one in proposals])


def _proposal(one: Proposal) -> dict[str, object]:
    venous, arterial = (None if s is None else s.series.key for s in (one.venous, one.arterial))
    sure = one.is_sure
    return {
        "patient_id": one.patient_id,
        "state": "named" if one.is_named else "sure" if sure else "doubtful",
        "venous": venous if sure else None,
        "arterial": arterial if sure else None,
        "proposed_venous": None if sure else venous,
        "proposed_arterial": None if sure else arterial,
        "reason": "; ".join(one.doubts),
    }


def read_choices(path: Path) -> dict[str, tuple[str, str]]:
    """Return the series that a user names: patient → venous, arterial (empty for none).

    Lines without a venous series name nothing; of those that import itself was sure of, the state says so.

    Raises:
        InputError: no such table, or a patient stands in it twice.

    """
    chosen: dict[str, tuple[str, str]] = {}
    for row in read_table(path, ("patient_id", "venous", "arterial")):
        name, venous = row.cells["patient_id"], row.cells["venous"]
        if not venous:
            continue
        if name in chosen:
            msg = f"line {row.line} names series of a patient who has some already"
            raise InputError(msg, code="E_CHOICES", cure="keep one line per patient").at(file=path.name)
        chosen[name] = venous, row.cells["arterial"]
    return chosen
