import numpy as np
from numpy.testing import assert_array_equal

from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.learning.channels import network_channels, network_image

GRID = Geometry(shape=(2, 3, 4), spacing=(0.68, 0.68, 0.8))
VENOUS = Volume(array=np.arange(24, dtype=np.float64).reshape(2, 3, 4), geometry=GRID)


def test_the_arterial_phase_comes_first() -> None:
    image = network_image(Multiphase(venous=VENOUS, arterial=VENOUS.with_array(VENOUS.array + 100)))
    assert image.shape == (2, 4, 3, 2)
    assert image.dtype == np.float32
    assert_array_equal(image[1], VENOUS.array.transpose(2, 1, 0))
    assert_array_equal(image[0], image[1] + 100)


def test_a_missing_arterial_phase_is_zero() -> None:
    arterial, venous = network_channels(Multiphase(venous=VENOUS))
    assert_array_equal(arterial.array, 0.0)
    assert_array_equal(venous.array, VENOUS.array)
    assert arterial.geometry == venous.geometry == GRID
