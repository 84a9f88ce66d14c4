"""The rows of a cohort's page: what became of each patient, written for readers and for sorting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from lymphct.core.terms import Source
from lymphct.report.wording import CALLS, MISSING, milliliters, number, telling_decimals

OUTCOMES: Final = {
    "positive": CALLS[1],
    "negative": CALLS[0],
    "withheld": "score withheld",
    "uncalled": "not called",
    "failed": "failed",
    "excluded": "excluded",
}
"""What may become of a patient, in the order of the page: name and words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one patient of a cohort: exactly one of result, cause and exclusion is there.

    Attributes:
        patient_id: pseudonym, the name of the result folder.
        result: content of `result.json`.
        cause: why the prediction failed, with the file it concerns.
        code: of the failure.
        cure: how to mend it; empty where nobody knows.
        exclusion: why the manifest leaves the patient out.

    """

    patient_id: str
    result: Mapping[str, Any] | None = None
    cause: str = ""
    code: str = ""
    cure: str = ""
    exclusion: str = ""

    @property
    def state(self) -> str:
        """Return `done`, `failed` or `excluded`, as `summary.json` says it."""
        if self.result is not None:
            return "done"
        return "failed" if self.code else "excluded"

    @property
    def outcome(self) -> str:
        """Return the key of `OUTCOMES`: of a predicted patient the call, or that there is none."""
        if self.result is None:
            return self.state
        if self.result["probability"] is None:
            return "withheld"
        status = self.result["predicted_n_status"]
        return "uncalled" if status is None else ("negative", "positive")[status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the table: title, unit, name by which a filter compares its numbers (empty for text)."""

    title: str
    unit: str = ""
    name: str = ""


COLUMNS: Final = (
    Column(title="patient"),
    Column(title="outcome"),
    Column(title="score", name="score"),
    Column(title="nodes", name="nodes"),
    Column(title="positive", name="positive"),
    Column(title="largest positive", unit="mm³", name="volume"),
    Column(title="tumor", unit="ml", name="tumor"),
    Column(title="diameter", unit="mm", name="diameter"),
    Column(title="site", unit="guess"),
    Column(title="masks by"),
    Column(title="notices"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Text of a cell, a dash where nothing is known; a remark; the number that the text rounds."""

    text: str = MISSING
    remark: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRow:
    """A patient as the table shows it.

    Attributes:
        patient_id: pseudonym.
        outcome: key of `OUTCOMES`.
        words: the outcome in words.
        link: relative address of the patient's page; empty where there is none.
        cells: of the columns between outcome and notices.
        notes: sentences about this patient: notices, the cause of a failure, the reason of an exclusion.
        notices: how many of them are notices of the prediction.

    """

    patient_id: str
    outcome: str
    words: str
    link: str = ""
    cells: tuple[Cell, ...] = field(default=(Cell(),) * (len(COLUMNS) - 3))
    notes: tuple[str, ...] = ()
    notices: int = 0


def cohort_row(fate: Fate, *, said: frozenset[str]) -> CohortRow:
    """Write a patient; notices in `said` stand elsewhere on the page."""
    words = OUTCOMES[fate.outcome]
    result = fate.result
    if result is None:
        why = fate.cause or fate.exclusion
        return CohortRow(
            patient_id=fate.patient_id, outcome=fate.outcome, words=words, notes=(why,) if why else ()
        )
    texts = tuple(str(notice["text"]) for notice in result["notices"])
    notes = tuple(text for text in texts if text not in said)
    return CohortRow(
        patient_id=fate.patient_id,
        outcome=fate.outcome,
        words=words,
        link=page_link(fate),
        cells=(
            _score(result),
            *_nodes(result),
            *_tumor(result["tumor"]),
            Cell(text=_masks(result["sources"])),
        ),
        notes=notes,
        notices=len(notes),
    )


def page_link(fate: Fate) -> str:
    """Return where the page of a predicted patient lies, seen from that of the cohort."""
    return f"{quote(fate.patient_id, safe='')}/report.html"


def shared_notices(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the notices that every patient has word for word; none of fewer than two patients."""
    told = [dict.fromkeys(str(notice["text"]) for notice in result["notices"]) for result in results]
    if len(told) <= 1:
        return []
    return [text for text in told[0] if all(text in texts for texts in told)]


def _score(result: Mapping[str, Any]) -> Cell:
    probability = result["probability"]
    text = number(probability, telling_decimals(probability, result["threshold"]))
    return Cell(text=text, value=probability)


def _nodes(result: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    """Write how many nodes there are, how many positive, and the volume of the largest of these."""
    total = result["nodes_total"]
    if total is None:
        return Cell(remark="not searched"), Cell(), Cell()
    remarks = ["drawn"] if _is_drawn(result["sources"].get("nodes")) else []
    if result["nodes_implausible"]:
        remarks.append(f"{result['nodes_implausible']} implausible")
    volume = result["largest_positive_volume_mm3"]
    return (
        Cell(text=str(total), remark=", ".join(remarks)),
        Cell(text=number(result["nodes_positive"], 0)),
        Cell(text=number(volume, 0), value=volume),
    )


def _tumor(tumor: Mapping[str, Any] | None) -> tuple[Cell, Cell, Cell]:
    """Write volume, largest diameter and site."""
    if tumor is None:
        return Cell(remark="none"), Cell(), Cell()
    volume, diameter = tumor["volume_mm3"], tumor["largest_diameter_mm"]
    return (
        Cell(text=milliliters(volume), value=volume / 1000.0),
        Cell(text=number(diameter, 0), value=diameter),
        Cell(text=tumor["site_guess"] or MISSING),
    )


def _masks(sources: Mapping[str, str]) -> str:
    drawn = [name for name, source in sources.items() if _is_drawn(source)]
    return f"drawn: {', '.join(drawn)}" if drawn else "networks"


def _is_drawn(source: str | None) -> bool:
    return source is not None and Source(source).is_drawn
