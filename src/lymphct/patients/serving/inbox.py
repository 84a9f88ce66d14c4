"""What lies in the watched folder: its files sorted into studies, and which of them are complete.

Nothing in the folder is ever changed. A study is complete when none of its files came, went or changed for a
while; that is measured between our own looks, so that the clock of a file server does not matter.
"""

import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.io.images.dicom.file_head import FileHead
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.index import INDEX_FILE
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.patients.exports.files import MOST_FILES

IMAGE: Final = "image"
DAMAGED: Final = "damaged"
OBJECT: Final = "object"
NO_DICOM: Final = "no DICOM"
_CLUTTER: Final = frozenset({INDEX_FILE, "Thumbs.db", "desktop.ini"})

UNLISTED: Final = "E_INBOX"
"""Code of the error when the folder cannot be listed; at the next look it may be."""

Stamp = tuple[int, int]
"""Size of a file, bytes, and the time of its last change, ns."""


class _Kind(NamedTuple):
    """What a file is: an image of CT, another object, damaged, or no DICOM; and the hash of its study."""

    kind: str
    study: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A study, or files of none, as they lie in the folder.

    Attributes:
        name: pseudonymous; `study-` or, for files of no study, `drop-`, and 16 hexadecimal digits.
        files: the files that count, by their place in the folder.

    """

    name: str
    files: Mapping[str, Stamp]

    @property
    def signature(self) -> str:
        """Return a digest of which files there are and when they were last changed."""
        lines = (f"{size} {changed} {place}" for place, (size, changed) in sorted(self.files.items()))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class Inbox:
    """The watched folder, looked at again and again; what a file is, is read once."""

    def __init__(
        self, folder: Path, pseudonyms: Pseudonyms, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._known: dict[str, tuple[Stamp, _Kind]] = {}
        self._since: dict[str, tuple[str, float]] = {}

    def look(self) -> list[Arrived]:
        """Return everything that has arrived, complete or not, by name.

        Raises:
            EnvironmentProblemError: the folder cannot be listed at this moment.
            InputError: it holds too many files.

        """
        stamps = self._stamps()
        known = {place: self._kind(place, stamp) for place, stamp in stamps.items()}
        self._known = {place: (stamps[place], kind) for place, kind in known.items()}
        arrived = [
            Arrived(name=name, files={place: stamps[place] for place in places})
            for name, places in sorted(_sorted(known, self._pseudonyms).items())
        ]
        self._watch(arrived)
        return arrived

    def quiet(self, one: Arrived) -> float:
        """Return for how many seconds nothing of a study has changed, as of the last look."""
        signature, since = self._since.get(one.name, ("", self._clock()))
        return self._clock() - since if signature == one.signature else 0.0

    def stir(self, name: str) -> None:
        """Take a study for changed just now: it was found to be, while it was copied."""
        self._since.pop(name, None)

    def _watch(self, arrived: list[Arrived]) -> None:
        now, since = self._clock(), {}
        for one in arrived:
            before = self._since.get(one.name)
            signature = one.signature
            since[one.name] = before if before and before[0] == signature else (signature, now)
        self._since = since

    def _stamps(self) -> dict[str, Stamp]:
        """List regular files; hidden ones are what transfers leave until they are whole, links lead away."""
        found: dict[str, Stamp] = {}
        try:
            for entry in _walked(self.folder):
                with suppress(FileNotFoundError):  # moved away between two steps
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(status.st_mode):
                        continue
                    place = Path(entry.path).relative_to(self.folder).as_posix()
                    found[place] = status.st_size, status.st_mtime_ns
                if len(found) > MOST_FILES:
                    msg = f"the folder holds more than {MOST_FILES} files"
                    raise InputError(msg, code="E_TOO_LARGE", cure="move out what is done")
        except OSError as error:
            msg = f"the watched folder cannot be listed ({error.strerror})"
            cure = "is its disk there?"
            raise EnvironmentProblemError(msg, code=UNLISTED, cure=cure) from None
        return found

    def _kind(self, place: str, stamp: Stamp) -> _Kind:
        before = self._known.get(place)
        if before is not None and before[0] == stamp:
            return before[1]
        return _kind_of(read_head(self.folder / place, self._pseudonyms, DicomLimits()))


def _walked(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    for entry in inside:
        if entry.name.startswith(".") or entry.name in _CLUTTER:
            continue
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _walked(Path(entry.path))
            except FileNotFoundError:  # the same; a folder that is there must be listed
                continue
        else:
            yield entry


def _kind_of(head: FileHead) -> _Kind:
    if head.tags is None:
        return _Kind(NO_DICOM if head.problem == "no DICOM" else DAMAGED, "")
    return _Kind(IMAGE if head.tags.is_ct_image else OBJECT, head.tags.study)


def _sorted(known: Mapping[str, _Kind], pseudonyms: Pseudonyms) -> dict[str, list[str]]:
    """Sort files into studies by their tags, whatever the folders; return name → places.

    A file that cannot be read may be a lost slice of the studies in its folder and goes with each of them,
    but not in the watched folder itself, where everybody's files may lie. Reports and other objects make no
    study new: what a PACS sends back is no reason to predict again.
    """
    studies: dict[str, list[str]] = defaultdict(list)
    objects: dict[str, list[str]] = defaultdict(list)
    beside: dict[str, set[str]] = defaultdict(set)
    for place, (kind, study) in known.items():
        if kind == IMAGE:
            studies[study].append(place)
            if _folder(place):
                beside[_folder(place)].add(study)
        elif kind == OBJECT:
            objects[study].append(place)
    for place, (kind, _) in known.items():
        for study in beside.get(_folder(place), ()) if kind == DAMAGED else ():
            studies[study].append(place)
    named = {f"study-{study}": places for study, places in {**objects, **studies}.items()}
    strays = _strays(known, set(beside))
    return named | {f"drop-{pseudonyms.hashed('drop', top)}": places for top, places in strays.items()}


def _strays(known: Mapping[str, _Kind], with_images: set[str]) -> dict[str, list[str]]:
    """Return the files that are nobody's, by what lies uppermost: they are told of, not passed over."""
    tops = {_top(place) for place, (kind, _) in known.items() if kind in {IMAGE, OBJECT}}
    strays: dict[str, list[str]] = defaultdict(list)
    for place, (kind, _) in known.items():
        is_lost = kind == DAMAGED and _folder(place) not in with_images
        if is_lost or (kind == NO_DICOM and _top(place) not in tops):
            strays[_top(place)].append(place)
    return strays


def _folder(place: str) -> str:
    """Return the folder of a file; empty for the watched folder itself."""
    return place.rpartition("/")[0]


def _top(place: str) -> str:
    return place.partition("/")[0]
