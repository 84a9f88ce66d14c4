"""The lymph nodes of a patient counted by station (Japan Pancreas Society); ours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from lymphct.core.patient import Node, Prediction, SearchState
from lymphct.core.terms import NodeClass


@dataclass(frozen=True, slots=True, kw_only=True)
class StationCount:
    """Nodes of one station; those that cannot be lymph nodes are not among them.

    Attributes:
        station: its name; empty for nodes whose station is unknown.
        nodes: how many.
        nodes_positive: how many of them were called or drawn positive; None when one was not called.
        highest_probability: of being positive, 0 to 1; None when no probability is known.
        expected_positive: sum of the known probabilities of being positive, the number of positive nodes to
            expect; None likewise.

    """

    station: str
    nodes: int
    nodes_positive: int | None
    highest_probability: float | None
    expected_positive: float | None


def count_by_station(nodes: Sequence[Node]) -> tuple[StationCount, ...]:
    """Count the nodes at each station that has one, in the order of the stations' numbers, unknown last."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        if node.is_plausible:
            found.setdefault(node.station, []).append(node)
    return tuple(_count(station, found[station]) for station in sorted(found, key=_place))


def station_records(prediction: Prediction) -> list[JsonValue] | None:
    """Return what result.json says of the stations; None when lymph nodes were not searched."""
    if prediction.search is SearchState.NOT_SEARCHED:
        return None
    return [
        {
            "station": count.station or None,
            "nodes": count.nodes,
            "nodes_positive": count.nodes_positive,
            "highest_probability": count.highest_probability,
            "expected_positive": count.expected_positive,
        }
        for count in count_by_station(prediction.nodes.nodes)
    ]


def _count(station: str, nodes: Sequence[Node]) -> StationCount:
    called = all(node.node_class is not None for node in nodes)
    known = [node.probability for node in nodes if node.probability is not None]
    return StationCount(
        station=station,
        nodes=len(nodes),
        nodes_positive=sum(node.node_class is NodeClass.POSITIVE for node in nodes) if called else None,
        highest_probability=max(known, default=None),
        expected_positive=sum(known) if known else None,
    )


def _place(station: str) -> tuple[bool, float, str]:
    """Return what sorts 8a before 8p before 13 before names without a number before none.

    >>> sorted(["", "13", "8p", "x", "8a"], key=_place)
    ['8a', '8p', '13', 'x', '']
    """
    digits = re.match(r"[0-9]+", station)
    return (not station, float(digits[0]) if digits else float("inf"), station)
