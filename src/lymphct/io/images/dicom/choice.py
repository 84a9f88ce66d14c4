"""Which series of a folder is meant: its only one, or the one that is chosen."""

import re
from collections.abc import Sequence
from typing import Final

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import keyed_hash

_MOST_SHOWN: Final = 8
_LONGEST_SHOWN: Final = 24
_PHASES: Final = (
    ("arterial", r"art|pancreatic|\bhap\b"),
    ("venous", r"ven|port|\bpv"),
    ("late", r"delay|late|equil|excret"),
    ("native", r"nativ|plain|non.?con|without|unenh|pre.?con"),
)
"""Phases by what descriptions of series hold; the first that fits is the guess."""


def chosen_series(headers: Sequence[SliceHeader], wanted: str) -> list[SliceHeader]:
    """Return the slices of one series.

    Args:
        headers: of all slices in a folder.
        wanted: number in the list of series, from 1, or SeriesInstanceUID; empty when there must be one.

    Raises:
        InputError: `E_SERIES` with the list of series, when several are there and none is chosen, or when
            the chosen one is not there. Descriptions are shown escaped and shortened.

    """
    series = series_of(headers)
    if not wanted and len(series) == 1:
        return series[0]
    shown = ", ".join(described(number, slices) for number, slices in enumerate(series[:_MOST_SHOWN], 1))
    listed = f"{len(series)} CT series: {shown}" + (", …" if len(series) > _MOST_SHOWN else "")
    if not wanted:
        msg = f"the folder holds {listed} (mixed)"
        raise InputError(msg, code="E_SERIES", cure="choose one: FOLDER#1, or FOLDER#SeriesInstanceUID")
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) < 5
    if is_number and 1 <= int(wanted) <= len(series):
        return series[int(wanted) - 1]
    named = [slices for slices in series if slices[0].series == keyed_hash(wanted)]
    if len(named) == 1:
        return named[0]
    what = "several stacks in that series" if named else "no such series"
    msg = f"{what}; the folder holds {listed}"
    raise InputError(msg, code="E_SERIES", cure="choose one: FOLDER#1, or FOLDER#SeriesInstanceUID")


def series_of(headers: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Return the slices of each series, in the order of the series' numbers, then of their first files.

    Multi-frame objects of one series are apart, and so are the stacks in each: nobody says that they are one.
    """
    found: dict[tuple[str, str, str], list[SliceHeader]] = {}
    for header in headers:
        found.setdefault((header.series, header.object_key, header.stack), []).append(header)
    return sorted(
        found.values(), key=lambda slices: (slices[0].series_number, slices[0].number, slices[0].stack)
    )


def described(number: int, slices: Sequence[SliceHeader]) -> str:
    """Return what a list says of a series: its number, its description, a guess of the phase, its slices."""
    text = slices[0].description
    name = ascii(text[:_LONGEST_SHOWN]) + ("…" if len(text) > _LONGEST_SHOWN else "") if text else "no name"
    phase = phase_by_words(text)
    stack = f"{slices[0].stack}, " if slices[0].stack else ""
    return f"#{number} {name} ({phase + '?, ' if phase else ''}{stack}{len(slices)} slices)"


def phase_by_words(description: str) -> str:
    """Return the phase that a description of a series names: arterial, venous, late, native, or none.

    >>> phase_by_words("ABD PORTAL 1.0")
    'venous'
    """
    return next((phase for phase, words in _PHASES if re.search(words, description, re.IGNORECASE)), "")
