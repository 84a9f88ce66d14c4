"""What names a patient, and texts without it: parts of the name, ids, and ways to write a date of birth."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_SHORTEST: Final = 3
"""Letters of a word that is looked for; shorter ones are parts of all kinds of words."""
_LONGEST: Final = 40
_CUT: Final = "..."


def naming(name: str, ids: Iterable[str], birth: str) -> tuple[str, ...]:
    """Return the words that name a patient, in small letters, the longest first.

    >>> naming("Doe^Jo", ["7-1234"], "")
    ('7-1234', 'doe')
    """
    words = [*re.split(r"[\W_]+", name.casefold()), *(text.casefold() for text in ids)]
    if re.fullmatch(r"\d{8}", birth):
        year, month, day = birth[:4], birth[4:6], birth[6:]
        orders = ((year, month, day), (day, month, year), (month, day, year))
        words += [mark.join(order) for order in orders for mark in ("", "-", "_", ".", "/", " ")]
    kept = {word for word in words if len(word) >= _SHORTEST}
    return tuple(sorted(kept, key=lambda word: (-len(word), word)))


@lru_cache(maxsize=8192)
def names_somebody(text: str, words: tuple[str, ...]) -> bool:
    """Tell whether a text, such as a path, holds one of the words, be it inside another."""
    small = text.casefold()
    return any(word in small for word in words)


def unnamed(text: str, words: tuple[str, ...]) -> str:
    """Return a text of a header without these words, printable and short.

    >>> unnamed("ABD Doe ART", ("doe",))
    'ABD ... ART'
    """
    for word in words:
        text = re.sub(re.escape(word), _CUT, text, flags=re.IGNORECASE)
    return printable(text)[:_LONGEST]


def printable(text: str) -> str:
    """Return a text in ASCII, without control characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def plain_name(name: str) -> str:
    """Return a name without what differs between ways to write it.

    >>> plain_name("DOE^JO^^")
    'doe jo'
    """
    return " ".join(re.split(r"[\W_]+", name.casefold())).strip()


def text_of(value: bytes) -> str:
    """Return the text of an element without padding."""
    value = value.strip(b"\0 ")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
