"""One predicted patient against what is drawn: structures, tumor, nodes before and after identification."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from lymphct.core.arrays import LabelArray
from lymphct.core.errors import InputError, LymphctError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import reordered_like
from lymphct.core.patient import IMPLAUSIBLE, NodeMap
from lymphct.core.terms import NodeClass, Structure, counted
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import InstanceMatches, match_instances
from lymphct.evaluation.segmentation import (
    VoxelCounts,
    label_counts,
    label_scores,
    labels_present,
    voxel_counts,
)
from lymphct.evaluation.surfaces import SurfaceSettings
from lymphct.io.images.labels import read_labels
from lymphct.io.images.masks import read_mask, read_whole_numbers
from lymphct.io.images.node_masks import read_nodes
from lymphct.io.table import read_table
from lymphct.scoring.cohort_cases import CohortCase, CohortRequest
from lymphct.scoring.segmentation import CaseScores

NodeGroup = Literal["found", "positive", "negative"]
NODE_GROUPS: Final[tuple[NodeGroup, ...]] = ("found", "positive", "negative")
"""All nodes before identification, then those of each class after it (Tab. V)."""

TUMOR: Final = "tumor"


SURE_COLUMNS: Final = ("detection", "detection_mean", "node_probability")
"""Columns of `nodes.csv` that say how sure the stages are of a node; older results lack them."""


@dataclass(frozen=True, slots=True)
class PredictedNode:
    """A line of `nodes.csv`; None where a cell is blank or of a column that older results lack.

    Attributes:
        is_positive: whether it is called so.
        probability: of being positive, 0 to 1.
        is_plausible: one that is not (outside the body and the like) counts nowhere.
        detection: how sure stage 1 is that it is there, 0 to 1: its highest probability in the node.
        detection_mean: its mean one.
        node_probability: of being a lymph node at all, 0 to 1; of a stage 2 of three classes.

    """

    is_positive: bool | None
    probability: float | None
    is_plausible: bool = True
    detection: float | None = None
    detection_mean: float | None = None
    node_probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMeasures:
    """The nodes of one patient.

    Attributes:
        drawn: how many are drawn.
        matches: matched instances by group; without the classes when a drawn or predicted node has none.
        voxels: voxel counts of the same groups.
        predicted: by number in the predicted map, those that are plausible.
        true_classes: by number in the drawn map; None where not drawn.
        voxel_volume: mm³.

    """

    drawn: int
    matches: Mapping[NodeGroup, InstanceMatches]
    voxels: Mapping[NodeGroup, VoxelCounts]
    predicted: Mapping[int, PredictedNode]
    true_classes: Mapping[int, NodeClass | None]
    voxel_volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMeasures:
    """What was measured of one patient; None where nothing is drawn or the stage is left out."""

    structures: CaseScores | None = None
    tumor: CaseScores | None = None
    nodes: NodeMeasures | None = None


@dataclass(frozen=True, slots=True)
class PatientMeasurer:
    """Measures one patient; it travels to worker processes."""

    request: CohortRequest
    surface: SurfaceSettings = field(default_factory=SurfaceSettings)

    def __call__(self, case: CohortCase) -> PatientMeasures:
        """Measure every stage that is drawn.

        Raises:
            InputError: a mask is refused, or does not lie on the voxels of its counterpart; the message
                names the patient.

        """
        try:
            return PatientMeasures(
                structures=self._structures(case) if "structures" in case.stages else None,
                tumor=self._tumor(case) if "tumor" in case.stages else None,
                nodes=self._nodes(case) if "nodes" in case.stages else None,
            )
        except LymphctError as error:
            raise error.at(patient=case.case) from error.__cause__

    def _structures(self, case: CohortCase) -> CaseScores:
        """Score the structures that are drawn: one that is not may be there all the same."""
        truth = read_labels(case.record.paths["structures"], scheme=self.request.labels)
        prediction = _like(
            read_labels(case.folder / "seg" / "structures.nii.gz", scheme="lymphct"),
            truth.geometry,
            "structures",
        )
        labels = labels_present(truth.array, truth.array)
        names = {label: Structure(label).label for label in labels}
        return self._scores(prediction, truth, names)

    def _tumor(self, case: CohortCase) -> CaseScores:
        truth = read_mask(case.record.paths["tumor"], name="tumor mask")
        prediction = read_mask(case.folder / "seg" / "tumor.nii.gz", name="predicted tumor")
        return self._scores(_like(prediction, truth.geometry, "tumor"), truth, {1: TUMOR})

    def _scores(self, prediction: Volume, truth: Volume, names: Mapping[int, str]) -> CaseScores:
        arrays = (prediction.array, truth.array, [*names])
        scores = label_scores(*arrays, truth.geometry.spacing, surface=self.surface)
        counts = label_counts(*arrays)
        return CaseScores(
            scores={names[label]: value for label, value in scores.items()},
            counts={names[label]: value for label, value in counts.items()},
        )

    def _nodes(self, case: CohortCase) -> NodeMeasures:
        truth = read_nodes(case.record.paths["nodes"])
        volume = read_whole_numbers(
            case.folder / "seg" / "node_instances.nii.gz", None, name="predicted nodes"
        )
        prediction = _like(volume, truth.instances.geometry, "nodes")
        predicted = read_predicted_nodes(case.folder / "nodes.csv", prediction.array)
        return measure_nodes(prediction.array, predicted, truth, self.request.iou)


def _like(prediction: Volume, truth: Geometry, stage: str) -> Volume:
    return reordered_like(prediction, truth, name=f"predicted {stage}", reference_name=f"drawn {stage}")


def read_predicted_nodes(path: Path, instances: LabelArray) -> dict[int, PredictedNode]:
    """Read class and probabilities of each predicted node.

    Args:
        path: `nodes.csv` of a result folder.
        instances: the map its numbers refer to.

    Raises:
        InputError: not such a table, or its nodes are not those of the map.

    """
    nodes: dict[int, PredictedNode] = {}
    for row in read_table(path, ("node", "class", "probability")):
        number, name, probability = (row.cells[column] for column in ("node", "class", "probability"))
        try:
            value = float(probability) if probability else None
            called = {"": None, "positive": True, "negative": False}[name]
            is_plausible = IMPLAUSIBLE not in row.cells.get("flags", "").split()
            sure = {column: _share(row.cells.get(column, "")) for column in SURE_COLUMNS}
            nodes[int(number)] = PredictedNode(called, value, is_plausible, **sure)
        except (KeyError, ValueError):
            msg = f"line {row.line} is not a lymph node of ours"
            raise InputError(msg, code="E_RESULT", cure="predict the patient again").at(
                file=path.name
            ) from None
    present = set(np.unique(instances).tolist()) - {0}
    if present != set(nodes):
        msg = f"{counted(len(nodes), 'node')} in the list, {len(present)} in the map, with other numbers"
        raise InputError(msg, code="E_RESULT", cure="predict the patient again").at(file=path.name)
    return nodes


def _share(cell: str) -> float | None:
    """Return a number from 0 to 1, None where the cell is blank; anything else is a ValueError."""
    value = float(cell) if cell else None
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError
    return value


def measure_nodes(
    prediction: LabelArray, predicted: Mapping[int, PredictedNode], truth: NodeMap, iou: float
) -> NodeMeasures:
    """Match predicted with drawn nodes, all of them and then those of each class (Sec. IV-D, Tab. V).

    Args:
        prediction: instance map, [i, j, k].
        predicted: what is known of each number in it.
        truth: what is drawn, on the same voxels.
        iou: smallest intersection over union of a match, above 0 to 1.

    Raises:
        UsageError: the IoU is none.

    """
    true_classes = {node.label: node.node_class for node in truth.nodes}
    drawn = truth.instances.array
    counted = {label: node for label, node in predicted.items() if node.is_plausible}
    if len(counted) < len(predicted):
        prediction = _only(prediction, counted)
    pairs: dict[NodeGroup, tuple[LabelArray, LabelArray]] = {"found": (prediction, drawn)}
    # Where a drawn node has no class, nobody can say of which class a predicted one should be; predicted
    # ones have none when the nodes were found and not identified.
    has_calls = all(node.is_positive is not None for node in counted.values())
    if None not in true_classes.values() and has_calls:
        groups: dict[NodeGroup, NodeClass] = {"positive": NodeClass.POSITIVE, "negative": NodeClass.NEGATIVE}
        for group, node_class in groups.items():
            is_positive = node_class is NodeClass.POSITIVE
            called = [label for label, node in counted.items() if node.is_positive is is_positive]
            of_class = [label for label, value in true_classes.items() if value is node_class]
            pairs[group] = (_only(prediction, called), _only(drawn, of_class))
    return NodeMeasures(
        drawn=len(truth.nodes),
        matches={group: match_instances(*maps, iou=iou) for group, maps in pairs.items()},
        voxels={group: voxel_counts(*maps) for group, maps in pairs.items()},
        predicted=counted,
        true_classes=true_classes,
        voxel_volume=truth.instances.geometry.voxel_volume,
    )


def _only(instances: LabelArray, labels: Iterable[int]) -> LabelArray:
    """Return an instance map with some of its instances alone."""
    kept: LabelArray = np.where(np.isin(instances, list(labels)), instances, 0)
    return kept
