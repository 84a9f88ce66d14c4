"""What records say of a cross-validation: its folds, and figures that know them (decision 0046)."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.errors import InputError
from lymphct.evaluation.classification import accuracy, balanced_accuracy, sensitivity, specificity
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc, mean_over_folds, require_folds
from lymphct.evaluation.status import StatusColumns
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.score_table import ScoreTable
from lymphct.scoring.stored import finite

FOLDS_NOTE: Final = (
    "crossvalidated: mean of the folds' AUC, with intervals by influence curves; they speak of the models as "
    "they were trained. Other figures pool the folds, whose scores may differ in scale: conclude on AUC from "
    "crossvalidated."
)

_CALLS: Final = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
}


def usable_folds(
    tables: Mapping[str, ScoreTable], scored: BoolArray
) -> tuple[AnyArray | None, dict[str, JSON] | None]:
    """Return in which fold each patient was tested, and what a record says of the folds; None without any.

    The first is None, too, where folds are too small: the record says why.

    Args:
        tables: of the same patients in one order; those without folds are taken to share the others'.
        scored: who is judged by score.

    Raises:
        InputError: two tables tell different folds.

    """
    named = {name: np.array(table.folds) for name, table in tables.items() if table.folds}
    if not named:
        return (None, None)
    first, folds = next(iter(named.items()))
    for name, other in named.items():
        unlike = int((folds != other).sum())
        if unlike:
            msg = f"{first} and {name} tested {unlike} patients in different folds"
            raise InputError(msg, code="E_FOLDS", cure="use one split for all, or leave out the column fold")
    why = None
    try:
        if scored.any():
            require_folds(tables[first].columns.labels[scored] > 0, folds[scored])
    except InputError as error:
        why = error.cause
    patients: dict[str, JSON] = {
        str(fold): int((scored & (folds == fold)).sum()) for fold in np.unique(folds)
    }
    return (folds if why is None else None, {"patients": patients, "used": why is None, "why_not": why})


def crossvalidated_record(columns: StatusColumns, folds: AnyArray | None) -> dict[str, JSON] | None:
    """Return the mean of the folds' AUC with its interval, each fold's, and the pooled AUC.

    Args:
        columns: labels and scores; NaN where there is no score.
        folds: of each patient, fit for use; without them None is returned.

    """
    scored = columns.scored
    if folds is None or not scored.any():
        return None
    result = crossvalidated_auc(OutOfFold(columns.labels[scored], folds[scored], columns.scores[scored]))
    return {
        "estimate": result.mean,
        "low": finite(result.interval[0]),
        "high": finite(result.interval[1]),
        "pooled": result.pooled,
        "folds": [
            {"fold": fold.fold, "patients": fold.patients, "positives": fold.positives, "auc": fold.auc}
            for fold in result.folds
        ],
    }


def calls_over_folds(columns: StatusColumns, folds: AnyArray | None) -> dict[str, JSON] | None:
    """Return the means over the folds of the figures of calls; None without folds or calls."""
    called = columns.called
    if folds is None or not called.any():
        return None
    labels, calls = columns.labels[called], columns.calls[called]
    return {
        name: finite(mean_over_folds(statistic, labels, folds[called], calls))
        for name, statistic in _CALLS.items()
    }
