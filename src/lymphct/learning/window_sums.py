"""Weighted sums of the logits of windows, kept only as long as further windows add to them.

Windows come row by row along k, in each row strip by strip along j. Two buffers hold what is not complete:

- the planes to which the next row adds too, over the whole of j and i: with steps of half a patch about half
  a patch of planes;
- the other planes of the row, over the lines j of the present strip alone.

Lines that are complete are reduced at once to what the caller wants of them. Both buffers are rings: plane p
lies in slot p modulo the number of slots, so that nothing is ever moved.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from lymphct.core.arrays import Index3
from lymphct.learning.windows import Window

Reduce = Callable[[Tensor], Tensor]
"""What is kept (…, k, j, i) of the logits (classes, k, j, i) of some part of the image."""
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Row:
    """Planes first…stop of the windows that begin at one plane.

    Attributes:
        known: before it the row before has added.
        middle: before it sums are held as the present, from it as later ones.
        complete: before it no later row adds.

    """

    first: int
    known: int
    middle: int
    complete: int
    stop: int


def _rows(planes: int, windows: Sequence[Window], depth: int) -> dict[int, _Row]:
    """Return the rows of windows by the plane they begin at, cut to the image."""
    starts = sorted({window[0].start for window in windows})
    # The last row ends with itself; of its planes as many are held as later ones as there is room.
    room = max((k + depth - after for k, after in pairwise(starts)), default=0)
    rows, known = {}, 0
    for k, after in zip(starts, [*starts[1:], planes], strict=True):
        first, complete, stop = (min(max(plane, 0), planes) for plane in (k, after, k + depth))
        middle = complete if k != starts[-1] else max(stop - room, first)
        rows[k] = _Row(first, min(max(known, first), middle), middle, complete, stop)
        known = stop
    return rows


def _held(rows: Mapping[int, _Row]) -> tuple[int, int]:
    """Return how many planes are held as later and as present ones."""
    return (
        max(row.stop - row.middle for row in rows.values()),
        max(row.middle - row.first for row in rows.values()),
    )


def sums_bytes(shape: Sequence[int], windows: Sequence[Window], patch_size: Index3, classes: int) -> int:
    """Foretell the bytes of the sums of these windows (k, j, i), one class or `classes` of them.

    Args:
        shape: voxels along k, j, i.
        windows: as for `WindowSums`.
        patch_size: voxels along k, j, i.
        classes: logits of each voxel.

    """
    later, present = _held(_rows(shape[0], windows, patch_size[0]))
    lines = min(patch_size[1], shape[1])
    return 4 * classes * shape[2] * (later * shape[1] + present * lines)


class WindowSums:
    """Gaussian-weighted means of logits over an image, reduced as soon as they are complete."""

    def __init__(
        self, shape: Sequence[int], windows: Sequence[Window], weight: Tensor, reduce: Reduce
    ) -> None:
        """Prepare for these windows, which cover the image and come in this order.

        Args:
            shape: voxels along k, j, i.
            windows: may reach beyond the image; sorted by k, then by j.
            weight: (k, j, i) of a patch, on the device of the logits.
            reduce: of the mean logits.

        """
        self.shape, self.windows, self.weight, self.reduce = tuple(shape), windows, weight, reduce
        self._rows = _rows(self.shape[0], windows, len(weight))
        self.slots, self.low_planes = _held(self._rows)
        self._row: _Row | None = None
        self._lines: Range = (0, 0)
        self._later = self._present = self.result = weight.new_zeros(0)

    def add(self, window: Window, logits: Tensor) -> None:
        """Add the logits (classes, k, j, i) of the next window, which are not kept."""
        if not self._present.numel():
            classes, (_, n_j, n_i) = len(logits), self.shape
            self._later = self.weight.new_zeros(classes, self.slots, n_j, n_i)
            lines = min(self.weight.shape[1], n_j)
            self._present = self.weight.new_zeros(classes, self.low_planes, lines, n_i)
        row, j = self._rows[window[0].start], window[1].start
        if row is not self._row:
            self._release(self.shape[1])
            self._row, self._lines = row, (0, 0)
        self._release(max(j, 0))
        self._take_up(row, min(j + self.weight.shape[1], self.shape[1]))
        self._add(row, window, logits)

    def finish(self) -> Tensor:
        """Return the reduced mean logits (…, k, j, i), on the CPU."""
        self._release(self.shape[1])
        return self.result

    def _take_up(self, row: _Row, end: int) -> None:
        """Begin with the lines before `end`: planes that end with this row move to the present."""
        first = row.first
        for lines, places in _pieces((self._lines[1], end), self._present.shape[2]):
            self._present[:, :, places] = 0
            for planes, slots in _pieces((first, row.known), self.slots):
                low = slice(planes.start - first, planes.stop - first)
                self._present[:, low, places] = self._later[:, slots, lines]
                self._later[:, slots, lines] = 0
        self._lines = (self._lines[0], max(end, self._lines[1]))

    def _add(self, row: _Row, window: Window, logits: Tensor) -> None:
        first, middle, stop = row.first, row.middle, row.stop
        begin = [part.start for part in window]
        n_i = slice(max(begin[2], 0), min(window[2].stop, self.shape[2]))
        lines = (max(begin[1], 0), min(window[1].stop, self.shape[1]))

        def add(target: Tensor, planes: slice, rows: slice) -> None:
            k, j, i = (
                slice(at.start - low, at.stop - low)
                for at, low in zip((planes, rows, n_i), begin, strict=True)
            )
            part = (k, j, i)
            for n, values in enumerate(logits):  # one class at a time: a small product
                target[n] += values[part] * self.weight[part]

        for rows, places in _pieces(lines, self._present.shape[2]):
            if first < middle:
                add(self._present[:, : middle - first, places, n_i], slice(first, middle), rows)
        rows = slice(*lines)
        for planes, slots in _pieces((middle, stop), self.slots):
            add(self._later[:, slots, rows, n_i], planes, rows)

    def _release(self, end: int) -> None:
        """Reduce the lines before `end` of the planes to which no later row adds."""
        begin, row = self._lines[0], self._row
        if row is None or end <= begin:
            return
        for lines, places in _pieces((begin, end), self._present.shape[2]):
            if row.first < row.middle:
                present = self._present[:, : row.middle - row.first, places]
                self._keep(present, slice(row.first, row.middle), lines)
        for planes, slots in _pieces((row.middle, row.complete), self.slots):
            self._keep(self._later[:, slots, begin:end], planes, slice(begin, end))
        self._lines = (end, self._lines[1])

    def _keep(self, sums: Tensor, planes: slice, lines: slice) -> None:
        kept = self.reduce(sums.div_(self._weights(planes, lines))).cpu()
        if not self.result.numel():
            self.result = kept.new_empty(*kept.shape[:-3], *self.shape)
        self.result[..., planes, lines, :] = kept

    def _weights(self, planes: slice, lines: slice) -> Tensor:
        """Add up the weights of all windows over some planes and lines, in their order."""
        box = (planes, lines, slice(0, self.shape[2]))
        total = self.weight.new_zeros([part.stop - part.start for part in box])
        for window in self.windows:
            both = [
                (max(part.start, at.start), min(part.stop, at.stop))
                for part, at in zip(box, window, strict=True)
            ]
            if all(low < high for low, high in both):
                here = tuple(
                    slice(n - part.start, m - part.start) for (n, m), part in zip(both, box, strict=True)
                )
                there = tuple(
                    slice(n - at.start, m - at.start) for (n, m), at in zip(both, window, strict=True)
                )
                total[here] += self.weight[there]
        return total


def _pieces(span: Range, modulus: int) -> Iterator[tuple[slice, slice]]:
    """Yield the parts of a range that lie together in a ring of `modulus` places, and their places."""
    first, stop = span
    if first >= stop:
        return
    cuts = [first, *range(-(-(first + 1) // modulus) * modulus, stop, modulus), stop]
    for low, high in pairwise(cuts):
        place = low % modulus
        yield slice(low, high), slice(place, place + high - low)
