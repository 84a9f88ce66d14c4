"""Volume and density of a lymph node as numbers, and the logistic regression they allow (decision 0020).

Which numbers is a choice: those of the node's core, or those that survive partial volume (decision 0051);
with them, where the node lies (decision 0061).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, Index3, Vector3
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.core.terms import Phase
from lymphct.imaging.components import Box
from lymphct.nodes.measurement import node_boxes
from lymphct.nodes.place_features import PLACE_FEATURES
from lymphct.nodes.robust_features import RIM, ROBUST_FEATURES, robust_features
from lymphct.nodes.settings import FeatureSetName, IdentificationHeadSettings

FEATURES: Final = (
    "log_volume",
    "arterial_mean",
    "arterial_sd",
    "arterial_minimum",
    "venous_mean",
    "venous_sd",
    "venous_minimum",
)
"""Natural logarithm of the volume in mm³; HU of the node's core."""

SMALLEST_CORE: Final = 8
"""Voxels below which a node counts as a whole, rim included."""


Measure = Callable[[BoolArray, BoolArray, Sequence[AnyArray | None], Vector3], DoubleArray]
"""Mask of a node, others in the same box, HU of both phases in it, spacing in mm → one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """A way to measure a node.

    Attributes:
        names: of the numbers, in their order.
        margin: mm around the node that are looked at as well.
        measure: one node in a box that reaches so far, cut at the border of the image.
        place: names of the numbers that say where the node lies, which no box of it shows.

    """

    names: tuple[str, ...]
    margin: float
    measure: Measure
    place: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all numbers a network is given."""
        return (*self.names, *self.place)

    @property
    def arterial(self) -> tuple[int, ...]:
        """Columns that are missing without the arterial phase."""
        return tuple(n for n, name in enumerate(self.columns) if name.startswith(Phase.ARTERIAL.value))

    def reach(self, box: Box, shape: Index3, spacing: Vector3) -> Box:
        """Return the smallest box of a node, widened by the margin within an image of this shape."""
        wide = [int(np.ceil(self.margin / step)) for step in spacing]
        i, j, k = (
            slice(max(part.start - w, 0), min(part.stop + w, n))
            for part, w, n in zip(box, wide, shape, strict=True)
        )
        return i, j, k


def core_features(
    mask: BoolArray, others: BoolArray, phases: Sequence[AnyArray | None], spacing: Vector3
) -> DoubleArray:
    """Measure the `FEATURES` (7,) of one node in its smallest box.

    The core is the node without its outermost voxels, which share their HU with the fat around.

    Args:
        mask: the node.
        others: are not looked at.
        phases: HU in the box, arterial before venous; None for a phase that is missing, which leaves NaN.
        spacing: mm.

    """
    del others
    row = np.full(len(FEATURES), np.nan)
    core = _core(mask)
    row[0] = np.log(mask.sum() * float(np.prod(spacing)))
    for first, phase in zip((1, 4), phases, strict=True):
        if phase is not None:
            hu = phase[core].astype(np.float64)
            row[first : first + 3] = hu.mean(), hu.std(), hu.min()
    return row


CORE: Final = FeatureSet(names=FEATURES, margin=0.0, measure=core_features)
ROBUST: Final = FeatureSet(names=ROBUST_FEATURES, margin=RIM, measure=robust_features)
FEATURE_SETS: Final[Mapping[FeatureSetName, FeatureSet]] = {"core": CORE, "robust": ROBUST}
"""By the name that `identification.head.feature_set` gives them."""


def feature_set_of(head: IdentificationHeadSettings) -> FeatureSet:
    """Return what a classifier of stage 2 is told of a node."""
    measured = FEATURE_SETS[head.feature_set]
    return replace(measured, place=PLACE_FEATURES) if head.place_features else measured


