"""PNG pictures without metadata: the same pixels always give the same bytes."""

import base64
import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_GRAY: Final = 0
_PALETTE: Final = 3


def encode_png(pixels: Bytes, palette: Bytes | None = None) -> bytes:
    """Return a PNG file.

    Args:
        pixels: (rows, columns); grey values, or indices when a palette is given.
        palette: (n, 4), n ≤ 256: red, green, blue, opacity.

    """
    rows, columns = pixels.shape
    kind = _GRAY if palette is None else _PALETTE
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0))]
    if palette is not None:
        chunks += [(b"PLTE", palette[:, :3].tobytes()), (b"tRNS", palette[:, 3].tobytes())]
    lines = _filtered(pixels) if palette is None else np.pad(pixels, ((0, 0), (1, 0)))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def data_uri(png: bytes) -> str:
    """Return a picture as an address that a page can hold in itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _filtered(pixels: Bytes) -> Bytes:
    """Write each row as itself, as differences to the left or to the row above: whichever is smallest."""
    left = np.pad(pixels, ((0, 0), (1, 0)))[:, :-1]
    above = np.pad(pixels, ((1, 0), (0, 0)))[:-1]
    candidates = np.stack([pixels, pixels - left, pixels - above])  # wraps around, as the format wants
    costs = np.minimum(candidates, 255 - candidates + 1).sum(axis=2, dtype=np.int64)
    best = np.argmin(costs, axis=0)
    lines = candidates[best, np.arange(len(pixels))]
    return np.concatenate([best.astype(np.uint8)[:, None], lines], axis=1)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
