"""The figures of a cross-validation in the form of Tab. I, VI and VII."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.evaluation.classification import auc
from lymphct.evaluation.comparison import CallIntervals, call_intervals
from lymphct.evaluation.crossvalidated import CrossValidatedAUC, OutOfFold, crossvalidated_auc
from lymphct.evaluation.statistics import Interval, bootstrap_interval
from lymphct.evaluation.status import IMPROPER
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.table import Row, read_table
from lymphct.report.studies.cohort_table import cohort_table
from lymphct.report.studies.printed import PrintedTable
from lymphct.scoring.comparing import CompareRequest, compare_files
from lymphct.scoring.status_tables import CALL_FIGURES, interval_record
from lymphct.scoring.stored import Table, csv_bytes, finite
from lymphct.study.nested.first_table import characteristics
from lymphct.study.nested.plan import COHORT, NestedPlan
from lymphct.study.nested.predictions import COLUMNS, COMPARED, PREDICTIONS_FILE

RESAMPLES: Final = 1000
"""Of every bootstrap interval (Tab. VI, Tab. VII)."""
LEAKS: Final = (
    "Status methods learned from lymph nodes of patients who had taught the networks that found them "
    "(--features paper): training saw better nodes than test patients have. The figures leak."
)
"""What stands with every table of a study with in-sample features."""
REFERENCE: Final = "combined"
"""The method every other one is compared with, where it is there; else the first."""
_OF_FOLDS: Final = (
    "AUC: mean of the folds' AUC, with its interval by influence curves where every fold has two patients of "
    "each class; else of all scores together. Other figures pool the folds, each at its own threshold."
)
_TITLES: Final = ("Balanced accuracy", "AUC", "Accuracy", "Sensitivity", "Specificity")
"""Columns in the order of Tab. VI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One row of Tab. VI or VII.

    Attributes:
        patients: whose status is known; likewise `positives`.
        positives: N+ among them.
        judged: patients whom the method could judge.
        pooled: AUC of all scores together, with a stratified bootstrap interval; None where nobody is judged.
        folds: AUC over the folds; None without folds, or where one has fewer than two patients of a class.
        calls: figures at the folds' thresholds; None where nobody is judged.

    """

    patients: int
    positives: int
    judged: int
    pooled: Interval | None
    folds: CrossValidatedAUC | None
    calls: CallIntervals | None

    @property
    def shown_auc(self) -> Interval | None:
        """The AUC that is printed: over the folds where there are any."""
        if self.folds is None:
            return self.pooled
        low, high = self.folds.interval
        return Interval(estimate=self.folds.mean, low=low, high=high, level=0.95, undefined=0)


def figures(rows: Sequence[Row], seed: int) -> Figures:
    """Measure what a method says of a cohort.

    Args:
        rows: of the table of predictions, of one method and one cohort.
        seed: of the resamples.

    """
    known = [row.cells for row in rows if row.cells["n_status"]]
    judged = [cells for cells in known if cells["score"]]
    positives = sum(cells["n_status"] == "1" for cells in known)
    counts = {"patients": len(known), "positives": positives, "judged": len(judged)}
    if not judged:
        return Figures(**counts, pooled=None, folds=None, calls=None)
    labels = np.array([int(cells["n_status"]) for cells in judged])
    scores = np.array([float(cells["score"]) for cells in judged])
    rng = np.random.default_rng(seed)
    folds = None
    with suppress(InputError):  # one fold, or one with a single patient of a class: the note says so
        folds = crossvalidated_auc(OutOfFold(labels, np.array([cells["fold"] for cells in judged]), scores))
    return Figures(
        **counts,
        pooled=bootstrap_interval(auc, labels, scores, rng=rng, strata=labels, n=RESAMPLES),
        folds=folds,
        calls=call_intervals(labels, np.array([int(cells["call"]) for cells in judged]), rng, n=RESAMPLES),
    )


def write_tables(folder: Path, plan: NestedPlan, predicted: Path, volumes: Mapping[str, Any]) -> None:
    """Write Tab. I, Tab. VI of the cohort, Tab. VII of the others, comparisons with one method.

    Args:
        folder: receives every table as Markdown, CSV and LaTeX, the numbers of Tab. VI and VII as CSV, a JSON
            of comparisons per cohort.
        plan: of the study.
        predicted: folder of `write_predictions`.
        volumes: id → mm³ of each drawn lymph node, under `positive` and `negative`.

    """
    rows = read_table(predicted / PREDICTIONS_FILE, COLUMNS)
    _write_printed(folder, _patients(plan, volumes))
    for cohort in plan.cohorts:
        own = {
            method: [r for r in rows if r.cells["method"] == method and r.cells["cohort"] == cohort]
            for method in plan.methods
        }
        found = {method: figures(lines, plan.seed) for method, lines in own.items()}
        printed = _printed(cohort, found, plan)
        _write_printed(folder, printed)
        replace_file(folder / f"{printed.name}_numbers.csv", csv_bytes(_numbers(found, plan)))
        write_json(folder / f"comparison_{cohort}.json", _comparison(plan, predicted / COMPARED / cohort))


def _write_printed(folder: Path, table: PrintedTable) -> None:
    for name, content in table.forms().items():
        replace_file(folder / name, content)


def _notes(plan: NestedPlan) -> list[str]:
    notes = [LEAKS] if plan.features == "paper" else []
    return notes + ([PHANTOM_NOTICE] if plan.is_phantom else [])


def _patients(plan: NestedPlan, volumes: Mapping[str, Any]) -> PrintedTable:
    """Return Tab. I: who was cross-validated, and who is in the other cohorts."""
    groups = {
        cohort: [
            characteristics(
                plan.characteristics.get(name, {}),
                plan.patients[name].n_status,
                plan.patients[name].tumor_location,
                volumes.get(name, {}),
            )
            for name in plan.ids(cohort)
        ]
        for cohort in plan.cohorts
    }
    return cohort_table(groups, _notes(plan))


def _comparison(plan: NestedPlan, folder: Path) -> dict[str, JSON]:
    """Compare the method of most parts with every other one on the patients whom all can judge."""
    if len(plan.methods) < 2:
        return {"not_compared": "there is one method"}
    paths = [folder / f"{method}.csv" for method in sorted(plan.methods, key=lambda name: name != REFERENCE)]
    try:
        return compare_files(paths, CompareRequest(seed=plan.seed))
    except InputError as error:  # nobody known, or one class: the tables say so, too
        return {"not_compared": str(error)}


def _numbers(found: Mapping[str, Figures], plan: NestedPlan) -> Table:
    heading = ["method", "patients", "positives", "judged", "auc", "auc_low", "auc_high"]
    heading += ["auc_of_folds", "auc_of_folds_low", "auc_of_folds_high"]
    heading += [f"{name}{limit}" for name in CALL_FIGURES for limit in ("", "_low", "_high")]
    cells: list[list[object]] = []
    for method, row in found.items():
        line: list[object] = [method, row.patients, row.positives, row.judged, *_limits(row.pooled)]
        over = row.folds
        line += [None] * 3 if over is None else [finite(over.mean), *map(finite, over.interval)]
        for name in CALL_FIGURES:
            line += _limits(None if row.calls is None else getattr(row.calls, name))
        cells.append([*line, plan.features])
    return Table([*heading, "features"], cells)


def _limits(interval: Interval | None) -> list[object]:
    if interval is None:
        return [None] * 3
    record = interval_record(interval)
    return [record[name] for name in ("estimate", "low", "high")]


def _printed(cohort: str, found: Mapping[str, Figures], plan: NestedPlan) -> PrintedTable:
    """Return Tab. VI or VII with the number of patients in every row."""
    rows = []
    for method, row in found.items():
        of = f"{row.judged} of {row.patients}" if row.judged < row.patients else str(row.patients)
        calls = row.calls
        shown = [None if calls is None else calls.balanced_accuracy, row.shown_auc]
        shown += [None if calls is None else getattr(calls, what) for what in CALL_FIGURES[1:]]
        rows.append([plan.titles[method], f"{of} ({row.positives})", *map(_interval, shown)])
    is_own = cohort == COHORT
    return PrintedTable(
        name="table_6" if is_own else f"table_7_{cohort}",
        title=f"Tab. {'VI' if is_own else 'VII'}: methods on {cohort}"
        + ("" if is_own else ", by the mean of the fold models"),
        heading=["Method", "Patients (N+)", *_TITLES],
        rows=rows,
        notes=[
            *_notes(plan),
            IMPROPER,
            *([_OF_FOLDS] if is_own else []),
            f"In brackets 95 % intervals, where nothing else is said by {RESAMPLES} stratified resamples.",
        ],
    )


def _interval(interval: Interval | None) -> str:
    if interval is None or not np.isfinite(interval.estimate):
        return "-"
    limits = f" [{interval.low:.3f}–{interval.high:.3f}]" if np.isfinite(interval.low) else ""
    return f"{interval.estimate:.3f}{limits}"
