"""Pseudonyms by keyed hash: the same person has the same one, and without the key there is no way back."""

import hmac
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from lymphct.core.errors import InputError, UsageError
from lymphct.core.system import PLAIN, sync
from lymphct.io.results.disk import environment_errors, read_bounded

_BYTES: Final = 32
_KEY: Final = re.compile(rb"[0-9a-f]{64}\n?")
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Turns what names a person into what does not.

    Attributes:
        key: 32 bytes that stay with the user.

    """

    key: bytes = field(repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read the key, making it first where no file is, for its owner alone (0600).

        Raises:
            InputError: the file is no such key, or others than its owner may read it.
            EnvironmentProblemError: it cannot be written.

        """
        if not path.exists():
            _make_key(path)
        with environment_errors():
            mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & 0o077:
            msg = f"others than its owner may read the key (mode {mode:o})"
            raise InputError(msg, code="E_KEY", cure="chmod 600, or name another key").at(file=path.name)
        content = read_bounded(path, _LONGEST)
        if _KEY.fullmatch(content) is None:
            msg = "the file is no key (64 hexadecimal digits)"
            raise InputError(msg, code="E_KEY", cure="name another file; it is made where none is").at(
                file=path.name
            )
        return cls(bytes.fromhex(content.decode("ascii")))

    def hashed(self, kind: str, *texts: str) -> str:
        """Return 16 hexadecimal digits for some text: the same for the same, and nothing about it.

        Args:
            kind: of text; equal texts of two kinds have different hashes.
            texts: what is hashed, in this order.

        """
        text = "\0".join((kind, *texts)).encode("utf-8", "surrogateescape")
        return hmac.digest(self.key, text, "sha256")[:8].hex()


def require_outside(path: Path, out: Path, what: str) -> None:
    """Refuse a file of the user's own that would lie in the cohort: whoever passes that on passes it on, too.

    Raises:
        UsageError: it would.

    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(out)):
        msg = f"{what} would lie in the folder of the cohort, which is passed on without it"
        raise UsageError(msg, cure="name a file outside")


def _make_key(path: Path) -> None:
    with environment_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another import made it at this moment
            write_private(path, secrets.token_bytes(_BYTES).hex().encode("ascii") + b"\n", new=True)


def write_private(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file that its owner alone may read; `new`: never over another.

    Raises:
        FileExistsError: it is there, and was to be new.

    """
    flags = os.O_WRONLY | os.O_CREAT | PLAIN | (os.O_EXCL if new else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if os.name == "posix":
            os.chmod(path, 0o600)  # noqa: PTH101 - as `os.open` takes it; an older file may have been wider
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    sync(path.parent)
