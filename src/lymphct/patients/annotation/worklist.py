"""Which patients a reader should see first: those of whom the models are least sure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lymphct.core.patient import Node
from lymphct.io.dicom_results.stored import StoredResult
from lymphct.io.manifest import write_rows

WORKLIST_FILE: Final = "worklist.csv"
NODES_FILE: Final = "worklist_nodes.csv"
COUNTED_NODES: Final = 3
"""The most uncertain nodes of a patient whose mean counts: many sure ones do not hide a doubtful one."""

_CLOSEST: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How unsure the models are of a patient; each part lies between 0 and 1.

    Attributes:
        patient_id: pseudonym.
        score: entropy of the score, seen from the threshold; 1 where it is withheld.
        nodes: mean entropy of the `COUNTED_NODES` most uncertain nodes; 1 where nobody searched.
        structures: share of the guiding structures that were not found.
        by_node: entropy of each node, the most uncertain first.

    """

    patient_id: str
    score: float
    nodes: float
    structures: float
    by_node: Mapping[int, float]

    @property
    def total(self) -> float:
        """Return the sum, 0 to 3."""
        return self.score + self.nodes + self.structures


def entropy(probability: float) -> float:
    """Return the binary entropy of a probability, bit: 1 at a half, 0 at certainty.

    >>> entropy(0.5), entropy(0.0), round(entropy(0.9), 3)
    (1.0, 0.0, 0.469)
    """
    if probability <= 0 or probability >= 1:
        return 0.0
    other = 1 - probability
    return -probability * math.log2(probability) - other * math.log2(other)


def threshold_entropy(probability: float, threshold: float) -> float:
    """Return the entropy of a probability whose log odds are counted from those of the threshold.

    1 at the threshold, whatever it is; falling to 0 away from it.

    >>> threshold_entropy(0.9, 0.9), round(threshold_entropy(0.5, 0.9), 3)
    (1.0, 0.469)
    """
    return entropy(1 / (1 + math.exp(_log_odds(threshold) - _log_odds(probability))))


def _log_odds(probability: float) -> float:
    kept = min(max(probability, _CLOSEST), 1 - _CLOSEST)
    return math.log(kept / (1 - kept))


def doubt_of(patient_id: str, result: StoredResult) -> Doubt:
    """Return how unsure the models are of a predicted patient."""
    record = result.record
    by_node = {node.label: _of_node(node) for node in result.nodes}
    ordered = sorted(by_node.items(), key=lambda item: (-item[1], item[0]))
    counted = [value for _, value in ordered[:COUNTED_NODES]]
    missing, used = len(record["structures_missing"]), len(record["structures_used"])
    probability, threshold = record["probability"], record["threshold"]
    return Doubt(
        patient_id=patient_id,
        score=1.0 if probability is None else threshold_entropy(probability, threshold or 0.5),
        nodes=sum(counted) / len(counted) if counted else float(not result.was_searched),
        structures=missing / (missing + used) if missing + used else 1.0,
        by_node=dict(ordered),
    )


def _of_node(node: Node) -> float:
    return 1.0 if node.probability is None else entropy(node.probability)


def ranked(doubts: Sequence[Doubt]) -> list[Doubt]:
    """Return the most uncertain patient first; equals by their ids."""
    return sorted(doubts, key=lambda doubt: (-doubt.total, doubt.patient_id))


def write_worklist(folder: Path, order: Sequence[Doubt], results: Mapping[str, StoredResult]) -> None:
    """Write `worklist.csv`, a line per patient, and `worklist_nodes.csv`, a line per lymph node.

    Args:
        folder: where they go, beside the folders of the patients.
        order: as `ranked` returns it.
        results: of each of them.

    Raises:
        EnvironmentProblemError: they cannot be written.

    """
    patients: list[dict[str, object]] = []
    nodes: list[tuple[float, dict[str, object]]] = []
    for rank, doubt in enumerate(order, start=1):
        result = results[doubt.patient_id]
        patients.append(_patient_row(rank, doubt, result.record))
        nodes += [(doubt.by_node[node.label], _node_row(doubt, node)) for node in result.nodes]
    nodes.sort(key=lambda item: -item[0])
    numbered = [{"rank": rank, **row} for rank, (_, row) in enumerate(nodes, start=1)]
    write_rows(folder / WORKLIST_FILE, _PATIENT_COLUMNS, patients)
    write_rows(folder / NODES_FILE, _NODE_COLUMNS, numbered)


_PATIENT_COLUMNS: Final = (
    "rank", "patient_id", "uncertainty", "score_uncertainty", "node_uncertainty", "structures_missing",
    "probability", "threshold", "nodes", "most_uncertain_nodes",
)  # fmt: skip
_NODE_COLUMNS: Final = (
    "rank", "patient_id", "node", "uncertainty", "class", "probability", "station", "volume_mm3", "x_mm",
    "y_mm", "z_mm",
)  # fmt: skip


def _patient_row(rank: int, doubt: Doubt, record: Mapping[str, Any]) -> dict[str, object]:
    return {
        "rank": rank,
        "patient_id": doubt.patient_id,
        "uncertainty": round(doubt.total, 4),
        "score_uncertainty": round(doubt.score, 4),
        "node_uncertainty": round(doubt.nodes, 4),
        "structures_missing": round(doubt.structures, 4),
        "probability": record["probability"],
        "threshold": record["threshold"],
        "nodes": len(doubt.by_node),
        "most_uncertain_nodes": " ".join(map(str, list(doubt.by_node)[:COUNTED_NODES])),
    }


def _node_row(doubt: Doubt, node: Node) -> dict[str, object]:
    x, y, z = (round(value, 2) for value in node.center)
    return {
        "patient_id": doubt.patient_id,
        "node": node.label,
        "uncertainty": round(doubt.by_node[node.label], 4),
        "class": "" if node.node_class is None else node.node_class.label,
        "probability": node.probability,
        "station": node.station,
        "volume_mm3": node.volume,
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
    }
