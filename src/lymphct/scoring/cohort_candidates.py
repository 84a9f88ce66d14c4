"""The predicted nodes of a cohort as candidates for positive lymph nodes (Sec. IV-D); ours."""

from collections.abc import Mapping

from lymphct.core.terms import NodeClass
from lymphct.evaluation.detection import InstanceMatches
from lymphct.evaluation.froc import Candidates, froc_candidates
from lymphct.scoring.cohort_patient import NodeMeasures


def positive_candidates(patients: Mapping[str, NodeMeasures]) -> tuple[int, Candidates | None]:
    """Gather the predicted nodes as candidates for positive ones, scored by their probability of being so.

    A candidate is right when its partner is drawn positive; one whose partner is negative, or that has none,
    is false. Patients with a drawn node of no class, or a predicted one without class or probability, are
    left out.

    Returns:
        How many patients are in, and their candidates; None without a positive node.

    """
    matches, scores = [], []
    for measures in patients.values():
        probabilities = {label: node.probability for label, node in measures.predicted.items()}
        known = {label: value for label, value in probabilities.items() if value is not None}
        if "positive" in measures.matches and len(known) == len(probabilities):
            matches.append(_of_positive(measures))
            scores.append(known)
    has_truth = any(match.truth_voxels for match in matches)
    return len(matches), froc_candidates(matches, scores) if has_truth else None


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
