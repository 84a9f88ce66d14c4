"""Table of stage 2: AUC on true nodes, beside logistic regression on the same features (Sec. III-A.2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Aim, Cell, Table, over_patients

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.leakage import Fitted
from lymphct.evaluation.classification import auc, classification_scores
from lymphct.nodes.crops import NEGATIVE, POSITIVE
from lymphct.nodes.features import FEATURES, LogisticBaseline, fit_logistic_baseline

COLUMNS = (
    "Method",
    "AUC",
    "Balanced accuracy",
    "Sensitivity",
    "Specificity",
    "Threshold",
    "Positive nodes",
    "Negative nodes",
)


def fit_baseline(examples: Sequence[Record]) -> Fitted[LogisticBaseline]:
    """Fit logistic regression on the node features of other synthetic patients.

    Raises:
        InputError: they have no nodes of both classes.

    """
    features = np.concatenate([_features(record["features"]) for record in examples])
    labels = [flag for record in examples for flag in record["positive"]]
    patients = [record["patient"] for record in examples for _ in record["positive"]]
    return fit_logistic_baseline(features, labels, patients)


def stage2_tables(
    records: Sequence[Record], baseline: Fitted[LogisticBaseline] | None, threshold: float
) -> tuple[list[Table], list[Aim]]:
    """Return AUC and figures at the threshold; nothing where the nodes are of one class only."""
    judged = [record for record in records if record.get("stage2", {}).get("positive")]
    truth = [np.asarray(record["stage2"]["positive"], dtype=np.bool_) for record in judged]
    pooled = np.concatenate([np.zeros(0, np.bool_), *truth])
    if not pooled.any() or pooled.all():
        return [], []
    network = [np.asarray(record["stage2"]["probability"], dtype=np.float64) for record in judged]
    area = over_patients(lambda rows: pooled_auc(truth, network, rows), len(judged))
    aims = [Aim(name="stage 2, AUC on true nodes", reached=area, aim=0.95)]
    rows = [_row("stage 2", truth, network, threshold)]
    found = [found_nodes(record) for record in judged if "found" in record]
    if len({flag for truth, _ in found for flag in truth.tolist()}) == 2:
        known, said = [t for t, _ in found], [p for _, p in found]
        rows.append(_row("stage 2, nodes as found", known, said, threshold))
        reached = over_patients(lambda patients: pooled_auc(known, said, patients), len(found))
        aims.append(Aim(name="stage 2, AUC on found nodes", reached=reached, aim=0.94))
    if baseline is not None:
        model = baseline.for_unseen([record["patient"] for record in judged])
        simple = [model.predict(_features(record["stage2"]["features"])) for record in judged]
        rows.append(_row("logistic regression", truth, simple, 0.5))

        def gain(patients: Sequence[int]) -> float:
            return pooled_auc(truth, network, patients) - pooled_auc(truth, simple, patients)

        aims.append(
            Aim(name="stage 2, AUC over logistic regression", reached=over_patients(gain, len(judged)), aim=0)
        )
    note = (
        "On the true nodes of all patients, resampled by patients. Nodes as found have the class of the true "
        "one they overlap by an IoU of 0.3; the others are left out. Logistic regression sees "
        f"{', '.join(FEATURES).replace('_', ' ')} and is fitted on other synthetic patients."
    )
    title = "Stage 2, positive or negative"
    return [Table(title=title, columns=COLUMNS, rows=tuple(rows), note=note)], aims


def found_nodes(record: Any) -> tuple[BoolArray, DoubleArray]:  # noqa: ANN401 - whatever the file holds
    """Return who of the found nodes that are true ones is positive, and what stage 2 says of them."""
    found = record["found"]
    told = [
        (number == POSITIVE, p)
        for number, p in zip(found["class"], found["probability"], strict=True)
        if number in {NEGATIVE, POSITIVE} and p is not None
    ]
    return np.array([t for t, _ in told], dtype=np.bool_), np.array([p for _, p in told], dtype=np.float64)


def _features(rows: object) -> DoubleArray:
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(FEATURES))


def pooled_auc(
    truth: Sequence[npt.NDArray[np.bool_]], scores: Sequence[DoubleArray], rows: Sequence[int]
) -> float:
    """Return the AUC of all nodes of some patients together."""
    return auc(np.concatenate([truth[r] for r in rows]), np.concatenate([scores[r] for r in rows]))


def _row(
    name: str, truth: Sequence[npt.NDArray[np.bool_]], scores: Sequence[DoubleArray], threshold: float
) -> tuple[Cell, ...]:
    area = over_patients(lambda rows: pooled_auc(truth, scores, rows), len(truth))
    at = classification_scores(np.concatenate(truth), np.concatenate(scores), threshold)
    figures = (at.balanced_accuracy, at.sensitivity, at.specificity, threshold)
    return (name, area, *figures, at.positives, at.negatives)
