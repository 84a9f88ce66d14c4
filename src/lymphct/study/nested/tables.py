"""Predictions of a cross-validation as one table, and their figures in the form of Tab. VI and VII."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.evaluation.classification import auc
from lymphct.evaluation.comparison import CallIntervals, call_intervals
from lymphct.evaluation.statistics import Interval, bootstrap_interval
from lymphct.evaluation.status import IMPROPER
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.table import Row, read_table
from lymphct.scoring.comparing import CompareRequest, compare_files
from lymphct.scoring.status_tables import CALL_FIGURES, interval_record
from lymphct.scoring.stored import Table, csv_bytes, finite
from lymphct.study.nested.plan import COHORT, NestedPlan

PREDICTIONS_FILE: Final = "predictions.csv"
COLUMNS: Final = (
    "method", "cohort", "patient_id", "fold", "n_status", "score", "threshold", "call", "center", "lacking",
)  # fmt: skip
COMPARED: Final = "predictions"
"""Folder with a table per cohort and method in the form that `lymphct compare` reads."""
RESAMPLES: Final = 1000
"""Of every bootstrap interval (Tab. VI, Tab. VII)."""
LEAKS: Final = (
    "Status methods learned from lymph nodes of patients who had taught the networks that found them "
    "(--features paper): training saw better nodes than test patients have. The figures leak."
)
"""What stands with every table of a study with in-sample features."""


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
    """Yield everybody: who is tested in one fold from that fold, others by the mean of the folds."""
    verdicts = {
        fold: {verdict["patient"]: verdict for verdict in record["verdicts"]}
        for fold, record in judged.items()
    }
    for name in sorted(plan.patients, key=lambda name: (plan.patients[name].cohort, name)):
        entry = plan.patients[name]
        found = {fold: said[name] for fold, said in verdicts.items() if name in said}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One row of Tab. VI or VII.

    Attributes:
        method: short name.
        patients: whose status is known; likewise `positives`.
        positives: N+ among them.
        judged: patients whom the method could judge.
        auc: of all scores together, with a stratified bootstrap interval.
        fold_mean: mean of the folds' AUC; NaN where a fold has one class, or there are no folds.
        calls: figures at the folds' thresholds; None where nobody is judged.

    """

    method: str
    patients: int
    positives: int
    judged: int
    auc: Interval | None
    fold_mean: float
    calls: CallIntervals | None


def figures(method: str, rows: Sequence[Row], seed: int) -> Figures:
    """Measure what a method says of a cohort.

    Args:
        method: short name.
        rows: of the table of predictions, of this method and one cohort.
        seed: of the resamples.

    """
    known = [row.cells for row in rows if row.cells["n_status"]]
    judged = [cells for cells in known if cells["score"]]
    labels = np.array([int(cells["n_status"]) for cells in judged])
    scores = np.array([float(cells["score"]) for cells in judged])
    called = np.array([int(cells["call"]) for cells in judged])
    folds = np.array([cells["fold"] for cells in judged])
    rng = np.random.default_rng(seed)
    in_folds = [
        auc(labels[folds == fold], scores[folds == fold]) for fold in sorted(set(folds.tolist()) - {""})
    ]
    return Figures(
        method=method,
        patients=len(known),
        positives=sum(cells["n_status"] == "1" for cells in known),
        judged=len(judged),
        auc=bootstrap_interval(auc, labels, scores, rng=rng, strata=labels, n=RESAMPLES) if judged else None,
        fold_mean=fmean(in_folds) if in_folds else float("nan"),
        calls=call_intervals(labels, called, rng, n=RESAMPLES) if judged else None,
    )


