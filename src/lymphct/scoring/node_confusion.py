"""Truth against call of every node, drawn or found: positive, negative, or none at all.

A table of matched nodes alone hides what precision costs: a false positive of stage 1 that stage 2 calls
positive, or a positive node nobody found. Here each node counts once: a matched pair, a missed one (call
none), a spurious one (truth none).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from lymphct.core.terms import NodeClass
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.cohort_patient import NodeMeasures

NONE: Final = "none"
"""Truth of what is no drawn node; call of what was not found."""
UNKNOWN: Final = "unknown"
"""A drawn node without a class, a found one that was not called."""
KINDS: Final = (NodeClass.POSITIVE.label, NodeClass.NEGATIVE.label, UNKNOWN, NONE)


def node_confusion(patients: Iterable[NodeMeasures]) -> Counter[tuple[str, str]]:
    """Count (truth, call) over the nodes of all patients; implausible predicted nodes count nowhere."""
    counts: Counter[tuple[str, str]] = Counter()
    for measures in patients:
        found = measures.matches["found"]
        pairs: list[tuple[int | None, int | None]] = [(pair.truth, pair.prediction) for pair in found.pairs]
        pairs += [(label, None) for label in found.missed]
        pairs += [(None, label) for label in found.spurious]
        for truth, prediction in pairs:
            counts[_truth(measures, truth), _call(measures, prediction)] += 1
    return counts


def confusion_record(counts: Mapping[tuple[str, str], int]) -> dict[str, JSON]:
    """Return truth → call → number for JSON; nodes of unknown class or call only where there are some."""
    truths, calls = _shown(counts, 0), _shown(counts, 1)
    return {truth: {call: counts.get((truth, call), 0) for call in calls} for truth in truths}


def _shown(counts: Mapping[tuple[str, str], int], side: int) -> list[str]:
    there = {pair[side] for pair, number in counts.items() if number}
    return [kind for kind in KINDS if kind != UNKNOWN or kind in there]


def _truth(measures: NodeMeasures, label: int | None) -> str:
    if label is None:
        return NONE
    node_class = measures.true_classes[label]
    return UNKNOWN if node_class is None else node_class.label


def _call(measures: NodeMeasures, label: int | None) -> str:
    if label is None:
        return NONE
    called = measures.predicted[label].is_positive
    words = {None: UNKNOWN, True: NodeClass.POSITIVE.label, False: NodeClass.NEGATIVE.label}
    return words[called]
