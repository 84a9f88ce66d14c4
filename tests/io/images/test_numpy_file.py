"""Arrays of NumPy are read without its loader; objects never are."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.io.images.numpy_file import read_arrays, read_numpy_volume


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["u1", "<i2", ">f4", "?"])
def test_arrays_are_those_that_numpy_wrote(tmp_path: Path, order: str, kind: str) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=kind, order=order)  # type: ignore[call-overload]
    np.savez_compressed(tmp_path / "a.npz", data=array)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["data"], array)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")["data"], array)


def test_objects_are_refused_and_not_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return canary.touch, ()

    np.savez(tmp_path / "evil.npz", data=np.array([Evil()], dtype=object))
    with pytest.raises(InputError, match="objects are never read"):
        read_arrays(tmp_path / "evil.npz")
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04 no zip", b"<html>", b"\x93NUMPY\x01\x00\xff\xff"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_truncated_array_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 4), np.uint8))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(InputError, match="ends early"):
        read_arrays(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(whole.replace(b"(4, 4, 4)", b"(9999, 9999, 9999)"))
    with pytest.raises(InputError, match="limit"):
        read_arrays(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("../a.txt", "text")
    with pytest.raises(InputError, match="no array"):
        read_arrays(tmp_path / "b.npz")


def test_an_image_lies_where_its_affine_says_or_nowhere(tmp_path: Path) -> None:
    array = np.zeros((2, 3, 4), np.int16)
    np.savez(tmp_path / "a.npz", data=array, affine=np.diag([2.0, 2.0, 5.0, 1.0]))
    assert read_numpy_volume(tmp_path / "a.npz").geometry.spacing == (2.0, 2.0, 5.0)
    np.savez(tmp_path / "b.npz", data=array)
    with pytest.raises(InputError, match="does not say where it lies"):
        read_numpy_volume(tmp_path / "b.npz")
