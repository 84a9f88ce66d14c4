"""What the project wants to reach, and how each figure is read from the measured records."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Records = Mapping[str, Any]
"""Record of each section that was measured."""

MIB_OF_64_MB: Final = 64e6 / 2**20
MIB_OF_6_GB: Final = 6e9 / 2**20


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
        is_met = value <= self.wanted if self.is_limit else value >= self.wanted
        return (self.name, wanted, f"{value:.3g}", "yes" if is_met else "**no**")


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


GOALS: Final = (
    Goal(
        name="attention map: times as fast as scipy on the whole image",
        section="attention",
        wanted=200,
        reached=times("scipy, whole image"),
    ),
    Goal(
        name="attention map: times as fast as the best library on boxes",
        section="attention",
        wanted=3,
        reached=best_cropped,
    ),
    Goal(
        name="attention map: largest error against double precision",
        section="attention",
        wanted=1e-5,
        reached=lambda record: float(row_of(record, "lymphct")["error"]),
        is_limit=True,
    ),
    Goal(
        name="attention map: MiB beyond its result",
        section="attention",
        wanted=MIB_OF_64_MB,
        reached=lambda record: float(row_of(record, "lymphct")["extra_mib"]),
        is_limit=True,
    ),
    Goal(
        name="attention map: times the floor (read labels, write float32)",
        section="attention",
        wanted=8,
        reached=lambda record: 1 / times("floor")(record),
        is_limit=True,
    ),
    Goal(
        name="registration: share of the CPU time of the original DEEDS",
        section="registration",
        wanted=0.3,
        reached=registration_share("DEEDS, original"),
        is_limit=True,
    ),
    Goal(
        name="registration: share of the CPU time of convexAdam",
        section="registration",
        wanted=0.22,
        reached=registration_share("convexAdam"),
        is_limit=True,
    ),
    Goal(
        name="Dice, HD, ASD: times as fast as MONAI",
        section="metrics",
        wanted=20,
        reached=times("MONAI"),
    ),
    Goal(
        name="Dice, HD, ASD: largest difference from the peers",
        section="metrics",
        wanted=1e-4,
        reached=largest_metric_error,
        is_limit=True,
    ),
    Goal(
        name="matching of nodes: times as fast as panoptica",
        section="matching",
        wanted=10,
        reached=times("panoptica, matching alone"),
    ),
    Goal(
        name="windows without attention skipped: times as fast as all windows, same bits",
        section="inference",
        wanted=1.3,
        reached=lambda record: slowest_map(record, "skipped without attention"),
    ),
    Goal(
        name="windows laid for few with attention, skipped: times as fast as all even windows",
        section="inference",
        wanted=1.3,
        reached=lambda record: slowest_map(record, "few with attention, skipped"),
    ),
    Goal(
        name="windows over the attention's box: times as fast as all windows",
        section="inference",
        wanted=3,
        reached=lambda record: slowest_map(record, "box of the attention"),
    ),
    Goal(
        name="OpenVINO: times as fast as torch, the paper's network and window, single precision",
        section="inference",
        wanted=1.5,
        reached=times("torch, float32, logits", "openvino, float32", "as in the paper"),
    ),
    Goal(
        name="networks: MiB beyond the input, largest stage",
        section="inference",
        wanted=MIB_OF_6_GB,
        reached=largest_memory,
        is_limit=True,
    ),
    Goal(
        name="whole `tiny` patient, files to report: wall s",
        section="profile",
        wanted=60,
        reached=lambda record: float(record["profile"]["whole"]["wall"]),
        is_limit=True,
    ),
    Goal(
        name="`lymphct --help`: wall s",
        section="profile",
        wanted=0.3,
        reached=wall_of_start,
        is_limit=True,
    ),
    Goal(
        name="cost with the voxels: largest exponent",
        section="scaling",
        wanted=1.1,
        reached=lambda record: max(float(row["exponent"]) for row in record["rows"]),
        is_limit=True,
    ),
)
"""Smallest gain wanted of each stage, in the order of the page."""
