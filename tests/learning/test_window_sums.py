import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lymphct.learning.window_sums import WindowSums, sums_bytes
from lymphct.learning.windows import Window, gaussian, inside, window_grid

PATCH = (4, 6, 5)


def _windows(starts: list[list[int]]) -> list[Window]:
    return [
        tuple(slice(n, n + size) for n, size in zip(first, PATCH, strict=True))  # type: ignore[misc] # three
        for first in itertools.product(*starts)
    ]


def _logits(windows: list[Window], classes: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(len(windows))
    return [torch.randn(classes, *PATCH, generator=generator) for _ in windows]


def _plain(shape: tuple[int, int, int], windows: list[Window], logits: list[Tensor]) -> Tensor:
    """Hold everything at once."""
    weight = gaussian(PATCH, 0.125)
    total, weights = torch.zeros(3, *shape), torch.zeros(shape)
    for window, values in zip(windows, logits, strict=True):
        here = inside(window, shape)
        there = tuple(
            slice(at.start - part.start, at.stop - part.start) for at, part in zip(here, window, strict=True)
        )
        total[(slice(None), *here)] += values[(slice(None), *there)] * weight[there]
        weights[here] += weight[there]
    return total / weights


def _summed(shape: tuple[int, int, int], windows: list[Window], logits: list[Tensor]) -> Tensor:
    sums = WindowSums(shape, windows, gaussian(PATCH, 0.125), lambda mean: mean)
    for window, values in zip(windows, logits, strict=True):
        sums.add(window, values)
    return sums.finish()


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(4, 19), st.integers(6, 20), st.integers(5, 13)), st.sampled_from([0.3, 0.5, 1.0])
)
def test_sums_in_rings_are_the_sums_held_whole_to_the_last_bit(
    shape: tuple[int, int, int], step: float
) -> None:
    windows = window_grid(shape, PATCH, step)
    logits = _logits(windows)
    assert torch.equal(_summed(shape, windows, logits), _plain(shape, windows, logits))


@pytest.mark.parametrize(
    "starts",
    [
        [[-1, 0, 2, 3, 6, 9], [-3, 0, 1, 4], [-2, 1, 3]],  # uneven, beyond every face
        [[-3, -2, 1, 5], [0, 6], [0, 2]],  # the first row ends before the image begins
        [[8], [0, 4], [0]],
    ],
)
def test_uneven_rows_and_windows_beyond_the_image_add_up(starts: list[list[int]]) -> None:
    shape = (max(starts[0]) + 3, max(starts[1]) + 5, max(starts[2]) + 5)
    if starts[0] == [8]:  # one row of windows alone
        starts, shape = [[0], *starts[1:]], (4, *shape[1:])
    windows = _windows(starts)
    logits = _logits(windows)
    assert torch.equal(_summed(shape, windows, logits), _plain(shape, windows, logits))


def test_rows_may_have_strips_of_their_own() -> None:
    shape = (8, 12, 5)
    windows = [
        tuple(slice(n, n + size) for n, size in zip(first, PATCH, strict=True))
        for first in [
            (0, 0, 0),
            (0, 3, 0),
            (0, 6, 0),
            (2, -2, 0),
            (2, 1, 0),
            (2, 4, 0),
            (2, 7, 0),
            (4, 0, 0),
            (4, 6, 0),
        ]
    ]
    logits = _logits(windows)  # type: ignore[arg-type] # three slices
    plain = _plain(shape, windows, logits)  # type: ignore[arg-type] # likewise
    assert torch.equal(_summed(shape, windows, logits), plain)  # type: ignore[arg-type] # likewise


def test_the_bytes_of_the_sums_are_foretold_and_half_of_what_a_patch_of_planes_would_take() -> None:
    shape = (40, 30, 20)
    windows = window_grid(shape, PATCH, 0.5)
    sums = WindowSums(shape, windows, gaussian(PATCH, 0.125), lambda mean: mean)
    for window, values in zip(windows, _logits(windows), strict=True):
        sums.add(window, values)
    held = sums._later.nbytes + sums._present.nbytes
    assert sums_bytes(shape, windows, PATCH, 3) == held
    assert held <= 0.6 * 3 * 4 * np.prod([PATCH[0], *shape[1:]])
