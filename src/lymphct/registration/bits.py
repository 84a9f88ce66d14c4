"""Count different bits of words, eight words at a time: for processors with an instruction that does it."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from lymphct.registration.chunks import LANES, WORD, WORDS, Sums, load, number


@intrinsic
def count_bits(_context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401 - types of numba
    """Count the bits set in one word."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        return builder.ctpop(arguments[0])

    return word(word), generate


def emit_word_rows(
    builder: Any,  # noqa: ANN401 - llvmlite
    images: tuple[Any, Any],
    rows: Any,  # noqa: ANN401
    step: Any,  # noqa: ANN401
    sums: Sums,
) -> None:
    """Write the loop over rows: one chunk of the fixed image, one of the moving one per label.

    Args:
        builder: where to write.
        images: arrays of words, fixed and moving.
        rows: array of where the rows start in them, int64 (rows, 2).
        step: words from label to label.
        sums: the chunk.

    """
    fixed, moving = images
    kind = ir.FunctionType(WORDS, [WORDS])
    ctpop = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LANES}i64")
    count = cgutils.unpack_tuple(builder, rows.shape)[0]
    with cgutils.for_range(builder, count, intp=WORD) as row:
        here, there = row_starts(builder, rows, row.index)
        word = load(builder, fixed.data, builder.add(here, sums.here))
        for label, place in enumerate(sums.places(builder, there, step)):
            other = load(builder, moving.data, place)
            different = builder.xor(word, other)
            if sums.missing is not None:
                # Arithmetic shift: all bits of an unseen word, none of another.
                unseen = builder.ashr(builder.or_(word, other), number(63, WORDS))
                different = builder.and_(different, builder.not_(unseen))
                sums.add_missing(builder, label, builder.neg(unseen))
            sums.add(builder, label, builder.call(ctpop, [different]))


def row_starts(builder: Any, rows: Any, row: Any) -> tuple[Any, Any]:  # noqa: ANN401 - llvmlite
    """Read where a row starts in the fixed and in the moving image."""
    entry = builder.shl(row, number(1))
    here = builder.load(builder.gep(rows.data, [entry]))
    there = builder.load(builder.gep(rows.data, [builder.add(entry, number(1))]))
    return here, there