def write_tables(folder: Path, plan: NestedPlan, predicted: Path) -> None:
    """Write Tab. VI of the cohort, Tab. VII of the others, and every comparison with the first method.

    Args:
        folder: receives `table6.csv`, `table6.md`, `table7_<cohort>.csv` …, `comparison_<cohort>.json`.
        plan: of the study.
        predicted: folder of `write_predictions`.

    """
    rows = read_table(predicted / PREDICTIONS_FILE, COLUMNS)
    for cohort in plan.cohorts:
        name = "table6" if cohort == COHORT else f"table7_{cohort}"
        found = [
            figures(
                method,
                [r for r in rows if r.cells["method"] == method and r.cells["cohort"] == cohort],
                plan.seed,
            )
            for method in plan.methods
        ]
        replace_file(folder / f"{name}.csv", csv_bytes(_table(found, plan)))
        replace_file(folder / f"{name}.md", _markdown(name, found, plan).encode())
        write_json(folder / f"comparison_{cohort}.json", _comparison(plan, predicted / COMPARED / cohort))


def _comparison(plan: NestedPlan, folder: Path) -> dict[str, JSON]:
    """Compare the first method with every other one on the patients whom all can judge."""
    if len(plan.methods) < 2:
        return {"not_compared": "there is one method"}
    paths = [folder / f"{method}.csv" for method in plan.methods]
    try:
        return compare_files(paths, CompareRequest(seed=plan.seed))
    except InputError as error:  # nobody known, or one class: the tables say so, too
        return {"not_compared": str(error)}


def _table(found: Sequence[Figures], plan: NestedPlan) -> Table:
    heading = ["method", "patients", "positives", "judged", "auc", "auc_low", "auc_high", "auc_fold_mean"]
    heading += [f"{name}{limit}" for name in CALL_FIGURES for limit in ("", "_low", "_high")]
    cells: list[list[object]] = []
    for row in found:
        line: list[object] = [row.method, row.patients, row.positives, row.judged, *_numbers(row.auc)]
        line.append(finite(row.fold_mean))
        for name in CALL_FIGURES:
            line += _numbers(None if row.calls is None else getattr(row.calls, name))
        cells.append([*line, plan.features])
    return Table([*heading, "features"], cells)


def _numbers(interval: Interval | None) -> list[object]:
    if interval is None:
        return [None] * 3
    record = interval_record(interval)
    return [record[name] for name in ("estimate", "low", "high")]


_TITLES: Final = ("Balanced accuracy", "AUC", "Accuracy", "Sensitivity", "Specificity")
"""Columns in the order of Tab. VI."""


def _markdown(name: str, found: Sequence[Figures], plan: NestedPlan) -> str:
    """Return the table as Tab. VI and VII have it, with the number of patients in every row."""
    title = (
        "Tab. VI: methods on the cross-validated cohort"
        if name == "table6"
        else f"Tab. VII: methods on {name.removeprefix('table7_')}, mean of the fold models"
    )
    notes = [IMPROPER, f"Intervals: 95 %, {RESAMPLES} resamples stratified by N status."]
    notes += [LEAKS] if plan.features == "paper" else []
    notes += [PHANTOM_NOTICE] if plan.is_phantom else []
    lines = [f"# {title}", "", f"| Method | Patients (N+) | {' | '.join(_TITLES)} |", "|-|-|-|-|-|-|-|"]
    for row in found:
        judged = f"{row.judged} of {row.patients}" if row.judged < row.patients else str(row.patients)
        calls = row.calls
        shown = [None if calls is None else calls.balanced_accuracy, row.auc]
        shown += [None if calls is None else getattr(calls, what) for what in CALL_FIGURES[1:]]
        lines.append(f"| {row.method} | {judged} ({row.positives}) | {' | '.join(map(_interval, shown))} |")
    return "\n".join([*lines, "", *(f"{note}\n" for note in notes)])


def _interval(interval: Interval | None) -> str:
    if interval is None or not np.isfinite(interval.estimate):
        return "-"
    limits = f" [{interval.low:.3f}-{interval.high:.3f}]" if np.isfinite(interval.low) else ""
    return f"{interval.estimate:.3f}{limits}"