def node_features(nodes: NodeMap, ct: Multiphase, feature_set: FeatureSet = CORE) -> DoubleArray:
    """Measure the features of each node, in the order of `nodes.nodes`: (nodes, names of the set).

    NaN where the arterial phase is missing. Image and map share a grid.

    Raises:
        GeometryMismatchError: the CT lies on another grid.
        InputError: a node has no voxel in the map.

    """
    nodes.instances.require_same_grid(ct.venous, name="node map", reference="venous phase")
    rows = np.full((len(nodes.nodes), len(feature_set.names)), np.nan)
    array, geometry = nodes.instances.array, nodes.instances.geometry
    boxes = node_boxes(array)
    for row, node in zip(rows, nodes.nodes, strict=True):
        if node.label not in boxes:
            msg = f"lymph node {node.label} has no voxel in the map"
            raise InputError(msg, code="E_LABELS", cure="let records and instance map name the same nodes")
        box = feature_set.reach(boxes[node.label], geometry.shape, geometry.spacing)
        phases = [None if phase is None else phase.array[box] for phase in (ct.arterial, ct.venous)]
        row[:] = features_in_box(array[box], node.label, phases, geometry.spacing, feature_set)
    return rows


def features_in_box(
    labels: AnyArray,
    label: int,
    phases: Sequence[AnyArray | None],
    spacing: Vector3,
    feature_set: FeatureSet,
) -> DoubleArray:
    """Measure one node in the box that `FeatureSet.reach` gives.

    Args:
        labels: instances in the box.
        label: of the node.
        phases: HU in the box, arterial before venous; None for a phase that is missing.
        spacing: mm.
        feature_set: what to measure.

    """
    mask = labels == label
    return feature_set.measure(mask, (labels != 0) & ~mask, phases, spacing)


def _core(mask: BoolArray) -> BoolArray:
    core: BoolArray = ndimage.binary_erosion(mask)
    return core if core.sum() >= SMALLEST_CORE else mask


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """Mean and SD (features,) that standardise node features."""

    mean: DoubleArray
    sd: DoubleArray

    def standardize(self, features: DoubleArray) -> DoubleArray:
        """Return (features − mean)/SD; a missing value becomes the mean, 0."""
        standard: DoubleArray = np.nan_to_num((features - self.mean) / self.sd, nan=0.0)
        return standard


def fit_feature_statistics(features: DoubleArray, patients: Iterable[str]) -> Fitted[FeatureStatistics]:
    """Take mean and SD of each feature over training nodes (n, features), missing values left out.

    A feature that never varies, or is missing everywhere, keeps SD 1 (and mean 0 when missing).

    Raises:
        InputError: no node at all.

    """
    if len(features) == 0:
        msg = "there is no lymph node to take statistics from"
        raise InputError(msg, code="E_NO_NODES", cure="train on patients with annotated lymph nodes")
    present = np.isfinite(features)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, features, 0.0).sum(axis=0) / count
    sd = np.sqrt(np.where(present, (features - mean) ** 2, 0.0).sum(axis=0) / count)
    return Fitted(FeatureStatistics(mean, np.where(sd > 1e-6, sd, 1.0)), frozenset(patients))


@dataclass(frozen=True, slots=True, eq=False)
class LogisticBaseline:
    """The baseline any network has to beat: logistic regression on standardised node features."""

    statistics: FeatureStatistics
    weights: DoubleArray
    intercept: float

    def predict(self, features: DoubleArray) -> DoubleArray:
        """Return the probability of being positive for nodes (n, features)."""
        logits = self.statistics.standardize(features) @ self.weights + self.intercept
        probability: DoubleArray = 1.0 / (1.0 + np.exp(-logits))
        return probability


def fit_logistic_baseline(
    features: DoubleArray, labels: Sequence[bool] | BoolArray, patients: Sequence[str]
) -> Fitted[LogisticBaseline]:
    """Fit the baseline on nodes (n, features), whether each is positive, and the patient of each.

    Raises:
        InputError: not both classes are present.

    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a slow import only this fit needs

    truth = np.asarray(labels, dtype=bool)
    if truth.all() or not truth.any():
        msg = (
            f"logistic regression needs positive and negative lymph nodes, got {truth.sum()} of {truth.size}"
        )
        raise InputError(msg, code="E_ONE_CLASS", cure="train on patients with nodes of both classes")
    statistics = fit_feature_statistics(features, patients)
    # Ridge of strength 1 on standardised features, scikit-learn's default.
    model = LogisticRegression(max_iter=1000).fit(statistics.value.standardize(features), truth)
    baseline = LogisticBaseline(
        statistics.value, np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
    )
    return Fitted(baseline, statistics.patients)
