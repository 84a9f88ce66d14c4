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
