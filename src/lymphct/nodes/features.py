"""Volume and density of a lymph node as numbers, and the logistic regression they allow (decision 0020)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.nodes.measurement import node_boxes

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


def node_features(nodes: NodeMap, ct: Multiphase) -> DoubleArray:
    """Measure the `FEATURES` of each node, in the order of `nodes.nodes`: (nodes, 7).

    The core is the node without its outermost voxels, which share their HU with the fat around. NaN where
    the arterial phase is missing. Image and map share a grid.

    Raises:
        GeometryMismatchError: the CT lies on another grid.
        InputError: a node has no voxel in the map.

    """
    nodes.instances.require_same_grid(ct.venous, name="node map", reference="venous phase")
    rows = np.full((len(nodes.nodes), len(FEATURES)), np.nan)
    boxes = node_boxes(nodes.instances.array)
    for row, node in zip(rows, nodes.nodes, strict=True):
        if node.label not in boxes:
            msg = f"lymph node {node.label} has no voxel in the map"
            raise InputError(msg, code="E_LABELS", cure="let records and instance map name the same nodes")
        box = boxes[node.label]
        mask = nodes.instances.array[box] == node.label
        phases = [None if phase is None else phase.array[box] for phase in (ct.arterial, ct.venous)]
        row[:] = features_in_box(mask, phases, nodes.instances.geometry.voxel_volume)
    return rows


def features_in_box(mask: BoolArray, phases: Sequence[AnyArray | None], voxel_volume: float) -> DoubleArray:
    """Measure the `FEATURES` (7,) of one node in its smallest box.

    Args:
        mask: the node.
        phases: HU in the box, arterial before venous; None for a phase that is missing.
        voxel_volume: mm³.

    """
    row = np.full(len(FEATURES), np.nan)
    core = _core(mask)
    row[0] = np.log(mask.sum() * voxel_volume)
    for first, phase in zip((1, 4), phases, strict=True):
        if phase is not None:
            hu = phase[core].astype(np.float64)
            row[first : first + 3] = hu.mean(), hu.std(), hu.min()
    return row


def _core(mask: BoolArray) -> BoolArray:
    core: BoolArray = ndimage.binary_erosion(mask)
    return core if core.sum() >= SMALLEST_CORE else mask


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """Mean and SD (7,) that standardise node features."""

    mean: DoubleArray
    sd: DoubleArray

    def standardize(self, features: DoubleArray) -> DoubleArray:
        """Return (features − mean)/SD; a missing value becomes the mean, 0."""
        standard: DoubleArray = np.nan_to_num((features - self.mean) / self.sd, nan=0.0)
        return standard


def fit_feature_statistics(features: DoubleArray, patients: Iterable[str]) -> Fitted[FeatureStatistics]:
    """Take mean and SD of each feature over training nodes (n, 7), missing values left out.

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
        """Return the probability of being positive for nodes (n, 7)."""
        logits = self.statistics.standardize(features) @ self.weights + self.intercept
        probability: DoubleArray = 1.0 / (1.0 + np.exp(-logits))
        return probability


def fit_logistic_baseline(
    features: DoubleArray, labels: Sequence[bool] | BoolArray, patients: Sequence[str]
) -> Fitted[LogisticBaseline]:
    """Fit the baseline on nodes (n, 7), whether each is positive, and the patient of each.

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
