"""Draw the picture of docs/tracing.md: maximum intensity projections of a phantom with the traced arteries.

Usage: python benchmarks/traced_picture.py docs/images/traced-artery.png
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from lymphct.anatomy.tracing import trace_arteries
from lymphct.core.terms import Structure
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

FREE = (1, 2, 3, 4, 5, 6, 11)
COLORS = {7: "tab:red", 8: "tab:cyan", 10: "tab:green"}


def main(out: Path) -> None:
    """Trace in one phantom without breathing and draw it from the front and from the left."""
    patient = generate_patient(PhantomSettings(size="small", phase_shift=False), seed=5, index=1)
    labels = patient.structures.array
    free = patient.structures.with_array(np.where(np.isin(labels, FREE), labels, 0).astype(np.uint8))
    traced = trace_arteries(patient.arterial, free)
    spine = int(np.argwhere(labels == Structure.AORTA)[:, 1].max())
    sides = labels.shape[0] // 4
    front = patient.arterial.array[:, :spine].max(axis=1)
    left = patient.arterial.array[sides:-sides, :spine].max(axis=0)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), width_ratios=(front.shape[0], left.shape[0]))
    for axis, image, along in ((axes[0], front, 1), (axes[1], left, 0)):
        axis.imshow(image.T, cmap="gray", origin="lower", vmin=-50, vmax=450)
        for number, color in COLORS.items():
            mask = (traced.structures.array == number)[:, :spine].max(axis=along)
            axis.contour(mask.T, [0.5], colors=color, linewidths=1.2)
        axis.set_axis_off()
    axes[0].set_title("from the front")
    axes[1].set_title("from the left")
    for number, color in COLORS.items():
        axes[1].plot([], [], color=color, label=Structure(number).title)
    figure.legend(loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(out, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
