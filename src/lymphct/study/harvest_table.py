"""What each network of a harvest reached, in words: median and quartiles (Sec. IV-B)."""

from collections.abc import Mapping
from typing import Any, Final

MEASURES: Final[Mapping[str, str]] = {"dice": "Dice", "asd": "ASD (mm)", "hd": "HD (mm)"}
"""What is told of each network, as the paper does (Sec. IV-B), and its heading."""


def score_rows(told: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of words for each network: name, patients, found, median (quartiles) of each measure."""
    return [
        [name, str(found["patients"]), str(found["found"]), *(_cell(found[m]) for m in MEASURES)]
        for name, found in told.items()
    ]


def _cell(found: Mapping[str, float | None]) -> str:
    if found["median"] is None:
        return "-"
    return f"{found['median']:.3f} ({found['q1']:.3f} to {found['q3']:.3f})"
