"""Table of patients: the combined score, lymph nodes alone, tumor alone, and controls (Sec. IV-E)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, get_args

import numpy as np
from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Aim, Cell, Table, over_patients

from lymphct.evaluation.calibration import calibration
from lymphct.evaluation.classification import auc, balanced_accuracy, sensitivity, specificity
from lymphct.evaluation.statistics import Interval
from lymphct.metastasis.settings import Fused, Learned

NUMBERS: Final[Mapping[Fused, str]] = {
    "volume": "the volume of the largest that is called positive",
    "max_probability": "the highest probability of one to be positive",
    "noisy_or": "the probability that any is positive",
    "expected_count": "the expected number of positive ones",
    "node_set": "the probability of N+ by a network of the set of nodes",
    "node_graph": "the probability of N+ by a network of the graph of nodes and tumor",
}
"""What stands for V in Eq. 7, in words."""

COLUMNS = (
    "Method",
    "AUC",
    "Balanced accuracy",
    "Sensitivity",
    "Specificity",
    "Threshold",
    "N+",
    "N-",
)
NOTE = (
    "Everything is predicted from the CT; thresholds were chosen on validation patients. Tumor alone: the "
    "same network with the number of the nodes set to 0. Lymph nodes alone: that number, {number}; with the "
    "true nodes it is what they would reach if stage 1 were perfect. The number of nodes found and the "
    "volume of the tumor are controls: they should tell little."
)


def status_tables(
    records: Sequence[Record], thresholds: Mapping[str, float], node_threshold: float, fused: Fused
) -> tuple[list[Table], list[Aim]]:
    """Return AUC and figures at the thresholds of the bundle; nothing with patients of one class only.

    Args:
        records: of the patients.
        thresholds: of the bundle.
        node_threshold: probability from which stage 2 calls a node positive.
        fused: number of the nodes that the status network adds to what it sees of the tumor.

    """
    examined = [record for record in records if "status" in record]
    if len({record["n_status"] for record in examined}) < 2:
        return [], []
    status = [
        {**record["status"], "true_nodes": _true_number(record, node_threshold, fused)} for record in examined
    ]
    volume = thresholds.get("largest_positive_volume_mm3") if fused == "volume" else None
    methods = {
        "combined": ("probability", thresholds.get("patient")),
        "lymph nodes alone": ("nodes_alone", volume),
        "lymph nodes alone, true nodes": ("true_nodes", volume),
        "tumor alone": ("probability_tumor", None),
        "control: number of nodes": ("nodes", None),
        "control: tumor volume": ("tumor_mm3", None),
    }
    rows, areas = [], {}
    for name, (key, threshold) in methods.items():
        pairs = [
            (int(record["n_status"]), float(entry[key]))
            for record, entry in zip(examined, status, strict=True)
            if entry.get(key) is not None
        ]
        if len({label for label, _ in pairs}) == 2:
            row, areas[name] = _row(name, pairs, threshold)
            rows.append(row)
    withheld = [entry["withheld"] for entry in status if entry.get("withheld")]
    why = ", ".join(sorted(set(withheld))) or "none"
    note = f"{NOTE.format(number=NUMBERS[fused])} Scores withheld: {len(withheld)} ({why})."
    aims = [Aim(name=f"patient AUC, {n}", reached=a, aim=0.90) for n, a in areas.items() if n == "combined"]
    found = [Table(title="Patients, N+ or N-", columns=COLUMNS, rows=tuple(rows), note=note)]
    worth, worth_aims = _worth_table(examined)
    return found + worth, aims + worth_aims


def _worth_table(examined: Sequence[Record]) -> tuple[list[Table], list[Aim]]:
    """Return how well the calibrated probabilities are calibrated; nothing where the bundle tells none."""
    told = [r for r in examined if r["status"].get("calibrated") is not None]
    labels = np.array([int(record["n_status"]) for record in told])
    p = np.array([record["status"]["calibrated"] for record in told], dtype=np.float64)
    if len(set(labels.tolist())) < 2:
        return [], []

    def figure(rows: Sequence[int], what: str) -> float:
        return float(getattr(calibration(labels[rows], p[rows]), what))

    slope, large, brier = (
        over_patients(partial(figure, what=what), len(p), labels.tolist())
        for what in ("slope", "in_the_large", "brier")
    )
    aims = [Aim(name="calibration slope - 1", reached=slope.estimate - 1.0, aim=0.2, is_limit=True)]
    table = Table(
        title="What the score is worth",
        columns=("Patients", "Slope", "In the large", "Brier score"),
        rows=((f"{len(p)} with a calibrated probability", slope, large, brier),),
        note="Of the calibrated probability: slope 1 and 0 in the large are perfect (Sec. IV-E).",
    )
    return [table], aims


def _true_number(record: Record, node_threshold: float, fused: Fused) -> float | None:
    """Return what the status network would be given if stage 1 were perfect; None where that is learned."""
    stage2 = record.get("stage2")
    if not stage2 or fused in get_args(Learned):
        return None
    p = np.asarray(stage2["probability"], dtype=np.float64)
    numbers: Mapping[Fused, Callable[[], np.float64]] = {
        "volume": lambda: np.asarray(stage2["volume_mm3"])[p >= node_threshold].max(initial=0.0),
        "max_probability": lambda: p.max(initial=0.0),
        "noisy_or": lambda: np.float64(1.0 - np.prod(1.0 - p)),
        "expected_count": p.sum,
    }
    return float(numbers[fused]())


def _row(
    name: str, pairs: Sequence[tuple[int, float]], threshold: float | None
) -> tuple[tuple[Cell, ...], Interval]:
    labels, scores = np.array([label for label, _ in pairs]), np.array([score for _, score in pairs])
    area = over_patients(lambda rows: auc(labels[rows], scores[rows]), len(pairs), labels.tolist())
    figures: tuple[Cell, ...] = (None,) * 4
    if threshold is not None:
        called = scores >= threshold
        balanced = over_patients(
            lambda rows: balanced_accuracy(labels[rows], called[rows]), len(pairs), labels.tolist()
        )
        figures = (balanced, sensitivity(labels, called), specificity(labels, called), threshold)
    return (name, area, *figures, int(labels.sum()), int((labels == 0).sum())), area
