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
    groups: Any,  # noqa: ANN401
    step: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Sum the different bits over rows of two images, for groups of three labels.

    Label c = 0, 1, 2 of group t compares fixed[starts[r, 0] + z] with moving[starts[r, 1] + z + shift], where
    shift = groups[t, 0] + c·step, for every row r. Its sum lies in `COUNT` bits of total[t, z] from c·FIELD
    on; above it, the number of pairs of words that were not compared because one of them is `UNSEEN`.

    Args:
        total: uint64, shape (groups, words), C order; at least `LANES` words.
        words: fixed and moving; uint64, C order.
        starts: int64, shape (rows, 2), C order; where the rows start in the images laid out flat.
        groups: int64, shape (groups, 3), C order; words from the start of a row to the first label, and the
            first and one past the last z between which no word of any row or label is `UNSEEN`.
        step: words from label to label.

    """
    signature = types.void(total, words, starts, groups, step)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        def array(number: int) -> Any:  # noqa: ANN401
            proxy = cgutils.create_struct_proxy(signature.args[number])
            return proxy(context, builder, arguments[number])

        fixed, moving = (
            cgutils.create_struct_proxy(kind)(context, builder, builder.extract_value(arguments[1], number))
            for number, kind in enumerate(signature.args[1])
        )
        total, starts, groups = array(0), array(2), array(3)
        rows = _Rows(
            builder=builder,
            data=(fixed.data, moving.data, starts.data),
            count=cgutils.unpack_tuple(builder, starts.shape)[0],
            step=arguments[4],
        )
        _emit_chunks(rows, (total.data, groups.data), cgutils.unpack_tuple(builder, total.shape))
        return context.get_dummy_value()

    return signature, generate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What the emitted loops read: pointers, how many rows, and how far apart the labels are."""

    builder: Any
    data: tuple[Any, Any, Any]
    count: Any
    step: Any


def _emit_chunks(rows: _Rows, data: tuple[Any, Any], shape: list[Any]) -> None:
    """Write the loop over chunks of eight words, and in it that over groups of labels.

    In this order all that is compared with a chunk stays in the first cache. Only chunks that may hold an
    unseen word look for one.
    """
    builder, (total, groups), (count, size) = rows.builder, data, shape
    lanes = _number(LANES, _WORD)
    sums = [cgutils.alloca_once(builder, _WORDS) for _ in range(3)]
    missing = [cgutils.alloca_once(builder, _WORDS) for _ in range(3)]
    chunks = builder.udiv(builder.add(size, _number(LANES - 1, _WORD)), lanes)
    last = builder.sub(size, lanes)
    with cgutils.for_range(builder, chunks, intp=_WORD) as chunk:
        # The last chunk ends with the row and repeats words of the one before it.
        wanted = builder.mul(chunk.index, lanes)
        at = builder.select(builder.icmp_signed("<", wanted, last), wanted, last)
        with cgutils.for_range(builder, count, intp=_WORD) as group:
            entry = builder.mul(group.index, _number(3, _WORD))
            offset, first, end = (
                builder.load(builder.gep(groups, [builder.add(entry, _number(column, _WORD))]))
                for column in range(3)
            )
            for each in (*sums, *missing):
                builder.store(_number(0, _WORDS), each)
            is_seen = builder.and_(
                builder.icmp_signed(">=", at, first),
                builder.icmp_signed("<=", builder.add(at, lanes), end),
            )
            places = at, builder.add(at, offset)
            with builder.if_else(is_seen) as (all_seen, some_unseen):
                with all_seen:
                    _emit_rows(rows, places, sums, None)
                with some_unseen:
                    _emit_rows(rows, places, sums, missing)
            packed = _number(0, _WORDS)
            for label in range(3):
                for bits, each in ((0, sums[label]), (COUNT, missing[label])):
                    shift = _number(label * FIELD + bits, _WORDS)
                    packed = builder.or_(packed, builder.shl(builder.load(each), shift))
            target = builder.add(builder.mul(group.index, size), at)
            builder.store(packed, _pointer(builder, total, target), align=8)


def _emit_rows(rows: _Rows, places: tuple[Any, Any], sums: list[Any], missing: list[Any] | None) -> None:
    """Write the loop over rows: one chunk of the fixed image, three of the moving one."""
    builder = rows.builder
    fixed, moving, starts = rows.data
    kind = ir.FunctionType(_WORDS, [_WORDS])
    ctpop = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LANES}i64")
    with cgutils.for_range(builder, rows.count, intp=_WORD) as row:
        entry = builder.shl(row.index, _number(1, _WORD))
        here = builder.load(builder.gep(starts, [entry]))
        there = builder.load(builder.gep(starts, [builder.add(entry, _number(1, _WORD))]))
        word = _load(builder, fixed, builder.add(here, places[0]))
        place = builder.add(there, places[1])
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
