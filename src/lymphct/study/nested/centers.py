"""How well each method tells N+ from N- within each center of a cohort."""

from collections.abc import Mapping
from typing import Any

from lymphct.report.evaluation_page import shown
from lymphct.report.studies.printed import PrintedTable
from lymphct.scoring.status import UNKNOWN_CENTER, StatusEvaluation
from lymphct.study.nested.plan import COHORT

NOTE = (
    "AUC of the scores as they are, with DeLong's 95 % interval (of the bootstrap where a class has fewer "
    "than two patients); folds are not told apart within a center. A center with one class shows its "
    "patients alone."
)


def center_table(
    found: Mapping[str, StatusEvaluation], names: Mapping[str, str], cohort: str
) -> PrintedTable | None:
    """Return a row for each center and method; None where the cohort has one center, or names none.

    Args:
        found: by method.
        names: of the methods.
        cohort: name of it.

    """
    records: dict[str, Any] = {method: evaluation.record() for method, evaluation in found.items()}
    centers = sorted(
        {center for record in records.values() for center in record["centers"]},
        key=lambda name: (name == UNKNOWN_CENTER, name),
    )
    if len(centers) < 2:
        return None
    rows = [
        _row(center, names[method], record["centers"][center])
        for center in centers
        for method, record in records.items()
        if center in record["centers"]
    ]
    return PrintedTable(
        name="centers" if cohort == COHORT else f"centers_{cohort}",
        title=f"N status within each center, {cohort}",
        heading=("Center", "Method", "Scored of patients", "N+", "AUC [95 %]"),
        rows=rows,
        notes=(NOTE,),
    )


def _row(center: str, method: str, record: Mapping[str, Any]) -> list[str]:
    area = record["auc"]
    cell = shown(None)
    if area is not None:
        limits = area["delong"] or area["bootstrap"]
        cell = shown(area["estimate"])
        if limits["low"] is not None:
            cell += f" [{shown(limits['low'])}–{shown(limits['high'])}]"
    counted = f"{record['scored']} of {record['patients']}"
    return [center, method, counted, str(record["positives"]), cell]
