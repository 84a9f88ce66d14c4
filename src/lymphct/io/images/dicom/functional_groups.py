"""Sequences of a multi-frame object, walked through without a library, within a budget.

A file of 300 frames has 10,000 elements in its functional groups (PS3.3 C.7.6.16), of which twenty per
frame matter: what is wanted is kept as bytes, all else is stepped over.
"""

import struct
from collections.abc import Mapping
from typing import Final

from lymphct.io.images.dicom.elements import (
    DEEPEST,
    END_OF_ITEM,
    END_OF_SEQUENCE,
    ITEM,
    OPEN,
    NeedMoreError,
    behind,
    element_at,
)
from lymphct.io.images.dicom.values import refuse_damaged

POSITIONS, ORIENTATIONS, MEASURES, RESCALES = 0x00209113, 0x00209116, 0x00289110, 0x00289145
CONTENTS, FRAME_TYPES, RECONSTRUCTIONS, USAGES = 0x00209111, 0x00189329, 0x00189314, 0x00189341
AGENT_PROFILES: Final = 0x00189340
SEQUENCES: Final = frozenset({
    POSITIONS, ORIENTATIONS, MEASURES, RESCALES, CONTENTS, FRAME_TYPES, RECONSTRUCTIONS, USAGES,
    AGENT_PROFILES,
})  # fmt: skip
"""Sequences that are looked into."""

POSITION, ORIENTATION, SPACING = 0x00200032, 0x00200037, 0x00280030
INTERCEPT, SLOPE, RESCALE_TYPE = 0x00281052, 0x00281053, 0x00281054
STACK, TEMPORAL, DIMENSION_VALUES, ACQUISITION = 0x00209056, 0x00209128, 0x00209157, 0x00209156
ACQUIRED, REFERENCED = 0x00189074, 0x00189151
FRAME_TYPE, PROPERTIES, TECHNIQUE = 0x00089007, 0x00089206, 0x00089207
KERNEL, KERNEL_GROUP, AGENT_PHASE, BOLUS = 0x00181210, 0x00189316, 0x00189344, 0x00181042
POINTER: Final = 0x00209165
_LEAVES: Final = frozenset({
    POSITION, ORIENTATION, SPACING, INTERCEPT, SLOPE, RESCALE_TYPE, STACK, TEMPORAL, DIMENSION_VALUES,
    ACQUISITION, ACQUIRED, REFERENCED, FRAME_TYPE, PROPERTIES, TECHNIQUE, KERNEL, KERNEL_GROUP, AGENT_PHASE,
    BOLUS, POINTER,
})  # fmt: skip
"""Values that are kept."""
_LONGEST: Final = 1024
"""Bytes of a value that is kept."""


class Item:
    """One item of a sequence.

    Attributes:
        values: wanted values by tag.
        items: those of the sequences that are looked into.

    """

    __slots__ = ("items", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}
        self.items: dict[int, list[Item]] = {}


def sequence_items(sequences: Mapping[int, bytes], tag: int, *, has_kinds: bool, most: int) -> list[Item]:
    """Return the items of a sequence; none where the object does not have it.

    Args:
        sequences: the sequences of the object, as bytes from their tags on.
        tag: of the sequence.
        has_kinds: whether elements state their kind: all transfer syntaxes but one say so.
        most: elements and items in it at any depth, the limit.

    Raises:
        InputError: damaged, or beyond the limit.

    """
    content = sequences.get(tag)
    if content is None:
        return []
    walk = _Walk(content, most)
    try:
        return walk.sequence(0, has_kinds, 0)[0]
    except (NeedMoreError, struct.error, RecursionError):
        refuse_damaged("a sequence ends within an element (truncated?)")


class _Walk:
    """Walks through the bytes of one sequence and counts what it meets."""

    def __init__(self, content: bytes, most: int) -> None:
        self.content, self.most, self.count = content, most, 0

    def sequence(self, place: int, has_kinds: bool, depth: int) -> tuple[list[Item], int]:  # noqa: FBT001
        """Return the items of the sequence whose tag is at `place`, and where the next element begins."""
        if depth > DEEPEST:
            refuse_damaged(f"sequences nested deeper than {DEEPEST} levels")
        element = element_at(self.content, place, has_kinds=has_kinds)
        # A sequence of unknown kind is stored without kinds (PS3.5, 6.2.2).
        inside = has_kinds and self.content[place + 4 : place + 6] != b"UN"
        end = self._end(element.start, element.length)
        place = element.start
        items: list[Item] = []
        while place < end:
            tag, place, length = element_at(self.content, place, has_kinds=False)
            if tag == END_OF_SEQUENCE and element.length == OPEN:
                return items, place
            if tag != ITEM:
                refuse_damaged("a sequence holds something else than items")
            item, place = self._item(place, length, inside, depth)
            items.append(item)
        if element.length == OPEN or place != end:
            raise NeedMoreError
        return items, place

    def _item(self, place: int, length: int, has_kinds: bool, depth: int) -> tuple[Item, int]:  # noqa: FBT001
        self._count()
        found, end = Item(), self._end(place, length)
        while place < end:
            element = element_at(self.content, place, has_kinds=has_kinds)
            if element.tag == END_OF_ITEM and length == OPEN:
                return found, element.start
            self._count()
            if element.tag in SEQUENCES:
                found.items[element.tag], place = self.sequence(place, has_kinds, depth + 1)
                continue
            if element.length == OPEN:
                inside = has_kinds and self.content[place + 4 : place + 6] != b"UN"
                place = behind(self.content, element.start, has_kinds=inside)
                continue
            place = self._end(element.start, element.length)
            if element.tag in _LEAVES and element.length <= _LONGEST:
                found.values[element.tag] = self.content[element.start : place]
        if length == OPEN or place != end:
            raise NeedMoreError
        return found, place

    def _count(self) -> None:
        self.count += 1
        if self.count > self.most:
            refuse_damaged(f"more than {self.most} data elements and items in a sequence, the limit")

    def _end(self, start: int, length: int) -> int:
        """Return where something ends that may not end behind the sequence."""
        end = len(self.content) if length == OPEN else start + length
        if end > len(self.content):
            raise NeedMoreError
        return end
