"""From patches and nodes to one number per patient (Sec. III-B, Sec. IV-E)."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.patient import Node
from lymphct.core.terms import NodeClass
from lymphct.evaluation.classification import fit_threshold
from lymphct.metastasis.settings import VolumeKind


def mean_over_patches(probabilities: npt.ArrayLike) -> float:
    """Average the probabilities of one patient's patches (Sec. III-B)."""
    return float(np.mean(np.asarray(probabilities, dtype=np.float64)))


def positive_volume(nodes: Sequence[Node], kind: VolumeKind = "largest") -> float:
    """Return the volume of the largest positive lymph node, mm³, 0 without one (V of Eq. 7).

    `mean` and `total` over the positive nodes are the alternatives the paper evaluates.

    Raises:
        InputError: a node has no class yet.

    """
    unknown = [node.label for node in nodes if node.node_class is None]
    if unknown:
        msg = f"lymph node {unknown[0]} has no class: the volume of positive nodes is not known"
        raise InputError(msg, code="E_NODE_CLASS", cure="identify the nodes first")
    volumes = [node.volume for node in nodes if node.node_class is NodeClass.POSITIVE]
    if not volumes:
        return 0.0
    if kind == "largest":
        return max(volumes)
    return sum(volumes) / (len(volumes) if kind == "mean" else 1)


def fit_volume_threshold(
    volumes: Sequence[float], n_status: Sequence[int], patients: Iterable[str]
) -> Fitted[float]:
    """Find the volume from which a patient is best called N+ (ClsbyLNSeg, Sec. IV-E).

    Best is the highest balanced accuracy. The threshold is never below 1 mm³: a patient without a positive
    node is called N- even where the validation patients would rather have everybody positive.

    Args:
        volumes: mm³ per validation patient, 0 without a positive node.
        n_status: 1 for N+, 0 for N-.
        patients: their identifiers.

    Raises:
        InputError: the patients are not of both classes.

    """
    fitted = fit_threshold(volumes, n_status, patients)
    return Fitted(value=max(fitted.value, 1.0), patients=fitted.patients)
