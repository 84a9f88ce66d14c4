"""What is said of a patient's score besides its value: what it is worth, what drove it (decision 0052)."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["N-", "N+"]
"""What a patient may turn out to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedScore:
    """A score as patients whom the model did not learn from have shown what it is worth.

    Attributes:
        probability: of N+, 0 to 1; None where too few of them were there to tell.
        low: lower end of the interval of the probability; None with it.
        high: upper end.
        method: that turned the score into a probability; empty without one.
        interval: kind of the interval; empty without one.
        outcomes: that cannot be excluded, N- first; none where the score is unlike those of either class.
        level: share of new patients of each class whose outcome is among those at least.
        guaranteed_threshold: score from which on enough N+ are called positive; None where too few N+ were
            there to promise any.
        sensitivity: share of N+ that this threshold finds at least.
        confidence: in that promise.
        positives: N+ among the patients behind all this.
        negatives: N- among them.
        abstentions: why something is withheld, a sentence each.
        calibrated_on: `validation` or `out_of_fold` patients of the training; empty where nobody knows.

    """

    probability: float | None
    low: float | None
    high: float | None
    method: str
    interval: str
    outcomes: tuple[Outcome, ...]
    level: float
    guaranteed_threshold: float | None
    sensitivity: float
    confidence: float
    positives: int
    negatives: int
    abstentions: tuple[str, ...] = ()
    calibrated_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """What one lymph node did to a score.

    Attributes:
        node: its number.
        change: score with it minus score without it.

    """

    node: int
    change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDrivers:
    """What drove a score: how it changes when something is taken away (decision 0052).

    Attributes:
        score: of the patient, 0 to 1.
        without_nodes: the same without any lymph node.
        without_tumor: the same with empty tumor patches.
        without_both: the same with neither.
        nodes: what each counted node did, the largest change first, equal ones by number.
        by_nodes: probability of N+, 0 to 1, that a network of all nodes gives and that stands for them in the
            score (decision 0060); None where a volume or another number of them does.

    """

    score: float
    without_nodes: float
    without_tumor: float
    without_both: float
    nodes: tuple[NodeChange, ...]
    by_nodes: float | None = None

    @property
    def tumor_part(self) -> float:
        """Return what the tumor did: the mean of its effect with and without the nodes (Shapley 1953)."""
        return ((self.score - self.without_tumor) + (self.without_nodes - self.without_both)) / 2

    @property
    def node_part(self) -> float:
        """Return what the nodes did together; with the tumor's part it is `score` − `without_both`."""
        return ((self.score - self.without_nodes) + (self.without_tumor - self.without_both)) / 2

    @property
    def tumor_share(self) -> float | None:
        """Return the tumor's share of both effects, 0 to 1; None where neither did anything.

        >>> drivers = ScoreDrivers(
        ...     score=0.8, without_nodes=0.6, without_tumor=0.6, without_both=0.5, nodes=()
        ... )
        >>> round(drivers.tumor_part, 6), round(drivers.node_part, 6), drivers.tumor_share
        (0.15, 0.15, 0.5)
        """
        tumor, nodes = abs(self.tumor_part), abs(self.node_part)
        return None if tumor + nodes == 0 else tumor / (tumor + nodes)
