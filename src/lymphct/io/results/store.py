"""Results appear whole or not at all: staging, `DONE.json`, rename; one process per folder.

A folder is prepared beside its target as `.<name>.staging-<pid>`, synced to the disk and renamed into place.
A kill or a power cut leaves either the old result, the new one, or hidden leftovers that the next commit
(or `clean_stale_staging`) recognises by a lock that nobody holds, and removes or puts back.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lymphct.core.errors import InputError, LymphctError, OutputInUseError, UsageError
from lymphct.core.system import move, sync
from lymphct.io.results.disk import (
    check_writable_file,
    environment_errors,
    replace_file,
    write_synced,
)
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, format_json, read_json
from lymphct.io.results.locks import exclusive_lock, locked

__all__ = [
    "DONE_FILE",
    "TIMINGS_FILE",
    "check_writable_file",
    "clean_leftovers",
    "clean_stale_staging",
    "committed_folder",
    "discard_folder",
    "environment_errors",
    "holds_a_result",
    "is_current",
    "is_made_from",
    "locked",
    "read_done",
    "replace_file",
    "replaced_folder",
    "require_result_place",
    "staging_lock",
]

logger = logging.getLogger(__name__)

DONE_FILE = "DONE.json"
"""Stands in every committed result: its fingerprint and the digests and sizes of its outputs."""

DONE_SCHEMA = 1

TIMINGS_FILE = "timings.json"
"""How long a result took: it differs from run to run, so that no digest covers it."""

DESKTOP_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Left by file browsers in any folder a user looked at; never a reason to refuse."""

_STAGING, _OLD = ".staging-", ".old-"
_LEFTOVER = re.compile(r"\.(?P<name>.+?)\.(staging-.*|old-\d+|staging\.lock)")


@contextmanager
def committed_folder(
    target: Path, fingerprint: Mapping[str, JSON], *, is_ours: bool = False
) -> Iterator[Path]:
    """Yield an empty folder to write a result into; it becomes `target` when the block ends without error.

    Args:
        target: the result folder; an older result of ours is replaced, anything else there is refused.
        fingerprint: what the result was made from (`fingerprint.fingerprint`).
        is_ours: whatever stands there may be replaced.

    Raises:
        OutputInUseError: `target` holds something that is not ours, or another process is writing it.
        UsageError: `target` cannot be replaced as a whole (a mount point, the working directory).
        EnvironmentProblemError: no space, no permission and the like, here or inside the block.

    """
    with replaced_folder(target, refusal=(lambda _: "") if is_ours else _foreign_result) as staging:
        yield staging
        done: dict[str, JSON] = {
            "schema": DONE_SCHEMA,
            "fingerprint": dict(fingerprint),
            "outputs": _describe_outputs(staging),
        }
        write_synced(staging / DONE_FILE, format_json(done))


def holds_a_result(target: Path) -> bool:
    """Return whether a folder is a result of ours, whole or not, and holds nothing else."""
    return target.is_dir() and read_done(target) is not None and not _foreign_result(target)


def require_result_place(target: Path) -> None:
    """Refuse a place where `committed_folder` would not put a result; nothing is changed.

    Raises:
        OutputInUseError, UsageError: as `committed_folder`.

    """
    _require_replaceable(Path(os.path.realpath(target)), _foreign_result)


def _describe_outputs(folder: Path) -> dict[str, JSON]:
    return {
        name: {"sha256": digest_file(folder / name), "size": (folder / name).stat().st_size}
        for name in _files_below(folder)
        if name != TIMINGS_FILE
    }


