"""Multi-frame files of an export, taken apart into the volumes they hold."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lymphct.io.images.dicom.concatenation import missing_parts
from lymphct.io.images.dicom.file_head import FileHead, StackHead


def taken_apart(heads: Sequence[FileHead]) -> Iterator[FileHead]:
    """Yield one head per file and volume; files of one slice are yielded as they are.

    Each file of a concatenation belongs to every volume of it, be it without a slice: only together they tell
    whether one is missing, which is then a problem of all of them.
    """
    objects: dict[tuple[str, ...], list[FileHead]] = defaultdict(list)
    for head in heads:
        tags = head.tags
        if tags is None or not tags.is_enhanced:
            yield head
        else:
            objects[tags.person, tags.study, tags.series, tags.object_key].append(head)
    for parts in objects.values():
        yield from _of_one(parts)


def _of_one(parts: Sequence[FileHead]) -> Iterator[FileHead]:
    volumes: dict[str, StackHead] = {}
    for part in parts:
        for stack in part.stacks:
            volumes.setdefault(stack.tags.stack, stack)
    if not volumes:
        yield from parts
        return
    # A file and its copy are one part of a concatenation.
    numbers = {part.instance: part.part for part in parts if part.part != (0, 0)}
    wrong = missing_parts(numbers.values()) if numbers else ""
    for name, volume in volumes.items():
        for part in parts:
            own = next((stack for stack in part.stacks if stack.tags.stack == name), None)
            told = own or replace(volume, slices=0)
            yield replace(
                part,
                tags=replace(told.tags, bolus=volume.tags.bolus),
                acquisition=told.acquisition,
                time=told.time,
                slices=told.slices,
                stacks=(),
                is_shared=len(volumes) > 1,
                problem=part.problem or wrong,
            )
