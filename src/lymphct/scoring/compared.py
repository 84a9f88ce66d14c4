"""What `lymphct compare` says of methods and of pairs: the four measures of a risk first (Sec. IV-E)."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.errors import InputError
from lymphct.evaluation.calibration import CalibrationCurve
from lymphct.evaluation.classification import accuracy, balanced_accuracy, sensitivity, specificity
from lymphct.evaluation.comparison import CallComparison, ScoreComparison
from lymphct.evaluation.crossvalidated import (
    CrossValidatedDifference,
    OutOfFold,
    crossvalidated_auc,
    mean_over_folds,
    require_folds,
)
from lymphct.evaluation.status import StatusColumns, scores_are_probabilities, status_figures
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.score_table import ScoreTable
from lymphct.scoring.status_tables import group_record, interval_record
from lymphct.scoring.stored import finite

FOLDS_NOTE: Final = (
    "crossvalidated: mean of the folds' AUC, with intervals by influence curves; they speak of the models as "
    "they were trained. Other figures pool the folds, whose scores may differ in scale: conclude on AUC from "
    "crossvalidated."
)

_FOUR: Final = ("calibration", "net_benefit", "risk")
_CALLS: Final = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
}


def common_folds(tables: Mapping[str, ScoreTable]) -> AnyArray | None:
    """Return in which fold each patient was tested, None where no table says so.

    Args:
        tables: of the same patients in one order; those without folds are taken to share the others'.

    Raises:
        InputError: two tables tell different folds.

    """
    named = {name: np.array(table.folds) for name, table in tables.items() if table.folds}
    for name, folds in named.items():
        first, other = next(iter(named.items()))
        unlike = int((folds != other).sum())
        if unlike:
            msg = f"{first} and {name} tested {unlike} patients in different folds"
            raise InputError(msg, code="E_FOLDS", cure="use one split for all, or leave out the column fold")
    return next(iter(named.values()), None)


def fold_record(labels: AnyArray, folds: AnyArray, scored: BoolArray) -> dict[str, JSON]:
    """Return the patients compared by score in each fold, and why folds are not used where they are not."""
    why = None
    try:
        if scored.any():
            require_folds(labels[scored] > 0, folds[scored])
    except InputError as error:
        why = error.cause
    return {
        "patients": {str(fold): int((scored & (folds == fold)).sum()) for fold in np.unique(folds)},
        "used": why is None,
        "why_not": why,
    }


def method_record(
    columns: StatusColumns, folds: AnyArray | None, rng: np.random.Generator, n: int
) -> dict[str, JSON]:
    """Return a method's own figures; null for what it has no values for.

    Args:
        columns: of the patients that are compared; NaN where one is left out.
        folds: of each patient; None without or where they cannot be used.
        rng: source of the resamples.
        n: number of resamples.

    """
    known = columns.scores[columns.scored]
    figures = status_figures(
        columns,
        rng,
        as_probabilities=scores_are_probabilities(columns.scores, "auto"),
        limits=(float(known.min()), float(known.max())) if known.size else (0.0, 1.0),
        n=n,
    )
    group, found = group_record(figures), figures.discrimination
    exact = None if found is None or found.delong is None else found.delong.interval
    return {
        "auc": None if found is None else interval_record(found.bootstrap),
        "delong": None if exact is None else {"low": exact[0], "high": exact[1]},
        "crossvalidated": _crossvalidated(columns, folds) if folds is not None and known.size else None,
        **{name: group[name] for name in _FOUR},
        "calibration_curve": None if figures.curve is None else _curve(figures.curve),
        "classification": group["classification"],
        "classification_over_folds": _calls_over_folds(columns, folds),
    }


def _crossvalidated(columns: StatusColumns, folds: AnyArray) -> dict[str, JSON]:
    scored = columns.scored
    result = crossvalidated_auc(OutOfFold(columns.labels[scored], folds[scored], columns.scores[scored]))
    return {
        "estimate": result.mean,
        "low": result.interval[0],
        "high": result.interval[1],
        "pooled": result.pooled,
        "folds": [
            {"fold": fold.fold, "patients": fold.patients, "positives": fold.positives, "auc": fold.auc}
            for fold in result.folds
        ],
    }


def _calls_over_folds(columns: StatusColumns, folds: AnyArray | None) -> dict[str, JSON] | None:
    called = columns.called
    if folds is None or not called.any():
        return None
    labels, calls = columns.labels[called], columns.calls[called]
    return {
        name: finite(mean_over_folds(statistic, labels, folds[called], calls))
        for name, statistic in _CALLS.items()
    }


def _curve(curve: CalibrationCurve) -> dict[str, JSON]:
    return {
        name: [finite(value) for value in getattr(curve, name)]
        for name in ("predicted", "observed", "low", "high")
    }


def score_record(result: ScoreComparison) -> dict[str, JSON]:
    """Return the tests between two methods' scores."""
    test, by_fold = result.auc, result.crossvalidated
    return {
        "auc_first": test.auc,
        "auc_second": test.other_auc,
        "difference": test.difference,
        "low": test.difference_interval[0],
        "high": test.difference_interval[1],
        "delong_p": finite(test.p),
        "delong_p_holm": finite(result.p_holm),
        "permutation_p": result.permutation_p,
        "crossvalidated": None if by_fold is None else _by_fold(by_fold, result.crossvalidated_p_holm),
    }


def _by_fold(test: CrossValidatedDifference, p_holm: float | None) -> dict[str, JSON]:
    return {
        "auc_first": test.first,
        "auc_second": test.second,
        "difference": test.difference,
        "low": test.interval[0],
        "high": test.interval[1],
        "p": finite(test.p),
        "p_holm": None if p_holm is None else finite(p_holm),
        "by_fold": list(test.by_fold),
    }


def call_record(result: CallComparison, pair: tuple[str, str]) -> dict[str, JSON]:
    """Return the tests between two methods' calls."""
    difference, claim = result.balanced_accuracy, result.false_claim
    claimed = {"first": pair[0], "second": pair[1], "neither": None}[claim.claimed]
    return {
        "balanced_accuracy": {
            "difference": difference.interval.estimate,
            "low": finite(difference.interval.low),
            "high": finite(difference.interval.high),
            "bootstrap_p": difference.p,
            "bootstrap_p_holm": result.p_holm,
            "permutation_p": result.permutation_p,
        },
        "mcnemar": {
            "only_first_right": result.mcnemar.only_first,
            "only_second_right": result.mcnemar.only_second,
            "p": result.mcnemar.p,
            "p_holm": result.mcnemar_p_holm,
        },
        "claimed_better": claimed,
        "probability_of_false_claim": claim.probability,
        "paper_wilcoxon": {"p": result.paper_wilcoxon.p, "warning": result.paper_wilcoxon.warning},
    }
