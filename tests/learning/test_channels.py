import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.learning.channels import network_channels, network_image

GRID = Geometry(shape=(2, 3, 4), spacing=(0.68, 0.68, 0.8))
VENOUS = Volume(array=np.arange(24, dtype=np.float64).reshape(2, 3, 4), geometry=GRID)


def test_the_arterial_phase_comes_first() -> None:
    image = network_image(Multiphase(venous=VENOUS, arterial=VENOUS.with_array(VENOUS.array + 100)))
    assert [channel.shape for channel in image] == [(4, 3, 2)] * 2
    assert [channel.dtype for channel in image] == [np.float32] * 2
    assert_array_equal(image[1], VENOUS.array.transpose(2, 1, 0))
    assert_array_equal(image[0], image[1] + 100)


def test_a_missing_arterial_phase_is_zero() -> None:
    arterial, venous = network_channels(Multiphase(venous=VENOUS))
    assert_array_equal(arterial.array, 0.0)
    assert_array_equal(venous.array, VENOUS.array)
    assert arterial.geometry == venous.geometry == GRID


def test_phases_in_float32_are_not_copied_for_a_network_whole_or_in_part() -> None:
    venous = VENOUS.with_array(VENOUS.array.astype(np.float32))
    both = Multiphase(venous=venous, arterial=venous.with_array(venous.array + 1))
    assert np.shares_memory(network_image(both)[1], venous.array)
    part = network_image(both, (slice(0, 2), slice(1, 3), slice(1, 2)))
    assert_array_equal(part[1], venous.array[:, 1:3, 1:2].transpose(2, 1, 0))
    assert np.shares_memory(part[1], venous.array)


def test_a_phase_the_network_does_not_see_is_zero() -> None:
    both = Multiphase(venous=VENOUS, arterial=VENOUS.with_array(VENOUS.array + 100))
    arterial, venous = network_channels(both, "venous")
    assert_array_equal(arterial.array, 0.0)
    assert_array_equal(venous.array, VENOUS.array)
    early, late = network_image(both, phases="arterial")
    assert_array_equal(early, (VENOUS.array + 100).transpose(2, 1, 0))
    assert_array_equal(late, 0.0)


def test_a_network_of_the_arterial_phase_alone_refuses_a_patient_without_it() -> None:
    with pytest.raises(InputError, match="arterial phase is missing, and the network sees no other"):
        network_channels(Multiphase(venous=VENOUS), "arterial")
