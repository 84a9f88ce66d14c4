"""Draw the picture of docs/annotation.md: the least sure lymph nodes of a patient as they are handed out.

Usage: lymphct phantom phantoms --patients 3 --size tiny --seed 77 --mode unbiased
       lymphct annotate phantoms/cohort.csv --out readers --top 1
       python benchmarks/annotation_picture.py readers/phantom-77-0002 docs/images/annotation.png
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from lymphct.io.images.reading import read_volume
from lymphct.io.segmentations.scene import LEVEL, WINDOW
from lymphct.io.segmentations.slicer_reading import read_segmentation

SHOWN = 2


def main(folder: Path, out: Path) -> None:
    """Draw an axial slice through each of the first segments, all nodes outlined in their colours."""
    ct = read_volume(folder / "venous.nii.gz")
    nodes = read_segmentation(folder / "nodes.seg.nrrd", ct.geometry)
    extent = (0.0, ct.geometry.size[0], ct.geometry.size[1], 0.0)
    figure, axes = plt.subplots(1, SHOWN, figsize=(9, 4.6))
    for axis, shown in zip(axes, nodes.segments[:SHOWN], strict=True):
        k = int(np.argwhere(nodes.mask(shown))[:, 2].mean())
        low, high = LEVEL - WINDOW / 2, LEVEL + WINDOW / 2
        axis.imshow(ct.array[:, :, k].T, cmap="gray", vmin=low, vmax=high, extent=extent)
        for segment in nodes.segments:
            mask = nodes.mask(segment)[:, :, k]
            if not mask.any():
                continue
            color = tuple(part / 255 for part in segment.color or (255, 255, 255))
            axis.contour(mask.T, [0.5], colors=[color], linewidths=1.6, extent=extent, origin="upper")
            x, y = (np.argwhere(mask).mean(axis=0) + 0.5) * ct.geometry.spacing[:2]
            axis.annotate(
                segment.name,
                (x, y),
                xytext=(24, 46),
                textcoords="offset points",
                color=color,
                fontsize=10,
                bbox={"facecolor": "black", "edgecolor": color, "pad": 3},
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.8},
            )
        axis.set(xlim=(0.08 * extent[1], 0.92 * extent[1]), ylim=(0.92 * extent[2], 0.08 * extent[2]))
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(out, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
