"""Draw checkerboards of both phases of a synthetic patient before and after registration.

`python benchmarks/registration_pictures.py [--size small] [--seed 6] [--index 13] [--out docs/images/…]`:
squares of the venous phase alternate with squares of the arterial one. Where the phases agree, outlines run
on from square to square. Radiological display, window -160 to 240 HU.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.phantom_pictures import WINDOW, plane_of

from lymphct.core.arrays import AnyArray, Index3, Vector3
from lymphct.core.volume import Volume
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import SIZES, PhantomSettings
from lymphct.registration.registering import register

SQUARE = 18.0
"""Side of a square, mm."""
TISSUE = -300
"""HU above which a voxel is no air."""
LEAST = 2000
"""Voxels of tissue below which a plane says little."""
PLANES = {"coronal": 1, "sagittal": 0}


def checkerboard(first: AnyArray, second: AnyArray, spacing: tuple[float, float]) -> AnyArray:
    """Alternate squares of two pictures of one shape; the square at the corner is of the first."""
    rows, columns = (
        (np.arange(n) * step // SQUARE).astype(int) for n, step in zip(first.shape, spacing, strict=True)
    )
    board: AnyArray = np.where((rows[:, None] + columns[None, :]) % 2 == 0, first, second)
    return board


def aligned(patient: PhantomPatient) -> Mapping[str, Volume]:
    """Return the arterial phase at the scanner's coordinates and registered."""
    found = register(patient.venous, patient.arterial)
    print(
        f"flags: {found.report.flags or 'none'}; descriptor distance {found.report.distance_before:.1f} to "
        f"{found.report.distance_after:.1f}"
    )
    return {
        "as acquired": patient.arterial,
        "registered": found.warp_image(patient.arterial, patient.venous.geometry),
    }


def most_moved(patient: PhantomPatient) -> Index3:
    """Return the voxel in whose planes breathing moves most."""
    tissue = patient.venous.array > TISSUE
    moved = np.linalg.norm(patient.field.array, axis=-1) * tissue
    places = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places.append(int(np.argmax(moved.sum(axis=others) / np.maximum(tissue.sum(axis=others), LEAST))))
    return (places[0], places[1], places[2])


def draw(venous: Volume, phases: Mapping[str, Volume], middle: Index3, path: Path) -> None:
    """Draw a row for each plane and a column for each of `phases`."""
    sizes = [plane_size(venous, axis) for axis in PLANES.values()]
    heights = [height / width for width, height in sizes]
    figure, axes = plt.subplots(
        len(PLANES),
        len(phases),
        figsize=(9.0, 4.5 * sum(heights) + 0.6),
        facecolor="black",
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
        squeeze=False,
    )
    for (plane, axis), row in zip(PLANES.items(), axes, strict=True):
        for (title, phase), panel in zip(phases.items(), row, strict=True):
            show(panel, [plane_of(image.array, (axis, middle)) for image in (venous, phase)], venous, axis)
            panel.set_title(f"{plane}, {title}", color="white", fontsize=10)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def plane_size(image: Volume, axis: int) -> tuple[float, float]:
    """Return width and height of a plane, mm."""
    sides = [n * s for n, s in zip(image.geometry.shape, image.geometry.spacing, strict=True)]
    width, height = (side for number, side in enumerate(sides) if number != axis)
    return (width, height)


def steps_of(spacing: Vector3, axis: int) -> tuple[float, float]:
    """Return mm between rows and between columns of a plane."""
    across, down = (step for number, step in enumerate(spacing) if number != axis)
    return (down, across)


def show(panel: Axes, planes: list[AnyArray], venous: Volume, axis: int) -> None:
    steps = steps_of(venous.geometry.spacing, axis)
    board = checkerboard(planes[0], planes[1], steps)
    panel.imshow(
        board,
        cmap="gray",
        vmin=WINDOW[0],
        vmax=WINDOW[1],
        aspect=steps[0] / steps[1],
        interpolation="nearest",
    )
    panel.axis("off")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--size", choices=sorted(SIZES), default="small")
    options.add_argument("--seed", type=int, default=6)
    options.add_argument("--index", type=int, default=13)
    options.add_argument("--out", type=Path, default=Path("docs/images/registration.png"))
    given = options.parse_args()
    settings = PhantomSettings(size=given.size, mode="unbiased", phase_shift=True)
    patient = generate_patient(settings, seed=given.seed, index=given.index)
    draw(patient.venous, aligned(patient), most_moved(patient), given.out)


if __name__ == "__main__":
    main()
