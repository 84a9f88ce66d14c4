"""From radiomics features to a score: LASSO selects, logistic regression judges (Sec. IV-E, Tab. VI)."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lymphct.baselines.method import Need, StatusMethod
from lymphct.baselines.radiomics.library import require_pyradiomics
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Fitted, require_unseen
from lymphct.evaluation.folds import stratified_folds
from lymphct.metastasis.heads import Judge, fit_judge

logger = logging.getLogger(__name__)

_LEAST_PENALTY = 0.01
"""Share of the penalty that selects nothing at which the search for a penalty ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RadiomicsModel:
    """A logistic regression on standardised features.

    Attributes:
        names: of the features that were selected.
        center: their means over training patients, which also stand for what is not defined.
        spread: their standard deviations.
        weights: of the standardised features.
        intercept: of the logit.
        report: what a reported N+ adds to the logit; None where the report is not read.

    """

    names: tuple[str, ...]
    center: DoubleArray
    spread: DoubleArray
    weights: DoubleArray
    intercept: float
    report: float | None

    def __call__(self, evidence: Evidence) -> float | None:
        """Return the probability of N+; None without features, or without the report where it is read."""
        reported = evidence.clinical.ct_reported_n
        if evidence.radiomics is None or (self.report is not None and reported is None):
            return None
        values = np.array([evidence.radiomics.get(name, np.nan) for name in self.names])
        standard = np.where(np.isfinite(values), (values - self.center) / self.spread, 0.0)
        logit = self.intercept + standard @ self.weights + (self.report or 0.0) * (reported or 0)
        return float(1 / (1 + np.exp(-np.clip(logit, -500, 500))))


def radiomics_method(settings: RadiomicsSettings, *, with_report: bool = False) -> StatusMethod:
    """Return radiomics, alone or with the status radiologists reported as one more variable (Tab. VI)."""
    needs: tuple[Need, ...] = ("radiomics", "ct_reported_n") if with_report else ("radiomics",)
    return StatusMethod(
        name="Radiomics + CT-reported LN status" if with_report else "Radiomics",
        needs=needs,
        fit=partial(fit_radiomics, settings=settings, with_report=with_report),
        require=require_pyradiomics,
    )


def fit_radiomics(
    train: Sequence[Evidence],
    validation: Sequence[Evidence],
    *,
    seed: int,
    settings: RadiomicsSettings,
    with_report: bool = False,
) -> Fitted[Judge]:
    """Select features and weigh them on training patients; validation patients choose the threshold alone.

    The penalty of LASSO is chosen in folds of the training patients. The report is no feature LASSO may drop:
    it enters the logistic regression beside what was selected.

    Raises:
        InputError: training or validation patients are not of both classes, or have no features.
        LeakageError: models behind the evidence learned from the patient, or one has two roles.

    """
    require_out_of_fold([*train, *validation])
    require_unseen([item.patient for item in train], [item.patient for item in validation])
    taught = [item for item in train if item.clinical.n_status is not None and item.radiomics is not None]
    truth = np.array([item.clinical.n_status == 1 for item in taught], dtype=np.bool_)
    _require_both_classes(truth)
    names, values = _table([item.radiomics or {} for item in taught])
    center, spread = values.mean(axis=0), values.std(axis=0)
    standard = (values - center) / spread
    folds = _inner_folds([item.patient for item in taught], truth, settings.folds, seed)
    chosen = selected(standard, truth, folds, settings.penalties)
    logger.info("radiomics: %d of %d features selected", len(chosen), len(names))
    columns = standard[:, chosen]
    if with_report:
        reported = [float(item.clinical.ct_reported_n or 0) for item in taught]
        columns = np.column_stack([columns, reported])
    weights, intercept = _logistic(columns, truth)
    model = RadiomicsModel(
        names=tuple(names[n] for n in chosen),
        center=center[chosen],
        spread=spread[chosen],
        weights=weights[: len(chosen)],
        intercept=intercept,
        report=float(weights[-1]) if with_report else None,
    )
    judge = fit_judge(model, validation)
    return Fitted(judge.value, judge.patients | frozenset(item.patient for item in train))


def selected(
    standard: DoubleArray, truth: BoolArray, folds: Sequence[tuple[list[int], list[int]]], penalties: int
) -> list[int]:
    """Return the columns to which LASSO of the status, with the penalty best in folds, gives a weight.

    Args:
        standard: (patients, features) standardised.
        truth: of the patients.
        folds: rows to learn from and rows to predict, for each fold.
        penalties: how many are tried, from the one that selects nothing down to a hundredth of it.

    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - a slow import only this fit needs
    from sklearn.linear_model import LassoCV  # noqa: PLC0415 - the same

    status = truth.astype(np.float64)
    # Not by BLAS: its sums depend on the number of threads.
    slopes = np.einsum("pf,p->f", standard, status - status.mean())
    largest = float(np.abs(slopes).max(initial=0.0)) / len(status)
    if largest <= 0:
        return []
    tried = np.geomspace(largest, _LEAST_PENALTY * largest, penalties)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the smallest penalties, which are not chosen
        # At this tolerance the same features are selected as at scikit-learn's, in a quarter of the time.
        found = LassoCV(alphas=tried, cv=folds, max_iter=2000, tol=1e-3).fit(
            np.asfortranarray(standard), status
        )
    return [int(n) for n in np.flatnonzero(found.coef_)]


def _table(features: Sequence[Mapping[str, float]]) -> tuple[list[str], DoubleArray]:
    """Return names and (patients, features), what is not defined at the mean of the others.

    A feature that is the same in all, or defined in none, tells nothing and is left out.
    """
    names = [name for name in features[0] if all(name in each for each in features)]
    values = np.array([[each[name] for name in names] for each in features], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    defined = np.isfinite(values)
    count = defined.sum(axis=0)
    mean = np.where(defined, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    values = np.where(defined, values, mean)
    scale = np.abs(values).max(axis=0, initial=0.0)
    kept = np.flatnonzero((count > 0) & (values.std(axis=0) > 1e-12 * scale))
    return [names[n] for n in kept], values[:, kept]


def _inner_folds(
    patients: Sequence[str], truth: BoolArray, count: int, seed: int
) -> list[tuple[list[int], list[int]]]:
    row = {name: n for n, name in enumerate(patients)}
    strata = {name: "N+" if positive else "N-" for name, positive in zip(patients, truth, strict=True)}
    fewest = int(min(truth.sum(), (~truth).sum()))
    folds = stratified_folds(strata, min(count, fewest), seed)
    return [
        ([row[name] for name in (*fold.train, *fold.validation)], [row[name] for name in fold.test])
        for fold in folds
    ]


def _require_both_classes(truth: BoolArray) -> None:
    if min(truth.sum(), (~truth).sum()) < 2:
        msg = (
            f"radiomics needs two N+ and two N- training patients with features, got {int(truth.sum())} and "
            f"{int((~truth).sum())}"
        )
        raise InputError(msg, code="E_ONE_CLASS", cure="add patients of the missing class")


def _logistic(columns: DoubleArray, truth: BoolArray) -> tuple[DoubleArray, float]:
    """Return weights and intercept; without a column the intercept is the log odds of N+."""
    if not columns.shape[1]:
        return np.zeros(0), float(np.log(truth.mean() / (1 - truth.mean())))
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a slow import only this fit needs

    # Ridge of strength 1 on standardised features, scikit-learn's default, as for stage 2.
    model = LogisticRegression(max_iter=1000).fit(columns, truth)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
