"""Results of measurements on disk: one JSON record, tables as CSV, pages; made once, whole or not at all."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made_to_be_seen
from lymphct.io.results.store import replace_file
from lymphct.report.tables import safe_text

LARGEST_RECORD: Final = 2**30
"""Bytes; a thousand cases with every structure take a hundredth of it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: None is a blank cell, text never reads as a formula."""

    heading: Sequence[str]
    rows: Sequence[Sequence[object]]

    def stamped(self, stamp: str) -> "Table":
        """Return the table with a column `stamp` that says the same in every row; without one as it is."""
        if not stamp:
            return self
        return Table([*self.heading, "stamp"], [[*row, stamp] for row in self.rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an evaluation writes.

    Attributes:
        record: of the JSON file; schema, settings, code and inputs are added to it.
        schema: between `lymphct-` and the version; the name of the JSON file unless said otherwise.
        tables: name without suffix → CSV file.
        pages: name of the file → its content.

    """

    record: Mapping[str, JSON]
    tables: Mapping[str, Table]
    pages: Mapping[str, bytes] = field(default_factory=dict)
    schema: str = ""


def stored(folder: Path, name: str, recipe: Recipe, work: Callable[[], Measured]) -> dict[str, JSON]:
    """Write what was measured into a folder, once; return what its JSON holds.

    Args:
        folder: of the result.
        name: of the JSON file, without suffix.
        recipe: what is measured; an evaluation of the same that is there already is kept.
        work: measures.

    Raises:
        LymphctError: raised by `work`; nothing is written.
        InputError: an input changed meanwhile.
        OutputInUseError: the folder holds something else than an older evaluation.
        EnvironmentProblemError: no space, no permission and the like.

    """

    def write(staging: Path) -> None:
        measured = work()
        record = {"schema": f"lymphct-{measured.schema or name}-1", **origin_of(recipe), **measured.record}
        write_json(staging / f"{name}.json", record)
        for table_name, table in measured.tables.items():
            replace_file(staging / f"{table_name}.csv", csv_bytes(table))
        for page, content in measured.pages.items():
            replace_file(staging / page, content)

    made_to_be_seen(folder, recipe, write)
    kept: Any = read_json(folder / f"{name}.json", max_bytes=LARGEST_RECORD)
    return dict(kept)


def origin_of(recipe: Recipe) -> dict[str, JSON]:
    """Return what every record says of its origin: settings, version of the code, digests of the inputs."""
    fingerprint = recipe.fingerprint()
    return {name: fingerprint[name] for name in ("settings", "code", "inputs")}


def csv_bytes(table: Table) -> bytes:
    """Return a table as the content of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.heading)
    for row in table.rows:
        writer.writerow(safe_text(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def finite(value: float) -> float | None:
    """Return a number for JSON and CSV, which know neither NaN nor infinity: both become None."""
    return float(value) if np.isfinite(value) else None
