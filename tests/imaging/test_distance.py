"""Signed distances against all pairs of voxels and other libraries, and the laws they obey."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from lymphct.core.arrays import BoolArray, DoubleArray, LabelArray, Vector3
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import nearest_structure, signed_distance, structure_distances

SPACING = (0.68, 0.68, 0.8)
OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))


def by_pairs(mask: BoolArray, spacing: Vector3) -> DoubleArray:
    positions = np.indices(mask.shape).reshape(3, -1).T * np.asarray(spacing)
    inside = mask.ravel()
    apart = cdist(positions, positions)
    outer = apart[:, inside].min(axis=1, initial=np.inf)
    inner = apart[:, ~inside].min(axis=1, initial=np.inf)
    distance: DoubleArray = np.where(inside, -inner, outer).reshape(mask.shape)
    return distance


steps = st.floats(0.05, 20.0)
masks = st.builds(
    lambda shape, share, seed: np.random.default_rng(seed).random(shape) < share,
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([0.0, 0.02, 0.3, 0.8, 0.99, 1.0]),
    st.integers(0, 2**32 - 1),
)


@settings(max_examples=150, deadline=None)
@given(masks, st.tuples(steps, steps, steps))
def test_distances_equal_those_of_all_pairs(mask: BoolArray, spacing: Vector3) -> None:
    found = signed_distance(mask, spacing)
    assert found.dtype == np.float32
    assert_allclose(found, by_pairs(mask, spacing), rtol=3e-7)


@settings(max_examples=30, deadline=None)
@given(masks, st.sampled_from([0, 1, 2]))
def test_flipping_an_image_flips_its_distance_map(mask: BoolArray, axis: int) -> None:
    assert_array_equal(
        signed_distance(np.flip(mask, axis), SPACING), np.flip(signed_distance(mask, SPACING), axis)
    )


@settings(max_examples=30, deadline=None)
@given(masks)
def test_the_complement_has_the_opposite_distance(mask: BoolArray) -> None:
    assert_array_equal(signed_distance(~mask, SPACING), -signed_distance(mask, SPACING))


def test_a_larger_image_equals_scipy() -> None:
    rng = np.random.default_rng(4)
    mask = distance_transform_edt(rng.random((40, 50, 60)) > 0.0005) < 6
    expected = distance_transform_edt(~mask, SPACING) - distance_transform_edt(mask, SPACING)
    assert_allclose(signed_distance(mask, SPACING), expected, rtol=3e-7)


def test_a_sphere_on_an_anisotropic_grid_is_measured_within_a_voxel() -> None:
    spacing = np.array([0.68, 0.9, 2.0])
    offsets = (np.indices((41, 31, 17)).reshape(3, -1).T - (20, 15, 8)) * spacing
    exact = (np.linalg.norm(offsets, axis=1) - 10.0).reshape(41, 31, 17)
    found = signed_distance(exact <= 0, (0.68, 0.9, 2.0))
    assert np.abs(found - exact).max() <= np.linalg.norm(spacing)
    assert_array_equal(found < 0, exact <= 0)


def test_an_absent_structure_is_infinitely_far() -> None:
    assert_array_equal(signed_distance(np.zeros((2, 3, 4), dtype=bool), SPACING), np.full((2, 3, 4), np.inf))


def test_the_image_border_is_no_boundary() -> None:
    assert_array_equal(signed_distance(np.ones((2, 3, 4), dtype=bool), SPACING), np.full((2, 3, 4), -np.inf))
    edge = np.array([[[True, True, True, False]]])
    assert_allclose(signed_distance(edge, (1.0, 1.0, 0.8)).ravel(), [-2.4, -1.6, -0.8, 0.8], rtol=1e-6)


def test_masks_may_be_numbers_and_lie_in_any_order_in_memory() -> None:
    mask = np.random.default_rng(1).random((5, 6, 7)) < 0.3
    expected = signed_distance(mask, SPACING)
    assert_array_equal(signed_distance(np.asfortranarray(mask), SPACING), expected)
    assert_array_equal(signed_distance((mask * 3).astype(np.uint8), SPACING), expected)


def label_map(labels: LabelArray) -> Volume:
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    grid = Geometry(shape=shape, spacing=SPACING, origin=(-20.0, 30.0, 5.0), direction=OBLIQUE)
    return Volume(array=labels, geometry=grid)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_at_voxel_centres_points_have_the_distances_of_the_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 1, 5, 10, 11], size=(6, 5, 7)).astype(np.uint8)
    volume = label_map(labels)
    points = np.argwhere(labels >= 0)
    found = structure_distances(volume, volume.geometry.world(points))
    assert found.shape == (labels.size, 10)
    for column, structure in enumerate(GUIDING_STRUCTURES):
        expected = signed_distance(labels == structure, SPACING)
        assert_allclose(found[:, column], expected.ravel(), rtol=1e-6)


def test_a_structure_that_fills_the_image_has_no_nearest_boundary() -> None:
    volume = label_map(np.full((2, 3, 4), Structure.AORTA, dtype=np.uint8))
    assert nearest_structure(volume, volume.geometry.world([1, 1, 1])) == [(Structure.AORTA, -np.inf)]


def test_the_nearest_structure_of_points_between_voxels() -> None:
    labels = np.zeros((20, 3, 3), dtype=np.uint8)
    labels[:4], labels[15:], labels[10] = Structure.SPLEEN, Structure.PANCREAS, Structure.LIVER
    volume = label_map(labels)
    points = volume.geometry.world([(6.25, 1, 1), (13.0, 1, 1), (15.0, 1, 1), (-6.0, 1, 1)])
    found = nearest_structure(volume, points)
    assert [structure for structure, _ in found] == [
        Structure.SPLEEN,
        Structure.PANCREAS,
        Structure.PANCREAS,
        Structure.SPLEEN,
    ]
    assert_allclose([d for _, d in found], np.array([3.25, 2.0, -1.0, 6.0]) * 0.68)


def test_a_touching_structure_is_told_apart_by_the_voxel_under_the_point() -> None:
    labels = np.zeros((6, 3, 3), dtype=np.uint8)
    labels[:3], labels[3:] = Structure.STOMACH, Structure.DUODENUM
    volume = label_map(labels)
    left, right = nearest_structure(volume, volume.geometry.world([(2.4, 1, 1), (2.6, 1, 1)]))
    assert left[0] == Structure.STOMACH
    assert right[0] == Structure.DUODENUM
    assert left[1] == pytest.approx(-0.6 * 0.68)


def test_without_guiding_structures_nothing_is_near() -> None:
    volume = label_map(np.full((2, 2, 2), Structure.LIVER, dtype=np.uint8))
    assert nearest_structure(volume, np.zeros((2, 3))) == [(None, np.inf), (None, np.inf)]
    assert nearest_structure(volume, np.zeros((0, 3))) == []
