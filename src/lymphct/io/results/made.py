"""A result is made from a recipe: once, whole or not at all, and again only when the recipe changes."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError, HeldError
from lymphct.io.results.fingerprints import (
    code_version,
    digest_file,
    digest_input,
    fingerprint,
    fingerprint_key,
    require_unchanged,
)
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.known import Known
from lymphct.io.results.store import (
    DONE_FILE,
    clean_leftovers,
    committed_folder,
    environment_errors,
    is_current,
    is_made_from,
    read_done,
)
from lymphct.io.results.superseded import brought_back, forget_superseded, set_aside_locked

logger = logging.getLogger(__name__)

SHARED: Final = 6 * 3600.0
"""Seconds a run waits for another that makes what both need; a registration is a matter of minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a result is made from: its inputs, its settings, and the code that makes it.

    Attributes:
        inputs: role → digest of a file, or the key of an upstream result (`key_of`).
        settings: what the result depends on.
        code: rooms ("imaging") or modules ("cascade.alignment") whose code counts, closed over their imports;
            the whole package if none is named.
        files: role → the inputs that are files or folders; their digests are in `inputs`, and must still be
            theirs when the result is committed.
        bundle: digest of the model bundle; empty when none was used.

    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: JSON
    code: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    bundle: str = ""

    @classmethod
    def of_files(
        cls,
        files: Mapping[str, Path],
        settings: JSON,
        code: tuple[str, ...],
        bundle: str = "",
        inputs: Mapping[str, str] | None = None,
    ) -> "Recipe":
        """Return the recipe of a result that is made from files, hashing them now.

        Args:
            files: role → file, or folder such as a DICOM series.
            settings: as in the class.
            code: the same.
            bundle: the same.
            inputs: role → key of what else it is made from.

        Raises:
            InputError: a file is missing or cannot be read.

        """
        digests = {role: digest_input(path) for role, path in files.items()}
        return cls(
            inputs={**digests, **(inputs or {})}, settings=settings, code=code, files=files, bundle=bundle
        )

    def fingerprint(self) -> dict[str, JSON]:
        """Return what `DONE.json` remembers of the recipe."""
        return fingerprint(self.inputs, self.settings, code_version(*self.code), self.bundle)

    @property
    def key(self) -> str:
        """One digest of inputs, settings, code and bundle; as a folder's name it lets runs share results."""
        return fingerprint_key(self.fingerprint())

    @property
    def variant(self) -> str:
        """A short digest of the settings alone: results of different settings lie side by side under it."""
        return fingerprint_key({"settings": self.settings})[:16]


def made(
    place: Path,
    recipe: Recipe,
    make: Callable[[Path], None],
    *,
    known: Known | None = None,
    patience: float = 0.0,
) -> Path:
    """Return the folder of a result, making it first unless it is there, whole and current.

    The place is claimed before `make` begins, so that one that cannot be written costs no work. Whatever
    stops the work leaves the older result, or nothing. A result that is damaged, or was made from something
    else, is made again, which is said.

    Args:
        place: the folder.
        recipe: what the result is made from.
        make: writes the result into the empty folder it is given.
        known: remembers the files of the result: those that were touched since, or are not known, are hashed;
            without it their sizes are looked at alone.
        patience: seconds to wait for another process that is making the result, which is then not made again.

    Raises:
        InputError: an input changed while the result was made.
        OutputInUseError: `place` holds something that is not ours, or another process is writing it.
        UsageError: `place` cannot be replaced as a whole (a mount point, the working directory).
        EnvironmentProblemError: no space, no permission and the like, also inside `make`.

    """
    deadline, is_told = time.monotonic() + patience, False
    while True:
        try:
            _make(place, recipe, make, known)
        except HeldError as error:
            if time.monotonic() >= deadline:
                raise
            if not is_told:
                logger.info("%s of %s: waiting, %s", place.name, place.parent.name, error.cause)
            is_told = True
        else:
            break
    if known is not None:
        known.keep(place)
    return place


def made_to_be_seen(place: Path, recipe: Recipe, make: Callable[[Path], None]) -> Path:
    """Do what `made` does for a result that people look at.

    One that was made from something else steps out of sight before the work begins (`superseded`): nobody
    takes it for this one after a failure.

    Args:
        place: as in `made`.
        recipe: the same.
        make: the same.

    Raises:
        InputError, OutputInUseError, UsageError, EnvironmentProblemError: as `made`.

    """
    _make(place, recipe, make, None, hides_older=True)
    return place


class _ReadyError(Exception):
    """Another process made the result between the look at it and the lock."""


def _make(
    place: Path,
    recipe: Recipe,
    make: Callable[[Path], None],
    known: Known | None,
    *,
    hides_older: bool = False,
) -> None:
    origin = recipe.fingerprint()

    def is_there() -> bool:
        return is_current(place, origin, verify=known is not None and not known.vouches(place))

    with suppress(EnvironmentProblemError):  # a result that is current needs no right to write beside it
        clean_leftovers(place)
    if is_there():
        return
    if hides_older and brought_back(place, origin):
        logger.info("%s: the result of these inputs and settings was kept, and is back", place.name)
        return
    is_broken = known is not None and (place / DONE_FILE).is_file() and read_done(place) is None
    if is_broken or is_made_from(place, origin):
        logger.warning("%s of %s is damaged and is made again", place.name, place.parent.name)
    elif read_done(place) is not None:
        changed = "%s of %s: its inputs, settings or code are others now, it is made again"
        logger.info(changed, place.name, place.parent.name)
    with (
        suppress(_ReadyError),
        _folder_above(place),
        committed_folder(place, origin, is_ours=is_broken) as staging,
    ):
        if is_there():
            raise _ReadyError
        if hides_older:
            set_aside_locked(place)
        make(staging)
        require_unchanged(recipe.files, recipe.inputs)
    if hides_older:
        forget_superseded(place)


@contextmanager
def _folder_above(place: Path) -> Iterator[None]:
    """Make the folder above a place; if it is new, it goes again when nothing came of the work."""
    was_there = place.parent.exists()
    with environment_errors():
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not was_there:
            with suppress(OSError):  # another result was made in it meanwhile
                place.parent.rmdir()
        raise


def key_of(place: Path) -> str:
    """Return the key of a committed result, an input of what is made from it: it covers recipe and content.

    Raises:
        InputError: there is no committed result.

    """
    return digest_file(place / DONE_FILE)
