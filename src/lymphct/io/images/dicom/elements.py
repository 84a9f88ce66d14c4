"""The elements of a DICOM header, walked through without a library: a hundred thousand files in a minute.

Only what is wanted is kept, as bytes; all else is stepped over by its length. Big-endian
files keep their group of meta data alone: nobody writes them any more.
"""

from collections.abc import Collection, Mapping
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

from lymphct.io.images.dicom.values import refuse_damaged

IMPLICIT: Final = b"1.2.840.10008.1.2"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
PREAMBLE: Final = 132
SYNTAX: Final = 0x00020010
"""Tag of the transfer syntax, which must be among the wanted ones."""
_META: Final = b"\2\0"

_TAG: Final = Struct("<HH")
_SHORT: Final = Struct("<H")
_LONG: Final = Struct("<L")
_LONG_KINDS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
OPEN: Final = 0xFFFFFFFF
"""The length of what ends with a mark of its own."""
_PIXELS: Final = 0x7FE00000
_PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
OFFSETS: Final = 0x7FE00001
"""Table of where compressed frames begin, eight bytes each; it lies before the pixels."""
_TABLES: Final = (OFFSETS, 0x7FE00002)
ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DIMENSIONS, SHARED_GROUPS, FRAME_GROUPS, AGENTS = 0x00209222, 0x52009229, 0x52009230, 0x00180012
_SEQUENCES: Final = frozenset({DIMENSIONS, SHARED_GROUPS, FRAME_GROUPS, AGENTS})
"""Sequences whose bytes are kept when they are wanted, however long they are: those of many frames."""
_FIRST: Final = 16_384
"""Bytes that are read at first; a header has 4,000 to 10,000."""
DEEPEST: Final = 16
"""Levels of sequences; exported files have four."""
_LONGEST: Final = 65_536
"""Bytes of a value that is kept."""


class NeedMoreError(Exception):
    """The header goes on behind the bytes that were read."""


class Element(NamedTuple):
    """Where an element is: its tag, where its value begins, and how long that is."""

    tag: int
    start: int
    length: int


class Header(NamedTuple):
    """What was found: wanted values by tag, and where the pixels are; None where the file holds none.

    Wanted sequences of objects with many frames are in `sequences`, as bytes, their items and marks included.
    """

    values: dict[int, bytes]
    pixels: Element | None
    sequences: dict[int, bytes]


def walked(  # noqa: C901 - one loop over what an element can be
    content: bytes, wanted: Collection[int], *, most: int, whole: bool
) -> Header:
    """Walk through a file from its meta group to its pixels.

    Args:
        content: the first bytes of the file, or all of them.
        wanted: tags whose values are kept.
        most: elements, the limit.
        whole: whether `content` is all of the file.

    Raises:
        NeedMoreError: the header goes on behind `content`.
        InputError: damaged, or more elements than the limit.

    """
    values: dict[int, bytes] = {}
    sequences: dict[int, bytes] = {}
    place, count = PREAMBLE, 0
    while place + 8 <= len(content):
        # The meta group always has kinds; it says whether the rest has.
        has_kinds = content[place : place + 2] == _META or not _is_implicit(values)
        element = element_at(content, place, has_kinds=has_kinds)
        count += 1
        if count > most:
            refuse_damaged(f"more than {most} data elements, the limit")
        if element.tag >= _PIXELS and element.tag not in _TABLES:
            return Header(values, element if element.tag in _PIXEL_TAGS else None, sequences)
        after = _after(content, place, element, has_kinds=has_kinds)
        if after > len(content):
            if not whole:
                raise NeedMoreError
            left = len(content) - element.start
            refuse_damaged(f"an element claims {element.length} bytes where {left} are left (truncated?)")
        if element.tag in wanted:
            if element.tag in _SEQUENCES:
                sequences[element.tag] = content[place:after]
            elif element.length <= _LONGEST:
                values[element.tag] = content[element.start : after]
        place = after
    if not whole:
        raise NeedMoreError
    if place != len(content):
        refuse_damaged("the header ends within an element (truncated?)")
    return Header(values, None, sequences)


def _is_implicit(values: Mapping[int, bytes]) -> bool:
    return values.get(SYNTAX, b"").rstrip(b"\0 ") == IMPLICIT


def _after(content: bytes, place: int, element: Element, *, has_kinds: bool) -> int:
    """Return where the next element begins."""
    if element.length != OPEN:
        return element.start + element.length
    # A sequence of unknown kind is stored without kinds (DICOM PS3.5, 6.2.2).
    inside = has_kinds and content[place + 4 : place + 6] != b"UN"
    return behind(content, element.start, has_kinds=inside)


def element_at(content: bytes, place: int, *, has_kinds: bool) -> Element:
    """Return the element that begins at `place`, of which eight bytes must be there.

    Raises:
        NeedMoreError: it goes on behind `content`.
        InputError: no element.

    """
    group, number = _TAG.unpack_from(content, place)
    tag = group << 16 | number
    if not has_kinds or group == 0xFFFE:
        return Element(tag, place + 8, _LONG.unpack_from(content, place + 4)[0])
    kind = content[place + 4 : place + 6]
    if kind not in _LONG_KINDS:
        if not kind.isalpha():
            refuse_damaged("the DICOM header cannot be parsed")
        return Element(tag, place + 8, _SHORT.unpack_from(content, place + 6)[0])
    if place + 12 > len(content):
        raise NeedMoreError
    return Element(tag, place + 12, _LONG.unpack_from(content, place + 8)[0])


def behind(content: bytes, place: int, *, has_kinds: bool, depth: int = 0) -> int:
    """Return where a sequence or an item of open length ends, which begins at `place`.

    Raises:
        NeedMoreError: it goes on behind `content`.
        InputError: nested too deeply, or no elements.

    """
    if depth > DEEPEST:
        refuse_damaged(f"sequences nested deeper than {DEEPEST} levels")
    while place + 8 <= len(content):
        tag, start, length = element_at(content, place, has_kinds=has_kinds)
        if tag in {END_OF_ITEM, END_OF_SEQUENCE}:
            return start
        place = (
            behind(content, start, has_kinds=has_kinds, depth=depth + 1) if length == OPEN else start + length
        )
    raise NeedMoreError


def walked_file(file: BinaryIO, size: int, wanted: Collection[int], *, most: int, longest: int) -> Header:
    """Walk through an open file of `size` bytes, reading as little of it as will do.

    Args:
        file: the file.
        size: of it.
        wanted: tags whose values are kept.
        most: elements, the limit.
        longest: bytes before the pixels, the limit.

    Raises:
        InputError: damaged, or more elements or a longer header than the limit.

    """
    length = _FIRST
    while True:
        file.seek(0)
        content = file.read(length)
        is_whole = len(content) >= size
        try:
            return walked(content, wanted, most=most, whole=is_whole)
        except NeedMoreError:
            if is_whole or len(content) < length:
                refuse_damaged("the header ends within an element (truncated?)")
            if length >= longest:
                refuse_damaged(f"the header has more than {longest} bytes, the limit")
            length = min(length * 8, longest)
