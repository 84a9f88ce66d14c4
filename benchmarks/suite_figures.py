"""How a figure is read from the measured records, and what it means to reach a goal."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Records = Mapping[str, Any]
"""Record of each section that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that should be reached.

    Attributes:
        name: what is measured.
        section: whose record holds it.
        wanted: the least value, or the largest where `is_limit`.
        reached: finds the figure in the record; LookupError where it was not measured.
        is_limit: smaller is better.

    """

    name: str
    section: str
    wanted: float
    reached: Callable[[Any], float]
    is_limit: bool = False

    def row(self, records: Records) -> tuple[str, str, str, str]:
        """Return goal, wanted, reached, met."""
        wanted = f"{'≤' if self.is_limit else '≥'} {self.wanted:.3g}"
        try:
            value = self.reached(records[self.section])
        except LookupError:
            return (self.name, wanted, "–", "not measured")
        if math.isnan(value):
            return (self.name, wanted, "–", "undefined")
        return self.judged(f"{value:.3g}", value)

    def judged(self, reached: str | None, value: float | None = None) -> tuple[str, str, str, str]:
        """Return the row of a figure that was written before; None where there is none.

        `value` is the figure before it was rounded, where it is known.
        """
        wanted = f"{'≤' if self.is_limit else '≥'} {self.wanted:.3g}"
        if reached is None:
            return (self.name, wanted, "–", "not measured")
        value = float(reached) if value is None else value
        is_met = value <= self.wanted if self.is_limit else value >= self.wanted
        return (self.name, wanted, reached, "yes" if is_met else "**no**")


def row_of(record: Any, method: str, table: str = "") -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """Return the first row whose method starts with `method`, in tables whose title contains `table`.

    Raises:
        LookupError: there is none.

    """
    for candidate in record["tables"]:
        if table in candidate["title"]:
            for row in candidate["rows"]:
                if row["method"].startswith(method):
                    found: Mapping[str, Any] = row
                    return found
    msg = f"no row {method} in a table {table}"
    raise LookupError(msg)


def times(method: str, ours: str = "lymphct", table: str = "") -> Callable[[Any], float]:
    """Return a reader of how often ours fits into the CPU seconds of another method."""

    def reader(record: Any) -> float:  # noqa: ANN401 - JSON
        return float(row_of(record, method, table)["cpu"]) / float(row_of(record, ours, table)["cpu"])

    return reader


def best_cropped(record: Any) -> float:  # noqa: ANN401 - JSON
    """Return the ratio of the quickest library on boxes."""
    rows = record["tables"][0]["rows"]
    quickest = min(float(row["cpu"]) for row in rows if row["method"].endswith(", cropped"))
    return quickest / float(rows[0]["cpu"])


def registration_share(method: str) -> Callable[[Any], float]:
    """Return a reader of our CPU seconds over those of another program."""

    def reader(record: Any) -> float:  # noqa: ANN401 - JSON
        medians = record["medians"]
        return float(medians["lymphct"]["cpu"]) / float(medians[method]["cpu"])

    return reader


def largest_metric_error(record: Any) -> float:  # noqa: ANN401 - JSON
    """Return the largest difference from any peer."""
    rows = [row for table in record["tables"] for row in table["rows"]]
    return max(float(row["error"]) for row in rows if row["error"] is not None)


def slowest_map(record: Any, ours: str) -> float:  # noqa: ANN401 - JSON
    """Return the least gain over the complete grid of windows on any reference map."""
    titles = [table["title"] for table in record["tables"] if table["title"].startswith("sliding windows")]
    if not titles:
        msg = "no windows were counted"
        raise LookupError(msg)
    return min(times("complete grid", ours, title)(record) for title in titles)


def largest_memory(record: Any) -> float:  # noqa: ANN401 - JSON
    """Return the largest memory of a stage beyond its input, MiB."""
    tables = [table for table in record["tables"] if table["title"].startswith("memory")]
    values = [row["extra_mib"] for table in tables for row in table["rows"]]
    if not values or None in values:
        msg = "memory was not measured"
        raise LookupError(msg)
    return float(max(values))


def wall_of_start(record: Any) -> float:  # noqa: ANN401 - JSON
    """Return the wall seconds of `lymphct --help`."""
    steps = record["profile"]["start"]["steps"]
    return next(float(step["wall"]) for step in steps if step["step"] == "lymphct --help")


def largest(rows: Sequence[Mapping[str, Any]], *names: str) -> float:
    """Return the largest figure under any of these names.

    Raises:
        LookupError: no row has one.

    """
    values = [float(row[name]) for row in rows for name in names if name in row]
    if not values:
        msg = f"no row has {names}"
        raise LookupError(msg)
    return max(values)


def whole_ct(measure: str) -> Callable[[Any], float]:
    """Return a reader of the seconds a whole CT takes as `predict` runs it by itself."""

    def reader(record: Any) -> float:  # noqa: ANN401 - JSON
        return sum(float(step[measure]) for step in record["profile"]["ct"]["steps"])

    return reader


def beside_best(record: Any) -> float:  # noqa: ANN401 - JSON
    """Return how many times the best row's seconds our threads take beside other work."""
    rows = record["rows"]
    return float(rows[0]["beside"]) / min(float(row["beside"]) for row in rows)
