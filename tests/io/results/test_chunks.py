"""An array in a file: read back in boxes, refused as soon as a byte of it is wrong."""

import pickle  # noqa: TID251 - how a handle travels to another process
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.errors import EnvironmentProblemError, InputError, UsageError
from lymphct.io.results import chunks
from lymphct.io.results.chunks import TYPES, ChunkedArray, write_chunks

blosc2 = import_module("blosc2")  # it ships no types
WHOLE = (slice(None),) * 3
SMALL: Index3 = (4, 3, 5)


def noise(shape: Index3, kind: str = "<i2", seed: int = 0) -> AnyArray:
    values = np.random.default_rng(seed).normal(40, 20, shape)
    return np.abs(values).astype(kind) if kind[1] == "u" else values.astype(kind)


@pytest.mark.parametrize("kind", TYPES)
def test_an_array_comes_back_equal_in_type_and_values(kind: str, tmp_path: Path) -> None:
    array = noise((9, 7, 11), kind)
    write_chunks(tmp_path / "a", array, SMALL)
    stored = ChunkedArray(tmp_path / "a")
    assert (stored.shape, stored.dtype) == ((9, 7, 11), np.dtype(kind))
    assert_array_equal(stored.read(WHOLE), array)


slices = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda ends: slice(*sorted(ends)))


