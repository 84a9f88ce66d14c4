import struct
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_array_equal

from lymphct.report.png import data_uri, encode_png


def chunk_names(png: bytes) -> list[bytes]:
    names, place = [], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        names.append(png[place + 4 : place + 8])
        place += 12 + length
    return names


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (37, 53)])
def test_a_reader_gets_back_every_gray_value(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    ramp = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 5) + rng.integers(0, 3, shape)
    pixels = (ramp % 256).astype(np.uint8)
    found = imread(BytesIO(encode_png(pixels)), format="png")
    assert_array_equal(np.round(255 * found), pixels)


def test_a_palette_gives_colors_and_opacity() -> None:
    palette = np.array([[0, 0, 0, 0], [250, 120, 10, 128], [255, 255, 255, 255]], dtype=np.uint8)
    pixels = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    found = imread(BytesIO(encode_png(pixels, palette)), format="png")
    assert_array_equal(np.round(255 * found), palette[pixels])


def test_a_picture_carries_no_text_and_no_time() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert chunk_names(encode_png(pixels)) == [b"IHDR", b"IDAT", b"IEND"]
    assert encode_png(pixels) == encode_png(pixels.copy())


def test_smooth_pictures_are_written_as_differences() -> None:
    rng = np.random.default_rng(0)
    smooth = (np.add.outer(np.arange(128), np.arange(128)) % 256 + rng.integers(0, 2, (128, 128))) % 256
    shuffled = rng.permutation(smooth.ravel()).reshape(smooth.shape)
    assert 3 * len(encode_png(smooth.astype(np.uint8))) < len(encode_png(shuffled.astype(np.uint8)))


def test_a_picture_becomes_an_address_within_the_page() -> None:
    assert data_uri(b"\x89PNG").startswith("data:image/png;base64,iVBORw")
