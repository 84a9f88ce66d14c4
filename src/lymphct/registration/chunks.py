"""Loops over chunks of eight words and groups of three labels, written out for the compiler.

The compiler turns a loop over words into vector instructions only where it can prove that nothing overlaps,
and then keeps every partial sum in memory. Written out as vectors of eight words the sums stay in registers
over all rows of a block. The processor's registers are used, whatever they are: one of 512 bits, two of 256,
four of 128.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils

LANES: Final = 8
FIELD: Final = 21
"""Bits for one of three labels: `COUNT` for the difference of up to 136 words, the rest for a number."""
COUNT: Final = 13
UNSEEN: Final = 1 << 63
"""Set in a word that stands for a place outside the image."""
LABELS: Final = 3
"""Per group; their sums share one word."""
GROUP: Final = 5
"""Numbers known of a group, as in `sum_differences`."""

WORD: Final = ir.IntType(64)
WORDS: Final = ir.VectorType(WORD, LANES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Where one chunk of one group is, and where what is found of it goes.

    Attributes:
        here: words from the start of a row of the fixed image to the chunk.
        there: words from the start of a row of the moving image to what the first label compares with it.
        differences: per label, a place for a vector.
        missing: the same for the pairs that are not compared; None where all are seen.

    """

    here: Any
    there: Any
    differences: list[Any]
    missing: list[Any] | None

    def places(self, builder: Any, start: Any, step: Any) -> list[Any]:  # noqa: ANN401 - llvmlite
        """Return where the words of a row of the moving image are that the labels compare with the chunk."""
        places = [builder.add(start, self.there)]
        for _ in range(1, LABELS):
            places.append(builder.add(places[-1], step))
        return places

    def add(self, builder: Any, label: int, difference: Any) -> None:  # noqa: ANN401 - llvmlite
        """Add to the differences of a label."""
        _add(builder, self.differences[label], difference)

    def add_missing(self, builder: Any, label: int, unseen: Any) -> None:  # noqa: ANN401 - llvmlite
        """Add to the number of pairs that are not compared."""
        if self.missing is not None:
            _add(builder, self.missing[label], unseen)


def emit_chunks(
    builder: Any,  # noqa: ANN401 - llvmlite
    total: Any,  # noqa: ANN401
    groups: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    emit_rows: Callable[[Sums], None],
) -> None:
    """Write the loop over chunks of eight words, and in it that over groups of labels.

    In this order all that is compared with a chunk stays in the first cache. Only chunks that may hold an
    unseen word look for one, and where nothing is seen nothing is compared.

    Args:
        builder: where to write.
        total: array of the sums, uint64 (groups, words), packed as in `count_differences`.
        groups: array of what is known of the groups, int64 (groups, 5).
        rows: how many there are.
        emit_rows: writes the loop over the rows, which adds to the sums.

    """
    count, size = cgutils.unpack_tuple(builder, total.shape)
    differences = [cgutils.alloca_once(builder, WORDS) for _ in range(LABELS)]
    missing = [cgutils.alloca_once(builder, WORDS) for _ in range(LABELS)]
    chunks = builder.udiv(builder.add(size, number(LANES - 1)), number(LANES))
    last = builder.sub(size, number(LANES))
    with cgutils.for_range(builder, chunks, intp=WORD) as chunk:
        # The last chunk ends with the row and repeats words of the one before it.
        wanted = builder.mul(chunk.index, number(LANES))
        at = builder.select(builder.icmp_signed("<", wanted, last), wanted, last)
        with cgutils.for_range(builder, count, intp=WORD) as group:
            known = _read_group(builder, groups, group.index)
            sums = Sums(here=at, there=builder.add(at, known[0]), differences=differences, missing=None)
            for each in (*differences, *missing):
                builder.store(number(0, WORDS), each)
            with builder.if_else(_is_within(builder, at, known[1:3])) as (all_seen, some_unseen):
                with all_seen:
                    emit_rows(sums)
                with some_unseen, builder.if_else(_is_apart(builder, at, known[3:5])) as (unseen, some_seen):
                    with unseen:
                        for each in missing:
                            builder.store(_spread(builder, rows), each)
                    with some_seen:
                        emit_rows(replace(sums, missing=missing))
            target = builder.add(builder.mul(group.index, size), at)
            packed = _pack(builder, differences, missing)
            builder.store(packed, pointer(builder, total.data, target), align=8)


def _read_group(builder: Any, groups: Any, group: Any) -> list[Any]:  # noqa: ANN401 - llvmlite
    entry = builder.mul(group, number(GROUP))
    places = [builder.add(entry, number(column)) for column in range(GROUP)]
    return [builder.load(builder.gep(groups.data, [place])) for place in places]


def _is_within(builder: Any, at: Any, span: list[Any]) -> Any:  # noqa: ANN401 - llvmlite
    end = builder.add(at, number(LANES))
    return builder.and_(builder.icmp_signed(">=", at, span[0]), builder.icmp_signed("<=", end, span[1]))


def _is_apart(builder: Any, at: Any, span: list[Any]) -> Any:  # noqa: ANN401 - llvmlite
    end = builder.add(at, number(LANES))
    return builder.or_(builder.icmp_signed("<=", end, span[0]), builder.icmp_signed(">=", at, span[1]))


def _spread(builder: Any, value: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Return a vector of eight alike."""
    first = builder.insert_element(ir.Constant(WORDS, ir.Undefined), value, number(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, places)


def _pack(builder: Any, differences: list[Any], missing: list[Any]) -> Any:  # noqa: ANN401 - llvmlite
    packed = number(0, WORDS)
    for bits, sums in ((0, differences), (COUNT, missing)):
        for label, each in enumerate(sums):
            shift = number(label * FIELD + bits, WORDS)
            packed = builder.or_(packed, builder.shl(builder.load(each), shift))
    return packed


def _add(builder: Any, place: Any, value: Any) -> None:  # noqa: ANN401 - llvmlite
    builder.store(builder.add(builder.load(place), value), place)


def number(value: int, kind: Any = WORD) -> Any:  # noqa: ANN401 - llvmlite
    """Return a constant word, or a vector of eight alike."""
    return ir.Constant(kind, [value] * LANES if kind is WORDS else value)


def load(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Read eight words from a place in an array."""
    return builder.load(pointer(builder, data, place), align=8)


def pointer(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    """Return where eight words start."""
    return builder.bitcast(builder.gep(data, [place]), WORDS.as_pointer())
