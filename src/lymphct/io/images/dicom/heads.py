"""What a file of an export says of itself, in the first kilobytes: whose it is, what it shows, where it lies.

Names, ids and dates of birth are hashed here with the user's key; no text of them leaves this module, nor do
dates of examinations. Descriptions of series lose what names the patient.
"""

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.elements import (
    AGENTS,
    BIG_ENDIAN,
    DEFLATED,
    DIMENSIONS,
    FRAME_GROUPS,
    OPEN,
    PREAMBLE,
    SHARED_GROUPS,
    SYNTAX,
    Header,
    walked_file,
)
from lymphct.io.images.dicom.file_head import FileHead, SeriesTags
from lymphct.io.images.dicom.kinds import ENHANCED
from lymphct.io.images.dicom.moments import moment, time_of_day
from lymphct.io.images.dicom.naming import (
    names_somebody,
    naming,
    plain_name,
    printable,
    text_of,
    unnamed,
)
from lymphct.io.images.dicom.stack_heads import stack_heads
from lymphct.io.images.dicom.values import refuse_damaged
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.regular_file import open_regular

_CLASS: Final = 0x00080016
_NAME, _ID, _ISSUER, _BIRTH, _OTHER = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00101000
_ACCESSION: Final = 0x00080050
_STUDY, _SERIES, _FRAME = 0x0020000D, 0x0020000E, 0x00200052
_MODALITY, _IMAGE_TYPE, _DESCRIPTION, _NUMBER = 0x00080060, 0x00080008, 0x0008103E, 0x00200011
_KERNEL, _PROTOCOL = 0x00181210, 0x00181030
_ORIENTATION, _ROWS, _COLUMNS, _SPACING = 0x00200037, 0x00280010, 0x00280011, 0x00280030
_FRAMES, _BOLUS, _CENTER = 0x00280008, 0x00181042, 0x00080080
_SHARED: Final = (
    SYNTAX, _CLASS, _NAME, _ID, _ISSUER, _BIRTH, _OTHER, _ACCESSION, _STUDY, _SERIES, _FRAME, _MODALITY,
    _IMAGE_TYPE, _DESCRIPTION, _NUMBER, _KERNEL, _ORIENTATION, _ROWS, _COLUMNS, _SPACING, _FRAMES, _BOLUS,
)  # fmt: skip
"""Tags that all files of a series share, usually: they are understood once."""
_INSTANCE, _POSITION, _ACQUISITION = 0x00080018, 0x00200032, 0x00200012
_DATES: Final = (0x00080022, 0x00080023, 0x00080021, 0x00080020)
_TIMES: Final = (0x00080032, 0x00080033, 0x00080031, 0x00080030)
"""Of the acquisition, the image, the series, the study: the first that is there counts."""
_WHOLE, _PART, _PARTS, _MOMENT = 0x00209161, 0x00209162, 0x00209163, 0x0008002A
_OF_FRAMES: Final = (_WHOLE, _PART, _PARTS, _MOMENT, DIMENSIONS, SHARED_GROUPS, FRAME_GROUPS, AGENTS)
"""What only multi-frame files have, but for the last two."""
_WANTED: Final = frozenset((*_SHARED, _INSTANCE, _POSITION, _ACQUISITION, *_DATES, *_TIMES, *_OF_FRAMES))


def read_head(path: Path, pseudonyms: Pseudonyms, limits: DicomLimits) -> FileHead:
    """Read what a file says of itself; one that cannot be read is told of, not raised."""
    try:
        status = path.stat()
        stamp = status.st_size, status.st_mtime_ns
    except OSError as error:
        return FileHead(path=path, stamp=(0, 0), problem=f"the file may not be read ({error.strerror})")
    try:
        with open_regular(path, limit=limits.multiframe_bytes) as (file, size):
            if file.read(PREAMBLE)[128:] != b"DICM":
                return FileHead(path=path, stamp=stamp, problem="no DICOM")
            header = walked_file(file, size, _WANTED, most=limits.elements, longest=limits.file_bytes)
        _require_meaning(header, size, limits)
        head = _head(path, stamp, header, pseudonyms)
        return _with_stacks(head, header, pseudonyms, limits)
    except InputError as error:
        problem = "empty" if error.code == "E_EMPTY" else error.cause
        return FileHead(path=path, stamp=stamp, problem=problem)


