"""Whether all parts of multi-frame objects are there that were cut into several files (concatenations)."""

from collections.abc import Iterable, Sequence

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.slice_header import SliceHeader

Part = tuple[int, int]
"""Number among the parts of a concatenation, from 1, and how many these are; 0 when unknown."""


def missing_parts(parts: Iterable[Part]) -> str:
    """Say what is wrong with the parts of one concatenation; nothing when they are whole.

    >>> missing_parts([(2, 3), (1, 3)])
    'parts of a concatenation are missing: 1 to 2 of 3 are there'
    """
    known = list(parts)
    numbers = sorted(number for number, _ in known)
    totals = {total for _, total in known} - {0}
    if len(totals) > 1 or numbers[0] < 1 or len(set(numbers)) < len(numbers):
        return "the parts of a concatenation contradict each other"
    count = max([numbers[-1], *totals])
    if numbers == list(range(1, count + 1)):
        return ""
    there = f"{numbers[0]} to {numbers[-1]}" if numbers[-1] - numbers[0] + 1 == len(numbers) else str(numbers)
    return f"parts of a concatenation are missing: {there} of {count} are there"


def require_whole(headers: Sequence[SliceHeader]) -> None:
    """Refuse slices that lack a part of the object they are of: a volume would end too early.

    Raises:
        InputError: `E_SLICES`.

    """
    parts: dict[str, dict[str, Part]] = {}
    for header in headers:
        if header.part != (0, 0):
            parts.setdefault(header.object_key, {})[header.digest] = header.part
    for of_one in parts.values():
        if wrong := missing_parts(of_one.values()):
            raise InputError(wrong, code="E_SLICES", cure="copy the complete series")
