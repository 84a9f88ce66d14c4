"""A zipped series, unpacked within limits into a folder that is gone afterwards; no name of it is used."""

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from lymphct.core.errors import InputError
from lymphct.io.images.limits import DicomLimits, SafetyLimits
from lymphct.io.regular_file import open_regular
from lymphct.io.results.disk import environment_errors

_BLOCK: Final = 1 << 20
_ENCRYPTED: Final = 1
_PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def unpacked(archive: Path, limits: DicomLimits) -> Iterator[Path]:
    """Yield a temporary folder with the files of a zip archive, numbered in the order of their names.

    Raises:
        InputError: no zip archive, damaged, encrypted, or beyond the limits; what it claims is checked
            before anything is unpacked, what comes out while it is.
        EnvironmentProblemError: no space and the like.

    """
    with open_regular(archive, limit=SafetyLimits().file_bytes) as (file, _):
        try:
            packed = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
            _refuse("incomplete or damaged file: no readable zip archive")
        with packed, environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-") as name:
            for number, member in enumerate(_members(packed, limits), start=1):
                _unpack(packed, member, Path(name, f"{number:06d}"))
            yield Path(name)


def _members(packed: zipfile.ZipFile, limits: DicomLimits) -> list[zipfile.ZipInfo]:
    members = [member for member in packed.infolist() if not member.is_dir() and not _is_clutter(member)]
    total = sum(member.file_size for member in members)
    if len(members) > limits.files:
        _refuse(f"the archive holds {len(members)} files, limit {limits.files}", "E_TOO_LARGE")
    if total > limits.archive_bytes:
        _refuse(f"the archive unpacks to {total} bytes, limit {limits.archive_bytes}", "E_TOO_LARGE")
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            _refuse("the archive is encrypted")
        if member.compress_type not in _PACKINGS:
            _refuse("the archive is packed in a way that is not supported")
    return sorted(members, key=lambda member: member.filename)


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1] == "DICOMDIR"


def _unpack(packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    left = member.file_size
    with target.open("xb") as file:
        for block in _blocks(packed, member):
            left -= len(block)
            if left < 0:
                break
            file.write(block)
    if left != 0:
        _refuse("incomplete or damaged file: a part of the archive has another size than it claims")


def _blocks(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member; its checksum is verified at its end."""
    try:
        with packed.open(member) as source:
            while block := source.read(_BLOCK):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        _refuse("incomplete or damaged file: a part of the archive cannot be unpacked (checksum or stream)")


def _refuse(cause: str, code: str = "E_ZIP") -> NoReturn:
    raise InputError(cause, code=code, cure="give the folder of the series") from None
