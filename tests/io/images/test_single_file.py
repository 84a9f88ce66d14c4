"""NRRD and MetaImage files are what SimpleITK takes them for, and refused where it would guess."""

import gzip
import os
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase, Structure
from lymphct.io.images.grids import read_grid
from lymphct.io.images.labels import read_labels
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.masks import read_mask
from lymphct.io.images.metaimage import parse_metaimage
from lymphct.io.images.node_masks import sidecar
from lymphct.io.images.nrrd import parse_nrrd
from lymphct.io.images.reading import read_ct, read_volume
from lymphct.io.images.single_file import image_stem, read_single_file

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder {DATA}: set LYMPHCT_DATA")

C, S = np.cos(0.3), np.sin(0.3)
TURNED = (C, -S, 0.0, S, C, 0.0, 0.0, 0.0, -1.0)
ARRAY = np.random.default_rng(2).integers(0, 200, (6, 5, 4)).astype(np.int16)


def saved(path: Path, array: AnyArray, *, packed: bool = False) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing((0.68, 0.7, 0.8))
    image.SetOrigin((12.0, -40.0, 7.5))
    image.SetDirection(TURNED)
    SimpleITK.WriteImage(image, str(path), packed)
    return image


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_an_image_lies_where_simpleitk_puts_it(
    tmp_path: Path, suffix: str, kind: type[np.generic], *, packed: bool
) -> None:
    path = tmp_path / f"image.{suffix}"
    array = (ARRAY % 100).astype(kind)
    itk = saved(path, array, packed=packed)
    volume = read_volume(path)
    assert_array_equal(volume.array, array)
    assert volume.array.dtype == (np.float32 if np.issubdtype(kind, np.floating) else kind)
    assert_allclose(volume.geometry.spacing, itk.GetSpacing())
    assert_allclose(volume.geometry.world((5, 4, 3)), itk.TransformIndexToPhysicalPoint((5, 4, 3)), atol=1e-4)
    assert read_grid(path) == volume.geometry


NRRD = {
    "type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "6 5 4",
    "space directions": "(2,0,0) (0,2,0) (0,0,3)", "kinds": "domain domain domain", "endian": "little",
    "encoding": "raw", "space origin": "(1,2,3)",
}  # fmt: skip
META = {
    "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3",
    "ElementSpacing": "2 2 3", "DimSize": "6 5 4", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
}  # fmt: skip
VOXELS = ARRAY.astype("<i2").tobytes(order="F")


def nrrd_file(path: Path, voxels: bytes = VOXELS, extra: str = "", **fields: str | None) -> Path:
    values = NRRD | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in values.items() if value is not None]
    path.write_bytes(
        "\n".join(["NRRD0004", "# made by hand", *lines]).encode() + extra.encode() + b"\n\n" + voxels
    )
    return path


def meta_file(path: Path, voxels: bytes = VOXELS, **fields: str | None) -> Path:
    values = META | fields
    lines = [f"{name} = {values[name]}\n" for name in values if values[name] is not None]
    path.write_bytes("".join(lines).encode() + voxels)
    return path


def test_both_formats_hold_the_same_image(tmp_path: Path) -> None:
    grid = Geometry(shape=(6, 5, 4), spacing=(2.0, 2.0, 3.0), origin=(1.0, 2.0, 3.0))
    for path in (nrrd_file(tmp_path / "a.nrrd"), meta_file(tmp_path / "a.mha")):
        image = read_single_file(path)
        assert_array_equal(image.volume.array, ARRAY)
        assert image.volume.geometry == grid
        assert image.notices == ()


def test_packed_voxels_and_the_other_byte_order_are_read(tmp_path: Path) -> None:
    big = ARRAY.astype(">i2").tobytes(order="F")
    for path in (
        nrrd_file(tmp_path / "a.nrrd", gzip.compress(VOXELS), encoding="gzip"),
        nrrd_file(tmp_path / "b.nrrd", big, endian="big"),
        meta_file(tmp_path / "a.mha", zlib.compress(VOXELS), CompressedData="True"),
        meta_file(tmp_path / "b.mha", big, BinaryDataByteOrderMSB="True"),
    ):
        assert_array_equal(read_volume(path).array, ARRAY)


def test_raw_voxels_that_begin_like_gzip_are_not_unpacked(tmp_path: Path) -> None:
    voxels = b"\x1f\x8b" + VOXELS[2:]
    array = read_volume(nrrd_file(tmp_path / "a.nrrd", voxels)).array
    assert array[0, 0, 0] == int.from_bytes(b"\x1f\x8b", "little", signed=True)