@settings(max_examples=60, deadline=None)
@given(box=st.tuples(slices, slices, slices), order=st.sampled_from("CF"))
def test_a_box_is_that_of_the_array(
    box: tuple[slice, slice, slice], order: Literal["C", "F"], tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = noise((9, 8, 10))
    path = tmp_path_factory.mktemp("chunks") / "a"
    write_chunks(path, np.array(array, order=order), SMALL)
    read = ChunkedArray(path).read(box)
    assert_array_equal(read, array[box])
    assert read.transpose(2, 1, 0).flags.c_contiguous  # the order of the networks


def test_only_the_chunks_of_a_box_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_chunks(tmp_path / "a", noise((9, 7, 11)), SMALL)
    stored = ChunkedArray(tmp_path / "a")
    assert stored.shape
    seen: list[int] = []
    unpack = ChunkedArray._decompress

    def counted(array: ChunkedArray, data: bytes, buffer: AnyArray) -> None:
        seen.append(len(data))
        unpack(array, data, buffer)

    monkeypatch.setattr(ChunkedArray, "_decompress", counted)
    stored.read((slice(5, 7), slice(0, 3), slice(4, 6)))
    assert len(seen) == 2  # the box crosses one border, along k


def test_the_same_values_give_the_same_bytes_whatever_their_order_in_memory(tmp_path: Path) -> None:
    array = noise((70, 20, 40))
    for name, values in (("a", array), ("b", np.asfortranarray(array)), ("c", array.astype(">i2"))):
        write_chunks(tmp_path / name, values)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_what_is_zero_takes_no_room(tmp_path: Path) -> None:
    mask = np.zeros((200, 200, 100), np.uint8)
    write_chunks(tmp_path / "a", mask)
    assert (tmp_path / "a").stat().st_size < 2000
    assert not ChunkedArray(tmp_path / "a").read(WHOLE).any()
    tiny = np.full((3, 3, 3), -0.0, np.float32)
    write_chunks(tmp_path / "b", tiny)
    assert np.signbit(ChunkedArray(tmp_path / "b").read(WHOLE)).all()


@pytest.mark.parametrize("kind", ["<f8", "<i8", "?", "O"])
def test_other_types_are_not_stored(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be stored"):
        write_chunks(tmp_path / "a", np.zeros((2, 2, 2), dtype=kind))
    assert not (tmp_path / "a").exists()


def refused(path: Path) -> None:
    with pytest.raises(InputError, match="missing or damaged") as caught:
        ChunkedArray(path, patient="p7").read(WHOLE)
    assert (caught.value.code, caught.value.patient, caught.value.file) == ("E_DAMAGED", "p7", path.name)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    write_chunks(tmp_path / "a", noise((6, 5, 7)), SMALL)
    content = (tmp_path / "a").read_bytes()
    for place in range(len(content)):
        (tmp_path / "b").write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        refused(tmp_path / "b")


def test_a_file_that_is_too_short_too_long_empty_or_gone_is_refused(tmp_path: Path) -> None:
    write_chunks(tmp_path / "a", noise((6, 5, 7)), SMALL)
    content = (tmp_path / "a").read_bytes()
    for cut in (0, 5, 30, 60, len(content) // 2, len(content) - 1):
        (tmp_path / "b").write_bytes(content[:cut])
        refused(tmp_path / "b")
    (tmp_path / "b").write_bytes(content + b"x")
    refused(tmp_path / "b")
    refused(tmp_path / "none")


def test_a_file_that_is_cut_while_it_is_in_use_is_refused(tmp_path: Path) -> None:
    write_chunks(tmp_path / "a", noise((6, 5, 7)), SMALL)
    stored = ChunkedArray(tmp_path / "a")
    assert stored.read(WHOLE).any()
    with (tmp_path / "a").open("r+b") as file:
        file.truncate((tmp_path / "a").stat().st_size - 20)
    with pytest.raises(InputError, match="E_DAMAGED"):
        stored.read(WHOLE)


def forged(path: Path, chunk: bytes, shape: Index3 = SMALL, size: Index3 = SMALL) -> None:
    """Write a file whose checksums are right and whose only chunk is not ours."""
    table = np.array([(len(chunk), zlib.crc32(chunk))], dtype=chunks._ENTRY).tobytes()
    fields = (chunks._MAGIC, TYPES.index("<i2"), *shape, *size)
    crc = zlib.crc32(table, zlib.crc32(chunks._HEAD.pack(*fields, 0)))
    path.write_bytes(chunks._HEAD.pack(*fields, crc) + table + chunk)


def compressed(array: AnyArray, **how: Any) -> bytes:
    ours = {"codec": blosc2.Codec.LZ4, "filters": [blosc2.Filter.BITSHUFFLE], "filters_meta": [0]}
    data: bytes = blosc2.compress2(array, **{**ours, "typesize": 2, "nthreads": 1, **how})
    return data


FORGERIES: dict[str, Callable[[AnyArray], bytes]] = {
    "larger than its place": lambda array: compressed(np.tile(array, (20, 1, 1))),
    "smaller than its place": lambda array: compressed(array[:2]),
    "another codec": lambda array: compressed(array, codec=blosc2.Codec.ZSTD),
    "another filter": lambda array: compressed(array, filters=[blosc2.Filter.SHUFFLE]),
    "another type": lambda array: compressed(array, typesize=4),
    "only a header": lambda array: compressed(array)[:32],
    "not even a header": lambda _: b"\x05\x01",
    "no chunk at all": lambda _: bytes(range(200)),
    "says it is longer": lambda array: _with_length(compressed(array), 100_000),
}


def _with_length(data: bytes, length: int) -> bytes:
    return data[:12] + length.to_bytes(4, "little") + data[16:]


@pytest.mark.parametrize("name", FORGERIES)
def test_a_chunk_that_is_not_ours_is_not_decoded(name: str, tmp_path: Path) -> None:
    array = np.zeros(SMALL[::-1], np.int16)
    array[1:3] = 7
    forged(tmp_path / "a", compressed(array))
    assert_array_equal(ChunkedArray(tmp_path / "a").read(WHOLE), array.transpose(2, 1, 0))
    forged(tmp_path / "a", FORGERIES[name](array))
    refused(tmp_path / "a")


@pytest.mark.parametrize("size", [(0, 3, 5), (2**31, 3, 5), (2**10, 2**10, 2**10)])
def test_a_chunk_of_no_or_too_many_voxels_is_refused(size: Index3, tmp_path: Path) -> None:
    forged(tmp_path / "a", b"", size=size)
    refused(tmp_path / "a")


def test_a_refusal_of_the_machine_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_chunks(tmp_path / "a", noise((6, 5, 7)), SMALL)

    def refuse(*_: Any) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(chunks, "open_file", refuse)
    with pytest.raises(EnvironmentProblemError, match="E_TOO_MANY_FILES"):
        ChunkedArray(tmp_path / "a").read(WHOLE)


def test_threads_and_processes_read_side_by_side(tmp_path: Path) -> None:
    array = noise((60, 50, 40))
    write_chunks(tmp_path / "a", array, (16, 16, 16))
    stored: ChunkedArray = pickle.loads(pickle.dumps(ChunkedArray(tmp_path / "a")))  # noqa: S301 - just made
    boxes = [(slice(n, n + 20), slice(n, n + 15), slice(n, n + 9)) for n in range(25)]
    with ThreadPoolExecutor(4) as pool:
        for box, read in zip(boxes, pool.map(stored.read, boxes), strict=True):
            assert_array_equal(read, array[box])
