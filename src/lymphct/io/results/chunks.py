"""One array in one file, cut into compressed chunks of which only those that are asked for are read.

The file is a header, a table and the chunks one after the other (decision 0032). The header holds type, shape
and chunk; the table the length and the CRC-32 of each chunk; a chunk is compressed by Blosc2 (LZ4), and one
that is 0 throughout has length 0. Of Blosc2 only the decoder of a chunk is used, on bytes whose checksum and
format were looked at before: nothing in a file names a type, a function or another file. The same values give
the same bytes.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from os import close, fstat
from os import open as open_file
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from lymphct.core.arrays import AnyArray, Index3, IntArray, LabelArray
from lymphct.core.errors import InputError, UsageError
from lymphct.core.system import READING, read_at
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.known import damaged

CHUNK: Final = (64, 64, 32)
"""Voxels of a chunk along i, j, k."""
TYPES: Final = ("|u1", "<u2", "<u4", "<i2", "<i4", "<f4")
"""Types that are stored, by their number in the header."""
_MAGIC: Final = b"LYMPHCT\x01"
_HEAD: Final = struct.Struct("<8sI3I3II")
"""Magic, type, shape, chunk (i, j, k), CRC-32 of all that and of the table."""
_ENTRY: Final = np.dtype([("size", "<u4"), ("crc", "<u4")])
_LARGEST: Final = 1 << 26
"""Bytes of the largest chunk that is read."""
_BLOCK: Final = 1 << 17
"""Bytes that Blosc2 compresses at a time; left to itself it may ask the processor."""
_BLOSC_HEADER: Final = 32

_LZ4: Final = 1
"""Number of the codec in the header of a chunk."""


@cache
def _blosc2() -> Any:  # noqa: ANN401 - it ships no types; loaded when the first chunk is met
    import blosc2  # noqa: PLC0415 - takes half a second

    blosc2.set_releasegil(True)  # readers work side by side
    return blosc2


class _Table(NamedTuple):
    """What the beginning of a file says; chunks are numbered in C order of (k, j, i)."""

    dtype: np.dtype[Any]
    shape: Index3
    chunk: Index3
    sizes: LabelArray
    crcs: LabelArray
    offsets: IntArray
    total: int


def write_chunks(path: Path, array: AnyArray, chunk: Index3 = CHUNK) -> None:
    """Write an array (i, j, k).

    Raises:
        UsageError: the type of its values is not one of `TYPES`.
        EnvironmentProblemError: no space, no permission and the like.

    """
    name = array.dtype.newbyteorder("<").str
    if name not in TYPES or array.ndim != 3:
        msg = f"an array of {array.dtype} and shape {array.shape} cannot be stored"
        raise UsageError(msg)
    chunks = [_compressed(part) for part in _parts(array, chunk)]
    table = np.array([(len(data), zlib.crc32(data)) for data in chunks], dtype=_ENTRY).tobytes()
    fields = (_MAGIC, TYPES.index(name), *array.shape, *chunk)
    crc = zlib.crc32(table, zlib.crc32(_HEAD.pack(*fields, 0)))
    with environment_errors(), path.open("wb") as stream:
        stream.write(_HEAD.pack(*fields, crc))
        stream.write(table)
        stream.writelines(chunks)


def _parts(array: AnyArray, chunk: Index3) -> Iterator[AnyArray]:
    """Yield the chunks in C order of (k, j, i), each a contiguous array of these axes, filled up with 0."""
    turned = array.transpose(2, 1, 0)
    size = chunk[::-1]
    for corner in product(*(range(0, n, step) for n, step in zip(turned.shape, size, strict=True))):
        part = turned[tuple(slice(low, low + step) for low, step in zip(corner, size, strict=True))]
        whole = np.zeros(size, dtype=array.dtype.newbyteorder("<"))
        whole[tuple(slice(0, n) for n in part.shape)] = part
        yield whole


def _compressed(part: AnyArray) -> bytes:
    if not part.view(f"u{part.itemsize}").any():
        return b""
    blosc2 = _blosc2()
    data: bytes = blosc2.compress2(
        part,
        codec=blosc2.Codec.LZ4,
        clevel=5,
        filters=[blosc2.Filter(_filter(part.dtype))],
        filters_meta=[0],
        typesize=part.itemsize,
        blocksize=_BLOCK,
        nthreads=1,
    )
    return data


def _filter(dtype: np.dtype[Any]) -> int:
    """Return the number of the filter: none for bytes, else bit shuffle."""
    return 0 if dtype.itemsize == 1 else 2


@dataclass(frozen=True)
class ChunkedArray:
    """An array of `write_chunks`; its file is open no longer than a box of it is read.

    It may be read by several threads at once, and travel to another process.

    Attributes:
        path: of the file.
        patient: whom an error names; empty for nobody.

    """

    path: Path
    patient: str = field(default="", kw_only=True)

    @property
    def shape(self) -> Index3:
        """Voxels along i, j, k.

        Raises:
            InputError: `E_DAMAGED`, missing or damaged.

        """
        return self._table.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values.

        Raises:
            InputError: as `shape`.

        """
        return self._table.dtype

    def read(self, box: tuple[slice, slice, slice]) -> AnyArray:
        """Return the values of a box, indexed [i, j, k]; i runs fastest in memory, as networks want it.

        Raises:
            InputError: `E_DAMAGED`, the file is missing, or the part that is read is damaged.

        """
        table = self._table
        spans = [range(n)[part] for n, part in zip(table.shape[::-1], box[::-1], strict=True)]
        found = np.zeros([len(span) for span in spans], dtype=table.dtype)
        if found.size:
            self._fill(found, [(span.start, span.stop) for span in spans])
        return found.transpose(2, 1, 0)

    def _fill(self, found: AnyArray, spans: list[tuple[int, int]]) -> None:
        """Copy into `found` (k, j, i) what lies between the voxels of `spans`."""
        table = self._table
        size = table.chunk[::-1]
        counts = [-(-n // step) for n, step in zip(table.shape[::-1], size, strict=True)]
        slabs, rows, columns = (
            range(low // step, -(-high // step)) for (low, high), step in zip(spans, size, strict=True)
        )
        buffer = np.empty(size, dtype=table.dtype)
        descriptor = self._opened()
        try:
            for slab, row in product(slabs, rows):
                first = (slab * counts[1] + row) * counts[2]
                numbers = range(first + columns.start, first + columns.stop)
                for column, data in zip(columns, self._chunks(descriptor, numbers), strict=True):
                    if not data:
                        continue
                    self._decompress(data, buffer)
                    source, target = _overlap((slab, row, column), size, spans)
                    found[target] = buffer[source]
        finally:
            close(descriptor)

    def _chunks(self, descriptor: int, numbers: range) -> Iterator[bytes]:
        """Yield chunks that follow one another in the file, read in one go."""
        part = slice(numbers.start, numbers.stop)
        sizes, crcs = self._table.sizes[part].tolist(), self._table.crcs[part].tolist()
        length = sum(sizes)
        with environment_errors():
            data = read_at(descriptor, length, int(self._table.offsets[numbers.start])) if length else b""
        low = 0
        for size, crc in zip(sizes, crcs, strict=True):
            chunk = data[low : low + size]
            if size and (len(chunk) != size or zlib.crc32(chunk) != crc):
                raise self._damaged()
            yield chunk
            low += size

    def _decompress(self, data: bytes, buffer: AnyArray) -> None:
        # Blosc2 trusts the header of a chunk with the size of the target and the choice of the codec.
        blosc2 = _blosc2()
        form = bytes([_filter(buffer.dtype), 0, 0, 0, 0, 0, _LZ4])
        is_ours = (
            len(data) >= _BLOSC_HEADER
            and data[2] >> 5 == _LZ4
            and data[3] == buffer.itemsize
            and data[16:23] == form
            and data[31] == 0
            and blosc2.get_cbuffer_sizes(data)[:2] == (buffer.nbytes, len(data))
        )
        if not is_ours:
            raise self._damaged()
        try:
            blosc2.decompress2(data, dst=buffer, nthreads=1)
        except (ValueError, RuntimeError) as error:
            raise self._damaged() from error

    @cached_property
    def _table(self) -> _Table:
        descriptor = self._opened(check=False)
        try:
            return self._read_table(descriptor, fstat(descriptor).st_size)
        finally:
            close(descriptor)

    def _read_table(self, descriptor: int, length: int) -> _Table:
        head = read_at(descriptor, _HEAD.size, 0)
        if len(head) != _HEAD.size:
            raise self._damaged()
        magic, kind, *numbers, crc = _HEAD.unpack(head)
        i, j, k, *steps = numbers
        if magic != _MAGIC or kind >= len(TYPES) or min(numbers) < 1:
            raise self._damaged()
        count = math.prod(-(-n // step) for n, step in zip((i, j, k), steps, strict=True))
        dtype = np.dtype(TYPES[kind])
        if count * _ENTRY.itemsize > length or steps[0] * steps[1] * steps[2] * dtype.itemsize > _LARGEST:
            raise self._damaged()
        table = read_at(descriptor, count * _ENTRY.itemsize, _HEAD.size)
        if crc != zlib.crc32(table, zlib.crc32(_HEAD.pack(*_HEAD.unpack(head)[:-1], 0))):
            raise self._damaged()
        entries = np.frombuffer(table, dtype=_ENTRY)
        ends = _HEAD.size + len(table) + np.cumsum(entries["size"], dtype=np.int64)
        if int(ends[-1]) != length:
            raise self._damaged()
        chunk = (steps[0], steps[1], steps[2])
        sizes, crcs = entries["size"].copy(), entries["crc"].copy()
        return _Table(dtype, (i, j, k), chunk, sizes, crcs, ends - sizes, length)

    def _opened(self, *, check: bool = True) -> int:
        try:
            with environment_errors():
                descriptor = open_file(self.path, READING)
        except FileNotFoundError as error:
            raise self._damaged() from error
        if check and fstat(descriptor).st_size != self._table.total:
            close(descriptor)
            raise self._damaged()
        return descriptor

    def _damaged(self) -> InputError:
        return damaged(self.path, self.patient)


def _overlap(
    chunk: tuple[int, int, int], size: tuple[int, int, int], spans: list[tuple[int, int]]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a chunk meets a box, counted within the chunk and within the box."""
    inside, target = [], []
    for number, step, (low, high) in zip(chunk, size, spans, strict=True):
        corner = number * step
        first, last = max(low, corner), min(high, corner + step)
        inside.append(slice(first - corner, last - corner))
        target.append(slice(first - low, last - low))
    return tuple(inside), tuple(target)
