"""How values of records, scores and calls are written for readers."""

import json
from typing import Final

from pydantic import JsonValue

from lymphct.core.patient import Node
from lymphct.report.tables import drawn_or_predicted, fixed

MISSING: Final = "–"
"""Stands for a value that is not known."""

WITHHOLDING: Final = ("no_structures", "no_tumor")
"""Notices that say why a score is withheld."""

CALLS: Final = ("predicted N−", "predicted N+")
"""The call of a patient, by `predicted_n_status`."""


def plain(value: JsonValue) -> str:
    """Write any value of a record as text.

    >>> plain(None), plain(True), plain(0.25), plain(["a", 1])
    ('–', 'yes', '0.25', '["a", 1]')
    """
    match value:
        case None | "":
            return MISSING
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case _:
            return json.dumps(value, sort_keys=True, ensure_ascii=False)


def number(value: float | None, decimals: int) -> str:
    """Write a number with fixed decimals and a true minus sign.

    >>> number(-3.14159, 2), number(None, 2)
    ('−3.14', '–')
    """
    return MISSING if value is None else fixed(value, decimals).replace("-", "−")


def milliliters(volume: float | None) -> str:
    """Write a volume, mm³, in ml: three digits that count, none of them after a hundred.

    >>> milliliters(2620.0), milliliters(14230.0), milliliters(123_456.0)
    ('2.62', '14.2', '123')
    """
    if volume is None:
        return MISSING
    ml = volume / 1000.0
    return fixed(ml, 2 if ml < 10 else 1 if ml < 100 else 0)


def telling_decimals(probability: float | None, threshold: float | None) -> int:
    """Return the decimals, two or more, that show on which side of the threshold a probability lies.

    >>> telling_decimals(0.4696, 0.47), telling_decimals(0.9, 0.47)
    (4, 2)
    """
    if probability is None or threshold is None or probability == threshold:
        return 2
    apart = (d for d in range(2, 6) if fixed(probability, d) != fixed(threshold, d))
    return next(apart, 6)


def called(node: Node) -> str:
    """Say which class a node was called or drawn with, and whether it counts."""
    if node.node_class is None:
        return "not called"
    words = f"{drawn_or_predicted(node.class_source)} {node.node_class.label}"
    return words if node.is_plausible else f"{words}, implausible: not counted"
