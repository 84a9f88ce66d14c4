"""What every method of a cross-validation says of every patient, as tables that others read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import read_json
from lymphct.scoring.stored import Table, csv_bytes
from lymphct.study.nested.plan import COHORT, NestedPlan

PREDICTIONS_FILE: Final = "predictions.csv"
COLUMNS: Final = (
    "method", "cohort", "patient_id", "fold", "n_status", "score", "threshold", "call", "center", "lacking",
)  # fmt: skip
COMPARED: Final = "predictions"
"""Folder with a table per cohort and method in the form that `lymphct compare` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A row of the table of predictions; `fold` is 0 for patients of other cohorts, judged by all folds."""

    method: str
    cohort: str
    patient: str
    fold: int
    n_status: int | None
    score: float | None
    threshold: float
    call: int | None
    center: str
    lacking: tuple[str, ...]

    @property
    def cells(self) -> list[object]:
        """Return the cells in the order of `COLUMNS`."""
        return [
            self.method, self.cohort, self.patient, self.fold or None, self.n_status, self.score,
            self.threshold, self.call, self.center, " ".join(self.lacking),
        ]  # fmt: skip


def write_predictions(folder: Path, plan: NestedPlan, files: Mapping[str, Path]) -> None:
    """Write what every method says of every patient.

    Args:
        folder: receives the table, and a folder of tables by cohort and method for `lymphct compare`.
        plan: of the study.
        files: id of each judging task → its record.

    """
    judged: dict[str, dict[int, Any]] = {method: {} for method in plan.methods}
    for task, path in files.items():
        _, fold, method = task.split(".", 2)
        judged[method][int(fold.removeprefix("fold"))] = read_json(path)
    rows = [row for method in plan.methods for row in _rows(plan, method, judged[method])]
    table = Table(COLUMNS, [row.cells for row in rows])
    replace_file(folder / PREDICTIONS_FILE, csv_bytes(table))
    for cohort in plan.cohorts:
        for method in plan.methods:
            own = [row for row in rows if (row.cohort, row.method) == (cohort, method)]
            _write_compared(folder / COMPARED / cohort / f"{method}.csv", own)


def _rows(plan: NestedPlan, method: str, judged: Mapping[int, Any]) -> Iterator[Prediction]:
    """Yield who was judged: who is tested in one fold by that fold, others by the mean of the folds."""
    verdicts = {
        fold: {verdict["patient"]: verdict for verdict in record["verdicts"]}
        for fold, record in judged.items()
    }
    for name in sorted(plan.patients, key=lambda name: (plan.patients[name].cohort, name)):
        entry = plan.patients[name]
        found = {fold: said[name] for fold, said in verdicts.items() if name in said}
        if not found:  # of a study of some folds alone
            continue
        scores = [verdict["score"] for verdict in found.values() if verdict["score"] is not None]
        threshold = fmean(judged[fold]["threshold"] for fold in sorted(found))
        score = fmean(scores) if scores else None
        is_external = entry.cohort != COHORT
        yield Prediction(
            method=method,
            cohort=entry.cohort,
            patient=name,
            fold=0 if is_external else next(iter(found)),
            n_status=entry.n_status,
            score=score,
            threshold=threshold,
            call=None if score is None else int(score >= threshold),
            center=entry.center,
            lacking=() if scores else tuple(next(iter(found.values()))["lacking"]),
        )


def _write_compared(path: Path, rows: Sequence[Prediction]) -> None:
    known = [row for row in rows if row.n_status is not None]
    heading = ("patient_id", "label", "score", "call", "center", "fold")
    cells = [[r.patient, r.n_status, r.score, r.call, r.center, r.fold or None] for r in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, csv_bytes(Table(heading, cells)))
