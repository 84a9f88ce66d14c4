"""How well scores separate patients or nodes: AUC and figures at a threshold (Tab. IV, VI, VII).

Positive is 1, negative 0; a score at or above the threshold is called positive.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationScores:
    """The five figures of Tab. IV, VI and VII, each 0 to 1; NaN where a class is absent.

    Attributes:
        auc: area under the ROC curve.
        balanced_accuracy: mean of sensitivity and specificity.
        accuracy: share of correct calls.
        sensitivity: share of the positives called positive.
        specificity: share of the negatives called negative.
        threshold: score from which a patient or node is called positive.
        positives: number of positives.
        negatives: number of negatives.

    """

    auc: float
    balanced_accuracy: float
    accuracy: float
    sensitivity: float
    specificity: float
    threshold: float
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """The ROC curve from (0, 0) to (1, 1), one point per distinct score (Fig. 5).

    Attributes:
        false_positive_rate: 1 - specificity, ascending.
        sensitivity: at the same thresholds.
        thresholds: descending distinct scores; the first is infinite (nobody is called positive).

    """

    false_positive_rate: DoubleArray
    sensitivity: DoubleArray
    thresholds: DoubleArray


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the exact area under the ROC curve, a tie counting one half; NaN when a class is absent.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal numbers of both.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    positive, values = checked(labels, scores)
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return float("nan")
    from scipy.stats import rankdata  # noqa: PLC0415 - half a second, and a prediction ranks nothing

    ranks = rankdata(values)
    # Twice the rank sum is a whole number: exact whatever the order of the scores.
    return (round(2 * float(ranks[positive].sum())) - m * (m + 1)) / (2 * m * n)


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RocCurve:
    """Return the ROC curve, scikit-learn's with every distinct score (decision 0026).

    Raises:
        InputError: as `auc`, or one class is absent.

    """
    from sklearn import metrics  # noqa: PLC0415 - a slow import only curves need

    positive, values = checked(labels, scores)
    require_both_classes(positive)
    false_positive_rate, found, thresholds = metrics.roc_curve(positive, values, drop_intermediate=False)
    return RocCurve(false_positive_rate=false_positive_rate, sensitivity=found, thresholds=thresholds)


def balanced_accuracy(labels: npt.ArrayLike, called: npt.ArrayLike) -> float:
    """Return the mean of sensitivity and specificity of calls (0/1 or bool); NaN when a class is absent."""
    positive, calls = checked(labels, called)
    return float(np.mean(_rates(positive, calls > 0)))


def accuracy(labels: npt.ArrayLike, called: npt.ArrayLike) -> float:
    """Return the share of correct calls (0/1 or bool)."""
    positive, calls = checked(labels, called)
    return float(np.mean(positive == (calls > 0)))


def sensitivity(labels: npt.ArrayLike, called: npt.ArrayLike) -> float:
    """Return the share of the positives called positive; NaN without positives."""
    positive, calls = checked(labels, called)
    return _rates(positive, calls > 0)[0]


def specificity(labels: npt.ArrayLike, called: npt.ArrayLike) -> float:
    """Return the share of the negatives called negative; NaN without negatives."""
    positive, calls = checked(labels, called)
    return _rates(positive, calls > 0)[1]


def classification_scores(
    labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float
) -> ClassificationScores:
    """Return all five figures at `threshold`.

    Raises:
        InputError: as `auc`.

    """
    positive, values = checked(labels, scores)
    called = values >= threshold
    found, spared = _rates(positive, called)
    return ClassificationScores(
        auc=auc(positive, values),
        balanced_accuracy=(found + spared) / 2,
        accuracy=float(np.mean(positive == called)),
        sensitivity=found,
        specificity=spared,
        threshold=threshold,
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
    )


def fit_threshold(scores: npt.ArrayLike, labels: npt.ArrayLike, patients: Iterable[str]) -> Fitted[float]:
    """Choose the threshold of best balanced accuracy, on validation patients (Sec. IV-E).

    Candidates lie midway between neighbouring distinct scores, and at the lowest score (everybody positive).
    Of several best the lowest is taken: it finds the most positives.

    Args:
        scores: of the validation patients or nodes.
        labels: their truth, 0 or 1.
        patients: ids of the patients they come from; the threshold refuses to judge them.

    Raises:
        InputError: as `auc`, or one class is absent.

    """
    positive, values = checked(labels, scores)
    require_both_classes(positive)
    distinct, tp, fp = _counts_at_thresholds(positive, values)
    # In whole numbers, so that equal balanced accuracies are equal: m·n·(sensitivity - false positive rate).
    gain = tp * fp[-1] - fp * tp[-1]
    best = int(np.flatnonzero(gain == gain.max())[-1])
    threshold = distinct[best] if best == distinct.size - 1 else (distinct[best] + distinct[best + 1]) / 2
    return Fitted(float(threshold), frozenset(patients))


def checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[BoolArray, DoubleArray]:
    """Return labels as bool and scores as float64, both one-dimensional and of one length.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal or no numbers.

    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or not truth.size:
        msg = f"{truth.shape} labels and {values.shape} scores do not make one score per label"
        raise InputError(msg, code="E_SCORES")
    if not ((truth == 0) | (truth == 1)).all():
        msg = f"labels must be 0 or 1, got {np.unique(truth)[:5].tolist()}"
        raise InputError(msg, code="E_SCORES")
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).sum())} of {values.size} scores are not finite"
        raise InputError(msg, code="E_SCORES", cure="leave out patients whose score was withheld")
    return (truth.astype(np.bool_), values)


def require_both_classes(positive: BoolArray) -> None:
    """Raise `InputError` when all labels are equal."""
    if positive.all() or not positive.any():
        msg = f"all {positive.size} labels are {int(positive[0])}: both classes are needed"
        raise InputError(msg, code="E_SCORES")


def _counts_at_thresholds(
    positive: BoolArray, values: DoubleArray
) -> tuple[DoubleArray, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return distinct scores, descending, with true and false positives when each is the threshold."""
    distinct, index = np.unique(-values, return_inverse=True)
    tp = np.cumsum(np.bincount(index[positive], minlength=distinct.size))
    fp = np.cumsum(np.bincount(index[~positive], minlength=distinct.size))
    return (-distinct, tp, fp)


def _rates(positive: BoolArray, called: BoolArray) -> tuple[float, float]:
    found = float(called[positive].mean()) if positive.any() else float("nan")
    spared = float((~called[~positive]).mean()) if not positive.all() else float("nan")
    return (found, spared)
