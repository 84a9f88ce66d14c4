"""What a segmentation consists of: layers of numbers, and segments that name them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.geometry import Geometry

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Code = tuple[str, str, str]
"""Scheme, value and meaning of a coded word, as ("SCT", "59441001", "Lymph node")."""

TERMINOLOGY: Final = "TerminologyEntry"
"""Tag of a segment that holds its coded words."""
STATUS: Final = "Segmentation.Status"
"""Tag of a segment that holds how far its reader is: notstarted, inprogress, completed or flagged."""

_CONTEXT: Final = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS: Final = "Anatomic codes - DICOM master list"
_CODE: Final = re.compile(r"([^~^]*)\^([^~^]*)\^([^~^]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminology:
    """The coded words of a segment.

    Attributes:
        category: such as Anatomical Structure.
        kind: the type within it, such as Lymph node.
        region: where it is, such as Pancreas; None where the words do not say.

    """

    category: Code
    kind: Code
    region: Code | None = None

    def entry(self) -> str:
        """Return what 3D Slicer writes into the tag `TerminologyEntry`.

        >>> Terminology(category=("SCT", "1", "A"), kind=("SCT", "2", "B")).entry().count("~")
        6
        """
        none = "^^"
        words = [_CONTEXT, "^".join(self.category), "^".join(self.kind), none, _REGIONS]
        return "~".join([*words, none if self.region is None else "^".join(self.region), none])


def parsed_terminology(entry: str) -> Terminology | None:
    """Read the tag `TerminologyEntry`; None where it holds no coded words.

    >>> parsed_terminology("list~SCT^1^A~SCT^2^B~^^~list~^^~^^").kind
    ('SCT', '2', 'B')
    >>> parsed_terminology("tissue") is None
    True
    """
    codes = [_CODE.fullmatch(part) for part in entry.split("~")]
    if len(codes) < 3 or codes[1] is None or codes[2] is None:
        return None
    region = codes[5] if len(codes) > 5 else None
    return Terminology(
        category=_code(codes[1]),
        kind=_code(codes[2]),
        region=_code(region) if region is not None and region[2] else None,
    )


def _code(match: re.Match[str]) -> Code:
    return match[1], match[2], match[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One thing that is drawn.

    Attributes:
        identifier: its own in the file, kept by viewers when it is renamed; empty where the file has none.
        name: what a reader sees and changes.
        value: its number in its layer, from 1.
        layer: which layer it lies in, from 0.
        color: on the screen; None leaves it to the viewer.
        terminology: its coded words; None where it has none.
        tags: what else the file says of it.

    """

    identifier: str
    name: str
    value: int
    layer: int = 0
    color: Color | None = None
    terminology: Terminology | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Segments on a grid.

    Attributes:
        geometry: the grid.
        layers: whole numbers [layer, i, j, k]; 0 is nothing.
        segments: in the order of the file.

    """

    geometry: Geometry
    layers: AnyArray
    segments: tuple[Segment, ...]

    def mask(self, segment: Segment) -> BoolArray:
        """Return where a segment lies, [i, j, k]."""
        inside: BoolArray = np.asarray(self.layers[segment.layer] == segment.value)
        return inside
