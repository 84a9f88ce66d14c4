"""Columns of a manifest that are nearly one of ours: `Venous`, `tumour`, `n status`."""

import difflib
from collections.abc import Iterable
from typing import Final

_CLOSE: Final = 0.8
"""Share of letters in common from which two names are taken for one."""


def near_misses(columns: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the columns that are not known, with the known one that was probably meant and is not there.

    >>> near_misses(["patient_id", "Venous", "tumour", "hospital"], ["patient_id", "venous", "tumor"])
    {'Venous': 'venous', 'tumour': 'tumor'}
    """
    written = [name for name in columns if name]
    there = frozenset(written)
    missing = {_plain(name): name for name in known if name not in there}
    meant: dict[str, str] = {}
    for name in written:
        found = difflib.get_close_matches(_plain(name), missing, n=1, cutoff=_CLOSE)
        if found and name not in known:
            meant[name] = missing[found[0]]
    return meant


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