def _files_below(folder: Path) -> list[str]:
    """Return the files in a folder and its subfolders, as sorted relative names with slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _foreign_result(target: Path) -> str:
    """Say why a non-empty folder is not a result of ours; nothing if it is."""
    done = read_done(target)
    if done is None:
        return f"the folder is not empty and holds no {DONE_FILE} of ours"
    ours = {*done["outputs"], DONE_FILE, TIMINGS_FILE, *DESKTOP_FILES, *_inner_results(target)}
    strangers = sorted(set(_files_below(target)) - ours)
    return f"the folder also holds files that are not ours, such as {strangers[0]}" if strangers else ""


def _inner_results(target: Path) -> Iterator[str]:
    """Yield the files of results that stand in a result, and what interrupted runs left of them."""
    for inner in target.iterdir():
        is_left = _LEFTOVER.fullmatch(inner.name) is not None
        if is_left and not inner.is_dir():
            yield inner.name
        elif inner.is_dir() and (is_left or (read_done(inner) is not None and not _foreign_result(inner))):
            yield from (f"{inner.name}/{name}" for name in _files_below(inner))


def read_done(target: Path) -> dict[str, dict[str, JSON]] | None:
    """Return the fingerprint and the outputs of a committed result; None where there is none."""
    try:
        done = read_json(target / DONE_FILE)
    except InputError:
        return None
    if not isinstance(done, dict) or done.get("schema") != DONE_SCHEMA:
        return None
    fingerprint, outputs = done.get("fingerprint"), done.get("outputs")
    if not isinstance(fingerprint, dict) or not isinstance(outputs, dict):
        return None
    return {"fingerprint": fingerprint, "outputs": outputs}


def is_current(target: Path, fingerprint: Mapping[str, JSON] | None = None, *, verify: bool = False) -> bool:
    """Return whether `target` is a whole result made from `fingerprint` (from anything, if None).

    Args:
        target: the result folder.
        fingerprint: what it should have been made from.
        verify: compare the digests of the outputs too, not only their sizes.

    """
    done = read_done(target)
    if done is None or (fingerprint is not None and done["fingerprint"] != _as_read(fingerprint)):
        return False
    return all(_is_output(target / name, record, verify=verify) for name, record in done["outputs"].items())


def is_made_from(target: Path, fingerprint: Mapping[str, JSON]) -> bool:
    """Return whether `target` says that it was made from `fingerprint`, whole or not."""
    done = read_done(target)
    return done is not None and done["fingerprint"] == _as_read(fingerprint)


def _as_read(value: object) -> object:
    """Return a value as JSON gives it back: tuples are lists."""
    if isinstance(value, Mapping):
        return {key: _as_read(item) for key, item in value.items()}
    return [_as_read(item) for item in value] if isinstance(value, list | tuple) else value


def _is_output(path: Path, record: JSON, *, verify: bool) -> bool:
    if not isinstance(record, dict) or not path.is_file() or path.stat().st_size != record.get("size"):
        return False
    return not verify or digest_file(path) == record.get("sha256")


@contextmanager
def replaced_folder(target: Path, *, refusal: Callable[[Path], str], wait: float = 1.0) -> Iterator[Path]:
    """Yield an empty staging folder and rename it to `target` when the block ends without error.

    Args:
        target: the folder to make or to replace.
        refusal: says why a non-empty folder at `target` must not be replaced; empty text if it may.
        wait: seconds to wait for another process that is writing the same target.

    Raises:
        OutputInUseError, UsageError, EnvironmentProblemError: as `committed_folder`.

    """
    target = Path(os.path.realpath(target))
    with ExitStack() as stack:
        stack.enter_context(environment_errors())
        _require_replaceable(target, refusal)
        stack.enter_context(exclusive_lock(staging_lock(target), wait=wait))
        _recover(target)
        _require_replaceable(target, refusal)
        staging = target.with_name(f".{target.name}{_STAGING}{os.getpid()}")
        try:
            staging.mkdir()
            yield staging
            _sync_tree(staging)
            _require_replaceable(target, refusal)
            _swap(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def staging_lock(target: Path) -> Path:
    """Return the lock file of a place at which results are committed."""
    return target.with_name(f".{target.name}.staging.lock")


def _require_replaceable(target: Path, refusal: Callable[[Path], str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        msg = "a file stands where the output folder belongs"
        raise OutputInUseError(msg, cure="choose another folder").at(file=target.name)
    if os.path.ismount(target) or target.samefile("."):
        msg = "a mount point or the working directory cannot be replaced as a whole"
        raise UsageError(msg, cure="name a folder inside it").at(file=target.name)
    if any(target.iterdir()):
        reason = refusal(target)
        if reason:
            raise OutputInUseError(reason, cure="choose another folder").at(file=target.name)


def _recover(target: Path) -> None:
    """Undo what a killed process left half done; the caller holds the lock of `target`."""
    for old in sorted(target.parent.glob(f".{_literal(target.name)}{_OLD}*")):
        if target.exists() and any(target.iterdir()):
            discard_folder(old, target)
        else:  # killed between the two renames: the older result is the whole one
            move(old, target)
            sync(target.parent)
    for staging in target.parent.glob(f".{_literal(target.name)}{_STAGING}*"):
        shutil.rmtree(staging)


def _literal(name: str) -> str:
    """Return a name for `glob`, in which brackets and stars stand for themselves."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)


def _swap(staging: Path, target: Path) -> None:
    """Put `staging` at `target`. POSIX renames over an empty folder at once; a full one steps aside first."""
    old = target.with_name(f".{target.name}{_OLD}{os.getpid()}")
    steps_aside = target.exists() and any(target.iterdir())
    if steps_aside:
        move(target, old)
    try:
        move(staging, target)
    except BaseException:
        if steps_aside:
            move(old, target)
        raise
    sync(target.parent)
    if steps_aside:
        with suppress(OSError):  # the result stands; the next commit tries again
            discard_folder(old, target)


def discard_folder(old: Path, target: Path) -> None:
    """Remove a replaced result of a place; under a staging name first: half of it must never be put back."""
    doomed = target.with_name(f".{target.name}{_STAGING}{os.getpid()}-old")
    move(old, doomed)
    shutil.rmtree(doomed)


def clean_stale_staging(folder: Path) -> int:
    """Remove what killed processes left in a folder of results; return how many results it concerned.

    An older result that had stepped aside for a commit that never came is put back. What a running process
    is writing is left alone.

    Raises:
        EnvironmentProblemError: no permission and the like.

    """
    if not folder.is_dir():
        return 0
    matches = [_LEFTOVER.fullmatch(path.name) for path in folder.iterdir()]
    names = sorted({match["name"] for match in matches if match})
    return sum(_clean(Path(os.path.realpath(folder)) / name) for name in names)


def clean_leftovers(target: Path) -> bool:
    """Remove what a killed process left beside one result, as `clean_stale_staging`; tell whether it did.

    Raises:
        EnvironmentProblemError: no permission and the like.

    """
    target = Path(os.path.realpath(target))
    begins = f".{target.name}."
    if not target.parent.is_dir():
        return False
    beside = (path.name for path in target.parent.iterdir() if path.name.startswith(begins))
    is_left = any(_LEFTOVER.fullmatch(name) for name in beside)
    return is_left and _clean(target)


def _clean(target: Path) -> bool:
    try:
        with environment_errors(), exclusive_lock(staging_lock(target), wait=0.0):
            _recover(target)
    except OutputInUseError:
        return False
    except LymphctError as problem:
        raise problem.at(file=target.name) from problem.__cause__
    logger.info("%s: removed what an interrupted run had left", target.name)
    return True
