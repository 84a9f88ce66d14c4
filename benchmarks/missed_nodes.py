"""Which drawn lymph nodes stage 1 misses: by their volume and by what lies around them.

`python benchmarks/missed_nodes.py COHORT.csv RESULTS [RESULTS …] [--dark -70]`. RESULTS are folders that
`lymphct predict COHORT.csv --only nodes` wrote. A node is found where a predicted one overlaps it by an IoU
of 0.3, each predicted one counting once. Around it lies the shell between one and two voxels off, without
other drawn nodes: dark where its venous mean is below `--dark` HU, as in fat, bright beside vessels and
organs.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray
from lymphct.evaluation.detection import match_instances
from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import PatientRecord, read_manifest

EDGES: Final = (0.0, 60.0, 100.0, 250.0, float("inf"))
"""Of the classes of volume, mm³."""
IOU: Final = 0.3


class Drawn(NamedTuple):
    """A drawn lymph node: volume in mm³, mean HU around it, whether it was found."""

    volume: float
    around: float
    is_found: bool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--dark", type=float, default=-70.0, help="HU")
    given = parser.parse_args()
    records = [record for record in read_manifest(given.cohort).patients if record.nodes is not None]
    for folder in given.results:
        print(told(folder, records, given.dark))


def told(folder: Path, records: list[PatientRecord], dark: float) -> str:
    """Return a Markdown table of one folder of results."""
    nodes: list[Drawn] = []
    predicted = 0
    for record in records:
        found = read_volume(folder / record.patient_id / "seg" / "node_instances.nii.gz").array
        predicted += len(np.unique(found[found > 0]))
        nodes += drawn_nodes(record, found)
    hits = sum(node.is_found for node in nodes)
    lines = [
        f"{folder.name}: recall {hits / len(nodes):.3f} of {len(nodes)}, precision {hits / predicted:.3f}",
        "",
        "| volume, mm³ | in fat | beside something bright |",
        "|-|-|-|",
    ]
    for low, high in pairwise(EDGES):
        cells = [
            [node.is_found for node in nodes if low <= node.volume < high and (node.around < dark) is is_dark]
            for is_dark in (True, False)
        ]
        name = f"{low:.0f} to {high:.0f}" if np.isfinite(high) else f"from {low:.0f}"
        lines.append(f"| {name} | " + " | ".join(f"{sum(cell)} of {len(cell)}" for cell in cells) + " |")
    return "\n".join([*lines, ""])


def drawn_nodes(record: PatientRecord, found: AnyArray) -> Iterator[Drawn]:
    """Measure each drawn node of a patient."""
    drawn, venous = read_volume(str(record.nodes)), read_volume(record.venous).array
    hit = {pair.truth for pair in match_instances(found, drawn.array, iou=IOU).pairs}
    for label in np.unique(drawn.array[drawn.array > 0]):
        inside = drawn.array == label
        near = ndimage.binary_dilation(inside)
        shell = ndimage.binary_dilation(near) & ~near & (drawn.array == 0)
        yield Drawn(
            volume=float(inside.sum()) * drawn.geometry.voxel_volume,
            around=float(venous[shell].mean()),
            is_found=int(label) in hit,
        )


if __name__ == "__main__":
    main()
