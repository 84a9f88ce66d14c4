"""Draw one synthetic patient in three planes and two phases, plain and outlined; print seconds per patient.

Radiological display: the patient's right is on the left of the picture. Window -160 to 240 HU.
Outlines: structures in many colors, tumor red, positive nodes yellow, negative nodes green.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import colors as mpl_colors

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.terms import NodeClass, Structure
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import SIZES, PhantomSettings

WINDOW = (-160.0, 240.0)
PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}


def main() -> None:
    arguments = read_arguments()
    settings = PhantomSettings(size=arguments.size, mode=arguments.mode, phase_shift=arguments.phase_shift)
    generate_patient(PhantomSettings(size="nano"), seed=0, index=0)  # compiles what numba compiles
    wall, cpu = time.perf_counter(), time.process_time()
    patient = generate_patient(settings, seed=arguments.seed, index=arguments.index)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    draw(patient, arguments.out)
    print(f"{arguments.size}: {cpu:.2f} s CPU, {wall:.2f} s wall per patient -> {arguments.out}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--mode", choices=("paper", "unbiased"), default="paper")
    parser.add_argument("--phase-shift", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("phantom.png"))
    return parser.parse_args()


def draw(patient: PhantomPatient, path: Path) -> None:
    middle = focus(patient)
    figure, axes = plt.subplots(4, 3, figsize=(15, 19), facecolor="black")
    rows = [
        ("arterial", patient.arterial.array, False),
        ("arterial", patient.arterial.array, True),
        ("venous", patient.venous.array, False),
        ("venous", patient.venous.array, True),
    ]
    for (phase, image, outlined), row in zip(rows, axes, strict=True):
        for (plane, axis), panel in zip(PLANES.items(), row, strict=True):
            show(panel, image, patient, (axis, middle))
            if outlined:
                outline(panel, patient, (axis, middle))
            panel.set_title(f"{phase}, {plane}", color="white")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def focus(patient: PhantomPatient) -> Index3:
    """Return the voxel to look at: the first node, or the tumor's middle."""
    if patient.nodes.nodes:
        point = patient.venous.geometry.index(patient.nodes.nodes[0].center)
    else:
        point = np.argwhere(patient.tumor.array).mean(axis=0)
    i, j, k = np.rint(point).astype(int).tolist()
    return (i, j, k)


def plane_of(array: AnyArray, view: tuple[int, Index3]) -> AnyArray:
    axis, middle = view
    plane: AnyArray = np.take(array, middle[axis], axis=axis).T
    return plane if axis == 2 else plane[::-1]


def show(panel: Axes, image: AnyArray, patient: PhantomPatient, view: tuple[int, Index3]) -> None:
    spacing = [s for a, s in enumerate(patient.venous.geometry.spacing) if a != view[0]]
    panel.imshow(
        plane_of(image, view),
        cmap="gray",
        vmin=WINDOW[0],
        vmax=WINDOW[1],
        aspect=spacing[1] / spacing[0],
        interpolation="bilinear",
    )
    panel.axis("off")


def outline(panel: Axes, patient: PhantomPatient, view: tuple[int, Index3]) -> None:
    labels = plane_of(patient.structures.array, view)
    palette = mpl.colormaps["tab20"]
    masks = [(labels == s, mpl_colors.to_hex(palette(s % 20)), 0.9) for s in Structure]
    masks.append((plane_of(patient.tumor.array, view) > 0, "red", 1.6))
    instances = plane_of(patient.nodes.instances.array, view)
    for node in patient.nodes.nodes:
        color = "yellow" if node.node_class is NodeClass.POSITIVE else "lime"
        masks.append((instances == node.label, color, 1.6))
    for mask, color, width in masks:
        if mask.any() and not mask.all():
            panel.contour(mask.astype(float), [0.5], colors=[color], linewidths=width)


if __name__ == "__main__":
    main()
