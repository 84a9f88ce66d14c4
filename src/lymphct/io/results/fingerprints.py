"""What a result was made from: digests of inputs, settings, code and bundle."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lymphct.core.errors import InputError
from lymphct.io.images.sources import source_of
from lymphct.io.results.code import sources
from lymphct.io.results.jsonfile import JSON


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        InputError: missing, not a regular file, or not readable.

    """
    if path.exists() and not path.is_file():
        msg = "not a regular file"
        raise InputError(msg, code="E_NOT_A_FILE", cure="give a file").at(file=path.name)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as missing:
        msg = "file not found"
        raise InputError(msg, code="E_MISSING", cure="check the path").at(file=path.name) from missing
    except OSError as refused:
        msg = f"cannot be read: {refused.strerror}"
        raise InputError(msg, code="E_UNREADABLE", cure="check the path").at(file=path.name) from refused


def digest_input(path: Path) -> str:
    """Return the digest of an input: a file, or a folder (such as a DICOM series) with all below it.

    Of a folder from which a series is chosen, the choice counts as well.

    Raises:
        InputError: missing, or a part of it is not readable.

    """
    place, series = source_of(path)
    if series:
        return hashlib.sha256(
            f"{digest_input(place)} {series}".encode("utf-8", "surrogateescape")
        ).hexdigest()
    if not path.is_dir():
        return digest_file(path)
    lines = (
        f"{digest_file(file)} {file.relative_to(path).as_posix()}\n"
        for file in sorted(path.rglob("*"))
        if not file.is_dir()
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def require_unchanged(inputs: Mapping[str, Path], digests: Mapping[str, str]) -> None:
    """Check at the end of the work that the inputs are still those it began with.

    Raises:
        InputError: one of them changed meanwhile, so the result belongs to neither version.

    """
    for name, path in inputs.items():
        if digest_input(path) != digests[name]:
            msg = f"the input {name} changed during the run"
            raise InputError(msg, code="E_CHANGED", cure="run it again").at(file=path.name)


@cache
def code_version(*names: str) -> str:
    """Return the version of the package and a digest of the sources behind `names` (of all without any).

    Args:
        names: rooms ("imaging") or modules ("cascade.alignment"), closed over what they import.

    >>> code_version("core", "imaging") == code_version("imaging", "core")
    True

    Raises:
        UsageError: there is no such room or module.

    """
    digest = hashlib.sha256()
    for name, source in sources(*names).items():
        digest.update(name.encode() + b"\0")
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return f"{version('lymphct')}+{digest.hexdigest()[:16]}"


def fingerprint(inputs: Mapping[str, str], settings: JSON, code: str, bundle: str = "") -> dict[str, JSON]:
    """Assemble what `DONE.json` remembers of the origin of a result.

    Args:
        inputs: digest of each input, under a name that says its role (`venous`, `tumor`).
        settings: the settings the result depends on.
        code: version of the code it depends on, from `code_version`.
        bundle: digest of the model bundle; empty when none was used.

    """
    return {"inputs": dict(inputs), "settings": settings, "code": code, "bundle": bundle}


def fingerprint_key(value: Mapping[str, JSON]) -> str:
    """Return one digest of a fingerprint; equal values have equal keys whatever their order.

    >>> fingerprint_key({"a": 1, "b": [2]}) == fingerprint_key({"b": [2], "a": 1})
    True
    """
    canonical = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
