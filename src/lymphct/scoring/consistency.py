"""`lymphct consistency`: whether the figures of printed tables can be true together (Tab. VI, Tab. VII)."""

import importlib.resources
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, get_args

from lymphct.core.errors import InputError
from lymphct.evaluation.printed import FIGURES, Figure, Finding, Printed, PrintedRow, findings
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.io.table import Row, read_table
from lymphct.scoring.stored import origin_of

SCHEMA: Final = "lymphct-consistency-1"
PAPER_TABLES: Final = ("table_6.csv", "table_7.csv")
"""The paper's own, checked when no table is given."""
MOST_PATIENTS: Final = 2000
"""Of a class: all smaller numbers of both classes are tried, four million pairs at most."""
LOW, HIGH = "_low", "_high"
"""Ends of the names of the columns that hold an interval."""


def check_tables(paths: Sequence[Path]) -> dict[str, JSON]:
    """Check tables, the paper's own where none is given; return what the JSON says.

    Raises:
        InputError: a table is refused.

    """
    if paths:
        return _record(paths)
    shipped = importlib.resources.files("lymphct") / "bundles" / "printed"
    with importlib.resources.as_file(shipped) as folder:
        return _record([folder / name for name in PAPER_TABLES])


def _record(paths: Sequence[Path]) -> dict[str, JSON]:
    recipe = Recipe.of_files(
        {f"{place}_{path.name}": path for place, path in enumerate(paths)}, {}, code=("scoring.consistency",)
    )
    checked = {path: read_printed(path) for path in paths}
    found = {path: findings(rows) for path, rows in checked.items()}
    return {
        "schema": SCHEMA,
        **origin_of(recipe),
        "tables": [
            {
                "table": path.name.removesuffix(".csv"),
                "rows": len(rows),
                "findings": [_finding(finding) for finding in found[path]],
            }
            for path, rows in checked.items()
        ],
        "findings": sum(map(len, found.values())),
        "certain": sum(finding.certain for each in found.values() for finding in each),
    }


def _finding(finding: Finding) -> dict[str, JSON]:
    return {
        "check": finding.check,
        "cohort": finding.cohort,
        "method": finding.method,
        "certain": finding.certain,
        "text": finding.text,
    }


def read_printed(path: Path) -> list[PrintedRow]:
    """Read a table with the column `method` and any of the five figures, each with `_low` and `_high`.

    Columns `cohort`, `positives` and `negatives` may be there; other ones are left alone, blank cells too.
    Figures are shares from 0 to 1, rounded to as many places as the longest cell of a figure has.

    Raises:
        InputError: no table, no rows, none of the figures, a cell that is no number where one belongs, half
            an interval, or a method blank or twice in a cohort.

    """
    rows = read_table(path, ("method",))
    try:
        return _rows(rows)
    except InputError as error:
        raise error.at(file=path.name) from None


def _rows(rows: Sequence[Row]) -> list[PrintedRow]:
    places = [len(row.cells.get(name, "").partition(".")[2]) for row in rows for name in FIGURES]
    if not rows or not any(row.cells.get(name) for row in rows for name in FIGURES):
        msg = "it holds no figures"
        raise InputError(msg, code="E_PRINTED", cure=f"the columns are method, {', '.join(FIGURES)}")
    read = [_row(row, 0.5 * 10.0 ** -max(places)) for row in rows]
    names = [(row.cohort, row.method) for row in read]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        msg = f"the method {twice[0][1]!r} stands twice in the cohort {twice[0][0]!r}"
        raise InputError(msg, code="E_PRINTED", cure="tell the cohorts apart in a column cohort")
    return read


def _row(row: Row, rounding: float) -> PrintedRow:
    figures = {name: _printed(row, name) for name in get_args(Figure) if row.cells.get(name)}
    if not row.cells["method"]:
        msg = f"line {row.line}: the method is blank"
        raise InputError(msg, code="E_PRINTED", cure="name the method")
    return PrintedRow(
        method=row.cells["method"],
        cohort=row.cells.get("cohort", ""),
        figures=figures,
        positives=_patients(row, "positives"),
        negatives=_patients(row, "negatives"),
        rounding=rounding,
    )


def _printed(row: Row, name: str) -> Printed:
    ends = [end for end in (LOW, HIGH) if row.cells.get(name + end)]
    if len(ends) == 1:
        msg = f"line {row.line}: {name} has half an interval"
        raise InputError(msg, code="E_PRINTED", cure=f"give {name}{LOW} and {name}{HIGH}, or neither")
    low, high = (_share(row, name + end) for end in ends) if ends else (0.0, 0.0)
    return Printed(_share(row, name), (low, high) if ends else None)


def _share(row: Row, column: str) -> float:
    value = _number(row.cells, column)
    if not 0 <= value <= 1:  # NaN, too
        msg = f"line {row.line}: {column} is {row.cells[column][:20]!r}"
        raise InputError(msg, code="E_PRINTED", cure="give shares from 0 to 1, not percentages")
    return value


def _patients(row: Row, column: str) -> int:
    if not row.cells.get(column):
        return 0
    value = _number(row.cells, column)
    if not (value > 0 and value == int(value) and value <= MOST_PATIENTS):
        msg = f"line {row.line}: {column} is {row.cells[column][:20]!r}"
        cure = f"give whole patients, at most {MOST_PATIENTS}, or nothing"
        raise InputError(msg, code="E_PRINTED", cure=cure)
    return int(value)


def _number(cells: Mapping[str, str], column: str) -> float:
    try:
        return float(cells[column])
    except ValueError:
        return math.nan
