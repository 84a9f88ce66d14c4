"""The index of an exported folder (DICOMDIR): never followed, and noticed when it leads elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lymphct.core.patient import Notice
from lymphct.io.images.limits import DicomLimits
from lymphct.io.regular_file import open_regular

INDEX_FILE: Final = "DICOMDIR"

_FILE_ID: Final = b"\x04\x00\x00\x15CS"
"""ReferencedFileID; an index is always stored little-endian with explicit types."""
_OUTSIDE: Final = re.compile(rb"(^|[\\/])\.\.([\\/]|$)|^[\\/]|^[A-Za-z]:")


def index_notice(folder: Path, limits: DicomLimits) -> tuple[Notice, ...]:
    """Return the notice that the index of a folder names files outside it; nothing when it does not.

    Raises:
        InputError: the index cannot be read, or is beyond the limit of a DICOM file.

    """
    index = folder / INDEX_FILE
    if not index.is_file() or index.stat().st_size == 0:
        return ()
    with open_regular(index, limit=limits.file_bytes) as (file, _):
        content = file.read(limits.file_bytes)
    if not leads_outside(content):
        return ()
    text = f"the index of the folder ({INDEX_FILE}) names files outside it; it was not followed"
    return (Notice(code="index_leads_outside", text=text),)


def leads_outside(index: bytes) -> bool:
    """Tell whether an index names a file above its folder or by an absolute path."""
    names = _file_ids(index) if index[128:132] == b"DICM" else iter(index.split())
    return any(_OUTSIDE.search(name.strip(b"\0 ")) for name in names)


def _file_ids(index: bytes) -> Iterator[bytes]:
    place = index.find(_FILE_ID)
    while place >= 0:
        start = place + len(_FILE_ID) + 2
        length = int.from_bytes(index[start - 2 : start], "little")
        yield index[start : start + length]
        place = index.find(_FILE_ID, start)
