"""The tables of what is measured of trainings and of their plan."""

from typing import Any

from benchmarks.suite_cells import markdown, seconds
from benchmarks.suite_timings import side_by_side


def augmentation(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return patches side by side, then each change alone."""
    rows = [
        (
            row["change"],
            f"{1000 * row['lymphct']:.2f}",
            f"{1000 * row['batchgeneratorsv2']:.2f}",
            f"{row['batchgeneratorsv2'] / row['lymphct']:.1f}",
        )
        for row in record["changes"]
    ]
    machine = record["machine"]
    note = (
        f"Seconds of a patch, mean. Compiled for {machine['compiled_for']}, torch for {machine['torch']}. "
        f"The boxes that are read hold {record['source_voxels']:.2f} voxels per voxel of the patch."
    )
    return [
        *side_by_side(record),
        note,
        markdown(("change alone, CPU ms", "lymphct", "batchgeneratorsv2", "ratio"), rows),
    ]


def prepared_store(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return size and time of reading of each image that was prepared."""
    rows = [
        (
            "×".join(map(str, found["shape"])),
            f"{100 * found['kept']:.0f}",
            f"{found['bytes_per_voxel']:.2f}",
            f"{100 * found['share_of_plain']:.0f}",
            f"{1000 * found['patch']:.1f}",
            f"{1000 * found['read']['attention']:.1f}",
            f"{1000 * found['mapped']:.0f}",
        )
        for found in record["images"]
    ]
    columns = (
        *("voxels", "kept %", "B/voxel", "% of 10 B", "patch ms"),
        *("its attention stored, ms", "the same mapped, ms"),
    )
    parts = [markdown(columns, rows)]
    for found in record["images"]:
        other = [
            (row["way"], f"{row['bytes_per_voxel']:.2f}", f"{1000 * row['seconds']:.1f}")
            for row in found["other_ways"]
        ]
        shape = "×".join(map(str, found["shape"]))
        parts.append(f"**The venous phase of {shape} voxels in other ways**, per voxel that is kept.")
        parts.append(markdown(("way", "B/voxel", "ms a patch"), other))
    return parts


def training_pipeline(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the share of waiting by where patches are finished."""
    rows = [
        (where, f"{100 * found['share']:.1f}", seconds(found["iteration"]), seconds(found["cpu"]))
        for where, found in record["rows"].items()
    ]
    columns = ("finished on", "waiting %", "wall s an iteration", "CPU s an iteration")
    return [markdown(columns, rows), f"{record['threads']} threads, a wait of {record['wait']:g} s."]


def training_scale(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return memory, time to the first batch and time of a patch for each stage and number of patients."""

    def cell(row: Any, name: str) -> str:  # noqa: ANN401 - JSON
        return f"{row[name]:.2f}" if name in row else "–"

    rows = [
        (
            f"{row['stage']}, {row['patients']} patients",
            *(cell(row, name) for name in ("network", "more", "whole", "first")),
            f"{row['cpu_per_patch']:.3f}",
            f"{100 * row['validation_share']:.1f}" if "validation_share" in row else "–",
        )
        for row in record["rows"]
    ]
    columns = (
        *("training", "GB of the network", "GB more", "with whole patients"),
        *("s to the first batch", "CPU s a patch", "validation %"),
    )
    return [markdown(columns, rows), f"The store took {record['store']['bytes_per_voxel']:.2f} B/voxel."]


def threads(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return milliseconds of an iteration, and how many times those of the best row."""
    best = {load: min(row[load] for row in record["rows"]) for load in ("alone", "beside")}
    rows = [
        (
            row["method"],
            *(
                cell
                for load in ("alone", "beside")
                for cell in (f"{1000 * row[load]:.1f}", f"{row[load] / best[load]:.2f}")
            ),
        )
        for row in record["rows"]
    ]
    facts = record["facts"]
    note = f"Wall time, median of {facts['rounds']} rounds, {facts['processors']} processors."
    return [markdown(("threads", "alone, ms", "ratio", "beside, ms", "ratio"), rows), note]


def partial_labels(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return Dice of each training over groups of structures, with the difference to the first."""
    first = record["rows"][0]["arm"]
    rows = [
        (
            f"{row['group']}: {row['arm']}",
            f"{row['dice']:.3f}",
            "–"
            if row["arm"] == first
            else f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})",
        )
        for row in record["rows"]
    ]
    return [markdown(("mean Dice over", "Dice", "difference, 95 % interval"), rows)]


def paper_plan(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return hours of each stage, disk and memory."""
    costs = record["costs"]
    about = (
        f"{costs['iteration']:.3g} s an iteration of stage 1 ({record['how']}), "
        f"{costs['registration']:.3g} CPU s a registration, {costs['processors']} processors."
    )
    parts = [about]
    for title, jobs in record["plans"].items():
        hours = sum(job["hours"] for job in jobs if job["unit"] != "patients")
        rows = [(job["name"], f"{job['amount']:,} {job['unit']}", f"{job['hours']:.1f}") for job in jobs]
        parts.append(
            markdown((title, "amount", "hours"), [*rows, ("GPU hours together", "", f"{hours:.1f}")])
        )
    for title, amounts in record["room"].items():
        rows = [(amount["name"], amount["how"], f"{amount['gigabytes']:.3g}") for amount in amounts]
        parts.append(markdown((title, "", "GB"), rows))
    return parts
