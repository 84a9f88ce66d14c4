"""A copy of one study, series by series: what is examined cannot change under the examination.

Every series gets a folder of its own, and names of folders and files, which may name the patient, are left
behind. The digest of the copy tells a study that was done from one that is new.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from lymphct.core.errors import InputError
from lymphct.core.system import move
from lymphct.io.images.dicom.file_head import FileHead
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.regular_file import combined_digest, open_regular
from lymphct.io.results.disk import environment_errors
from lymphct.patients.exports.grouping import series_of_heads
from lymphct.patients.serving.inbox import Arrived, Stamp
from lymphct.patients.serving.settings import ServingSettings

_PIECE: Final = 1 << 20
_OTHERS: Final = "others"


class ChangedError(Exception):
    """The study is no longer what it was when it was taken for complete."""


def copied(one: Arrived, inbox: Path, target: Path, pseudonyms: Pseudonyms, settings: ServingSettings) -> str:
    """Copy a study into an empty folder; return the digest of its files, whatever their names and order.

    Args:
        one: the study.
        inbox: folder in which its files lie.
        target: receives a folder per series.
        pseudonyms: for the names of the series.
        settings: limits of a study.

    Raises:
        ChangedError: a file came, went or changed meanwhile.
        InputError: too many files, or too large.
        EnvironmentProblemError: no space and the like.

    """
    _require_bearable(one, settings)
    heads = {}
    for place, stamp in sorted(one.files.items()):
        head = read_head(inbox / place, pseudonyms, DicomLimits())
        if head.stamp != stamp:
            raise ChangedError(place)
        heads[place] = head
    folders = dict(_folders(heads, pseudonyms))
    digests = set()
    with environment_errors():
        for place, head in heads.items():
            digest = _copied_file(head, [target / name for name in sorted(folders[place])])
            _require_same(head.path, one.files[place])
            digests.add(digest)
    return combined_digest(sorted(digests))


def _require_bearable(one: Arrived, settings: ServingSettings) -> None:
    size = sum(size for size, _ in one.files.values())
    if len(one.files) > settings.study_files or size > settings.study_bytes:
        msg = (
            f"{len(one.files)} files of {size} bytes are no study (limits {settings.study_files} and "
            f"{settings.study_bytes})"
        )
        raise InputError(msg, code="E_TOO_LARGE", cure="send the series of the abdomen alone")


def _folders(heads: Mapping[str, FileHead], pseudonyms: Pseudonyms) -> Iterator[tuple[str, set[str]]]:
    """Yield the folders each file belongs to: that of its series; a damaged one lies beside all it lay by."""
    keys: dict[Path, str] = {}
    for series in series_of_heads(list(heads.values()), pseudonyms):
        keys |= dict.fromkeys(series.files, series.key)
    beside: dict[PurePosixPath, set[str]] = defaultdict(set)
    for place, head in heads.items():
        if head.path in keys:
            beside[PurePosixPath(place).parent].add(keys[head.path])
    for place, head in heads.items():
        if head.path in keys:
            yield place, {keys[head.path]}
        elif head.tags is None:
            yield place, beside[PurePosixPath(place).parent] or {_OTHERS}
        else:  # a copy of another file, which is enough
            yield place, set()


def _copied_file(head: FileHead, folders: list[Path]) -> str:
    """Copy a file under the digest of its content; return that. One that is empty or unreadable stays so."""
    content = hashlib.sha256()
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    outs = [folder / ".copying" for folder in folders]
    streams = [out.open("wb") for out in outs]
    try:
        for piece in _pieces(head):
            content.update(piece)
            for stream in streams:
                stream.write(piece)
    except InputError as error:  # it is refused where it is examined, and known again by its stamp
        if error.code == "E_MISSING":
            raise ChangedError(head.path.name) from None
        content.update(f"{error.code} {head.stamp}".encode("ascii"))
    finally:
        for stream in streams:
            stream.close()
    digest = content.hexdigest()
    for out in outs:
        move(out, out.with_name(f"{digest[:32]}.dcm"))
    return digest


def _pieces(head: FileHead) -> Iterator[bytes]:
    is_enhanced = head.tags is not None and head.tags.is_enhanced
    limit = DicomLimits().multiframe_bytes if is_enhanced else DicomLimits().file_bytes
    with open_regular(head.path, limit=limit) as (stream, _):
        while piece := stream.read(_PIECE):
            yield piece


def _require_same(path: Path, stamp: Stamp) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as the heads were read
    except FileNotFoundError:
        raise ChangedError(path.name) from None
    if (status.st_size, status.st_mtime_ns) != stamp:
        raise ChangedError(path.name)
