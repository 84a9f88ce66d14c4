"""What a score is worth and what drove it, as the page of a patient shows it (decision 0052)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lymphct.core.patient import Node, Prediction
from lymphct.core.score import CalibratedScore, ScoreDrivers
from lymphct.report.wording import called, number

MOST_BARS: Final = 10
"""Lymph nodes with a bar of their own, those that change most."""
LEAST_CHANGE: Final = 0.0005
"""A node that changes the score by less has no bar: it would read 0.000."""

_REACH: Final = 200.0
"""Length of the longest bar, in units of the picture."""
_LEAST_SCALE: Final = 0.02
"""Change that fills the picture at least, so that nothing at all does not look like much."""

_METHODS: Final[Mapping[str, str]] = {
    "identity": "the score as it is",
    "platt": "Platt scaling",
    "isotonic": "isotonic regression",
    "venn_abers": "Venn–Abers prediction",
}
_WHOSE: Final[Mapping[str, str]] = {
    "validation": "validation patients of its training",
    "out_of_fold": "patients of its training, each judged by a network that had not seen them",
}
_MEANINGS: Final[Mapping[tuple[str, ...], str]] = {
    ("N-", "N+"): "the score does not tell",
    ("N-",): "N+ would be unlike it",
    ("N+",): "N− would be unlike it",
    (): "the score is unlike those of either class",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a score is worth, in words; shares of the scale from 0 to 1 where it is drawn.

    Attributes:
        probability: calibrated; empty where none is told.
        interval: both ends.
        at: share of the scale; None where no probability is told.
        low: lower end on the scale.
        high: upper end.
        method: how the score became a probability.
        patients: who told it.
        outcomes: that cannot be excluded.
        meaning: of having these.
        level: of the set, in per cent.
        guarantee: what the guaranteed threshold says of this patient; empty without one.
        abstentions: why something is withheld.

    """

    probability: str
    interval: str
    at: float | None
    low: float | None
    high: float | None
    method: str
    patients: str
    outcomes: str
    meaning: str
    level: str
    guarantee: str
    abstentions: tuple[str, ...]


def worth_of(score: CalibratedScore | None, value: float | None) -> Worth | None:
    """Word what a score is worth; None where nothing is known of it.

    Args:
        score: what is known of it.
        value: the score itself, which the guaranteed threshold judges.

    """
    if score is None or value is None:
        return None
    return Worth(
        probability="" if score.probability is None else number(score.probability, 2),
        interval=f"{number(score.low, 2)} to {number(score.high, 2)}",
        at=score.probability,
        low=score.low,
        high=score.high,
        method=_METHODS.get(score.method, score.method),
        patients=f"{score.positives} N+ and {score.negatives} N− "
        f"{_WHOSE.get(score.calibrated_on, 'patients of its training')}",
        outcomes=" or ".join(score.outcomes).replace("-", "−") or "none of both",
        meaning="" if score.abstentions and len(score.outcomes) > 1 else _MEANINGS[score.outcomes],
        level=percent(score.level),
        guarantee=_guarantee(score, value),
        abstentions=tuple(text.replace("N-", "N−") for text in score.abstentions),
    )


def _guarantee(score: CalibratedScore, value: float) -> str:
    if score.guaranteed_threshold is None:
        return ""
    side = "reaches it" if value >= score.guaranteed_threshold else "stays below it"
    return (
        f"A score from {number(score.guaranteed_threshold, 3)} upwards finds at least "
        f"{percent(score.sensitivity)} of all N+, with {percent(score.confidence)} confidence; "
        f"this one {side}."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the picture of what drove a score.

    Attributes:
        name: what was taken away.
        change: what it did to the score, with its sign.
        start: left end of the bar, in units from the axis.
        length: of the bar.
        raised: whether it raised the score.
        link: node whose pictures the page holds; None for others.

    """

    name: str
    change: str
    start: float
    length: float
    raised: bool
    link: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPicture:
    """What drove a score.

    Attributes:
        bars: tumor, all nodes, then single nodes.
        without_both: the score with neither tumor nor nodes.
        score: with both.
        tumor_share: in per cent; empty where neither did anything.
        rest: what is to be said of nodes without a bar; empty when all have one.
        by_nodes: probability of N+ by a network of all nodes; empty where another number of them is read.

    """

    bars: tuple[Bar, ...]
    without_both: str
    score: str
    tumor_share: str
    rest: str
    by_nodes: str = ""


def driver_picture(prediction: Prediction, shown: Sequence[int]) -> DriverPicture | None:
    """Draw what drove the score of a patient; None where nobody asked, or there is no score.

    Args:
        prediction: of the patient.
        shown: numbers of the nodes with pictures of their own on the page.

    """
    drivers = prediction.drivers
    if drivers is None:
        return None
    nodes = {node.label: node for node in prediction.nodes.nodes}
    single = [item for item in drivers.nodes if abs(item.change) >= LEAST_CHANGE][:MOST_BARS]
    rows = [("tumor", drivers.tumor_part, None)]
    rows += [("lymph nodes together", drivers.node_part, None)] if drivers.nodes else []
    longest = max(_LEAST_SCALE, *(abs(change) for _, change, _ in rows), *(abs(i.change) for i in single))
    bars = [_bar(name, change, longest) for name, change, _ in rows]
    bars += [
        _bar(
            _named(item.node, nodes.get(item.node)),
            item.change,
            longest,
            link=item.node if item.node in shown else None,
        )
        for item in single
    ]
    return DriverPicture(
        bars=tuple(bars),
        without_both=number(drivers.without_both, 3),
        score=number(drivers.score, 3),
        tumor_share="" if drivers.tumor_share is None else percent(drivers.tumor_share),
        rest=_rest(drivers, len(single)),
        by_nodes="" if drivers.by_nodes is None else number(drivers.by_nodes, 3),
    )


def percent(share: float) -> str:
    """Write a share in per cent.

    >>> percent(0.9)
    '90 %'
    """
    return f"{number(100 * share, 0)} %"


def signed(change: float) -> str:
    """Write a change of the score with its sign.

    >>> signed(0.1234), signed(-0.02), signed(-0.0001)
    ('+0.123', '−0.020', '0.000')
    """
    text = number(change, 3)
    return f"+{text}" if change > 0 and float(text) else text


def _named(label: int, node: Node | None) -> str:
    return f"node {label}" if node is None else f"node {label}, {called(node)}"


def _bar(name: str, change: float, longest: float, *, link: int | None = None) -> Bar:
    length = _REACH * abs(change) / longest
    return Bar(
        name=name,
        change=signed(change),
        start=0.0 if change >= 0 else -length,
        length=length,
        raised=change >= 0,
        link=link,
    )


def _rest(drivers: ScoreDrivers, shown: int) -> str:
    left = len(drivers.nodes) - shown
    if left == 0:
        return ""
    most = abs(drivers.nodes[shown].change)
    how = "less than 0.001" if most < LEAST_CHANGE else f"{number(most, 3)} at most"
    which = "One more node changes" if left == 1 else f"Each of {left} more nodes changes"
    return f"{which} the score by {how}."
