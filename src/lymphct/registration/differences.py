"""Sum the differences of descriptor words over the rows of a block, in the way the processor does best."""

from typing import Any, Literal

from numba.core import cgutils, types
from numba.extending import intrinsic

from lymphct.registration.bits import emit_word_rows
from lymphct.registration.chunks import Sums, emit_chunks
from lymphct.registration.levels import emit_level_rows
from lymphct.registration.processor import processor_features

Layout = Literal["words", "levels"]
"""Words of 60 bits whose different bits are counted, or levels in bytes whose differences are summed."""


def layouts() -> tuple[Layout, ...]:
    """Return the layouts this processor can work with, the best one first."""
    features = processor_features()
    if "sse2" not in features:
        return ("words",)
    return ("words", "levels") if "avx512vpopcntdq" in features else ("levels", "words")


def best_layout() -> Layout:
    """Return the layout that is quickest on this processor."""
    return layouts()[0]


@intrinsic
def sum_differences(
    _context: Any,  # noqa: ANN401
    total: Any,  # noqa: ANN401
    images: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    groups: Any,  # noqa: ANN401
    step: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Sum the differences over rows of two images, for groups of three labels.

    Label c = 0, 1, 2 of group t compares fixed[rows[r, 0] + z] with moving[rows[r, 1] + z + shift], where
    shift = groups[t, 0] + c·step, for every row r. Its sum lies in `COUNT` bits of total[t, z] from c·FIELD
    on; above it, the number of pairs of words that were not compared because one of them is `UNSEEN`.

    Args:
        total: uint64, shape (groups, words), C order; at least `LANES` words.
        images: uint64, C order; fixed and moving words, or leading and trailing levels of both.
        rows: int64, shape (rows, 2), C order; where the rows start in the images laid out flat. Three arrays:
            all rows, and among them the first of those that share their trailing levels, and the others.
        groups: int64, shape (groups, 5), C order; words from the start of a row to the first label, the first
            and one past the last z between which no word of any row or label is `UNSEEN`, and the first and
            one past the last z outside of which all are.
        step: words from label to label.

    """
    signature = types.void(total, images, rows, groups, step)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        def array(kind: Any, value: Any) -> Any:  # noqa: ANN401
            return cgutils.create_struct_proxy(kind)(context, builder, value)

        def arrays(number: int) -> tuple[Any, ...]:
            values = cgutils.unpack_tuple(builder, arguments[number])
            return tuple(
                array(kind, value) for kind, value in zip(signature.args[number], values, strict=True)
            )

        images, rows = arrays(1), arrays(2)

        def emit_rows(sums: Sums) -> None:
            if len(images) == 2:
                emit_word_rows(builder, (images[0], images[1]), rows[0], arguments[4], sums)
            else:
                emit_level_rows(builder, images, rows, arguments[4], sums)

        total, groups = array(signature.args[0], arguments[0]), array(signature.args[3], arguments[3])
        emit_chunks(builder, total, groups, cgutils.unpack_tuple(builder, rows[0].shape)[0], emit_rows)
        return context.get_dummy_value()

    return signature, generate
