"""Table of patients: the combined score, lymph nodes alone, tumor alone, and controls (Sec. IV-E)."""

from collections.abc import Mapping, Sequence

import numpy as np
from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Aim, Cell, Table, over_patients

from lymphct.evaluation.classification import auc, balanced_accuracy, sensitivity, specificity
from lymphct.evaluation.statistics import Interval

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
    "same network with the volume set to 0. True nodes: the largest true node that stage 2 calls positive, "
    "what lymph nodes alone would reach if stage 1 were perfect. The number of nodes found and the volume of "
    "the tumor are controls: they should tell little."
)


def status_tables(
    records: Sequence[Record], thresholds: Mapping[str, float], node_threshold: float
) -> tuple[list[Table], list[Aim]]:
    """Return AUC and figures at the thresholds of the bundle; nothing with patients of one class only.

    Args:
        records: of the patients.
        thresholds: of the bundle.
        node_threshold: probability from which stage 2 calls a node positive.

    """
    examined = [record for record in records if "status" in record]
    if len({record["n_status"] for record in examined}) < 2:
        return [], []
    status = [{**record["status"], "true_nodes": _true_volume(record, node_threshold)} for record in examined]
    methods = {
        "combined": ("probability", thresholds.get("patient")),
        "lymph nodes alone": ("positive_volume_mm3", thresholds.get("largest_positive_volume_mm3")),
        "lymph nodes alone, true nodes": ("true_nodes", thresholds.get("largest_positive_volume_mm3")),
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
    note = f"{NOTE} Scores withheld: {len(withheld)} ({', '.join(sorted(set(withheld))) or 'none'})."
    aims = [Aim(name=f"patient AUC, {n}", reached=a, aim=0.72) for n, a in areas.items() if n == "combined"]
    return [Table(title="Patients, N+ or N-", columns=COLUMNS, rows=tuple(rows), note=note)], aims


def _true_volume(record: Record, node_threshold: float) -> float | None:
    stage2 = record.get("stage2")
    if not stage2:
        return None
    called = zip(stage2["volume_mm3"], stage2["probability"], strict=True)
    return max((volume for volume, p in called if p >= node_threshold), default=0.0)


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
