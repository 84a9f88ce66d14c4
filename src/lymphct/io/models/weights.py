"""Tensors in files: safetensors only, its header checked by ourselves, everything that may hold code refused.

Layout of a safetensors file: 8 bytes, length n of the header (little endian); n bytes of JSON, one entry per
tensor with `dtype`, `shape` and `data_offsets`; then the values.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lymphct.core.errors import InputError, ModelError
from lymphct.io.regular_file import open_regular
from lymphct.io.results.disk import read_bounded
from lymphct.io.results.jsonfile import JSON, parse_json

if TYPE_CHECKING:
    import torch

LARGEST_WEIGHTS = 16 * 2**30
"""Bytes; a checkpoint of the largest network of the paper has about a sixteenth of it."""

LARGEST_HEADER = 16 * 2**20
"""Bytes; a network of ten thousand tensors needs about one million."""

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""Bytes per value of the types that are read and written."""

PICKLE_SUFFIXES = frozenset(
    {
        ".bin",
        ".ckpt",
        ".dill",
        ".h5",
        ".joblib",
        ".npy",
        ".npz",
        ".pickle",
        ".pkl",
        ".pt",
        ".pt2",
        ".pth",
        ".tar",
        ".zip",
    }
)
"""Endings of formats that hold pickled objects or archives."""

_MAGIC = (
    (0, (b"PK\x03\x04", b"PK\x05\x06"), "a zip archive (.pt or .npz, a pickle inside)"),
    (0, tuple(bytes((0x80, protocol)) for protocol in range(1, 6)), "a pickle"),
    (0, (b"(dp", b"(lp", b"(i", b"cposix", b"cos\n", b"c__builtin__", b"cbuiltins", b"ctorch"), "a pickle"),
    (0, (b"}q\x00", b"]q\x00"), "a pickle"),
    (0, (b"\x93NUMPY",), "a NumPy file (a pickle inside where it holds objects)"),
    (0, (b"\x1f\x8b",), "a compressed archive (pickles inside)"),
    (257, (b"ustar",), "an archive (pickles inside in old PyTorch files)"),
)
"""First bytes of the formats that hold pickled objects; those without 0x80 are protocols 0 and 1."""

_LENGTH_BYTES = 8
_HEAD_BYTES = 512
_CONVERT = "convert the weights to safetensors"


def refuse_pickle(path: Path) -> None:
    """Refuse a file that is, or may be, a pickle or an archive, by its name and its content; never load it.

    Raises:
        ModelError: PyTorch, NumPy or plain pickle file, archive, or nothing that can be looked into.

    """
    try:
        with open_regular(path, limit=LARGEST_WEIGHTS) as (stream, size):
            head = stream.read(_HEAD_BYTES)
    except InputError as error:
        if error.code != "E_EMPTY":  # nothing in it, nothing to fear
            raise ModelError(error.cause, code=error.code, cure=error.cure).at(file=path.name) from error
        head, size = b"", 0
    kind = _kind(head, size)
    if not kind and path.suffix.lower() in PICKLE_SUFFIXES:
        kind = f"a {path.suffix.lower()} file, usually a pickle"
    if kind:
        msg = f"{kind}: pickle files can run code when loaded and are not supported, only safetensors"
        raise ModelError(msg, code="E_PICKLE", cure=_CONVERT).at(file=path.name)


