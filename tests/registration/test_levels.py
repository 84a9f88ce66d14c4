"""Levels in bytes against levels read from the words bit by bit."""

import numpy as np
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.registration.chunks import UNSEEN
from lymphct.registration.levels import as_levels


def words_of(levels: AnyArray) -> AnyArray:
    codes = ((1 << levels) - 1).astype(np.uint64)
    words: AnyArray = np.sum(codes << (5 * np.arange(12, dtype=np.uint64)), axis=-1)
    return words


def spread(words: AnyArray, rows_apart: int, threads: int = 1) -> tuple[AnyArray, AnyArray]:
    target = np.empty_like(words), np.empty_like(words)
    as_levels(words, rows_apart, target, threads=threads)
    return target


def octets(words: AnyArray) -> AnyArray:
    return np.ascontiguousarray(words.astype("<u8"))[..., None].view(np.uint8)


def test_each_level_becomes_a_byte_and_rows_share_their_trailing_words() -> None:
    levels = np.random.default_rng(0).integers(0, 6, (5, 9, 12))
    leading, trailing = spread(words_of(levels), 2)
    assert_array_equal(octets(leading), levels[..., :8])
    assert_array_equal(octets(trailing)[..., :4], levels[..., 8:])
    assert_array_equal(octets(trailing)[:-2, :, 4:], levels[2:, :, 8:])
    assert_array_equal(octets(trailing)[-2:, :, 4:], 0)


def test_bytes_of_unseen_words_are_marked_and_hold_nothing_else() -> None:
    words = words_of(np.random.default_rng(1).integers(0, 6, (4, 3, 12)))
    words[2, 1] |= np.uint64(UNSEEN)
    leading, trailing = (octets(part) for part in spread(words, 1))
    assert_array_equal(leading[2, 1], 0x80)
    assert_array_equal(trailing[2, 1, :4], 0x80)
    assert_array_equal(trailing[1, 1, 4:], 0x80)
    marked = np.count_nonzero(leading >= 0x80) + np.count_nonzero(trailing >= 0x80)
    assert marked == 8 + 4 + 4


def test_threads_share_the_rows() -> None:
    words = words_of(np.random.default_rng(2).integers(0, 6, (20, 7, 12)))
    for one, two in zip(spread(words, 2), spread(words, 2, threads=3), strict=True):
        assert_array_equal(one, two)
