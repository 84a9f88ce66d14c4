"""Turn the records of the benchmarks into one page: goals, machine, a table for each section."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.suite_cells import Cells, markdown, mean, seconds, whole
from benchmarks.suite_figures import Records
from benchmarks.suite_goals import GOALS
from benchmarks.suite_kept import GOALS_TITLE, MACHINE_TITLE, NOT_YET, Kept
from benchmarks.suite_timings import side_by_side
from benchmarks.suite_training import (
    augmentation,
    paper_plan,
    partial_labels,
    prepared_store,
    threads,
    training_pipeline,
    training_scale,
)

BUSY: Final = 1.5
"""Mean number of running processes from which wall seconds are not those of a machine of its own."""

PEERS: Final = {
    "attention": ("scipy", "edt", "SimpleITK"),
    "registration": ("DEEDS, original", "convexAdam"),
    "phantoms": ("convexAdam",),
    "components": ("cc3d", "scipy"),
    "metrics": ("MONAI", "surface-distance", "edt"),
    "matching": ("panoptica",),
    "resampling": ("SimpleITK", "torch", "scipy"),
    "inference": ("openvino",),
    "nnunet_inference": ("nnU-Net",),
    "augmentation": ("batchgeneratorsv2",),
}
"""Beginning of the methods a complete section compares with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """How a section is called.

    Attributes:
        title: of the section.
        text: what is measured.

    """

    title: str
    text: str


def page(
    headings: Mapping[str, Heading], records: Records, absent: Mapping[str, str], earlier: Kept | None = None
) -> str:
    """Return the generated part of the page.

    Args:
        headings: of all sections, in order.
        records: of the sections that were measured at some time.
        absent: how to measure the sections that cannot run without something of the user's.
        earlier: what the page says; it stays where there is no record.

    """
    earlier = earlier or Kept()
    parts = [f"## {GOALS_TITLE}", markdown(("goal", "wanted", "reached", "met"), goal_rows(records, earlier))]
    old = {
        name: earlier.machine(name)
        for name, heading in headings.items()
        if name not in records and earlier.tables(heading.title)
    }
    parts += [f"## {MACHINE_TITLE}", machine_text(records, old, earlier.loads)]
    for name, heading in headings.items():
        parts += [f"## {heading.title}", heading.text]
        if name in records:
            parts += section(name, records[name])
        elif found := earlier.tables(heading.title):
            parts.append(found)
        else:
            parts.append(f"{NOT_YET} {absent.get(name, f'`make bench ONLY={name}` does it.')}")
    return "\n\n".join(parts)


def goal_rows(records: Records, earlier: Kept) -> list[Cells]:
    """Return a row for each goal; a figure of the page stands where its section has no record."""
    return [
        goal.judged(earlier.reached.get(goal.name)) if goal.section not in records else goal.row(records)
        for goal in GOALS
    ]


def machine_text(
    records: Records, old: Mapping[str, str | None] | None = None, old_loads: Sequence[float] = ()
) -> str:
    """Say on what the figures were measured; sections of different machines are told apart."""
    groups: dict[str, list[str]] = {}
    loads = []
    for name, said in (old or {}).items():
        groups.setdefault(said or "not told.", []).append(name)
        loads = list(old_loads)
    for name, record in records.items():
        about = record["environment"]
        libraries = ", ".join(f"{key} {version}" for key, version in about["libraries"].items())
        text = (
            f"{about['machine']}, {about['cores']} cores, {about['system']}, Python {about['python']}; "
            f"{libraries}."
        )
        groups.setdefault(text, []).append(name)
        if about["load"] is not None:
            loads.append(float(about["load"]))
    if len(groups) == 1:
        lines = list(groups)
    else:
        lines = [f"- {', '.join(names)}: {text}" for text, names in groups.items()]
    if loads and max(loads) > BUSY:
        words = (
            f"Other work ran on the machine at the same time ({min(loads):.1f} to {max(loads):.1f} running "
            "processes, the benchmark's own included): compare CPU seconds; the wall seconds are too long."
        )
        lines += ["", words]
    return "\n".join(lines)


