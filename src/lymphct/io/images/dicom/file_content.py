"""The content of a DICOM file behind limits, and its elements up to the pixels."""

import struct
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.elements import DEFLATED, FRAME_GROUPS, OPEN, PREAMBLE, SHARED_GROUPS
from lymphct.io.images.dicom.kinds import ENHANCED
from lymphct.io.images.dicom.values import refuse_damaged
from lymphct.io.images.limits import DicomLimits
from lymphct.io.regular_file import open_regular

_PIXEL_GROUP: Final = 0x7FE0
_META_BYTES: Final = 4096
"""Read before it is known how large a file may be: the group of meta data says what it is."""
_CLASS_OF_FILE, _SYNTAX_OF_FILE = 0x02, 0x10


def file_content(path: Path, limits: DicomLimits) -> bytes | str:
    """Return the bytes of a DICOM file, or what else the file is; the limits are those of DICOM files.

    Raises:
        InputError: it cannot be read, or is too large.

    """
    try:
        with open_regular(path, limit=sys.maxsize) as (file, size):
            content = file.read(PREAMBLE)
            if content[128:] != b"DICM":
                return "no DICOM"
            content += file.read(_META_BYTES)
            is_enhanced = _meta(content).get(_CLASS_OF_FILE) in ENHANCED
            limit = limits.multiframe_bytes if is_enhanced else limits.file_bytes
            if size <= limit:
                return content + file.read(limit)
    except InputError as error:
        if error.code != "E_EMPTY":
            raise
        return "empty"
    msg = f"the file is too large ({size} bytes, limit {limit})"
    raise InputError(msg, code="E_TOO_LARGE", cure="export one file per slice")


def transfer_syntax(content: bytes) -> str:
    """Return the transfer syntax that the file names.

    Raises:
        InputError: it names none.

    """
    syntax = _meta(content).get(_SYNTAX_OF_FILE, "")
    if not syntax:
        refuse_damaged("the DICOM header names no transfer syntax")
    return syntax


def _meta(content: bytes) -> dict[int, str]:
    """Return class and transfer syntax by the file's meta group, which is always explicit, little-endian."""
    place, found = PREAMBLE, {}
    while _SYNTAX_OF_FILE not in found and place + 8 <= len(content):
        group, element, kind = struct.unpack_from("<HH2s", content, place)
        if group != 2:
            break
        if kind in {b"OB", b"OW", b"UN", b"SQ", b"UT"}:
            length, start = int.from_bytes(content[place + 8 : place + 12], "little"), place + 12
        else:
            length, start = int.from_bytes(content[place + 6 : place + 8], "little"), place + 8
        if element in {_CLASS_OF_FILE, _SYNTAX_OF_FILE}:
            found[element] = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        place = start + length
    return {element: value for element, value in found.items() if value}


def parsed(content: bytes, syntax: str, limits: DicomLimits, tags: list[int]) -> Dataset:
    """Parse the elements of these tags, up to the pixels; each other element is skipped unread.

    Raises:
        InputError: damaged, deflated, or more elements than the limit.

    """
    if syntax == DEFLATED:
        msg = "deflated DICOM files (transfer syntax) are not supported"
        raise InputError(msg, code="E_SYNTAX", cure="export without compression")
    stream = BytesIO(content[: limits.file_bytes])  # more is no header, whatever the file says
    try:
        dataset: Dataset = read_partial(
            stream, stop_when=_guard(stream, len(content), limits), specific_tags=tags
        )
    except InputError:
        raise
    except (Exception, RecursionError):  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
        refuse_damaged("the DICOM header cannot be parsed")
    return dataset


def _guard(stream: BytesIO, size: int, limits: DicomLimits) -> Callable[[BaseTag, str | None, int], bool]:
    """Return what pydicom asks before it reads each value; it would take what is left of a cut-off one."""
    count = 0

    def stop(tag: BaseTag, _kind: str | None, length: int) -> bool:
        nonlocal count
        count += 1
        if count > limits.elements:
            refuse_damaged(f"more than {limits.elements} data elements, the limit")
        left = size - stream.tell()
        if length != OPEN and length > left:
            refuse_damaged(f"an element claims {length} bytes where {left} are left (truncated?)")
        # The groups of many frames are walked through by our own code, within a budget.
        return int(tag) >> 16 >= _PIXEL_GROUP or int(tag) in {SHARED_GROUPS, FRAME_GROUPS}

    return stop
