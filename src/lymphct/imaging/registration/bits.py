"""Count different bits of words, eight words at a time.

The compiler turns a loop over `ctpop` into vector instructions only where it can prove that nothing overlaps,
and then keeps every partial sum in memory. Written out as vectors of eight words the sums stay in registers
over all rows of a block. The processor's widest registers are used, whatever they are: one of 512 bits, two
of 256, four of 128.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES: Final = 8
FIELD: Final = 21
"""Bits for one of three labels: `COUNT` for the different bits of up to 136 words, the rest for a number."""
COUNT: Final = 13
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
def count_differences(
    _context: Any,  # noqa: ANN401
    total: Any,  # noqa: ANN401
    words: Any,  # noqa: ANN401
    starts: Any,  # noqa: ANN401
    seen: Any,  # noqa: ANN401
    step: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Sum the different bits of three labels over rows of two images.

    Label c = 0, 1, 2 compares fixed[starts[0, r] + z] with moving[starts[1, r] + z + c·step] for every row
    r. Its sum lies in `COUNT` bits of total[z] from c·FIELD on; above it, the number of pairs of words that
    were not compared because one of them is `UNSEEN`.

    Args:
        total: uint64, at least `LANES` long.
        words: fixed and moving; uint64, C order.
        starts: int64, shape (2, rows), C order; where the rows start in the images laid out flat.
        seen: first and one past the last z between which no word of any row or label is `UNSEEN`.
        step: words from label to label.

    """
    signature = types.void(total, words, starts, seen, step)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        def array(kind: Any, value: Any) -> Any:  # noqa: ANN401
            return cgutils.create_struct_proxy(kind)(context, builder, value)

        fixed, moving = (
            array(kind, builder.extract_value(arguments[1], number))
            for number, kind in enumerate(signature.args[1])
        )
        total, starts = array(signature.args[0], arguments[0]), array(signature.args[2], arguments[2])
        rows = _Rows(
            builder=builder,
            data=(fixed.data, moving.data, starts.data),
            count=cgutils.unpack_tuple(builder, starts.shape)[1],
            step=arguments[4],
        )
        size = cgutils.unpack_tuple(builder, total.shape)[0]
        limits = [builder.extract_value(arguments[3], number) for number in range(2)]
        _emit_chunks(rows, total.data, size, limits)
        return context.get_dummy_value()

    return signature, generate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What the emitted loops read: pointers, how many rows, and how far apart the labels are."""

    builder: Any
    data: tuple[Any, Any, Any]
    count: Any
    step: Any


def _emit_chunks(rows: _Rows, total: Any, size: Any, limits: list[Any]) -> None:  # noqa: ANN401 - llvmlite
    """Write the loop over chunks of eight words; only those that may hold an unseen word look for one."""
    builder = rows.builder
    lanes = _number(LANES, _WORD)
    sums = [cgutils.alloca_once(builder, _WORDS) for _ in range(3)]
    missing = [cgutils.alloca_once(builder, _WORDS) for _ in range(3)]
    chunks = builder.udiv(builder.add(size, _number(LANES - 1, _WORD)), lanes)
    last = builder.sub(size, lanes)
    with cgutils.for_range(builder, chunks, intp=_WORD) as chunk:
        # The last chunk ends with the row and repeats words of the one before it.
        wanted = builder.mul(chunk.index, lanes)
        at = builder.select(builder.icmp_signed("<", wanted, last), wanted, last)
        for each in (*sums, *missing):
            builder.store(_number(0, _WORDS), each)
        is_seen = builder.and_(
            builder.icmp_signed(">=", at, limits[0]),
            builder.icmp_signed("<=", builder.add(at, lanes), limits[1]),
        )
        with builder.if_else(is_seen) as (all_seen, some_unseen):
            with all_seen:
                _emit_rows(rows, at, sums, None)
            with some_unseen:
                _emit_rows(rows, at, sums, missing)
        packed = _number(0, _WORDS)
        for label in range(3):
            for bits, each in ((0, sums[label]), (COUNT, missing[label])):
                shift = _number(label * FIELD + bits, _WORDS)
                packed = builder.or_(packed, builder.shl(builder.load(each), shift))
        builder.store(packed, _pointer(builder, total, at), align=8)


def _emit_rows(rows: _Rows, at: Any, sums: list[Any], missing: list[Any] | None) -> None:  # noqa: ANN401
    """Write the loop over rows: one chunk of the fixed image, three of the moving one."""
    builder = rows.builder
    fixed, moving, starts = rows.data
    kind = ir.FunctionType(_WORDS, [_WORDS])
    ctpop = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LANES}i64")
    with cgutils.for_range(builder, rows.count, intp=_WORD) as row:
        here = builder.load(builder.gep(starts, [row.index]))
        there = builder.load(builder.gep(starts, [builder.add(row.index, rows.count)]))
        word = _load(builder, fixed, builder.add(here, at))
        place = builder.add(there, at)
        for label in range(3):
            other = _load(builder, moving, place)
            different = builder.xor(word, other)
            if missing is not None:
                # Arithmetic shift: all bits of an unseen word, none of another.
                unseen = builder.ashr(builder.or_(word, other), _number(63, _WORDS))
                different = builder.and_(different, builder.not_(unseen))
                builder.store(builder.sub(builder.load(missing[label]), unseen), missing[label])
            counted = builder.call(ctpop, [different])
            builder.store(builder.add(builder.load(sums[label]), counted), sums[label])
            place = builder.add(place, rows.step)


def _number(value: int, kind: Any) -> Any:  # noqa: ANN401 - llvmlite
    return ir.Constant(kind, [value] * LANES if kind is _WORDS else value)


def _load(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    return builder.load(_pointer(builder, data, place), align=8)


def _pointer(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401 - llvmlite
    return builder.bitcast(builder.gep(data, [place]), _WORDS.as_pointer())
