"""Tables of measured figures: as Markdown for readers, as JSON for programs, and their place in the docs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.core.errors import UsageError
from lymphct.evaluation.statistics import Interval, bootstrap_interval
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON

Cell = str | int | float | Interval | None
"""A figure with or without interval, or words; None is an empty cell."""

BEGIN: Final = "<!-- quality:begin -->"
END: Final = "<!-- quality:end -->"
"""What stands between them in the docs is written by the benchmark."""

RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; every row has one cell per column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"## {self.title}", ""]
        lines += ["| " + " | ".join(self.columns) + " |"]
        lines += ["| " + " | ".join(["---"] + ["---:"] * (len(self.columns) - 1)) + " |"]
        lines += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def record(self) -> dict[str, JSON]:
        """Return the table for JSON."""
        rows: list[JSON] = [
            {column: _value(cell) for column, cell in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]
        return {"title": self.title, "rows": rows, "note": self.note}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure that has an aim.

    Attributes:
        name: what is measured.
        reached: the figure.
        aim: value it should have.
        is_limit: the figure's size must stay within the aim; otherwise it must reach it.

    """

    name: str
    reached: float | Interval
    aim: float
    is_limit: bool = False

    @property
    def is_met(self) -> bool | None:
        """Tell whether the aim is reached; None where the figure is undefined."""
        value = self.reached.estimate if isinstance(self.reached, Interval) else self.reached
        if math.isnan(value):
            return None
        return abs(value) <= self.aim if self.is_limit else value >= self.aim

    def row(self) -> tuple[Cell, ...]:
        """Return the row of the table of aims."""
        sign = "at most ±" if self.is_limit else "at least "
        met = {True: "yes", False: "no", None: "–"}[self.is_met]
        return (self.name, self.reached, f"{sign}{self.aim:.2f}", met)


def aims_table(aims: Sequence[Aim]) -> Table:
    """Return the table of all figures that have an aim."""
    rows = tuple(aim.row() for aim in aims)
    return Table(title="Aims", columns=("Figure", "Reached (95 % interval)", "Aim", "Met"), rows=rows)


def over_patients(
    statistic: Callable[[Sequence[int]], float], patients: int, strata: Sequence[int] | None = None
) -> Interval:
    """Return a figure with its bootstrap interval; `statistic` takes the rows of resampled patients.

    Patients are resampled, not nodes: nodes of one patient are no independent observations.
    """
    rows = np.arange(patients)
    rng = np.random.default_rng(0)
    return bootstrap_interval(lambda r: statistic(r.tolist()), rows, rng=rng, strata=strata, n=RESAMPLES)


def mean_defined(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN when there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def write_between_marks(document: Path, text: str) -> None:
    """Replace what the document says between the marks.

    Raises:
        UsageError: the document is missing or lacks a mark.

    """
    before, after = around_marks(document)
    replace_file(document, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}".encode())


def around_marks(document: Path) -> tuple[str, str]:
    """Return what stands before and after the marks.

    Raises:
        UsageError: the document is missing or lacks a mark.

    """
    content = document.read_text(encoding="utf-8") if document.exists() else ""
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"{document.name} has no place for the tables"
        raise UsageError(msg, cure=f"give it the lines {BEGIN} and {END}")
    return before, after


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Interval):
        if math.isnan(cell.low):
            return _text(cell.estimate)
        return f"{cell.estimate:.3f} ({cell.low:.3f} to {cell.high:.3f})"
    if isinstance(cell, float):
        return "–" if math.isnan(cell) else f"{cell:.3f}"
    return str(cell)


def _value(cell: Cell) -> JSON:
    if isinstance(cell, Interval):
        return {"estimate": _finite(cell.estimate), "low": _finite(cell.low), "high": _finite(cell.high)}
    return _finite(cell) if isinstance(cell, float) else cell


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
