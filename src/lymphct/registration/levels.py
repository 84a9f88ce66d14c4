"""Sum differences of descriptor levels, a byte each: for processors without an instruction that counts bits.

A word of the descriptor becomes twelve bytes, its levels 0 … 5, and the sum of absolute differences of eight
bytes is one instruction of every x86 processor; counting the bits of as many words takes three times as many.
Eight levels of a voxel fill one word, the leading ones. The trailing four share a word with those of the row
that is compared next in the same block, so that no byte is idle.
"""

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from lymphct.core.arrays import AnyArray
from lymphct.registration.bits import row_starts
from lymphct.registration.chunks import LANES, WORD, WORDS, Sums, load, number
from lymphct.registration.processor import register_bytes
from lymphct.registration.slabs import in_slabs

_BITS: Final = 5
_HALF: Final = 32
_OWN: Final = (1 << _HALF) - 1
_MARK: Final = 0x80
_MARKS: Final = _MARK * 0x0101010101010101
_MISSING: Final = _MARK * 12
_OCTETS: Final = ir.VectorType(ir.IntType(8), LANES * 8)
_SUMS: Final = {
    16: "llvm.x86.sse2.psad.bw",
    32: "llvm.x86.avx2.psad.bw",
    64: "llvm.x86.avx512.psad.bw.512",
}
"""Instruction by the bytes of a register."""


