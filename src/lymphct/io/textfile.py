"""Small text files: settings, bands, tables."""

from pathlib import Path

from lymphct.core.errors import InputError
from lymphct.io.results.disk import read_bounded

LARGEST_TEXT = 4_000_000
"""Bytes; a settings file is a few kilobytes."""


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a small regular file, without a byte order mark.

    Raises:
        InputError: missing, not a regular file, too large, not readable, or not text.

    """
    content = read_bounded(path, LARGEST_TEXT)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start})"
        raise InputError(msg, code="E_ENCODING", cure="save it as UTF-8").at(file=path.name) from error
