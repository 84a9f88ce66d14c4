"""What a table of a data set says of its patients: age, sex, split."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from lymphct.io.table import Row, read_table
from lymphct.patients.importing.layout import TableRule


def read_patient_table(folder: Path, rule: TableRule) -> tuple[Mapping[str, Mapping[str, str]], list[str]]:
    """Return the cells of our columns by id, and what a reader must know of the table.

    Raises:
        InputError: the table cannot be read.

    """
    path = folder / rule.file
    if not path.is_file():
        return {}, [f"{rule.file} is missing: {', '.join(rule.columns)} stay blank"]
    rows = read_table(path, ())
    columns = list(rows[0].cells) if rows else []
    key = _column(columns, rule.id)
    if key is None:
        return {}, [f"{rule.file} has no column {rule.id[0]}{_near(columns, rule.id)}: it is not used"]
    theirs = {ours: _column(columns, names) for ours, names in rule.columns.items()}
    notices = [
        f"{rule.file} has no column {rule.columns[ours][0]}{_near(columns, rule.columns[ours])}: {ours} "
        "stays blank"
        for ours, found in theirs.items()
        if found is None
    ]
    known = {ours: found for ours, found in theirs.items() if found is not None}
    return {row.cells[key]: _cells(row, known, rule) for row in rows}, notices


def _cells(row: Row, columns: Mapping[str, str], rule: TableRule) -> dict[str, str]:
    cells: dict[str, str] = {}
    for ours, theirs in columns.items():
        given = row.cells[theirs]
        value = rule.values.get(ours, {}).get(given.casefold())
        cells[ours] = value if value is not None else "" if ours in rule.only_values else given
    return cells


def _column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    written = {column.casefold(): column for column in columns}
    return next((written[name.casefold()] for name in names if name.casefold() in written), None)


def _near(columns: Sequence[str], names: Sequence[str]) -> str:
    found = difflib.get_close_matches(names[0], columns, n=1, cutoff=0.6)
    return f" (is it {found[0][:40]}?)" if found else ""
