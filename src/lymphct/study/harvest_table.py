"""What each network of a harvest reached, in words: median and quartiles (Sec. IV-B)."""

from collections.abc import Mapping
from typing import Any, Final

MEASURES: Final[Mapping[str, str]] = {"dice": "Dice", "asd": "ASD (mm)", "hd": "HD (mm)"}
"""What is told of each network, as the paper does (Sec. IV-B), and its heading."""

TEACHER, TUNED, FINAL = "teacher", "tuned", "final"
"""The three networks in the order they are trained."""


def at_pancreas(network: str) -> str:
    """Return the name under which a network is scored that looks at the drawn pancreas only.

    >>> at_pancreas("final")
    'final_at_pancreas'
    """
    return f"{network}_at_pancreas"


def score_rows(told: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of words for each network: name, patients, found, median (quartiles) of each measure."""
    # As read from JSON they stand in the order of the alphabet.
    order = (TEACHER, TUNED, FINAL)
    known = [name for name in (*order, *map(at_pancreas, order)) if name in told]
    others = [name for name in told if name not in known]
    return [
        [
            name,
            str(told[name]["patients"]),
            str(told[name]["found"]),
            *(_cell(told[name][m]) for m in MEASURES),
        ]
        for name in (*known, *others)
    ]


def _cell(found: Mapping[str, float | None]) -> str:
    if found["median"] is None:
        return "-"
    return f"{found['median']:.3f} ({found['q1']:.3f} to {found['q3']:.3f})"
