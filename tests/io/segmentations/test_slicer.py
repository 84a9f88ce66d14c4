"""Segmentations of 3D Slicer are written so that others read them, and read as 3D Slicer saves them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal
from tests.segmentation_files import named, slicer_file

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.segmentations.segments import Segment, Terminology
from lymphct.io.segmentations.slicer_reading import read_segmentation
from lymphct.io.segmentations.slicer_writing import write_segmentation

TURNED = ((0.0, -1.0, 0.0), (0.8, 0.0, 0.6), (-0.6, 0.0, 0.8))
GRID = Geometry(shape=(9, 8, 7), spacing=(0.68, 0.7, 0.8), origin=(-20.5, 33.25, -410.125), direction=TURNED)
LYMPH_NODE = Terminology(
    category=("SCT", "123037004", "Anatomical Structure"), kind=("SCT", "59441001", "Lymph node")
)


def drawn() -> AnyArray:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[1:4, 2, 3:5] = 3
    array[6:9, 5:8, 0] = 7
    return array


def test_another_reader_sees_the_lattice_and_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "nodes.seg.nrrd"
    segments = [
        Segment(identifier="node_7", name="node 7", value=7, color=(255, 0, 51), terminology=LYMPH_NODE),
        Segment(identifier="node_3", name="node 3", value=3, tags={"lymphct.class": "positive"}),
        Segment(identifier="node_8", name="node 8", value=8),
    ]
    write_segmentation(path, Volume(array=drawn(), geometry=GRID), segments)
    image = SimpleITK.ReadImage(str(path))
    assert_array_equal(SimpleITK.GetArrayFromImage(image).transpose(), drawn())
    assert_allclose(image.GetOrigin(), GRID.origin)
    assert_allclose(image.GetSpacing(), GRID.spacing)
    assert_allclose(np.reshape(image.GetDirection(), (3, 3)), TURNED)
    assert image.GetMetaData("Segment0_ID") == "node_7"
    assert image.GetMetaData("Segment0_Color") == "1 0 0.2"
    assert image.GetMetaData("Segment0_Extent") == "6 8 5 7 0 0"
    assert "~SCT^59441001^Lymph node~" in image.GetMetaData("Segment0_Tags")
    assert image.GetMetaData("Segment1_Tags") == "lymphct.class:positive|"
    assert image.GetMetaData("Segment2_Extent") == "0 -1 0 -1 0 -1"


def test_what_was_written_is_read_back_and_written_again_alike(tmp_path: Path) -> None:
    segments = [Segment(identifier="a|\nb", name="left\tnode", value=3, terminology=LYMPH_NODE)]
    array = np.where(drawn() == 3, 300, 0)
    write_segmentation(
        tmp_path / "a.seg.nrrd",
        Volume(array=array, geometry=GRID),
        [Segment(identifier="x", name="y", value=300)],
    )
    assert read_segmentation(tmp_path / "a.seg.nrrd", GRID).layers.max() == 300
    labels = Volume(array=np.where(drawn() == 3, 3, 0), geometry=GRID)
    for name in ("b", "c"):
        write_segmentation(tmp_path / f"{name}.seg.nrrd", labels, segments)
    assert (tmp_path / "b.seg.nrrd").read_bytes() == (tmp_path / "c.seg.nrrd").read_bytes()
    (found,) = read_segmentation(tmp_path / "b.seg.nrrd", GRID).segments
    assert (found.identifier, found.name, found.terminology) == ("a  b", "left node", LYMPH_NODE)


@pytest.mark.parametrize(
    ("order", "flips"),
    [*zip(itertools.permutations((0, 1, 2)), itertools.product((False, True), repeat=3), strict=False)],
)
def test_cropped_flipped_and_permuted_files_come_back_voxel_for_voxel(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    path = slicer_file(
        tmp_path / "a.seg.nrrd",
        [drawn()],
        GRID,
        [named("a", "node 3", 3), named("b", "node 7", 7)],
        order=order,
        flips=flips,
    )
    found = read_segmentation(path, GRID)
    assert_array_equal(found.mask(found.segments[0]), drawn() == 3)
    assert_array_equal(found.mask(found.segments[1]), drawn() == 7)


@pytest.mark.parametrize("kind", ["<u1", "<i2", ">i2"])
@pytest.mark.parametrize("encoding", ["gzip", "raw"])
def test_layers_hold_segments_that_overlap(tmp_path: Path, kind: str, encoding: str) -> None:
    other = np.zeros_like(drawn())
    other[2:8, 2:7, 3] = 1
    segments = [named("a", "node 3", 3), named("b", "node 7", 7), named("c", "new", 1, 1)]
    path = slicer_file(
        tmp_path / "a.seg.nrrd", [drawn(), other], GRID, segments, kind=kind, encoding=encoding
    )
    found = read_segmentation(path, GRID)
    assert_array_equal(found.mask(found.segments[0]), drawn() == 3)
    assert_array_equal(found.mask(found.segments[2]), other == 1)


def test_files_of_before_layers_are_read(tmp_path: Path) -> None:
    segments = [{"ID": "a", "Name": "one"}, {"ID": "b", "Name": "two"}]
    layers = [np.where(drawn() == 3, 1, 0), np.where(drawn() == 7, 1, 0)]
    found = read_segmentation(slicer_file(tmp_path / "a.seg.nrrd", layers, GRID, segments), GRID)
    assert_array_equal(found.mask(found.segments[1]), drawn() == 7)


def test_a_single_voxel_means_that_nothing_is_drawn(tmp_path: Path) -> None:
    nowhere = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0))
    path = slicer_file(
        tmp_path / "a.seg.nrrd", [np.zeros((1, 1, 1))], nowhere, [named("a", "node 3", 3)], margin=None
    )
    found = read_segmentation(path, GRID)
    assert found.layers.shape == (1, *GRID.shape)
    assert not found.mask(found.segments[0]).any()


def test_another_place_is_refused(tmp_path: Path) -> None:
    moved = Geometry(shape=GRID.shape, spacing=GRID.spacing, origin=(0.0, 0.3, 0.0), direction=TURNED)
    path = slicer_file(tmp_path / "a.seg.nrrd", [drawn()], moved, [named("a", "n", 3), named("b", "m", 7)])
    with pytest.raises(GeometryMismatchError, match=r"a\.seg\.nrrd: .*do not lie on the voxels of the CT"):
        read_segmentation(path, GRID)


def test_what_no_segment_names_is_refused(tmp_path: Path) -> None:
    path = slicer_file(tmp_path / "a.seg.nrrd", [drawn()], GRID, [named("a", "node 3", 3)])
    with pytest.raises(InputError, match="the number 7, which no segment names"):
        read_segmentation(path, GRID)
    path = slicer_file(tmp_path / "b.seg.nrrd", [drawn()], GRID, [named("a", "node 3", 3, layer=4)])
    with pytest.raises(InputError, match="is in layer 4 of 1"):
        read_segmentation(path, GRID)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ((b"NRRD0004", b"VOXELS04"), "not an NRRD file"),
        ((b"none (", b"(1,0,0) ("), "the first is none of layers"),
        ((b"sizes: 2 ", b"sizes: 900000000 "), "too large"),
        ((b"type: unsigned char", b"type: float"), "of fractions"),
        ((b"Segment0_LabelValue:=3", b"Segment0_LabelValue:=three"), "no whole numbers"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, edit: tuple[bytes, bytes], message: str) -> None:
    segments = [named("a", "node 3", 3), named("b", "node 7", 7)]
    path = slicer_file(tmp_path / "a.seg.nrrd", [drawn(), drawn()], GRID, segments)
    path.write_bytes(path.read_bytes().replace(*edit))
    with pytest.raises(InputError, match=message):
        read_segmentation(path, GRID)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = slicer_file(tmp_path / "a.seg.nrrd", [drawn()], GRID, [named("a", "n", 3), named("b", "m", 7)])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="incomplete or damaged file"):
        read_segmentation(path, GRID)
