"""The frames of one multi-frame CT: where each lies, how it becomes HU, and which of them belong together."""

import hashlib
import math
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from lymphct.core.errors import InputError
from lymphct.io.images.dicom import functional_groups as groups
from lymphct.io.images.dicom.elements import DIMENSIONS, FRAME_GROUPS, SHARED_GROUPS
from lymphct.io.images.dicom.functional_groups import Item, sequence_items
from lymphct.io.images.dicom.values import refuse_damaged
from lymphct.io.images.limits import DicomLimits

_PLACES: Final = frozenset({
    0x00200032, 0x00209057, 0x00201041, 0x00209301, 0x00189327, 0x00209113, 0x00200037, 0x00189313,
    0x00189318, 0x00189151, 0x00189074, 0x00200013, groups.STACK, groups.TEMPORAL, groups.ACQUISITION,
})  # fmt: skip
"""Dimensions that say where or when a frame is, or are looked at by themselves: they part no stacks."""
_KNOWN_TYPES: Final = frozenset({
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "VOLUME", "AXIAL", "LOCALIZER", "NONE", "MIXED",
    "ADDITION", "MAXIMUM", "MEAN", "MINIMUM", "RESAMPLED", "FILTERED", "SUBTRACTION",
})  # fmt: skip
"""Words of frame types that may be shown; others may hold anything."""
_BENT: Final = frozenset({"CURVED_MPR", "VOLUME_RENDER", "SURFACE_RENDER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the functional groups say of one frame.

    Attributes:
        number: its place in the pixels, from 0.
        position, orientation: LPS+ mm and two unit vectors.
        spacing: mm between columns, between rows.
        slope, intercept: HU = slope × stored + intercept.
        stack: what it shares with the frames it forms a volume with, in our words.
        acquisition: number of its acquisition; 0 when unknown.
        time: of its acquisition, as DICOM writes it; empty when unknown.
        kind: frame type, then how its volume was computed; empty when unknown.
        kernel: name of the kernel, or its group; empty when unknown.
        agent: phase of the contrast agent; empty when unknown.

    """

    number: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    slope: float
    intercept: float
    stack: str
    acquisition: int = 0
    time: str = ""
    kind: tuple[str, ...] = ()
    kernel: str = ""
    agent: str = ""


def frames_of(
    sequences: Mapping[int, bytes], count: int, limits: DicomLimits, *, has_kinds: bool, is_part: bool
) -> tuple[Frame, ...]:
    """Read the functional groups of an object, shared and per frame.

    Frames of different stacks, temporal positions, frame types or other indices that are no place differ in
    `stack`. Where two of one stack lie at one place, the numbers of their acquisitions tell stacks
    apart if they part them wholly; what they do not part is refused where it is stacked.

    Args:
        sequences: those of the object, as bytes.
        count: frames that its header claims.
        limits: of frames and elements.
        has_kinds: whether elements state their kind.
        is_part: whether the object is a part of a concatenation, whose other parts nobody sees here.

    Raises:
        InputError: missing or damaged groups, values that cannot be, or beyond the limits.

    """
    if not 1 <= count <= limits.frames:
        msg = f"the file claims {count} frames, 1 to {limits.frames} are read"
        raise InputError(msg, code="E_TOO_LARGE", cure="export one file per slice")

    def items(tag: int) -> list[Item]:
        return sequence_items(sequences, tag, has_kinds=has_kinds, most=limits.group_elements)

    own, shared = items(FRAME_GROUPS), items(SHARED_GROUPS)
    if len(own) != count:
        refuse_damaged(f"the file claims {count} frames and describes {len(own)} (functional groups)")
    if len(shared) > 1:
        refuse_damaged(f"{len(shared)} items of shared functional groups where one belongs")
    pointers = [_unsigned(item.values.get(groups.POINTER, b""), "<HH") for item in items(DIMENSIONS)]
    dimensions = [(pair[0] << 16 | pair[1]) if pair else 0 for pair in pointers]
    common = shared[0] if shared else Item()
    frames = [_Reader(number, count, own[number], common).frame(dimensions) for number in range(count)]
    return tuple(frames if is_part else _by_acquisition(frames))


def _by_acquisition(frames: Sequence[Frame]) -> list[Frame]:
    """Part stacks whose frames lie on top of one another by the number of their acquisition, if it does."""
    stacks: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        stacks[frame.stack].append(frame)
    parted = set()
    for name, members in stacks.items():
        parts: dict[int, list[Frame]] = defaultdict(list)
        for frame in members:
            parts[frame.acquisition].append(frame)
        if _overlap(members) and not any(map(_overlap, parts.values())):
            parted.add(name)
    return [
        replace(frame, stack=_named([frame.stack, f"acquisition {frame.acquisition}"]))
        if frame.stack in parted
        else frame
        for frame in frames
    ]


def _overlap(frames: Sequence[Frame]) -> bool:
    return len({tuple(round(value, 2) for value in frame.position) for frame in frames}) < len(frames)


def _named(words: Sequence[str]) -> str:
    return ", ".join(word for word in words if word)


class _Reader:
    """Reads one frame: of each group its own, or what all frames share."""

    def __init__(self, number: int, count: int, own: Item, shared: Item) -> None:
        self.number, self.count, self.own, self.shared = number, count, own, shared

    def frame(self, dimensions: Sequence[int]) -> Frame:
        if self.text(groups.RESCALES, groups.RESCALE_TYPE).upper() not in {"", "HU"}:
            self.refuse("holds values that are not HU (RescaleType)", "E_NOT_HU", "export the CT in HU")
        kind = self.kind()
        spacing = self.numbers(
            groups.MEASURES, groups.SPACING, 2, ("pixel spacing (PixelSpacing)", "E_SPACING")
        )
        if min(spacing) <= 0:
            self.refuse(f"has a pixel spacing {spacing} mm that is zero or negative", "E_SPACING")
        rescale = "rescale to HU ({})"
        (slope,) = self.numbers(
            groups.RESCALES, groups.SLOPE, 1, (rescale.format("RescaleSlope"), "E_SCALING")
        )
        if slope == 0:
            self.refuse("has a rescale slope of zero: it holds no HU", "E_SCALING")
        (intercept,) = self.numbers(
            groups.RESCALES, groups.INTERCEPT, 1, (rescale.format("RescaleIntercept"), "E_SCALING")
        )
        times = (self.text(groups.CONTENTS, tag) for tag in (groups.ACQUIRED, groups.REFERENCED))
        kernels = (self.text(groups.RECONSTRUCTIONS, tag) for tag in (groups.KERNEL, groups.KERNEL_GROUP))
        acquisition = _unsigned(self.raw(groups.CONTENTS, groups.ACQUISITION), "<H")
        return Frame(
            number=self.number,
            position=self.numbers(
                groups.POSITIONS, groups.POSITION, 3, ("position (ImagePositionPatient)", "E_POSITION")
            ),
            orientation=self.numbers(
                groups.ORIENTATIONS,
                groups.ORIENTATION,
                6,
                ("orientation (ImageOrientationPatient)", "E_POSITION"),
            ),
            spacing=(spacing[1], spacing[0]),  # DICOM gives the step between rows first
            slope=slope,
            intercept=intercept,
            stack=self.stack(dimensions, kind),
            acquisition=acquisition[0] if acquisition else 0,
            time=next(filter(None, times), ""),
            kind=kind,
            kernel=next(filter(None, kernels), ""),
            agent=self.text(groups.USAGES, groups.AGENT_PHASE),
        )

    def kind(self) -> tuple[str, ...]:
        """Return the frame type, and how the volume it is of was computed; bent ones have no grid."""
        kind = self.text(groups.FRAME_TYPES, groups.FRAME_TYPE).upper().split("\\")
        technique = self.text(groups.FRAME_TYPES, groups.TECHNIQUE).upper()
        if self.text(groups.FRAME_TYPES, groups.PROPERTIES).upper() == "DISTORTED" or technique in _BENT:
            self.refuse("is rendered or reformatted along a curve", "E_POSITION", "give the axial series")
        return tuple(word.strip() for word in (*kind, technique) if word.strip())

    def stack(self, dimensions: Sequence[int], kind: Sequence[str]) -> str:
        """Return what parts frames into stacks, in words that quote no text of the file."""
        raw = self.raw(groups.CONTENTS, groups.DIMENSION_VALUES)
        values = _unsigned(raw, f"<{len(raw) // 4}L")
        if dimensions and values and len(values) != len(dimensions):
            self.refuse("has another number of dimension indices than the file", "E_DICOM")
        indices = dict(zip(dimensions, values, strict=False))
        temporal = _unsigned(self.raw(groups.CONTENTS, groups.TEMPORAL), "<L")
        when = temporal[0] if temporal else indices.get(groups.TEMPORAL)
        name = self.text(groups.CONTENTS, groups.STACK)
        words = [
            f"stack {_shown(name)}" if name else "",
            "" if when is None else f"temporal position {when}",
            " ".join(word if word in _KNOWN_TYPES else _shown(word) for word in kind).lower(),
        ]
        others = [
            f"dimension {place} index {index}"
            for place, (tag, index) in enumerate(zip(dimensions, values, strict=False), start=1)
            if tag not in _PLACES
        ]
        return _named([*words, *others])

    def raw(self, group: int, tag: int) -> bytes:
        """Return a value of a group; a frame's own group and a shared one may not contradict each other."""
        found = []
        for items in (self.own.items.get(group), self.shared.items.get(group)):
            if items is not None and len(items) > 1 and group not in {groups.USAGES, groups.RECONSTRUCTIONS}:
                self.refuse(f"has {len(items)} items of a functional group where one belongs", "E_DICOM")
            if items and tag in items[0].values:
                found.append(items[0].values[tag])
        if len(found) > 1 and found[0] != found[1]:
            self.refuse("has a functional group that contradicts the shared one", "E_DICOM")
        return found[0] if found else b""

    def text(self, group: int, tag: int) -> str:
        return self.raw(group, tag).strip(b"\0 ").decode("latin-1")

    def numbers(self, group: int, tag: int, count: int, what: tuple[str, str]) -> tuple[float, ...]:
        """Return `count` finite numbers, or refuse the frame: `what` names them, and the code."""
        try:
            numbers = tuple(float(part) for part in self.raw(group, tag).rstrip(b"\0 ").split(b"\\"))
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            self.refuse(f"has no valid {what[0]}", what[1])
        return numbers

    def refuse(self, what: str, code: str, cure: str = "export the original CT series again") -> NoReturn:
        msg = f"frame {self.number + 1} of {self.count} {what}"
        raise InputError(msg, code=code, cure=cure)


def _shown(text: str) -> str:
    """Return a name as it is when it is a number, else a digest of it: it may hold anything."""
    if text.isascii() and text.isdigit() and len(text) < 6:
        return str(int(text))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]


def _unsigned(value: bytes, kind: str) -> tuple[int, ...]:
    """Return whole numbers of a value; none where it is of another length."""
    return struct.unpack(kind, value) if len(value) == struct.calcsize(kind) else ()
