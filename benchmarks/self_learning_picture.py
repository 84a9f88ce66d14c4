"""Draw what a student of structures learned beyond its teacher, on a phantom.

`python benchmarks/self_learning_picture.py MAPS.npz [--patient 0] [--out docs/images/self-learning.png]
[--table TABLE.md]`:
the arteries of one test phantom by the teacher, the student and in truth, seen from the front (the most
frontal voxel of each ray) over the arterial phase. The maps are those that `benchmarks/self_learning.py
--maps` writes. With the table that it writes as Markdown, both are put into docs/self-learning.md.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.terms import Structure
from lymphct.phantom.settings import SIZES
from lymphct.report.colors import STRUCTURE_COLORS, Color

SHOWN = (
    Structure.AORTA,
    Structure.SUPERIOR_MESENTERIC_ARTERY,
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
    Structure.LEFT_GASTRIC_ARTERY,
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
)
PANELS = {
    "teacher (V)": "teacher, venous phase",
    "student, round 1": "student, round 1",
    "student, round 2": "student, round 2",
    "truth": "truth",
}
WINDOW = (-100.0, 350.0)
"""HU."""
PAGE = Path(__file__).parents[1] / "docs" / "self-learning.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
PICTURE = (
    "![Arteries of a phantom by the teacher, by the students of both rounds, and in truth]"
    "(images/self-learning.png)"
)
AROUND = 6
"""Voxels around the arteries that are shown."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("maps", type=Path)
    parser.add_argument("--patient", type=int, default=0)
    parser.add_argument("--size", choices=tuple(SIZES), default="tiny")
    parser.add_argument("--out", type=Path, default=Path("docs/images/self-learning.png"))
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    arrays = np.load(given.maps)
    spacing = SIZES[given.size][1]
    truth = arrays[f"truth/{given.patient}"]
    arteries = np.isin(truth, SHOWN[1:])
    front = np.argwhere(arteries.any(axis=1)).T
    box = tuple(slice(max(int(axis.min()) - AROUND, 0), int(axis.max()) + AROUND) for axis in front)
    behind = brightest(arrays[f"arterial/{given.patient}"], arteries)
    figure, axes = plt.subplots(1, len(PANELS), figsize=(11, 5.2), constrained_layout=True)
    for panel, (name, title) in zip(axes, PANELS.items(), strict=True):
        picture = overlaid(behind, seen_from_front(arrays[f"{name}/{given.patient}"]))[box]
        panel.imshow(picture.swapaxes(0, 1)[::-1], aspect=spacing[2] / spacing[0], interpolation="nearest")
        panel.set_title(title, fontsize=11)
        panel.axis("off")
    handles = [Patch(color=hexadecimal(STRUCTURE_COLORS[s]), label=s.title) for s in SHOWN]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(given.out, dpi=110, metadata={"Software": None})
    print(f"{given.out}: {given.out.stat().st_size} bytes")
    if given.table is not None:
        PAGE.write_text(
            with_figures(PAGE.read_text("utf-8"), given.table.read_text("utf-8")), encoding="utf-8"
        )


def with_figures(page: str, table: str) -> str:
    """Return the page with a table and the picture between its two marks."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{PICTURE}\n\n{END}{after}"


def brightest(hu: AnyArray, arteries: AnyArray) -> DoubleArray:
    """Return the mean of the arterial phase over the depth in which arteries lie, as grey values 0 to 1."""
    depth = np.flatnonzero(arteries.any(axis=(0, 2)))
    slab = hu[:, depth.min() : depth.max() + 1].max(axis=1)
    low, high = WINDOW
    grey: DoubleArray = np.clip((slab.astype(np.float64) - low) / (high - low), 0, 1) * 0.6
    return grey


def seen_from_front(labels: AnyArray) -> AnyArray:
    """Return the number of the first artery on each ray from the front; axes i, k."""
    shown = np.where(np.isin(labels, SHOWN), labels, 0)
    first = (shown > 0).argmax(axis=1)
    found: AnyArray = np.take_along_axis(shown, first[:, None, :], axis=1)[:, 0]
    return found


def overlaid(grey: DoubleArray, numbers: AnyArray) -> DoubleArray:
    """Return a picture (i, k, red-green-blue) of structures over grey values."""
    picture: DoubleArray = np.repeat(grey[..., None], 3, axis=2)
    for structure in SHOWN:
        picture[numbers == structure] = np.array(STRUCTURE_COLORS[structure]) / 255
    return picture


def hexadecimal(color: Color) -> str:
    """Return a colour as matplotlib reads it."""
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"


if __name__ == "__main__":
    main()
