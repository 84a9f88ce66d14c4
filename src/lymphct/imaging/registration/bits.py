"""Count different bits of words, eight words at a time.

The compiler turns a loop over `ctpop` into vector instructions only where it can prove that nothing overlaps,
and then keeps every partial sum in memory. Written out as vectors of eight words the sums stay in registers
over all rows of a block. The processor's widest registers are used, whatever they are: one of 512 bits, two
of 256, four of 128.
"""

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES: Final = 8
FIELD: Final = 21
"""Bits in which the sum of one of three labels lies; 60 bits per word leave room for 34 000 words."""

UNSEEN: Final = 1 << 63
"""Set in a word that stands for a place outside the image."""

_WORD: Final = ir.IntType(64)
_WORDS: Final = ir.VectorType(_WORD, LANES)


@intrinsic
def count_bits(_context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401 - types of numba
    """Count the bits set in one word."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        return builder.ctpop(arguments[0])

    return word(word), generate


@intrinsic
def count_differences(_context: Any, totals: Any, words: Any, starts: Any, step: Any) -> Any:  # noqa: ANN401
    """Sum the different bits of three labels over rows of two images.

    Label c = 0, 1, 2 compares fixed[starts[0, r] + z] with moving[starts[1, r] + z + c·step] for every row
    r; its sum lies in the bits of total[z] from c·FIELD on. With a second total, words of which either is
    `UNSEEN` are not compared but counted there, in the same fields.

    Args:
        totals: one or two arrays, uint64, at least `LANES` long.
        words: fixed and moving; uint64, C order.
        starts: int64, shape (2, rows), C order; where the rows start in the images laid out flat.
        step: words from label to label.

    """
    signature = types.void(totals, words, starts, step)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        def arrays(argument: int) -> list[Any]:
            kinds, values = signature.args[argument], arguments[argument]
            return [
                cgutils.create_struct_proxy(kind)(context, builder, builder.extract_value(values, number))
                for number, kind in enumerate(kinds)
            ]

        totals, words = arrays(0), arrays(1)
        rows = cgutils.create_struct_proxy(signature.args[2])(context, builder, arguments[2])
        sizes = [cgutils.unpack_tuple(builder, array.shape)[-1] for array in (totals[0], rows)]
        _emit(
            builder,
            [array.data for array in totals],
            [array.data for array in (*words, rows)],
            sizes,
            arguments[3],
        )
        return context.get_dummy_value()

    return signature, generate


def _emit(builder: Any, totals: list[Any], data: list[Any], sizes: list[Any], step: Any) -> None:  # noqa: ANN401
    """Write the loops: over chunks of eight words, over rows, over the three labels."""
    fixed, moving, starts = data
    size, rows = sizes
    lanes = _number(LANES, _WORD)
    sums = [[cgutils.alloca_once(builder, _WORDS) for _ in range(3)] for _ in totals]
    chunks = builder.udiv(builder.add(size, _number(LANES - 1, _WORD)), lanes)
    last = builder.sub(size, lanes)
    with cgutils.for_range(builder, chunks, intp=_WORD) as chunk:
        # The last chunk ends with the row and repeats words of the one before it.
        wanted = builder.mul(chunk.index, lanes)
        at = builder.select(builder.icmp_signed("<", wanted, last), wanted, last)
        for each in (label for total in sums for label in total):
            builder.store(_number(0, _WORDS), each)
        with cgutils.for_range(builder, rows, intp=_WORD) as row:
            here = builder.load(builder.gep(starts, [row.index]))
            there = builder.load(builder.gep(starts, [builder.add(row.index, rows)]))
            word = _load(builder, fixed, builder.add(here, at))
            place = builder.add(there, at)
            for label in range(3):
                other = _load(builder, moving, place)
                _compare(builder, word, other, [total[label] for total in sums])
                place = builder.add(place, step)
        for array, total in zip(totals, sums, strict=True):
            packed = builder.load(total[0])
            for label in (1, 2):
                shifted = builder.shl(builder.load(total[label]), _number(label * FIELD, _WORDS))
                packed = builder.or_(packed, shifted)
            builder.store(packed, _pointer(builder, array, at), align=8)


def _compare(builder: Any, word: Any, other: Any, sums: list[Any]) -> None:  # noqa: ANN401 - llvmlite
    """Add the different bits to the first sum; to the second, if there is one, whether a word is unseen."""
    different = builder.xor(word, other)
    if len(sums) == 2:
        # Arithmetic shift: all bits of an unseen word, none of another.
        unseen = builder.ashr(builder.or_(word, other), _number(63, _WORDS))
        different = builder.and_(different, builder.not_(unseen))
        builder.store(builder.sub(builder.load(sums[1]), unseen), sums[1])
    kind = ir.FunctionType(_WORDS, [_WORDS])
    ctpop = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LANES}i64")
    builder.store(builder.add(builder.load(sums[0]), builder.call(ctpop, [different])), sums[0])


def _number(value: int, kind: Any) -> Any:  # noqa: ANN401 - llvmlite
    return ir.Constant(kind, [value] * LANES if kind is _WORDS else value)


def _load(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    return builder.load(_pointer(builder, data, place), align=8)


def _pointer(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    return builder.bitcast(builder.gep(data, [place]), _WORDS.as_pointer())