def person_of_file(path: Path) -> tuple[str, str, str, str]:
    """Return id, its issuer, name and date of birth as a file has them: for the user's linkage file alone.

    Raises:
        InputError: the file cannot be read.

    """
    limits = DicomLimits()
    with open_regular(path, limit=limits.multiframe_bytes) as (file, size):
        values = walked_file(file, size, _WANTED, most=limits.elements, longest=limits.file_bytes).values
    found = [text_of(values.get(tag, b"")) for tag in (_ID, _ISSUER, _NAME, _BIRTH)]
    return found[0], found[1], found[2], found[3]


def _require_meaning(header: Header, size: int, limits: DicomLimits) -> None:
    """Refuse a file that nobody can say anything of."""
    if size > limits.file_bytes and text_of(header.values.get(_CLASS, b"")) not in ENHANCED:
        msg = f"the file is too large ({size} bytes, limit {limits.file_bytes})"
        raise InputError(msg, code="E_TOO_LARGE", cure="check that this is the right file")
    syntax = text_of(header.values.get(SYNTAX, b""))
    if not syntax:
        refuse_damaged("the DICOM header names no transfer syntax")
    if syntax in {BIG_ENDIAN, DEFLATED}:
        msg = "big-endian and deflated DICOM files are not looked at in an export"
        raise InputError(msg, code="ESYNTAX", cure="export them little-endian and without compression")
    if not header.values.get(_MODALITY):
        refuse_damaged("the DICOM header states no modality (truncated?)")


def _cut_off(header: Header, size: int) -> str:
    """Say that the file ends before its pixels do; nothing where it does not."""
    pixels = header.pixels
    if pixels is None or pixels.length == OPEN or pixels.start + pixels.length <= size:
        return ""
    left = size - pixels.start
    return f"incomplete or damaged file: the pixels claim {pixels.length} bytes where {left} are left"


def _head(path: Path, stamp: tuple[int, int], header: Header, pseudonyms: Pseudonyms) -> FileHead:
    values = header.values
    shared = tuple(values.get(tag, b"") for tag in _SHARED)
    people = _people(shared)
    instance = text_of(values.get(_INSTANCE, b""))
    return FileHead(
        path=path,
        stamp=stamp,
        tags=_tags(shared, pseudonyms),
        problem=_cut_off(header, stamp[0]),
        is_named=names_somebody(str(path.parent), people) or names_somebody(path.name, people),
        instance=pseudonyms.hashed("instance", instance) if instance else "",
        position=_numbers(values.get(_POSITION, b""), 3),
        acquisition=_whole(values.get(_ACQUISITION, b""), 0),
        time=_moment(values),
    )


def _with_stacks(head: FileHead, header: Header, pseudonyms: Pseudonyms, limits: DicomLimits) -> FileHead:
    """Tell the volumes of a multi-frame file apart; one whose frames cannot be read is told of."""
    if head.tags is None or not head.tags.is_enhanced:
        return head
    whole = text_of(header.values.get(_WHOLE, b""))
    tags = replace(head.tags, object_key=pseudonyms.hashed("object", whole) if whole else head.instance)
    part = _two_bytes(header.values.get(_PART, b"")), _two_bytes(header.values.get(_PARTS, b""))
    begun = text_of(header.values.get(_MOMENT, b""))
    try:
        if whole and part[0] < 1:
            refuse_damaged("a part of a concatenation does not say which it is (InConcatenationNumber)")
        stacks = stack_heads(header.sequences, replace(head, tags=tags), begun, limits, is_part=bool(whole))
    except InputError as error:
        return replace(head, tags=tags, problem=head.problem or error.cause)
    people = _people(tuple(header.values.get(tag, b"") for tag in _SHARED))
    told = tuple(
        replace(stack, tags=replace(stack.tags, kernel=unnamed(stack.tags.kernel, people)[:16]))
        for stack in stacks
    )
    return replace(head, tags=tags, stacks=told, part=part if whole else (0, 0))