@pytest.mark.parametrize(
    ("space", "directions", "origin"),
    [
        ("right-anterior-superior", "(-2,0,0) (0,-2,0) (0,0,3)", "(-1,-2,3)"),
        ("RAS", "(-2,0,0) (0,-2,0) (0,0,3)", "(-1,-2,3)"),
        ("LAS", "(2,0,0) (0,-2,0) (0,0,3)", "(1,-2,3)"),
    ],
)
def test_the_space_says_where_positive_is(tmp_path: Path, space: str, directions: str, origin: str) -> None:
    path = nrrd_file(tmp_path / "a.nrrd", space=space, space_directions=directions, space_origin=origin)
    assert read_volume(path).geometry.world((1, 1, 1)) == pytest.approx((3.0, 4.0, 6.0))


def test_equal_voxels_under_another_header_are_another_image(tmp_path: Path) -> None:
    one = read_single_file(nrrd_file(tmp_path / "a.nrrd"))
    same = read_single_file(nrrd_file(tmp_path / "b.nrrd"))
    other = read_single_file(nrrd_file(tmp_path / "c.nrrd", space_origin="(1,2,4)"))
    assert one.digest == same.digest != other.digest


BROKEN_NRRD: dict[str, tuple[dict[str, str | None], str]] = {
    "type": ({"type": "block"}, "this type are not supported"),
    "encoding": ({"encoding": "bzip2"}, "this encoding of NRRD is not supported, only raw and gzip"),
    "endian": ({"endian": None}, "in which order bytes stand"),
    "detached": ({"data_file": "../../etc/passwd"}, "do not follow the NRRD header"),
    "skip": ({"byte_skip": "-1"}, "do not follow the NRRD header"),
    "sizes": ({"sizes": "6 5 x"}, "sizes are no whole numbers"),
    "dimension": ({"dimension": "4"}, "dimension and sizes disagree"),
    "2D": ({"dimension": "2", "sizes": "6 20"}, r"2 dimensions \(6×20\), a 3D volume is needed"),
    "layers": ({"dimension": "4", "sizes": "2 6 5 4"}, "layers of overlapping segments"),
    "zero size": ({"sizes": "6 5 0"}, "impossible dimensions"),
    "huge": ({"sizes": "32767 32767 32767"}, "too large"),
    "no space": ({"space": None}, "left and right are unknown"),
    "scanner space": ({"space": "scanner-xyz"}, "left and right are unknown"),
    "no origin": ({"space_origin": None}, "left and right are unknown"),
    "axes": ({"space_directions": "(2,0,0) (0,2,0)"}, "three axes and one origin"),
    "axis": ({"space_directions": "(2,0) (0,2,0) (0,0,3)"}, "no 3 numbers for space directions"),
    "text": ({"space_origin": "(1,2,x)"}, "no 3 numbers for space origin"),
    "NaN": ({"space_directions": "(nan,0,0) (0,2,0) (0,0,3)"}, "not finite"),
    "overflow": ({"space_directions": "(1e300,0,0) (0,2,0) (0,0,3)"}, "affine|spacing|sheared"),
    "singular": ({"space_directions": "(0,0,0) (0,2,0) (0,0,3)"}, "singular"),
    "sheared": ({"space_directions": "(2,1,0) (0,2,0) (0,0,3)"}, "sheared"),
    "metres": ({"space_units": '"m" "m" "m"'}, "another unit than mm"),
    "spacing": ({"space_directions": "(60,0,0) (0,60,0) (0,0,60)"}, "outside the limits"),
}


@pytest.mark.parametrize("case", BROKEN_NRRD)
def test_an_nrrd_file_that_leaves_a_doubt_is_refused(tmp_path: Path, case: str) -> None:
    fields, word = BROKEN_NRRD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=f"^a.nrrd: .*({word})"):
            read_volume(nrrd_file(tmp_path / "a.nrrd", VOXELS, "", **fields))


