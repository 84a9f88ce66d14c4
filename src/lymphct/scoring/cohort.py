"""`lymphct evaluate cohort`: what `predict` wrote for a cohort against its manifest (Sec. IV-C to IV-E)."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.evaluation.status import StatusColumns
from lymphct.io.manifest import read_manifest
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.report.wording import plain
from lymphct.scoring.cohort_cases import Cohort, CohortCase, CohortRequest, gather
from lymphct.scoring.cohort_page import cohort_page
from lymphct.scoring.cohort_patient import PatientMeasurer
from lymphct.scoring.cohort_record import CohortEvaluation, cohort_record, cohort_tables
from lymphct.scoring.evaluation import score_pairs
from lymphct.scoring.score_table import ScoreTable, values_or_nan
from lymphct.scoring.status import StatusEvaluation, StatusRequest, measure_status
from lymphct.scoring.stored import Measured, stored

PAGE_FILE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedCohort:
    """Where a cohort lies.

    Attributes:
        manifest: what is true.
        results: folder of `predict`, with a folder per patient.

    """

    manifest: Path
    results: Path


def evaluate_cohort(
    predicted: PredictedCohort,
    request: CohortRequest,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Measure every predicted patient of a manifest; return what `cohort.json` holds.

    Writes `results.csv` (a row per patient), `masks.csv`, `nodes.csv`, the FROC curves of nodes, the
    four tables of N status, `cohort.json` and `report.html`. A structure, tumor or node is scored where it is
    drawn, N status where it is known.

    Args:
        predicted: manifest and results.
        request: how to evaluate.
        folder: of the result.
        jobs: patients at the same time.
        progress: called with the id of each patient who is measured.

    Raises:
        InputError: the manifest or a result is refused, a stage was given instead of predicted, or nobody is
            left (`cohort_cases.gather`); nothing is written.
        UsageError: the IoU is none.
        OutputInUseError: the folder holds something else than an older evaluation.

    """
    manifest = predicted.manifest
    cohort = gather(read_manifest(manifest), predicted.results, request)
    files = {"manifest": manifest} | {
        role: path for case in cohort.cases for role, path in case.files.items()
    }
    if isinstance(request.labels, Path):
        files["labels"] = request.labels
    recipe = Recipe.of_files(files, _settings(cohort, request), code=("scoring.cohort",))

    def work() -> Measured:
        scored = score_pairs(cohort.cases, PatientMeasurer(request), jobs=jobs, progress=progress)
        evaluation = CohortEvaluation(
            cohort=cohort,
            request=request,
            measures={patient.case: patient.result for patient in scored},
            status=_status(cohort.cases, request),
        )
        record = cohort_record(evaluation)
        page = cohort_page(evaluation, record, f"Evaluation of {manifest.name}", _facts(evaluation))
        pages = {PAGE_FILE: page}
        return Measured(
            record=record, tables=cohort_tables(evaluation), pages=pages, schema="cohort-evaluation"
        )

    return stored(folder, "cohort", recipe, work)


def _facts(evaluation: CohortEvaluation) -> dict[str, str]:
    """Return how the page was made: version, bundles, settings."""
    bundles = {case.result.bundle.name for case in evaluation.cohort.cases}
    settings = {name: plain(value) for name, value in evaluation.request.settings().items()}
    return {"lymphct": version("lymphct"), "bundle": ", ".join(sorted(bundles)), **settings}


def _settings(cohort: Cohort, request: CohortRequest) -> dict[str, JSON]:
    """Return what the result depends on besides its files: also who has none, and why."""
    return {**request.settings(), "without_result": dict(cohort.without_result)}


def _status(cases: tuple[CohortCase, ...], request: CohortRequest) -> StatusEvaluation | None:
    """Measure N status where it is known; None unless it is of both an N+ and an N- patient."""
    known = [case for case in cases if case.record.n_status is not None]
    labels = np.array([case.record.n_status for case in known], dtype=np.int64)
    if len(set(labels.tolist())) < 2:
        return None
    columns = StatusColumns(
        labels,
        values_or_nan([case.result.probability for case in known]),
        values_or_nan([case.result.predicted_n_status for case in known]),
    )
    if not (columns.scored.any() or columns.called.any()):
        return None
    centers = tuple(case.record.center for case in known)
    table = ScoreTable(
        name="predict",
        patients=tuple(case.case for case in known),
        columns=columns,
        centers=centers if any(centers) else (),
    )
    how = StatusRequest(scale="probability", seed=request.seed, resamples=request.resamples)
    return measure_status(table, how)
