"""The attention map against a slow reference in double precision, and the laws it obeys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import lymphct.attention
from lymphct.attention import canvas
from lymphct.attention.bands import PAPER_BANDS, Band, Bands
from lymphct.attention.mapping import attention_map, guided_by, guiding_attention, structures_present
from lymphct.attention.settings import AttentionSettings
from lymphct.core.arrays import AnyArray, DoubleArray, LabelArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume

SPACING = (0.68, 0.68, 0.8)
OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))

NARROW: Bands = {
    Structure.SPLEEN: Band(0.0, 2.0),
    Structure.STOMACH: Band(-2.0, 1.5),
    Structure.AORTA: Band(-1.0, 4.0),
    Structure.PANCREAS: Band(-5.0, 1.5),
}
"""Bands of a form the paper has, small enough for every ramp to fit into a small image."""


def volume(labels: AnyArray, spacing: Vector3 = SPACING) -> Volume:
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    grid = Geometry(shape=shape, spacing=spacing, origin=(-31.0, 12.0, 77.0), direction=OBLIQUE)
    return Volume(array=labels, geometry=grid)


def blobs(shape: tuple[int, int, int], seed: int, numbers: tuple[int, ...] = (1, 3, 4, 5, 11)) -> LabelArray:
    """Grow a few balls of random labels, with some single voxels that fray them."""
    rng = np.random.default_rng(seed)
    index = np.indices(shape)
    labels = np.zeros(shape, dtype=np.uint8)
    for _ in range(rng.integers(0, 5)):
        center = rng.integers(0, shape).reshape(3, 1, 1, 1)
        labels[((index - center) ** 2).sum(axis=0) <= rng.integers(0, 12)] = rng.choice(numbers)
    frayed = rng.random(shape) < 0.03
    labels[frayed] = rng.choice([0, *numbers], size=int(frayed.sum()))
    return labels


def reference(labels: LabelArray, spacing: Vector3, bands: Bands, border: float = 3.0) -> DoubleArray:
    """Eq. 1 and Eq. 2 from all pairs of voxels."""
    positions = np.indices(labels.shape).reshape(3, -1).T * np.asarray(spacing)
    flat = labels.ravel()
    apart = cdist(positions, positions)
    attention = np.zeros(flat.size)
    inside: dict[Structure, DoubleArray] = {}
    for structure, (low, high) in bands.items():
        own = flat == structure
        if not own.any():
            continue
        outer = apart[:, own].min(axis=1)
        inner = apart[:, ~own].min(axis=1) if not own.all() else np.full(flat.size, np.inf)
        distance = np.where(own, -inner, outer)
        ramps = np.minimum((distance - low) / border, (high - distance) / border)
        inside[structure] = np.clip(1 + ramps, 0, 1)
        attention = np.maximum(attention, inside[structure])
    for structure, score in inside.items():
        attention[flat == structure] = score[flat == structure]
    return attention.reshape(labels.shape)


shapes = st.tuples(*[st.integers(1, 11)] * 3)
steps = st.floats(0.3, 4.0)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=80, deadline=None)
@given(shapes, st.tuples(steps, steps, steps), seeds)
def test_the_map_equals_the_slow_reference(shape: tuple[int, int, int], spacing: Vector3, seed: int) -> None:
    labels = blobs(shape, seed)
    found = attention_map(volume(labels, spacing), NARROW)
    assert found.array.dtype == np.float32
    assert_allclose(found.array, reference(labels, spacing, NARROW), rtol=0, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from([0.7, 3.0, 6.0]))
def test_the_paper_s_bands_equal_the_slow_reference(seed: int, border: float) -> None:
    labels, spacing = blobs((14, 9, 12), seed, tuple(range(1, 20))), (4.0, 5.0, 3.5)
    found = attention_map(volume(labels, spacing), settings=AttentionSettings(border=border))
    assert_allclose(found.array, reference(labels, spacing, PAPER_BANDS, border), rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.sampled_from([Band(1.5, 4.0), Band(-4.0, -1.0), Band(-9.0, -6.0), Band(0.0, 0.0), Band(2.0, 2.0)]),
)
def test_bands_of_any_sign_equal_the_slow_reference(seed: int, band: Band) -> None:
    labels = blobs((9, 10, 11), seed)
    bands = {**NARROW, Structure.STOMACH: band, Structure.AORTA: band}
    found = attention_map(volume(labels, (1.1, 0.7, 0.9)), bands)
    assert_allclose(found.array, reference(labels, (1.1, 0.7, 0.9), bands), rtol=0, atol=1e-5)


def test_a_reach_of_many_hundred_voxels_is_measured_too() -> None:
    labels = np.zeros((2, 700, 1), dtype=np.uint8)
    labels[0, 3] = Structure.SPLEEN
    bands = {Structure.SPLEEN: Band(0.0, 30.0)}
    found = attention_map(volume(labels, (0.5, 0.06, 0.5)), bands).array
    assert_allclose(found, reference(labels, (0.5, 0.06, 0.5), bands), rtol=0, atol=1e-5)
    assert 0 < found[0, 540, 0] < 1


def test_rows_longer_than_a_chunk_have_no_seams() -> None:
    labels = np.zeros((3, 4, 150), dtype=np.uint8)
    labels[1, 1, [0, 63, 64, 140]] = Structure.SPLEEN
    labels[2, 2, 70:135] = Structure.PANCREAS
    found = attention_map(volume(labels), NARROW).array
    assert_allclose(found, reference(labels, SPACING, NARROW), rtol=0, atol=1e-5)


def test_five_structures_with_one_d_max_all_paint() -> None:
    labels = np.zeros((25, 2, 3), dtype=np.uint8)
    labels[2:25:5, 0, 1] = [1, 2, 3, 4, 5]
    bands = {Structure(number): Band(0.0, 0.7) for number in range(1, 6)}
    found = attention_map(volume(labels), bands).array
    assert_allclose(found, reference(labels, SPACING, bands), rtol=0, atol=1e-5)


def test_painting_in_slabs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = blobs((30, 9, 10), 5)
    whole = attention_map(volume(labels, (3.0, 1.1, 0.7)), NARROW).array
    monkeypatch.setattr(canvas, "MEMORY_FOR_STEPS", 1)
    assert_array_equal(attention_map(volume(labels, (3.0, 1.1, 0.7)), NARROW).array, whole)
    assert 0 < np.count_nonzero(whole) < whole.size


def test_a_structure_that_fills_the_image_has_no_attention_inside() -> None:
    labels = np.full((3, 4, 5), Structure.AORTA, dtype=np.uint8)
    assert not attention_map(volume(labels)).array.any()


def test_deep_inside_a_long_structure_there_is_no_attention() -> None:
    labels = np.full((21, 23, 5), Structure.AORTA, dtype=np.uint8)
    labels[0], labels[:, 0] = 0, 0
    found = attention_map(volume(labels)).array
    assert_allclose(found, reference(labels, SPACING, PAPER_BANDS), rtol=0, atol=1e-5)
    assert found[12, 12, 2] == 0.0


def test_an_absent_structure_adds_nothing() -> None:
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[6, 6, 6] = Structure.SPLEEN
    alone = attention_map(volume(labels, (4, 4, 4)), {Structure.SPLEEN: PAPER_BANDS[Structure.SPLEEN]})
    assert_array_equal(attention_map(volume(labels, (4, 4, 4))).array, alone.array)
    assert alone.array[0, 0, 0] == 0.0


def test_an_empty_label_map_has_no_attention() -> None:
    found = attention_map(volume(np.zeros((4, 5, 6), dtype=np.uint8)))
    assert not found.array.any()
    assert found.array.dtype == np.float32


def test_a_structure_without_a_band_counts_as_background() -> None:
    labels = np.zeros((9, 9, 9), dtype=np.uint8)
    labels[4, 4, 4], labels[5, 4, 4] = Structure.SPLEEN, Structure.AORTA
    found = attention_map(volume(labels), {Structure.SPLEEN: Band(0.0, 16.0)})
    assert found.array[5, 4, 4] == 1.0


def test_inside_other_organs_the_attention_stays_unless_suppressed() -> None:
    labels = np.zeros((9, 9, 9), dtype=np.uint8)
    labels[4, 4, 4], labels[5, 4, 4], labels[3, 4, 4] = (
        Structure.SPLEEN,
        Structure.LIVER,
        Structure.LEFT_ADRENAL,
    )
    kept = attention_map(volume(labels)).array
    cleared = attention_map(volume(labels), settings=AttentionSettings(suppress_other_organs=True)).array
    assert kept[5, 4, 4] == 1.0
    assert_array_equal(cleared, np.where(labels > 10, 0, kept))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flipped", [(False, False, False), (True, False, True)])
def test_reordering_the_axes_reorders_the_map(
    axes: tuple[int, int, int], flipped: tuple[bool, bool, bool]
) -> None:
    given_order = volume(blobs((9, 10, 11), 8), (0.7, 1.1, 1.6))
    order = AxisOrder(axes=axes, flipped=flipped)
    expected = order.apply(attention_map(given_order, NARROW))
    found = attention_map(order.apply(given_order), NARROW)
    assert found.geometry == expected.geometry
    assert_allclose(found.array, expected.array, rtol=0, atol=1e-6)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_the_order_in_memory_does_not_matter(axes: tuple[int, int, int]) -> None:
    labels = blobs((9, 10, 11), 8)
    stored = np.ascontiguousarray(labels.transpose(axes)).transpose(np.argsort(axes))
    plain, reversed_in_memory = attention_map(volume(labels), NARROW), stored[::-1].copy()[::-1]
    assert_allclose(attention_map(volume(stored), NARROW).array, plain.array, rtol=0, atol=1e-6)
    assert_allclose(attention_map(volume(reversed_in_memory), NARROW).array, plain.array, rtol=0, atol=1e-6)


def test_the_label_map_is_left_as_it_was() -> None:
    labels = blobs((9, 10, 11), 3)
    before = labels.copy()
    attention_map(volume(labels), NARROW)
    assert_array_equal(labels, before)
    assert labels.flags.writeable


def test_wider_whole_numbers_are_read_like_bytes() -> None:
    labels = blobs((9, 10, 11), 3)
    assert_array_equal(
        attention_map(volume(labels.astype(np.int32))).array, attention_map(volume(labels)).array
    )


def test_a_number_that_names_no_structure_is_refused() -> None:
    labels = np.zeros((3, 3, 3), dtype=np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 52, 90
    with pytest.raises(InputError, match=r"name no structure: \[52, 90\].*--labels totalsegmentator"):
        attention_map(volume(labels))


@pytest.mark.parametrize("values", [np.full((2, 2, 2), 0.5), np.full((2, 2, 2), -1), np.full((2, 2, 2), 300)])
def test_an_image_is_refused_as_a_label_map(values: AnyArray) -> None:
    with pytest.raises(InputError, match="whole numbers from 0 to 19"):
        attention_map(volume(values))


def test_present_structures_are_the_guiding_ones_in_order() -> None:
    labels = np.zeros((3, 3, 3), dtype=np.uint8)
    labels[0, 0, :] = [Structure.PANCREAS, Structure.SPLEEN, Structure.LIVER]
    assert structures_present(volume(labels)) == (Structure.SPLEEN, Structure.PANCREAS)


def test_the_tumor_becomes_pancreas_only_outside_other_structures() -> None:
    labels = np.array([[[0, Structure.PANCREAS, Structure.DUODENUM, 0]]], dtype=np.uint8)
    tumor = np.array([[[1, 1, 1, 0]]], dtype=np.uint8)
    merged = guided_by(volume(labels), volume(tumor))
    assert merged.array.tolist() == [[[5, 5, 6, 0]]]
    assert merged.array.dtype == np.uint8


def test_without_a_tumor_mask_the_structures_alone_guide() -> None:
    structures = volume(np.array([[[0, 5, 6, 1]]], dtype=np.uint8))
    assert guided_by(structures, None) is structures
    assert_array_equal(guiding_attention(structures, None).array, attention_map(structures).array)


def test_a_tumor_on_another_grid_is_refused() -> None:
    labels = np.zeros((2, 2, 2), dtype=np.uint8)
    with pytest.raises(GeometryMismatchError, match="the tumor mask lies on another voxel grid"):
        guided_by(volume(labels), volume(labels, (1.0, 1.0, 1.0)))


def test_around_a_merged_tumor_the_attention_is_that_of_pancreas() -> None:
    labels = np.zeros((16, 4, 4), dtype=np.uint8)
    labels[0] = Structure.PANCREAS
    tumor = np.zeros_like(labels)
    tumor[1:5] = 1
    found = guiding_attention(volume(labels, (3, 3, 3)), volume(tumor, (3, 3, 3)))
    by_hand = np.clip((23 - 3.0 * np.arange(1, 12)) / 3, 0, 1)
    assert_allclose(found.array[5:, 2, 2], by_hand, atol=1e-6)


def test_bands_and_settings_hold_for_the_attention_of_structures_and_tumor() -> None:
    labels, tumor = blobs((8, 9, 7), 3), (blobs((8, 9, 7), 4) > 0).astype(np.uint8)
    found = guiding_attention(volume(labels), volume(tumor), NARROW, AttentionSettings(border=1.0))
    merged = np.where((labels == 0) & (tumor > 0), Structure.PANCREAS, labels)
    assert_allclose(found.array, reference(merged, SPACING, NARROW, 1.0), rtol=0, atol=1e-5)


def test_the_entry_point_of_the_package_is_this_function() -> None:
    assert lymphct.attention.attention_map is attention_map
    with pytest.raises(AttributeError, match="no attribute 'attention_maps'"):
        _ = lymphct.attention.attention_maps


def test_the_paper_s_bands_cover_the_guiding_structures() -> None:
    assert tuple(PAPER_BANDS) == GUIDING_STRUCTURES
    assert [tuple(band) for band in PAPER_BANDS.values()] == [
        (0, 16), (0, 25), (-2, 18), (0, 28), (-5, 20), (-5, 22), (-1, 20), (-2, 18), (0, 21), (0, 20),
    ]  # fmt: skip
