"""Slices with outlines: where they lie, what their colours say, and that they are the same each time."""

from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.report.studies.pictures import bands_drawing
from lymphct.report.studies.slices import Lines, Slice, axial_frame, slice_drawing, slices_drawing

SHAPE, SPACING = (100, 80, 20), (0.68, 0.68, 0.8)
RED, BLUE, YELLOW = (255, 0, 0), (0, 0, 255), (255, 255, 0)


def volume(array: AnyArray, spacing: tuple[float, float, float] = SPACING) -> Volume:
    i, j, k = array.shape
    return Volume(array=array, geometry=Geometry(shape=(i, j, k), spacing=spacing))


def box(i: slice, j: slice, k: slice) -> Volume:
    array = np.zeros(SHAPE, np.uint8)
    array[i, j, k] = 1
    return volume(array)


VENOUS = volume(np.full(SHAPE, 40, np.int16))


def pixels(png: bytes) -> AnyArray:
    found: AnyArray = imread(BytesIO(png))[..., :3]
    return found


def places(png: bytes, color: tuple[int, int, int]) -> AnyArray:
    """Return rows and columns of pixels of a colour, as shares of the picture."""
    picture = pixels(png)
    near = np.abs(picture - np.array(color) / 255).max(axis=2) < 0.35
    found: AnyArray = np.argwhere(near) / np.array(picture.shape[:2])
    return found


def test_an_outline_lies_where_the_node_does_with_the_patients_right_on_the_left() -> None:
    node = box(slice(25, 35), slice(60, 70), slice(8, 12))  # to the right of the patient, posterior
    frame = axial_frame(VENOUS, (50, 40, 10), 50.0)
    drawn = slice_drawing(
        "a", "", Slice(venous=VENOUS, frame=frame, lines=[Lines(image=node, labels=(1,), color=RED)])
    )
    found = places(drawn.png, RED)
    left, top = frame.left, frame.top
    assert_allclose(found[:, 1].min(), (25 * 0.68 - left) / 50, atol=0.02)
    assert_allclose(found[:, 1].max(), (35 * 0.68 - left) / 50, atol=0.02)
    assert_allclose(found[:, 0].min(), (60 * 0.68 - top) / 50, atol=0.02)
    assert_allclose(found[:, 0].max(), (70 * 0.68 - top) / 50, atol=0.02)


def test_every_second_voxel_of_a_mask_is_outlined_in_the_same_place() -> None:
    mask = box(slice(20, 80), slice(20, 60), slice(0, 20))
    coarse = volume(mask.array[::2, ::2, ::2], (1.36, 1.36, 1.6))
    frame = axial_frame(VENOUS, (50, 40, 11), 52.0)
    edges = []
    for image in (mask, coarse):
        lines = [Lines(image=image, labels=(1,), color=YELLOW, width=0.8)]
        found = places(slice_drawing("a", "", Slice(venous=VENOUS, frame=frame, lines=lines)).png, YELLOW)
        edges.append([found.min(axis=0), found.max(axis=0)])
    assert_allclose(edges[0], edges[1], atol=1.36 / 52)


def test_a_node_of_another_slice_is_not_seen_and_a_frame_beyond_the_image_is_black() -> None:
    node = box(slice(45, 55), slice(35, 45), slice(2, 4))
    lines = [Lines(image=node, labels=(1,), color=RED, opacity=0.5)]
    frame = axial_frame(VENOUS, (50, 40, 10), 50.0)
    assert not places(slice_drawing("a", "", Slice(venous=VENOUS, frame=frame, lines=lines)).png, RED).size
    larger = axial_frame(VENOUS, (50, 40, 3), 120.0)
    assert larger.left < 0  # wider than the image, which stands in the middle
    assert_allclose(larger.left + 60, 100 * 0.68 / 2)
    picture = pixels(slice_drawing("a", "", Slice(venous=VENOUS, frame=larger, lines=lines)).png)
    assert picture[5, 5].max() == 0
    assert picture.shape[0] == picture.shape[1]


def test_a_frame_at_the_edge_is_moved_into_the_slice() -> None:
    frame = axial_frame(VENOUS, (0, 79, 5), 30.0)
    assert (frame.left, frame.index) == (0.0, 5)
    assert_allclose(frame.top + frame.height, 80 * 0.68)


def test_corners_stand_around_the_node_of_the_picture() -> None:
    node = box(slice(45, 55), slice(35, 45), slice(8, 12))
    dark = volume(np.full(SHAPE, -500, np.int16))
    frame = axial_frame(dark, (50, 40, 10), 50.0)
    bare, focused = (
        pixels(slice_drawing("a", "", Slice(venous=dark, frame=frame, lines=(), focus=focus)).png)
        for focus in (None, (node, 1))
    )
    added = np.argwhere((focused - bare).max(axis=2) > 0.5) / focused.shape[0]
    half = (10 * 0.68 / 2 + 4.0) / 50  # of the box, in shares
    assert_allclose(added.min(axis=0), 0.5 - half, atol=0.03)
    assert_allclose(added.max(axis=0), 0.5 + half, atol=0.03)


def test_rows_of_slices_say_what_lines_mean_and_are_the_same_each_time() -> None:
    frame = axial_frame(VENOUS, (50, 40, 10), 50.0)
    row = [Slice(venous=VENOUS, frame=frame, lines=(), title="drawn", note="F 0.50", row="case001")] * 2
    first = slices_drawing("figure_4", "examples", [row, row])
    text = " ".join(ET.fromstring(first.svg).itertext())  # noqa: S314 - ours
    assert all(word in text for word in ("drawn", "found", "F 0.50", "case001", "attention 0.5"))
    assert first == slices_drawing("figure_4", "examples", [row, row])
    assert sorted(first.forms()) == ["figure_4.png", "figure_4.svg"]


@pytest.mark.parametrize("wider", [0.0, 9.0])
def test_fitted_bands_stand_beside_the_papers_with_their_range(wider: float) -> None:
    band = PAPER_BANDS[Structure.SPLEEN]
    fitted = [{Structure.SPLEEN: Band(band.d_min, band.d_max + more)} for more in (0.0, wider)]
    found = bands_drawing(fitted, PAPER_BANDS, 3.0)
    text = " ".join(ET.fromstring(found.svg).itertext())  # noqa: S314 - ours
    assert "spleen" in text
    assert "aorta" not in text  # no cascade has a band for it
    assert "2 cascades" in found.caption
    shade = np.abs(pixels(found.png) - np.array([0.79, 0.86, 0.93])).max(axis=2) < 0.06
    assert (np.count_nonzero(shade) > 4000) == (wider > 0)
