"""From patches, folds and nodes to one number per patient (Sec. III-B, Sec. IV-E)."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.patient import NodeMap
from lymphct.core.terms import NodeClass

VolumeKind = Literal["largest", "mean", "total"]
"""Which volume of the positive lymph nodes stands for the patient."""


def mean_over_patches(probabilities: npt.ArrayLike) -> float:
    """Average the probabilities of one patient's patches (Sec. III-B)."""
    return float(np.mean(np.asarray(probabilities, dtype=np.float64)))


def mean_over_folds(probabilities: npt.ArrayLike) -> float:
    """Average the probabilities the models of all folds give one external patient (Sec. IV-E)."""
    return float(np.mean(np.asarray(probabilities, dtype=np.float64)))


def positive_volume(nodes: NodeMap, kind: VolumeKind = "largest") -> float:
    """Return the volume of the largest positive lymph node, mm³, 0 without one (V of Eq. 6).

    `mean` and `total` over the positive nodes are the alternatives the paper evaluates.

    Raises:
        InputError: a node has no class yet.

    """
    unknown = [node.label for node in nodes.nodes if node.node_class is None]
    if unknown:
        msg = f"lymph node {unknown[0]} has no class: the volume of positive nodes is not known"
        raise InputError(msg, code="E_NODE_CLASS", cure="identify the nodes first")
    volumes = [node.volume for node in nodes.nodes if node.node_class is NodeClass.POSITIVE]
    if not volumes:
        return 0.0
    if kind == "largest":
        return max(volumes)
    return sum(volumes) / (len(volumes) if kind == "mean" else 1)


def fit_volume_threshold(
    volumes: Sequence[float], n_status: Sequence[int], patients: Iterable[str]
) -> Fitted[float]:
    """Find the volume above which a patient is best called N+ (ClsbyLNSeg, Sec. IV-E).

    Best is the highest balanced accuracy; of equal ones the lowest threshold. Candidates lie midway between
    neighbouring volumes, so that a later patient near one side falls on that side.

    Args:
        volumes: mm³ per validation patient, 0 without a positive node.
        n_status: 1 for N+, 0 for N-.
        patients: their identifiers.

    Raises:
        InputError: the patients are not of both classes.

    """
    v, is_positive = np.asarray(volumes, dtype=np.float64), np.asarray(n_status) == 1
    if is_positive.all() or not is_positive.any():
        msg = f"a volume threshold needs N+ and N- patients, got {len(v)} of one class"
        raise InputError(msg, code="E_ONE_CLASS", cure="use more validation patients")
    levels = np.unique(v)
    # The last candidate calls nobody N+: it wins only where volumes run against the status.
    candidates = np.append((levels[:-1] + levels[1:]) / 2, levels[-1])
    called = v[None, :] > candidates[:, None]
    sensitivity = called[:, is_positive].mean(axis=1)
    specificity = (~called[:, ~is_positive]).mean(axis=1)
    best = int(np.argmax(sensitivity + specificity))
    return Fitted(value=float(candidates[best]), patients=frozenset(patients))


def classify(volume: float, threshold: float) -> int:
    """Call a patient N+ (1) when the volume of positive nodes lies above the threshold, else N- (0)."""
    return int(volume > threshold)