def _kind(head: bytes, size: int) -> str:
    """Name the dangerous format a file begins like; empty when it is none."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and length + _LENGTH_BYTES <= size:
        return ""  # a header of 640 bytes begins like a pickle of protocol 2
    return next((kind for offset, marks, kind in _MAGIC if head[offset:].startswith(marks)), "")


def pack_tensors(tensors: Mapping[str, "torch.Tensor"]) -> bytes:
    """Return the content of a safetensors file; the same tensors always give the same bytes."""
    from safetensors.torch import save  # noqa: PLC0415 - imports torch

    # safetensors refuses views and tensors that share memory ("best/…" may be "network/…").
    apart = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    return save(apart)


def unpack_tensors(content: bytes) -> dict[str, "torch.Tensor"]:
    """Return the tensors in the content of a safetensors file.

    Raises:
        ModelError: not a safetensors file, or its header contradicts itself.

    """
    check_header(content)
    from safetensors.torch import load  # noqa: PLC0415 - imports torch

    return dict(load(content))


def read_weights(path: Path) -> bytes:
    """Return the content of a weight file that is no pickle.

    Raises:
        ModelError: a pickle.
        InputError: missing or not readable.

    """
    refuse_pickle(path)
    return read_bounded(path, LARGEST_WEIGHTS)


def tensors_in(content: bytes) -> dict[str, "torch.Tensor"]:
    """Return the tensors in the content of a safetensors file, float32.

    Raises:
        ModelError: damaged, or values that are not finite.

    """
    from lymphct.learning.weights import to_single  # noqa: PLC0415 - keeps the import of this room light

    tensors = to_single(unpack_tensors(content))
    require_finite(tensors)
    return tensors


def check_header(content: bytes) -> dict[str, tuple[int, ...]]:
    """Check the header of a safetensors file and return the shape of each tensor.

    Raises:
        ModelError: too short, header too long or not strict JSON, a type or shape unknown, or values that
            overlap, leave gaps or reach beyond the file.

    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if len(content) < _LENGTH_BYTES or length > min(LARGEST_HEADER, len(content) - _LENGTH_BYTES):
        msg = "its header is missing or too long"
        raise _damaged(msg)
    try:
        header = parse_json(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
    except InputError as error:
        msg = f"its header is {error.cause}"
        raise _damaged(msg) from error
    if not isinstance(header, dict):
        msg = "its header is not a table"
        raise _damaged(msg)
    header.pop("__metadata__", None)
    shapes: dict[str, tuple[int, ...]] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        shapes[name], span = _check_entry(name, entry)
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            msg = "its values overlap or leave gaps"
            raise _damaged(msg)
        end = stop
    if end != len(content) - _LENGTH_BYTES - length:
        msg = f"it holds {len(content) - _LENGTH_BYTES - length} bytes of values, expected {end}"
        raise _damaged(msg)
    return shapes


def _check_entry(name: str, entry: JSON) -> tuple[tuple[int, ...], tuple[int, int]]:
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = (
        entry.get("dtype"),
        _integers(entry.get("shape")),
        _integers(entry.get("data_offsets")),
    )
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        msg = f"the tensor {name[:60]!r} has an unknown type"
        raise _damaged(msg)
    if shape is None or offsets is None or len(offsets) != 2:
        msg = f"the tensor {name[:60]!r} has no valid shape or place"
        raise _damaged(msg)
    start, stop = offsets
    if stop - start != math.prod(shape) * ITEM_BYTES[dtype]:
        msg = f"the tensor {name[:60]!r} has a shape that does not fit its size"
        raise _damaged(msg)
    return shape, (start, stop)


def _integers(value: JSON) -> tuple[int, ...] | None:
    """Return a list of non-negative integers as a tuple; None for anything else."""
    if not isinstance(value, list):
        return None
    numbers = tuple(n for n in value if isinstance(n, int) and not isinstance(n, bool) and n >= 0)
    return numbers if len(numbers) == len(value) else None


def _damaged(reason: str) -> ModelError:
    return ModelError(
        f"not a sound safetensors file: {reason}", code="E_WEIGHTS", cure="copy the bundle again"
    )


def require_finite(tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Check that every value is a number.

    Raises:
        ModelError: a tensor holds NaN or infinity.

    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            msg = f"the tensor {name[:60]!r} holds values that are not finite"
            raise ModelError(msg, code="E_WEIGHTS", cure="train this part again")
