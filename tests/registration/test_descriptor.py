"""Descriptor words against their definition voxel by voxel, and what they do not depend on."""

from collections.abc import Sequence

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.bits import count_bits
from lymphct.registration.cost import mean_distance
from lymphct.registration.descriptor import MAX_DISTANCE, describe

# Pairs of neighbors: offset between them, and the two places the patch distance is read at, units of r.
PAIRS = [
    ((1, 1, 0), ((0, -1, 0), (-1, 0, 0))),
    ((-1, 1, 0), ((0, -1, 0), (1, 0, 0))),
    ((0, -1, 1), ((0, 0, -1), (0, 1, 0))),
    ((-1, 0, 1), ((0, 0, -1), (1, 0, 0))),
    ((0, 1, 1), ((0, 0, -1), (0, -1, 0))),
    ((1, 0, 1), ((0, 0, -1), (-1, 0, 0))),
]


def noise(shape: tuple[int, ...], seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.float32)


def shifted(place: Sequence[int], offset: Sequence[int], r: int) -> tuple[int, ...]:
    return tuple(p + r * o for p, o in zip(place, offset, strict=True))


def patch_distance(image: FloatArray, offset: tuple[int, int, int], r: int) -> AnyArray:
    squares = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        other = shifted(place, offset, r)
        if all(0 <= o < n for o, n in zip(other, image.shape, strict=True)):
            squares[place] = (float(image[other]) - float(image[place])) ** 2
    sums = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        sums[place] = squares[tuple(slice(max(p - r, 0), p + r + 1) for p in place)].sum()
    return sums


def levels_by_definition(image: FloatArray, r: int) -> AnyArray:
    distances: list[AnyArray] = []
    for offset, places in PAIRS:
        sums = patch_distance(image, offset, r)
        for step in places:
            channel = np.zeros(image.shape)
            for place in np.ndindex(image.shape):
                other = shifted(place, step, r)
                inside = all(0 <= o < n for o, n in zip(other, image.shape, strict=True))
                channel[place] = sums[other if inside else place]
            distances.append(channel)
    values = np.stack(distances)
    values -= values.min(axis=0)
    relative = values / np.maximum(values.mean(axis=0), 1e-6)
    thresholds = [1.38629, 0.87547, 0.53900, 0.28768, 0.08701]
    levels: AnyArray = np.sum([relative < t for t in thresholds], axis=0)
    return levels


def levels_of(words: AnyArray) -> AnyArray:
    """Read the twelve levels back out of the words."""
    codes = [(words >> np.uint64(5 * channel)) & np.uint64(31) for channel in range(12)]
    return np.bitwise_count(np.stack(codes)).astype(int)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_words_hold_the_levels_of_the_definition(radius: int) -> None:
    image = noise((9, 12, 10), radius)
    words = describe(image, radius)
    assert words.dtype == np.uint64
    assert_array_equal(levels_of(words), levels_by_definition(image, radius))


def test_a_level_is_written_as_that_many_lowest_bits() -> None:
    words = describe(noise((16, 16, 16)), 2)
    for channel in range(12):
        code = (words >> np.uint64(5 * channel)) & np.uint64(31)
        assert set(np.unique(code)) <= {0, 1, 3, 7, 15, 31}
    assert (words >> np.uint64(60) == 0).all()


def test_different_bits_are_the_l1_distance_of_the_levels() -> None:
    one, other = describe(noise((12, 12, 12), 1), 1), describe(noise((12, 12, 12), 2), 1)
    apart = np.abs(levels_of(one) - levels_of(other)).sum(axis=0)
    assert_array_equal(np.bitwise_count(one ^ other), apart)
    assert mean_distance(one, other) == pytest.approx(apart.mean())
    assert 0 < apart.max() <= MAX_DISTANCE


@pytest.mark.parametrize(
    ("gain", "offset"), [(2.0, 0.0), (0.5, 300.0), (1.0, -517.0), (-1.0, 0.0), (-4.0, 9.0)]
)
def test_gain_offset_and_sign_of_the_intensities_do_not_matter(gain: float, offset: float) -> None:
    image = noise((17, 18, 19))
    changed = (gain * image + offset).astype(np.float32)
    assert_array_equal(describe(changed, 2), describe(image, 2))


def test_a_region_without_contrast_has_the_highest_level_in_every_channel() -> None:
    assert_array_equal(levels_of(describe(np.full((16, 17, 18), -1000.0, dtype=np.float32), 2)), 5)


def test_descriptors_do_not_depend_on_the_number_of_threads() -> None:
    image = noise((23, 12, 11))
    assert_array_equal(describe(image, 3, threads=2), describe(image, 3))


def test_bits_of_a_word_are_counted() -> None:
    count = numba.njit(lambda word: count_bits(word))  # noqa: PLW0108 - numba compiles functions only
    words = np.random.default_rng(0).integers(0, 2**64, 50, dtype=np.uint64)
    assert [int(count(word)) for word in words] == [int(word).bit_count() for word in words]