BROKEN_META: dict[str, tuple[dict[str, str | None], str]] = {
    "two files": ({"ElementDataFile": "a.raw"}, "lie in two files"),
    "tube": ({"ObjectType": "Tube"}, "no binary image"),
    "text": ({"BinaryData": "False"}, "no binary image"),
    "channels": ({"ElementNumberOfChannels": "3", "ElementDataFile": None}, "has no end"),
    "type": ({"ElementType": "MET_COLOR"}, "this type are not supported"),
    "sizes": ({"DimSize": "6 5 -4"}, "sizes are no whole numbers"),
    "dimension": ({"NDims": "4"}, "NDims and DimSize disagree"),
    "2D": ({"NDims": "2", "DimSize": "6 20"}, "a 3D volume is needed"),
    "no axes": ({"TransformMatrix": None}, "no orientation"),
    "spacing": ({"ElementSpacing": "2 0 3"}, "zero, negative or not finite"),
    "axes": ({"TransformMatrix": "1 0 0 0 1 0 0 0"}, "no 9 numbers for the axes"),
    "skewed": ({"TransformMatrix": "1 0.5 0 0 1 0 0 0 1"}, "sheared"),
}


@pytest.mark.parametrize("case", BROKEN_META)
def test_a_metaimage_that_leaves_a_doubt_is_refused(tmp_path: Path, case: str) -> None:
    fields, word = BROKEN_META[case]
    with pytest.raises(InputError, match=f"^a.mha: .*({word})"):
        read_volume(meta_file(tmp_path / "a.mha", VOXELS, **fields))


def test_a_color_metaimage_is_refused(tmp_path: Path) -> None:
    path = meta_file(tmp_path / "a.mha")
    path.write_bytes(
        b"ObjectType = Image\nElementNumberOfChannels = 3\n" + path.read_bytes().split(b"\n", 1)[1]
    )
    with pytest.raises(InputError, match="several values per voxel"):
        read_volume(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"NRRD0004\ntype: short\n", "the NRRD header has no end"),
        (b"NRRD0004\ntype: short\ntype: int\n\n", "stands twice"),
        (b"ObjectType = Image\nNDims = 3\n", "the MetaImage header has no end"),
        (b"ObjectType = Image\nObjectType = Image\n", "stands twice"),
        (b"ObjectType = Image\ngarbage\n", "the MetaImage header has no end"),
    ],
)
def test_a_header_without_end_or_with_a_field_twice_is_refused(
    tmp_path: Path, content: bytes, word: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=word):
        read_volume(tmp_path / "a")


@pytest.mark.parametrize(
    ("voxels", "fields", "word"),
    [
        (VOXELS[:-7], {}, r"expected 240 bytes, got 233"),
        (gzip.compress(VOXELS)[:-9], {"encoding": "gzip"}, "gzip stream ends early"),
        (gzip.compress(VOXELS)[:-8] + b"12345678", {"encoding": "gzip"}, "gzip checksum is wrong"),
        (gzip.compress(VOXELS[:100]), {"encoding": "gzip"}, "the voxels end early"),
        (VOXELS + b"x" * 2_000_000, {}, "bytes too many behind the last voxel"),
    ],
)
def test_damaged_voxels_are_refused(tmp_path: Path, voxels: bytes, fields: dict[str, str], word: str) -> None:
    with pytest.raises(InputError, match=f"^a.nrrd: .*{word}"):
        read_volume(nrrd_file(tmp_path / "a.nrrd", voxels, **fields))


def test_damaged_zlib_is_refused(tmp_path: Path) -> None:
    packed = zlib.compress(VOXELS)
    for voxels, word in ((packed[:-9], "zlib stream ends early"), (packed[:-4] + b"1234", "zlib checksum")):
        with pytest.raises(InputError, match=word):
            read_volume(meta_file(tmp_path / "a.mha", voxels, CompressedData="True"))


def test_surplus_bytes_are_noticed(tmp_path: Path) -> None:
    (notice,) = read_single_file(nrrd_file(tmp_path / "a.nrrd", VOXELS + b"xx")).notices
    assert (notice.code, notice.value) == ("trailing_bytes", 2.0)


def test_a_bomb_is_refused_by_the_limits_of_a_ct(tmp_path: Path) -> None:
    fields = {"sizes": "400 400 400", "space_directions": "(1,0,0) (0,1,0) (0,0,1)", "encoding": "gzip"}
    path = nrrd_file(tmp_path / "a.nrrd", gzip.compress(bytes(128_000_000), 1), **fields)
    with pytest.raises(InputError, match=r"gzip ratio \d+ exceeds the limit 200 of a CT"):
        read_ct(path, phase=Phase.VENOUS)


