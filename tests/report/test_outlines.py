import re

import numpy as np
from numpy.testing import assert_allclose

from lymphct.core.arrays import DoubleArray
from lymphct.report.outlines import BRACKET_ARM, BRACKET_MARGIN, brackets_path, outline_path
from lymphct.report.planes import Patch

PATCH = Patch(rows=(10, 30), columns=(100, 120), spacing=(2.5, 0.5))


def loops(path: str) -> list[DoubleArray]:
    return [
        np.array([[float(part) for part in point.split()] for point in loop.split("L")])
        for loop in re.findall(r"M([^Z]*)Z", path)
    ]


def area(loop: DoubleArray) -> float:
    x, y = loop.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def test_a_rectangle_is_outlined_where_it_lies() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[4:8, 3:9] = True
    (loop,) = loops(outline_path(mask, PATCH))
    assert_allclose(loop.min(axis=0), [103 * 0.5, 14 * 2.5])
    assert_allclose(loop.max(axis=0), [109 * 0.5, 18 * 2.5])
    # Half-way between centres: each of the four corners loses an eighth of a pixel.
    assert_allclose(area(loop), (4 * 6 - 4 / 8) * 2.5 * 0.5)


def test_straight_parts_have_no_needless_points() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:18, 2:18] = True
    (loop,) = loops(outline_path(mask, PATCH))
    assert len(loop) == 8


def test_a_hole_and_an_island_have_their_own_loops() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:12, 2:12] = True
    mask[5:8, 5:8] = False
    mask[15, 15] = True
    assert len(loops(outline_path(mask, PATCH))) == 3


def test_a_mask_that_fills_its_patch_is_outlined_at_the_edge() -> None:
    (loop,) = loops(outline_path(np.ones((20, 20), dtype=bool), PATCH))
    assert_allclose([loop.min(axis=0), loop.max(axis=0)], [[50.0, 25.0], [60.0, 75.0]])


def test_an_empty_mask_has_no_outline() -> None:
    assert outline_path(np.zeros((20, 20), dtype=bool), PATCH) == ""


def test_brackets_stand_around_a_mask_and_leave_it_free() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[4:8, 3:9] = True
    left, right, top, bottom = 103 * 0.5 - 3, 109 * 0.5 + 3, 14 * 2.5 - 3, 18 * 2.5 + 3
    assert (BRACKET_MARGIN, BRACKET_ARM) == (3.0, 3.0)
    assert brackets_path(mask, PATCH) == (
        f"M{left:.2f} {top + 3:.2f}V{top:.2f}H{left + 3:.2f}"
        f"M{left:.2f} {bottom - 3:.2f}V{bottom:.2f}H{left + 3:.2f}"
        f"M{right:.2f} {top + 3:.2f}V{top:.2f}H{right - 3:.2f}"
        f"M{right:.2f} {bottom - 3:.2f}V{bottom:.2f}H{right - 3:.2f}"
    )