@lru_cache(maxsize=1024)
def _tags(shared: tuple[bytes, ...], pseudonyms: Pseudonyms) -> SeriesTags:
    raw = dict(zip(_SHARED, shared, strict=True))

    def text(tag: int) -> str:
        return text_of(raw[tag])

    person_by, person = _person(raw)
    details = [plain_name(text(_NAME)), text(_BIRTH)]
    spacing = _numbers(raw[_SPACING], 2)
    return SeriesTags(
        person=pseudonyms.hashed("person", person_by, *person),
        person_by=person_by,
        details=pseudonyms.hashed("details", *details) if any(details) else "",
        study=pseudonyms.hashed("study", text(_STUDY)),
        series=pseudonyms.hashed("series", text(_SERIES)),
        frame=pseudonyms.hashed("frame", text(_FRAME)) if text(_FRAME) else "",
        modality=printable(text(_MODALITY).upper())[:16],
        sop_class=text(_CLASS),
        image_type=tuple(printable(part.strip().upper()) for part in text(_IMAGE_TYPE).split("\\")),
        kernel=unnamed(text(_KERNEL).split("\\")[0], _people(shared))[:16],
        syntax=text(SYNTAX),
        description=unnamed(text(_DESCRIPTION), _people(shared)),
        number=_whole(raw[_NUMBER], 0),
        orientation=_numbers(raw[_ORIENTATION], 6),
        shape=(_two_bytes(raw[_COLUMNS]), _two_bytes(raw[_ROWS])),
        spacing=spacing[::-1],  # DICOM gives the step between rows first
        frames=_whole(raw[_FRAMES], 1),
        bolus=time_of_day(text(_BOLUS)),
    )


def _person(raw: dict[int, bytes]) -> tuple[str, tuple[str, ...]]:
    """Return by what a person is known, and that."""
    if text_of(raw[_ID]):
        return "id", (text_of(raw[_ISSUER]).casefold(), text_of(raw[_ID]).casefold())
    if plain_name(text_of(raw[_NAME])):
        return "name", (plain_name(text_of(raw[_NAME])), text_of(raw[_BIRTH]))
    return "study", (text_of(raw[_STUDY]) or text_of(raw[_SERIES]),)


@lru_cache(maxsize=1024)
def _people(shared: tuple[bytes, ...]) -> tuple[str, ...]:
    raw = dict(zip(_SHARED, shared, strict=True))
    ids = [part for tag in (_ID, _OTHER, _ACCESSION) for part in raw[tag].split(b"\\")]
    return naming(text_of(raw[_NAME]), map(text_of, ids), text_of(raw[_BIRTH]))


def _numbers(value: bytes, count: int) -> tuple[float, ...]:
    """Return `count` finite numbers; none when they are not there."""
    try:
        numbers = tuple(float(part) for part in value.rstrip(b"\0 ").split(b"\\"))
    except ValueError:
        return ()
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()


def _whole(value: bytes, default: int) -> int:
    try:
        return int(value.strip(b"\0 ") or default)
    except ValueError:
        return default


def _two_bytes(value: bytes) -> int:
    return int.from_bytes(value[:2], "little")


def _moment(values: dict[int, bytes]) -> float:
    """Return when an image was acquired, seconds; NaN when nothing tells."""
    day = next((text_of(values[tag]) for tag in _DATES if values.get(tag)), "")
    time = next((text_of(values[tag]) for tag in _TIMES if values.get(tag)), "")
    return moment(day, time)
