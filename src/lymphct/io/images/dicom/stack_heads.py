"""The volumes of a multi-frame file of an export, by its functional groups alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lymphct.io.images.dicom import functional_groups as groups
from lymphct.io.images.dicom.elements import AGENTS, IMPLICIT
from lymphct.io.images.dicom.file_head import FileHead, SeriesTags, StackHead
from lymphct.io.images.dicom.frames import Frame, frames_of
from lymphct.io.images.dicom.functional_groups import sequence_items
from lymphct.io.images.dicom.moments import moment_of, time_of_day
from lymphct.io.images.dicom.naming import printable, text_of
from lymphct.io.images.limits import DicomLimits


def stack_heads(
    sequences: Mapping[int, bytes], head: FileHead, begun: str, limits: DicomLimits, *, is_part: bool
) -> tuple[StackHead, ...]:
    """Return what is known of each volume of a file.

    Args:
        sequences: its functional groups, dimensions and contrast agents, as bytes.
        head: of the file, with tags.
        begun: when its acquisition began, as DICOM writes date and time; empty when unknown.
        limits: of frames and elements.
        is_part: whether the file is a part of a concatenation.

    Raises:
        InputError: as `frames_of`.

    """
    tags = head.tags
    if tags is None:
        return ()
    has_kinds = tags.syntax != IMPLICIT.decode("ascii")
    frames = frames_of(sequences, tags.frames, limits, has_kinds=has_kinds, is_part=is_part)
    bolus = _bolus(sequences, limits, has_kinds=has_kinds)
    if math.isfinite(bolus):
        tags = replace(tags, bolus=bolus)
    stacks: dict[str, list[Frame]] = {}
    for frame in frames:
        stacks.setdefault(frame.stack, []).append(frame)
    return tuple(
        StackHead(
            tags=_tags(tags, members),
            slices=len(members),
            acquisition=members[0].acquisition or head.acquisition,
            time=_time(members, moment_of(begun) if begun else head.time),
        )
        for members in stacks.values()
    )


def _tags(tags: SeriesTags, frames: Sequence[Frame]) -> SeriesTags:
    """Return the tags of a series with what its frames say: where they differ the reader refuses them."""
    first = frames[0]
    agents = {frame.agent for frame in frames}
    return replace(
        tags,
        image_type=tuple(printable(word)[:16] for word in first.kind) or tags.image_type,
        kernel=_known_kernel(first.kernel) or tags.kernel,
        orientation=first.orientation,
        spacing=first.spacing,
        frames=len(frames),
        agent=printable(first.agent.upper())[:16] if len(agents) == 1 else "",
        stack=first.stack,
    )


def _known_kernel(text: str) -> str:
    return printable(text.split("\\", maxsplit=1)[0])[:16]


def _time(frames: Sequence[Frame], otherwise: float) -> float:
    times = [moment_of(frame.time) for frame in frames if frame.time]
    return min((time for time in times if math.isfinite(time)), default=otherwise)


def _bolus(sequences: Mapping[int, bytes], limits: DicomLimits, *, has_kinds: bool) -> float:
    """Return the time of day at which the first injection began; NaN when nothing tells."""
    agents = sequence_items(sequences, AGENTS, has_kinds=has_kinds, most=limits.group_elements)
    starts = [
        time_of_day(text_of(profile.values.get(groups.BOLUS, b"")))
        for agent in agents
        for profile in agent.items.get(groups.AGENT_PROFILES, [])
    ]
    return min((start for start in starts if math.isfinite(start)), default=math.nan)