def section(name: str, record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the tables of a section, and which peers it lacks."""
    parts = RENDERERS.get(name, side_by_side)(record)
    parts += [record["note"]] if record.get("note") else []
    lacking = missing_peers(name, record)
    if lacking:
        parts.append(f"Not installed when this was measured: {', '.join(lacking)}.")
    return parts


def missing_peers(name: str, record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the peers of a section that have no row."""
    methods = [str(row["method"]) for table in record.get("tables", ()) for row in table["rows"]]
    methods += [*record.get("medians", ()), *record.get("methods", ())]
    return [peer for peer in PEERS.get(name, ()) if not any(method.startswith(peer) for method in methods)]


def registration(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the table of a CT with a known deformation."""
    medians = record["medians"]
    ours = medians["lymphct"]["cpu"]
    rows = [
        (
            method,
            seconds(row["cpu"]),
            seconds(row["wall"]),
            f"{row['cpu'] / ours:.2f}",
            whole(row["peak_mib"]),
            *(f"{row[key]:.3f}" for key in ("body_mean", "body_p95", "dice", "folded_percent")),
        )
        for method, row in medians.items()
    ]
    columns = ("method", "CPU s", "wall s", "ratio", "MiB", "body mm", "p95 mm", "Dice", "folded %")
    seeds = ", ".join(map(str, record["seeds"]))
    note = f"Median of seeds {seeds}, {record['spacing']:g} mm, one thread; MiB: all of the process."
    return [markdown(columns, rows), note]


def phantoms(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return means over phantoms for each method."""
    rows = []
    for method, found in record["methods"].items():
        patients = found["patients"]
        cells = [mean(patient["cpu_seconds"] for patient in patients)]
        cells += [mean(patient[when]["body"]["mean"] for patient in patients) for when in ("before", "after")]
        rows.append((method, f"{len(patients)}", *(f"{cell:.2f}" for cell in cells)))
    return [markdown(("method", "patients", "CPU s", "mm before", "mm after"), rows)]


def profile(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the steps of each profile with their shares; of a whole CT, what each way of running takes."""
    titles = {
        "start": "Start of a process",
        "whole": "From files to report, size `{size}`, shipped bundle",
        "ct": "A whole CT of 384×384×200 mm, shipped bundle",
        "classical": "Without networks, size `{size}`, {shape} voxels",
    }
    parts = []
    for part, found in record["profile"].items():
        shape = "×".join(map(str, found.get("shape", ())))
        parts.append(f"**{titles[part].format(size=found.get('size'), shape=shape)}.**")
        total = sum(step["cpu"] for step in found["steps"])
        rows = [
            (
                step["step"],
                seconds(step["cpu"]),
                seconds(step["wall"]),
                "–" if part == "start" else f"{100 * step['cpu'] / total:.0f}",
                whole(step["peak_mib"]),
            )
            for step in found["steps"]
        ]
        if part == "whole":
            rows.append(("the whole process", seconds(found["cpu"]), seconds(found["wall"]), "", ""))
        elif part == "classical":
            wall = sum(step["wall"] for step in found["steps"])
            peak = max((step["peak_mib"] or 0 for step in found["steps"]), default=0)
            rows.append(("together", seconds(total), seconds(wall), "100", whole(peak or None)))
        parts.append(markdown(("step", "CPU s", "wall s", "% of CPU", "peak MiB"), rows))
        parts += [ways(found["ways"])] if "ways" in found else []
    return parts


def ways(found: Mapping[str, Any]) -> str:
    """Return CPU and wall seconds of each way of running, and how equal its masks are with those by torch."""
    masks = list(next(iter(found.values()))["dice"])
    rows = [
        (
            way,
            seconds(sum(step["cpu"] for step in record["steps"])),
            seconds(sum(step["wall"] for step in record["steps"])),
            *(f"{record['dice'][mask]:.5f}" for mask in masks),
        )
        for way, record in found.items()
    ]
    return markdown(("way", "CPU s", "wall s", *(f"Dice {mask}" for mask in masks)), rows)


def scaling(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return CPU seconds of growing images."""
    rows = [
        (row["task"], *(seconds(value) for value in row["cpu"]), f"{row['exponent']:.2f}")
        for row in record["rows"]
    ]
    sizes = [f"{voxels / 1e6:.1f} Mvoxel" for voxels in record["voxels"]]
    return [markdown(("CPU s", *sizes, "exponent"), rows)]


def regions(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return Dice and CPU seconds with windows over the body alone and everywhere."""
    rows = [(name, f"{dice:.3f}", seconds(cpu)) for name, (dice, cpu) in sorted(record["means"].items())]
    return [markdown(("windows", "Dice", "CPU s"), rows), f"Means over {record['patients']} phantoms."]


RENDERERS: Final[dict[str, Callable[[Any], list[str]]]] = {
    "registration": registration,
    "phantoms": phantoms,
    "profile": profile,
    "scaling": scaling,
    "regions": regions,
    "augmentation": augmentation,
    "prepared_store": prepared_store,
    "training_pipeline": training_pipeline,
    "training_scale": training_scale,
    "threads": threads,
    "partial_labels": partial_labels,
    "paper_plan": paper_plan,
}
"""Sections that are no tables of timings side by side."""
