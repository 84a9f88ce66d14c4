"""The predicted nodes of a cohort as candidates for lymph nodes, all or positive ones (Sec. IV-D); ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from lymphct.core.terms import NodeClass
from lymphct.evaluation.detection import InstanceMatches
from lymphct.evaluation.froc import Candidates, froc_candidates
from lymphct.scoring.cohort_patient import NodeMeasures, PredictedNode

Target = Literal["all", "positive"]
"""The drawn nodes that are looked for: all, or the positive ones."""
Score = Callable[[PredictedNode], float | None]


def peak(node: PredictedNode) -> float | None:
    """Return the highest probability of stage 1 in a node; None where the result does not say."""
    return node.detection


def mean(node: PredictedNode) -> float | None:
    """Return the mean probability of stage 1 in a node; None where the result does not say."""
    return node.detection_mean


def still_a_node(node: PredictedNode) -> float | None:
    """Return the mean times the probability of stage 2 that it is a lymph node at all; None without both."""
    if node.detection_mean is None or node.node_probability is None:
        return None
    return node.detection_mean * node.node_probability


def positive_node(node: PredictedNode) -> float | None:
    """Return the mean times what stage 2 says: a lymph node (if it judges that), and a positive one."""
    if node.detection_mean is None or node.probability is None:
        return None
    is_node = 1.0 if node.node_probability is None else node.node_probability
    return node.detection_mean * is_node * node.probability


CURVES: Final[Mapping[Target, Mapping[str, Score]]] = {
    "all": {"mean": mean, "peak": peak, "combined": still_a_node},
    "positive": {"mean": mean, "peak": peak, "combined": positive_node},
}
"""The scores by which candidates are put in order, for each target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCandidates:
    """The candidates for a target by a score.

    Attributes:
        patients: how many are in; one without candidates or without true nodes counts as well.
        candidates: of theirs; None without a true node, or where no result carries the score.

    """

    patients: int
    candidates: Candidates | None


def node_candidates(patients: Mapping[str, NodeMeasures], target: Target, score: Score) -> NodeCandidates:
    """Gather the predicted nodes as candidates.

    A candidate is right when its partner, matched one to one over all nodes, is of the target; one whose
    partner is not, or that has none, is false. Patients with a predicted node without the score are left
    out, for positive nodes also those with a drawn one of no class.
    """
    matches, scores, is_carried = [], [], True
    for measures in patients.values():
        if target == "positive" and None in measures.true_classes.values():
            continue
        values = {label: score(node) for label, node in measures.predicted.items()}
        known = {label: value for label, value in values.items() if value is not None}
        if len(known) == len(values):
            matches.append(_of_positive(measures) if target == "positive" else measures.matches["found"])
            scores.append(known)
        else:
            is_carried = False
    # Of older results those without any node would be left: a curve of nothing found.
    has_any = is_carried or any(scores)
    has_truth = any(match.truth_voxels for match in matches)
    found = froc_candidates(matches, scores) if has_truth and has_any else None
    return NodeCandidates(patients=len(matches), candidates=found)


def positive_candidates(patients: Mapping[str, NodeMeasures]) -> NodeCandidates:
    """Gather the predicted nodes as candidates for positive ones by their probability of being so."""
    return node_candidates(patients, "positive", _called)


def _called(node: PredictedNode) -> float | None:
    return None if node.is_positive is None else node.probability


def _of_positive(measures: NodeMeasures) -> InstanceMatches:
    """Return the matches of all predicted nodes with the drawn positive ones."""
    found = measures.matches["found"]
    positive = {
        label for label, node_class in measures.true_classes.items() if node_class is NodeClass.POSITIVE
    }
    pairs = tuple(pair for pair in found.pairs if pair.truth in positive)
    right = {pair.prediction for pair in pairs}
    return InstanceMatches(
        pairs=pairs,
        missed=tuple(label for label in found.missed if label in positive),
        spurious=tuple(label for label in found.prediction_voxels if label not in right),
        duplicates=(),
        prediction_voxels=found.prediction_voxels,
        truth_voxels={label: n for label, n in found.truth_voxels.items() if label in positive},
    )
