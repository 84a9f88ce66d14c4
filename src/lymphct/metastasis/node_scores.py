"""Numbers that sum up all nodes of a patient; nothing in them is learned."""

import math

from lymphct.core.evidence import Evidence
from lymphct.metastasis.aggregation import positive_volume


def largest_volume(evidence: Evidence) -> float:
    """Return the volume of the largest positive lymph node, mm³ (ClsbyLNSeg, Sec. IV-E)."""
    return positive_volume(evidence.nodes)


def max_probability(evidence: Evidence) -> float:
    """Return the highest probability of a node to be positive, 0 without nodes. Not from the paper."""
    return max(_probabilities(evidence), default=0.0)


def noisy_or(evidence: Evidence) -> float:
    """Return 1 − Π(1 − p) over the nodes: that any is positive, were they independent. Not from the paper."""
    return 1.0 - math.prod(1.0 - p for p in _probabilities(evidence))


def expected_count(evidence: Evidence) -> float:
    """Return Σp, the expected number of positive nodes. Not from the paper."""
    return math.fsum(_probabilities(evidence))


def _probabilities(evidence: Evidence) -> list[float]:
    return [node.probability for node in evidence.nodes if node.probability is not None]
