"""safetensors in, safetensors out, nothing else."""

import io
import json
import os
import pickle  # noqa: TID251 - to make the files that must be refused
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lymphct.core.errors import ModelError
from lymphct.io.models.weights import (
    check_header,
    pack_tensors,
    refuse_pickle,
    require_finite,
    unpack_tensors,
)
from lymphct.learning.weights import to_half, to_single

torch.set_num_threads(1)


def sound_file(header: object, values: bytes = b"") -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return len(text).to_bytes(8, "little") + text + values


def entry(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_tensors_come_back_as_they_were_and_always_in_the_same_bytes() -> None:
    view = torch.arange(12.0).reshape(3, 4).T
    tensors = {
        "network/b": view,
        "best/b": view,
        "network/c": torch.ones(4),
        "rng": torch.tensor([1, 2], dtype=torch.uint8),
        "step": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "flag": torch.tensor([True, False]),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    tensors["best/c"] = tensors["network/c"]  # one memory under two names
    content = pack_tensors(tensors)
    back = unpack_tensors(content)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    assert pack_tensors(dict(reversed(tensors.items()))) == content
    assert check_header(content) == {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_a_file_without_tensors_is_sound() -> None:
    assert unpack_tensors(pack_tensors({})) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header is missing or too long"),
        (b"\x05\0\0\0\0\0\0\0{}", "header is missing or too long"),
        ((2**62).to_bytes(8, "little") + b"{}", "header is missing or too long"),
        (sound_file(b"{not json"), "header is not valid JSON"),
        (sound_file(b'{"a": ' + b"[" * 100_000), "header is nested deeper"),
        (sound_file(b'{"a": 1, "a": 2}'), "header is the key 'a' is given twice"),
        (sound_file([1]), "header is not a table"),
        (sound_file({"a": 1}), "'a' has an unknown type"),
        (sound_file({"a": entry([1], [0, 4], "STRING")}), "'a' has an unknown type"),
        (sound_file({"a": entry([-1], [0, 4])}), "'a' has no valid shape or place"),
        (sound_file({"a": {"dtype": "F32", "shape": [1]}}), "'a' has no valid shape or place"),
        (sound_file({"a": entry([1], [0, 4, 8])}, b"1234"), "'a' has no valid shape or place"),
        (sound_file({"a": entry([2], [0, 4])}, b"1234"), "'a' has a shape that does not fit its size"),
        (sound_file({"a": entry([2**40, 2**40], [0, 4])}, b"1234"), "does not fit its size"),
        (sound_file({"a": entry([1], [0, 4]), "b": entry([1], [0, 4])}, b"1234"), "overlap or leave gaps"),
        (sound_file({"a": entry([1], [4, 8])}, b"12345678"), "overlap or leave gaps"),
        (sound_file({"a": entry([1], [0, 4])}, b"12345678"), "holds 8 bytes of values, expected 4"),
        (sound_file({"a": entry([1], [0, 4])}, b"12"), "holds 2 bytes of values, expected 4"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        unpack_tensors(content)
    assert caught.value.exit_code == 7


@given(st.integers(0, 10**6), st.integers(1, 255), st.integers(0, 3))
def test_a_damaged_file_is_refused_or_read_but_breaks_nothing(at: int, flip: int, cut: int) -> None:
    content = bytearray(pack_tensors({"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True])}))
    content[at % len(content)] ^= flip
    damaged = bytes(content[: len(content) - cut])
    try:
        shapes = check_header(damaged)
    except ModelError:
        return
    assert {name: tuple(tensor.shape) for name, tensor in unpack_tensors(damaged).items()} == shapes


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model"])
def test_a_pickle_is_refused_by_its_content_under_any_name_and_never_loaded(
    tmp_path: Path, protocol: int, name: str
) -> None:
    canary = tmp_path / "canary"
    plain = pickle.dumps({"weights": Canary(canary)}, protocol=protocol)
    for content in (plain, zipped(plain)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            ModelError, match=r"pickle files can run code .* not supported, only safetensors"
        ) as caught:
            refuse_pickle(tmp_path / name)
        assert caught.value.exit_code == 7
        assert caught.value.code == "E_PICKLE"
        assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x93NUMPY\x01\x00", "a NumPy file"),
        (b"\x1f\x8b\x08\0", "a compressed archive"),
        (b"\0" * 257 + b"ustar\0" + b"\0" * 300, "an archive"),
    ],
)
def test_other_containers_of_pickles_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ModelError, match=words):
        refuse_pickle(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.pth", "model.BIN", "weights.npz", "a.ckpt"])
def test_the_name_of_a_pickle_is_enough_to_be_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("harmless text")
    with pytest.raises(ModelError, match="usually a pickle"):
        refuse_pickle(tmp_path / name)


def test_a_header_whose_length_looks_like_a_pickle_is_accepted(tmp_path: Path) -> None:
    content = sound_file(b'{"__metadata__": {"a": "' + b"x" * (0x0280 - 27) + b'"}}')
    assert content[:2] == b"\x80\x02"
    (tmp_path / "a.safetensors").write_bytes(content)
    refuse_pickle(tmp_path / "a.safetensors")
    assert unpack_tensors(content) == {}


def test_what_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a: no such file"):
        refuse_pickle(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="pipe: is a pipe"):
        refuse_pickle(tmp_path / "pipe")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    require_finite({"count": torch.tensor(1), "a": torch.ones(3)})
    with pytest.raises(ModelError, match="the tensor 'b' holds values that are not finite"):
        require_finite({"a": torch.ones(3), "b": torch.tensor([0.0, value])})


def test_floats_are_half_on_disk_unless_that_would_lose_them() -> None:
    tensors = {
        "weight": torch.tensor([0.1, -2.0]),
        "variance": torch.tensor([1e6, 1.0]),
        "count": torch.tensor(70_000),
    }
    halves = to_half(tensors)
    assert {name: tensor.dtype for name, tensor in halves.items()} == {
        "weight": torch.float16,
        "variance": torch.float32,
        "count": torch.int64,
    }
    singles = to_single(halves)
    assert singles["weight"].dtype == torch.float32
    assert_array_equal(singles["weight"].numpy(), np.array([0.1, -2.0]).astype(np.float16).astype(np.float32))
    assert_array_equal(singles["variance"].numpy(), [1e6, 1.0])
    assert int(singles["count"]) == 70_000