def test_random_damage_ends_in_one_line_and_no_warning() -> None:
    rng = np.random.default_rng(7)
    told: list[str] = []
    nrrd = "\n".join(["NRRD0004", *(f"{name}: {value}" for name, value in NRRD.items())]).encode() + b"\n\n"
    meta = "".join(f"{name} = {value}\n" for name, value in META.items()).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content, parse in ((nrrd, parse_nrrd), (meta, parse_metaimage)):
            for _ in range(400):
                damaged = bytearray(content)
                for place in rng.integers(9, len(content), 3):
                    damaged[place] = rng.integers(256)
                try:
                    parse(bytes(damaged), SafetyLimits())
                except InputError as error:
                    told.append(str(error))
    assert len(told) > 100
    assert not any("\n" in line for line in told)


Segments = Callable[..., Path]


def segmentation(path: Path, array: AnyArray, origin: str, **segments: str) -> Path:
    """Write a segmentation as 3D Slicer does: names and numbers as pairs, gzip."""
    pairs = "".join(
        f"\nSegment{n}_Name:={name}\nSegment{n}_LabelValue:={key[1:]}\nSegment{n}_Layer:=0"
        for n, (key, name) in enumerate(segments.items())
    )
    return nrrd_file(
        path, gzip.compress(array.astype(np.uint8).tobytes(order="F")), pairs, type="unsigned char",
        encoding="gzip", endian=None, sizes=" ".join(map(str, array.shape)), space_origin=origin,
    )  # fmt: skip


def test_a_segmentation_of_slicer_is_read_by_its_names(tmp_path: Path) -> None:
    array = np.zeros((6, 5, 4))
    array[1, 2, 3], array[2, 2, 2] = 1, 2
    path = segmentation(tmp_path / "a.seg.nrrd", array, "(1,2,3)", n1="Pancreas", n2="left kidney", n3="cyst")
    labels = read_labels(path).array
    assert labels[1, 2, 3] == Structure.PANCREAS
    assert labels[2, 2, 2] == Structure.LEFT_KIDNEY
    with pytest.raises(InputError, match="number 1 is the pancreas, by --labels lymphct the spleen"):
        read_labels(path, scheme="lymphct")


def test_the_part_that_slicer_stores_is_put_back_into_its_place(tmp_path: Path) -> None:
    grid = Geometry(shape=(6, 5, 4), spacing=(2.0, 2.0, 3.0), origin=(1.0, 2.0, 3.0))
    box = np.full((2, 3, 1), 4)
    path = segmentation(tmp_path / "a.seg.nrrd", box, "(5,4,9)", n4="aorta")
    expected = np.zeros(grid.shape)
    expected[2:4, 1:4, 2] = Structure.AORTA
    labels = read_labels(path, grid=grid)
    assert labels.geometry == grid
    assert_array_equal(labels.array, expected)
    for origin in ("(11,4,9)", "(5.5,4,9)"):  # beyond the image, between voxels
        with pytest.raises(GeometryMismatchError, match=r"a\.seg\.nrrd: the structure mask lies on another"):
            read_labels(segmentation(tmp_path / "a.seg.nrrd", box, origin, n4="aorta"), grid=grid)


def test_two_segments_of_one_number_are_refused(tmp_path: Path) -> None:
    path = nrrd_file(
        tmp_path / "a.seg.nrrd",
        extra="\nSegment0_Name:=liver\nSegment0_LabelValue:=1\nSegment1_Name:=spleen\nSegment1_LabelValue:=1",
    )
    with pytest.raises(InputError, match="two segments have the number 1"):
        read_labels(path)


def test_masks_and_sidecars_know_the_other_suffixes(tmp_path: Path) -> None:
    saved(tmp_path / "tumor.mha", (ARRAY > 100).astype(np.uint8), packed=True)
    assert_array_equal(read_mask(tmp_path / "tumor.mha").array, ARRAY > 100)
    assert sidecar(Path("a/nodes.seg.nrrd")) == Path("a/nodes.json")
    assert [image_stem(n) for n in ("a.nii.gz", "b.mha", "c.nrrd", "d.dcm")] == ["a", "b", "c", None]


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    "name",
    [
        "open_pyradiomics_brain1/brain1_image.nrrd",
        "open_pyradiomics_brain1/brain1_label.nrrd",
        "open_elastix_landmarks/3DCT_lung_baseline_small.mha",
        "open_elastix_landmarks/3DCT_lung_baseline_mask.mha",
    ],
)
def test_real_files_are_what_simpleitk_reads(name: str) -> None:
    volume, itk = read_volume(DATA / name), SimpleITK.ReadImage(str(DATA / name))
    assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0))
    corner = [size - 1 for size in itk.GetSize()]
    assert_allclose(volume.geometry.world(corner), itk.TransformIndexToPhysicalPoint(corner), atol=1e-3)
