"""What `lymphct compare` says of methods and of pairs: the four measures of a risk first (Sec. IV-E)."""

from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.evaluation.calibration import CalibrationCurve
from lymphct.evaluation.comparison import CallComparison, ScoreComparison
from lymphct.evaluation.crossvalidated import CrossValidatedDifference
from lymphct.evaluation.status import StatusColumns, scores_are_probabilities, status_figures
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.over_folds import calls_over_folds, crossvalidated_record
from lymphct.scoring.status_tables import group_record, interval_record
from lymphct.scoring.stored import finite

_FOUR: Final = ("calibration", "net_benefit", "risk")


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
        "crossvalidated": crossvalidated_record(columns, folds),
        **{name: group[name] for name in _FOUR},
        "calibration_curve": None if figures.curve is None else _curve(figures.curve),
        "classification": group["classification"],
        "classification_over_folds": calls_over_folds(columns, folds),
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
