"""A synthetic patient with three structures and a tumor, on an anisotropic grid with rotated axes."""

import numpy as np
import pytest
import torch

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

# Turned by 30° about z: the axes of a gantry that was not straight.
ROTATED = Geometry(
    shape=(30, 26, 20),
    spacing=(1.5, 1.5, 2.0),
    origin=(-20.0, 15.0, 40.0),
    direction=((0.8660254037844387, -0.5, 0.0), (0.5, 0.8660254037844387, 0.0), (0.0, 0.0, 1.0)),
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def structures() -> Volume:
    array = np.zeros(ROTATED.shape, dtype=np.uint8)
    array[apart((8, 8, 8)) <= 8.0] = Structure.SPLEEN
    array[apart((20, 10, 10)) <= 9.0] = Structure.PANCREAS
    array[3:8, 18:23, :] = Structure.AORTA
    return Volume(array=array, geometry=ROTATED)


@pytest.fixture(scope="session")
def tumor(structures: Volume) -> Volume:
    return structures.with_array((apart((22, 11, 11)) <= 5.0).astype(np.uint8))


@pytest.fixture(scope="session")
def image(structures: Volume, tumor: Volume) -> Multiphase:
    """Normalised intensities."""
    venous = painted(structures.array, (0.4, 1.0, 0.2)) - 0.9 * tumor.array
    arterial = painted(structures.array, (0.3, 2.2, 0.5)) - 0.9 * tumor.array
    noise = np.random.default_rng(5).normal(0, 0.1, (2, *ROTATED.shape))
    return Multiphase(
        venous=structures.with_array((venous + noise[0]).astype(np.float32)),
        arterial=structures.with_array((arterial + noise[1]).astype(np.float32)),
    )


def painted(labels: AnyArray, intensities: tuple[float, float, float]) -> DoubleArray:
    """Spleen, aorta and pancreas in fat."""
    values = np.full(20, -1.5)
    values[[Structure.SPLEEN, Structure.AORTA, Structure.PANCREAS]] = intensities
    image: DoubleArray = values[labels]
    return image


def apart(center: tuple[int, int, int]) -> DoubleArray:
    """Distance of each voxel from a voxel, mm."""
    index = np.moveaxis(np.indices(ROTATED.shape), 0, -1)
    distance: DoubleArray = np.linalg.norm((index - center) * np.asarray(ROTATED.spacing), axis=-1)
    return distance
