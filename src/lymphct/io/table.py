"""Tables of other tools: CSV with a heading, cells separated by commas, semicolons or tabs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError
from lymphct.io.results.disk import read_bounded

SEPARATORS: Final = (",", ";", "\t")
_LARGEST_TABLE: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its number in the file, from 1 for the heading, and its cells by column."""

    line: int
    cells: Mapping[str, str]


def read_table(path: Path, required: Sequence[str]) -> tuple[Row, ...]:
    """Read a table: UTF-8, one heading; blank lines are left out, cells lose the blanks around them.

    Args:
        path: the file.
        required: columns that must be there; others are kept.

    Returns:
        The rows in the order of the file; none when it has a heading alone.

    Raises:
        InputError: missing, too large, not text, no heading, a column missing or given twice, a line with
            more cells than the heading.

    """
    try:
        return _parsed(_text(read_bounded(path, _LARGEST_TABLE)), required)
    except InputError as error:
        raise error.at(file=path.name) from None


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start})"
        raise InputError(msg, code="E_ENCODING", cure="save it as CSV UTF-8") from None
    if "\0" in text:
        msg = "it holds binary zeros: no table"
        raise InputError(msg, code="E_TABLE", cure="save it as CSV UTF-8")
    return text


def _parsed(text: str, required: Sequence[str]) -> tuple[Row, ...]:
    heading = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    columns: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = tuple(cell.strip() for cell in cells)
                _check_columns(columns, required)
                continue
            if len(cells) > len(columns):
                msg = f"line {reader.line_num} has {len(cells)} cells, the heading {len(columns)}"
                raise InputError(msg, code="E_TABLE", cure="give every line the cells of the heading")
            filled = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
            rows.append(Row(reader.line_num, dict(zip(columns, filled, strict=True))))
    except csv.Error as error:
        msg = f"line {reader.line_num}: {error}"
        raise InputError(msg, code="E_TABLE", cure="save it as CSV UTF-8") from None
    if not columns:
        msg = "it has no heading"
        raise InputError(msg, code="E_TABLE", cure=f"begin it with {','.join(required)}")
    return tuple(rows)


def _check_columns(columns: Sequence[str], required: Sequence[str]) -> None:
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        msg = f"the column {twice[0][:40]!r} stands twice"
        raise InputError(msg, code="E_TABLE", cure="keep one of them")
    for name in required:
        if name not in columns:
            near = [column for column in columns if column.casefold() == name.casefold()]
            hint = f" (there is {near[0]!r})" if near else ""
            msg = f"the column {name!r} is missing{hint}"
            raise InputError(msg, code="E_TABLE", cure=f"the columns are {', '.join(required)}")
