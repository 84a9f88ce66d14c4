"""A synthetic patient with four nodes, on an anisotropic grid with rotated axes."""

import numpy as np
import pytest
import torch

from lymphct.core.arrays import DoubleArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.core.volume import Volume
from lymphct.nodes.instances import instances_from_class_map

# Turned by 30° about z: the axes of a gantry that was not straight.
ROTATED = Geometry(
    shape=(36, 28, 24),
    spacing=(1.5, 1.5, 2.0),
    origin=(-20.0, 15.0, 40.0),
    direction=((0.8660254037844387, -0.5, 0.0), (0.5, 0.8660254037844387, 0.0), (0.0, 0.0, 1.0)),
)
SPHERES = (((9, 9, 7), 6.0, 1), ((25, 9, 14), 5.2, 2), ((14, 20, 9), 6.2, 1), ((28, 20, 6), 4.8, 2))
"""Center (voxels), radius (mm) and class of each node."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def grid() -> Geometry:
    return ROTATED


@pytest.fixture(scope="session")
def classes() -> Volume:
    """Class map of the nodes."""
    array = np.zeros(ROTATED.shape, dtype=np.uint8)
    for center, radius, node_class in SPHERES:
        array[apart(center) <= radius] = node_class
    return Volume(array=array, geometry=ROTATED)


@pytest.fixture(scope="session")
def ct(classes: Volume) -> Multiphase:
    """HU: positive nodes dark, negative ones bright, a bright blob where there is no attention."""
    rng = np.random.default_rng(7)
    hu = np.choose(classes.array, (-100.0, 40.0, 110.0))
    hu[apart((18, 4, 20)) <= 3.0] = 90.0
    venous = (hu + rng.normal(0, 8, hu.shape)).astype(np.float32)
    arterial = (hu - 15 + rng.normal(0, 8, hu.shape)).astype(np.float32)
    return Multiphase(venous=classes.with_array(venous), arterial=classes.with_array(arterial))


@pytest.fixture(scope="session")
def image(ct: Multiphase) -> Multiphase:
    """Normalised intensities."""
    assert ct.arterial is not None
    return Multiphase(
        venous=ct.venous.with_array(ct.venous.array / 85),
        arterial=ct.venous.with_array(ct.arterial.array / 85),
    )


@pytest.fixture(scope="session")
def nodes(classes: Volume) -> NodeMap:
    return instances_from_class_map(classes)


@pytest.fixture(scope="session")
def attention(classes: Volume) -> Volume:
    """1 within 3 mm of the nodes, 0 beyond 6 mm."""
    scores = [np.clip(2.0 + (radius - apart(center)) / 3.0, 0, 1) for center, radius, _ in SPHERES]
    return classes.with_array(np.max(scores, axis=0).astype(np.float32))


@pytest.fixture(scope="session")
def structures(classes: Volume) -> Volume:
    """Aorta on one side, pancreas below."""
    array = np.zeros(ROTATED.shape, dtype=np.uint8)
    array[:2] = 4
    array[:, :, :2] = 5
    return classes.with_array(array)


def apart(center: tuple[int, int, int]) -> DoubleArray:
    """Distance of each voxel from a voxel, mm."""
    index = np.moveaxis(np.indices(ROTATED.shape), 0, -1)
    distance: DoubleArray = np.linalg.norm((index - center) * np.asarray(ROTATED.spacing), axis=-1)
    return distance