def as_levels(
    words: AnyArray, rows_apart: int, target: tuple[AnyArray, AnyArray], *, threads: int = 1
) -> None:
    """Write leading and trailing levels as bytes of words.

    All bytes of an unseen word have their highest bit set. The lower half of a trailing word are the levels
    of the word's own voxel, the upper half those of the voxel `rows_apart` rows further on, or 0.

    Args:
        words: of `describe`, uint64, shape (rows, voxels).
        rows_apart: from a row to the one it shares its trailing words with.
        target: leading and trailing words, uint64, each of the shape of `words`.
        threads: how many share the work.

    """
    leading, trailing = target
    in_slabs(
        lambda start, stop: _spread_rows(words, rows_apart, (start, stop), leading, trailing),
        len(words),
        threads,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _spread_rows(
    words: AnyArray, rows_apart: int, part: tuple[int, int], leading: AnyArray, trailing: AnyArray
) -> None:
    half, low, own_half = np.uint64(_HALF), np.uint64((1 << 4 * _BITS) - 1), np.uint64(_OWN)
    second, third = np.uint64(4 * _BITS), np.uint64(8 * _BITS)
    one, top, marks = np.uint64(1), np.uint64(63), np.uint64(_MARKS)
    nothing = np.zeros(words.shape[1], dtype=np.uint64)
    for r in range(part[0], part[1]):
        row = words[r]
        following = words[r + rows_apart] if r + rows_apart < len(words) else nothing
        target, rest = leading[r], trailing[r]
        for k in range(row.size):
            hidden, next_hidden = row[k] >> top, following[k] >> top
            word, other = row[k] * (one - hidden), following[k] * (one - next_hidden)
            levels = _count_in_bytes((word & low) | (((word >> second) & low) << half))
            target[k] = levels | (hidden * marks)
            levels = _count_in_bytes(((word >> third) & low) | (((other >> third) & low) << half))
            rest[k] = levels | (hidden * (marks & own_half)) | (next_hidden * (marks & ~own_half))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _count_in_bytes(halves: int) -> int:
    """Move four times five bits of either half to bytes of their own and count the bits in each."""
    x: Any = np.uint64(halves)
    x = (x & np.uint64(0x000003FF000003FF)) | ((x & np.uint64(0x000FFC00000FFC00)) << np.uint64(6))
    x = (x & np.uint64(0x001F001F001F001F)) | ((x & np.uint64(0x03E003E003E003E0)) << np.uint64(3))
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    counts: int = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return counts


def emit_level_rows(
    builder: Any,  # noqa: ANN401 - llvmlite
    images: tuple[Any, Any, Any, Any],
    rows: tuple[Any, Any, Any],
    step: Any,  # noqa: ANN401
    sums: Sums,
) -> None:
    """Write the loops over rows: leading levels of all, trailing ones of pairs, trailing ones of single rows.

    Args:
        builder: where to write.
        images: arrays of words, leading and trailing ones of the fixed image, then those of the moving one.
        rows: arrays of where the rows start in them, int64 (rows, 2): all, first ones of pairs, single ones.
        step: words from label to label.
        sums: the chunk.

    """
    for number_of_loop, starts in enumerate(rows):
        is_leading, is_single = number_of_loop == 0, number_of_loop == 2
        fixed, moving = (images[0], images[2]) if is_leading else (images[1], images[3])
        count = cgutils.unpack_tuple(builder, starts.shape)[0]
        with cgutils.for_range(builder, count, intp=WORD) as row:
            here, there = row_starts(builder, starts, row.index)
            word = load(builder, fixed.data, builder.add(here, sums.here))
            if is_single:
                word = builder.and_(word, number(_OWN, WORDS))
            kept = None if sums.missing is None else _kept_bits(builder, word)
            for label, place in enumerate(sums.places(builder, there, step)):
                one, other = word, load(builder, moving.data, place)
                if is_single:
                    other = builder.and_(other, number(_OWN, WORDS))
                if kept is not None:
                    one, other = _blind(builder, word, other), builder.and_(other, kept)
                sums.add(builder, label, _absolute_differences(builder, one, other))
    if sums.missing is not None:
        _tell_apart(builder, sums.differences, sums.missing)


def _kept_bits(builder: Any, word: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Return all bits of the bytes that are seen, and the mark of the others."""
    return builder.bitcast(builder.select(_is_marked(builder, word), _octets(_MARK), _octets(0xFF)), WORDS)


def _blind(builder: Any, word: Any, other: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Make bytes 0 where the other is marked: then a mark lies between them if either is or both are."""
    octets = builder.bitcast(word, _OCTETS)
    return builder.bitcast(builder.select(_is_marked(builder, other), _octets(0), octets), WORDS)


def _is_marked(builder: Any, word: Any) -> Any:  # noqa: ANN401 - llvmlite
    return builder.icmp_signed("<", builder.bitcast(word, _OCTETS), _octets(0))


def _octets(value: int) -> Any:  # noqa: ANN401 - llvmlite
    return ir.Constant(_OCTETS, [value] * (LANES * 8))


def _tell_apart(builder: Any, differences: list[Any], missing: list[Any]) -> None:  # noqa: ANN401 - llvmlite
    """Take what marks added out of the sums and count it: `_MISSING` each, more than any true sum."""
    for each, count in zip(differences, missing, strict=True):
        # The quotient by 512 is at most 49: a third of it is 171 / 512 of it, rounded down.
        total = builder.load(each)
        quotient = builder.lshr(total, number(9, WORDS))
        found = builder.lshr(builder.mul(quotient, number(171, WORDS)), number(9, WORDS))
        builder.store(found, count)
        builder.store(builder.sub(total, builder.mul(found, number(_MISSING, WORDS))), each)


def _absolute_differences(builder: Any, one: Any, other: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Sum the absolute differences of the bytes of each word; a register at a time."""
    width = register_bytes()
    lanes = width // 8
    words, octets = ir.VectorType(WORD, lanes), ir.VectorType(ir.IntType(8), width)
    work = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(words, [octets, octets]), _SUMS[width]
    )
    parts = []
    for start in range(0, LANES, lanes):
        pieces = [
            builder.bitcast(_shuffle(builder, each, each, range(start, start + lanes)), octets)
            for each in (one, other)
        ]
        parts.append(builder.call(work, pieces))
    while len(parts) > 1:
        size = parts[0].type.count
        parts = [_shuffle(builder, parts[n], parts[n + 1], range(2 * size)) for n in range(0, len(parts), 2)]
    return parts[0]


def _shuffle(builder: Any, one: Any, other: Any, places: range) -> Any:  # noqa: ANN401 - llvmlite
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(one, other, mask)
