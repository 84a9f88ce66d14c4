"""What pairs of voxel threshold and smallest volume reach on patients with drawn nodes (Sec. IV-E)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lymphct.cascade.alignment import normalized
from lymphct.cascade.cases import Material
from lymphct.core.patient import NodeMap
from lymphct.core.terms import StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import InstanceMatches, InstanceScores, instance_scores, match_instances
from lymphct.imaging.crop import crop_volume
from lymphct.learning.windows import lit_box
from lymphct.nodes.instances import find_instances
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.segmentation import predict_node_probability
from lymphct.nodes.settings import NodeSegmentationSettings

Point = tuple[float, float]
"""A voxel threshold and a smallest volume, mm³."""


@dataclass(frozen=True, slots=True)
class NodeCandidate:
    """One way to turn probabilities into nodes, and what it reaches."""

    threshold: float
    min_volume: float
    scores: InstanceScores
    patients: int


def node_candidates(
    network: NodeNetwork,
    settings: NodeSegmentationSettings,
    material: Material,
    ids: Sequence[str],
    grid: Sequence[Point],
) -> list[NodeCandidate]:
    """Return what pairs of threshold and smallest volume reach on patients with drawn nodes and attention.

    The probability map of one patient is in memory at a time. Empty without such patients.
    """
    matches: dict[Point, list[InstanceMatches]] = {point: [] for point in grid}
    for probability, truth in _node_probabilities(network, settings, material, ids):
        for point, matched in _matches(probability, truth, grid, settings.growth):
            matches[point].append(matched)
        del probability, truth
    return [
        NodeCandidate(*point, instance_scores(found), len(found)) for point, found in matches.items() if found
    ]


def best_candidate(
    candidates: Sequence[NodeCandidate], least_recall: float | None
) -> tuple[NodeCandidate, str]:
    """Return the candidate to work at, and what is to be said of it: nothing where all went as asked.

    Args:
        candidates: one at least; of equal ones the first is taken.
        least_recall: the most precise candidate of at least this pooled recall, the one of the highest
            recall where none reaches it; None for the one of the highest pooled F.

    """
    if least_recall is None:
        return max(candidates, key=lambda c: np.nan_to_num(c.scores.f)), ""
    reaching = [c for c in candidates if c.scores.recall >= least_recall]
    if reaching:
        return max(reaching, key=_precision_first), ""
    best = max(candidates, key=lambda c: (np.nan_to_num(c.scores.recall), *_precision_first(c)))
    highest = float(np.nan_to_num(best.scores.recall))
    return best, f"no candidate has a recall of {least_recall:g}, the highest is {highest:.3f}"


def _precision_first(candidate: NodeCandidate) -> tuple[float, float]:
    return (float(np.nan_to_num(candidate.scores.precision)), candidate.threshold)


def _matches(
    probability: Volume, truth: Volume, grid: Sequence[Point], growth: float | None
) -> Iterator[tuple[Point, InstanceMatches]]:
    """Yield what each candidate finds in a patient, in the box where anything can be found or missed."""
    least = min(threshold for threshold, _ in grid) / (growth or 1.0)
    seen = (probability.array >= least) | (truth.array > 0)
    i, j, k = lit_box(seen) or (slice(0, 1),) * 3
    start, size = (i.start, j.start, k.start), (i.stop - i.start, j.stop - j.start, k.stop - k.start)
    part, drawn = crop_volume(probability, start, size), crop_volume(truth, start, size)
    for threshold, min_volume in grid:
        found = find_instances(part, threshold=threshold, min_volume=min_volume, growth=growth)
        yield (threshold, min_volume), match_instances(found.instances.array, drawn.array)


def found_in(
    network: NodeNetwork, settings: NodeSegmentationSettings, material: Material, name: str
) -> NodeMap | None:
    """Return the nodes that stage 1 finds in a patient, where somebody looked; None without attention."""
    probability = _node_probability(network, settings, material, name)
    if probability is None:
        return None
    seen = _where_judged(probability, material.patients[name].unjudged)
    return find_instances(
        seen, threshold=settings.threshold, min_volume=settings.min_volume, growth=settings.growth
    )


def _node_probabilities(
    network: NodeNetwork, settings: NodeSegmentationSettings, material: Material, ids: Sequence[str]
) -> Iterator[tuple[Volume, Volume]]:
    """Yield probability and true instances of each patient who has what it takes."""
    for name in ids:
        if material.patients[name].view("nodes") is not None:
            probability = _node_probability(network, settings, material, name)
            truth = material.patients[name].instances
            if probability is not None and truth is not None:
                yield _where_judged(probability, material.patients[name].unjudged), truth
            # Nothing of a patient stays while the next one is read.
            del probability, truth


def _node_probability(
    network: NodeNetwork, settings: NodeSegmentationSettings, material: Material, name: str
) -> Volume | None:
    """Return the probability map of one patient; None without attention."""
    attention = material.attention(name)
    if attention is None:
        return None
    image = normalized(material.patients[name].ct, material.learned.sight(StageName.NODES).phases)
    return predict_node_probability(network, image, attention, settings)


def _where_judged(probability: Volume, unjudged: Volume | None) -> Volume:
    """Let nothing be found where nobody looked: whether it is right cannot be said."""
    if unjudged is None:
        return probability
    return probability.with_array(
        np.where(unjudged_in(unjudged.array, StageName.NODES), np.float32(0), probability.array)
    )
