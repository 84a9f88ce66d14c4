"""An image in memory meets the checks of a file, and becomes what a file would have given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import NodeClass, Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.in_memory import digest_volume, read_in_memory
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.reading import (
    read_ct,
    read_labels,
    read_mask,
    read_nodes,
    write_volume,
)

GRID = Geometry(shape=(48, 40, 24), spacing=(4.0, 4.5, 5.0), origin=(-90.0, 11.0, -300.0))


def drawn(values: AnyArray, grid: Geometry = GRID) -> Volume:
    return Volume(array=values, geometry=grid)


def mask() -> AnyArray:
    values = np.zeros(GRID.shape, np.uint8)
    values[20:24, 18:22, 10:14] = 1
    return values


def test_a_ct_in_memory_is_what_its_file_gives(body: AnyArray, tmp_path: Path) -> None:
    write_volume(tmp_path / "ct.nii.gz", drawn(body))
    known = read_ct(tmp_path / "ct.nii.gz", phase=Phase.VENOUS)
    for array in (body, body.astype(">i2"), body.astype(np.int32)):
        found = read_ct(drawn(array), phase=Phase.VENOUS)
        assert_array_equal(found.volume.array, known.volume.array)
        assert found.volume.array.dtype == known.volume.array.dtype
        assert found.volume.geometry.matches(known.volume.geometry)
        assert found.notices == known.notices
    assert read_ct(drawn(body.astype(np.float64)), phase=Phase.VENOUS).volume.array.dtype == np.float32


def test_a_ct_in_memory_is_refused_as_its_file_would_be(body: AnyArray) -> None:
    with pytest.raises(InputError, match="venous phase: the values are not HU: minimum 0"):
        read_ct(drawn(np.clip(body, 0, None)), phase=Phase.VENOUS)
    thin = replace(GRID, spacing=(0.1, 4.5, 5.0))
    with pytest.raises(InputError, match=r"arterial phase: spacing in plane 0\.1 mm lies outside the limits"):
        read_ct(drawn(body, thin), phase=Phase.ARTERIAL)
    broken = body.astype(np.float32)
    broken[3, 3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        read_ct(drawn(broken), phase=Phase.VENOUS)


def test_safety_limits_hold_in_memory() -> None:
    with pytest.raises(InputError, match=r"map: dimensions 48×40×24 are too large"):
        read_in_memory(drawn(mask()), name="map", limits=SafetyLimits(voxels=1000))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"map: an array of shape \(48, 40, 24, 3\) has more than one value"):
        read_in_memory(drawn(np.zeros((*GRID.shape, 3))), name="map")
    with pytest.raises(InputError, match="map: values of type complex128 are no numbers of an image"):
        read_in_memory(drawn(np.zeros(GRID.shape, complex)), name="map")


def test_masks_labels_and_nodes_are_taken_from_memory() -> None:
    flipped = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    turned = drawn(mask()[::-1], replace(GRID, origin=(98.0, 11.0, -300.0), direction=flipped))
    assert_array_equal(read_mask(turned, GRID, name="tumor mask").array, mask())
    assert_array_equal(read_mask(drawn(mask() > 0), GRID).array, mask())
    labels = read_labels(drawn(52 * mask()), scheme="totalsegmentator", grid=GRID)
    assert set(np.unique(labels.array)) == {0, Structure.AORTA}
    (node,) = read_nodes(drawn(mask()), GRID).nodes
    assert node.node_class is NodeClass.POSITIVE
    assert node.volume == pytest.approx(64 * 90.0)


def test_masks_labels_and_nodes_in_memory_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="the tumor mask holds values from 0 to 2"):
        read_mask(drawn(2 * mask()), GRID, name="tumor mask")
    with pytest.raises(GeometryMismatchError, match=r"tumor mask: the tumor mask has \(2, 2, 2\) voxels"):
        read_mask(Volume.from_array(np.zeros((2, 2, 2)), GRID.spacing), GRID, name="tumor mask")
    with pytest.raises(InputError, match="structures: label numbers 52 are not among 0 to 19"):
        read_labels(drawn(52 * mask()), grid=GRID)
    with pytest.raises(InputError, match="nodes: the node mask holds values up to 7"):
        read_nodes(drawn(7 * mask()), GRID)


def test_a_digest_covers_values_type_and_grid() -> None:
    volume = drawn(mask())
    others = [
        drawn(mask().astype(np.int16)),
        drawn(np.roll(mask(), 1, axis=0)),
        drawn(mask(), replace(GRID, origin=(-90.0, 11.0, -300.1))),
    ]
    assert digest_volume(drawn(mask())) == digest_volume(volume)
    assert digest_volume(drawn(np.asfortranarray(mask()))) == digest_volume(volume)
    assert len({digest_volume(other) for other in (volume, *others)}) == 4
