import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.limits import AnatomicalLimits
from lymphct.io.images.nifti import read_nifti
from lymphct.io.images.reading import read_field, read_volume, write_volume

Maker = Callable[..., Path]
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def ras_affine(kind: str) -> DoubleArray:
    """Return affines of all kinds of files: standard, left-handed, permuted, oblique."""
    spacing = np.diag([0.68, 0.7, 0.8])
    angle = np.radians(17)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    ) @ np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
    axes = {
        "LPS": np.diag([-1.0, -1.0, 1.0]),
        "RAS": np.eye(3),
        "LAS": np.diag([-1.0, 1.0, 1.0]),
        "PIR": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
        "oblique": turn,
        "oblique left-handed": turn @ np.diag([1.0, 1.0, -1.0]),
    }[kind]
    affine = np.eye(4)
    affine[:3, :3] = axes @ spacing
    affine[:3, 3] = (-177.9, 11.3, 94.3)
    return affine


@pytest.mark.parametrize("kind", ["LPS", "RAS", "LAS", "PIR", "oblique", "oblique left-handed"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "<f8", "<u1", "<i4"])
def test_voxels_and_places_equal_those_of_nibabel_and_simpleitk(
    make_nifti: Maker, kind: str, dtype: str
) -> None:
    array = np.random.default_rng(1).integers(0, 200, (7, 6, 5)).astype(dtype)
    path = make_nifti(array, affine=ras_affine(kind), name="image.nii")
    ours = read_volume(path)
    theirs = nib.load(path)
    assert_array_equal(ours.array, theirs.get_fdata())
    assert_allclose(ours.geometry.affine, FLIP @ theirs.affine, atol=1e-4)
    itk = SimpleITK.ReadImage(str(path))
    assert_array_equal(ours.array, SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0))
    assert_allclose(ours.geometry.spacing, itk.GetSpacing(), rtol=1e-5)
    assert_allclose(ours.geometry.world((6, 5, 4)), itk.TransformIndexToPhysicalPoint((6, 5, 4)), atol=1e-3)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.dat"])
def test_both_versions_are_read_packed_or_not_whatever_the_name(
    make_nifti: Maker, version: int, name: str
) -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    volume = read_volume(make_nifti(array, version=version, name=name))
    assert_array_equal(volume.array, array)
    assert volume.array.dtype == np.int16


def test_the_scaling_of_the_header_is_applied_like_nibabel(make_nifti: Maker) -> None:
    path = make_nifti(np.arange(60, dtype=np.uint16).reshape(3, 4, 5), scl_slope=0.5, scl_inter=-1024.0)
    volume = read_volume(path)
    assert volume.array.dtype == np.float32
    assert_allclose(volume.array, nib.load(path).get_fdata())


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_an_unset_slope_means_unscaled(make_nifti: Maker, slope: float) -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    assert read_volume(make_nifti(array, scl_slope=slope)).array.dtype == np.int16


def test_orientation_may_lie_in_the_quaternion_alone(make_nifti: Maker) -> None:
    affine = ras_affine("oblique left-handed")
    volume = read_volume(make_nifti(np.zeros((3, 4, 5), np.int16), affine=affine, sform_code=0))
    assert_allclose(volume.geometry.affine, FLIP @ affine, atol=1e-4)


def test_a_fourth_dimension_of_one_is_dropped(make_nifti: Maker) -> None:
    assert read_volume(make_nifti(np.zeros((3, 4, 5, 1), np.int16))).geometry.shape == (3, 4, 5)


def test_several_gzip_members_and_padding_make_one_image(make_nifti: Maker) -> None:
    array = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    path = make_nifti(array)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:700]) + gzip.compress(content[700:]) + b"\0" * 512)
    image = read_nifti(path)
    assert_array_equal(image.volume.array, array)
    assert image.notices == ()


def test_the_digest_is_that_of_the_whole_file(make_nifti: Maker) -> None:
    import hashlib  # noqa: PLC0415 - the oracle of this test alone

    path = make_nifti(np.zeros((3, 4, 5), np.int16))
    assert read_nifti(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_bytes_behind_the_voxels_are_noticed(make_nifti: Maker, name: str) -> None:
    (notice,) = read_nifti(make_nifti(np.zeros((9, 9, 9), np.int16), extra=b"x" * 7, name=name)).notices
    assert (notice.code, notice.value) == ("trailing_bytes", 7.0)


def test_a_hair_of_shear_is_straightened_and_noticed(make_nifti: Maker) -> None:
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    affine[0, 1] = 4.0 * 5e-4
    image = read_nifti(make_nifti(np.zeros((9, 9, 9), np.int16), affine=affine, qform_code=0))
    axes = np.asarray(image.volume.geometry.direction)
    assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert [notice.code for notice in image.notices] == ["shear_removed"]


BROKEN_HEADERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "zero spacing": ({"pixdim": {3: 0.0}, "sform_code": 0}, "E_SPACING", "zero"),
    "NaN spacing": ({"pixdim": {1: np.nan}}, "E_SPACING", "not finite"),
    "negative spacing": ({"pixdim": {2: -4.0}}, "E_SPACING", "negative"),
    "contradicting spacing": ({"pixdim": {3: 2.5}, "qform_code": 0}, "E_SPACING", "contradicts"),
    "unit metre": ({"xyzt_units": 1}, "E_SPACING", "metre"),
    "unit micrometre": ({"xyzt_units": 3}, "E_SPACING", "micrometre"),
    "no orientation": ({"qform_code": 0, "sform_code": 0}, "E_AFFINE", "no orientation"),
    "orientations differ": ({"qoffset_x": 30.0}, "E_AFFINE", "apart"),
    "NaN affine": ({"srow_x": {3: np.nan}}, "E_AFFINE", "not finite"),
    "singular affine": ({"srow_z": {2: 0.0}, "qform_code": 0}, "E_AFFINE", "singular"),
    "sheared affine": ({"srow_x": {1: 2.0}, "qform_code": 0}, "E_AFFINE", "sheared"),
    "no rotation": ({"quatern_b": 0.9, "quatern_c": 0.9, "sform_code": 0}, "E_AFFINE", "no rotation"),
    "two dimensions": ({"dim": {0: 2}}, "E_SHAPE", "2 dimensions"),
    "no dimensions": ({"dim": {0: 0}}, "E_SHAPE", "impossible dimensions"),
    "nine dimensions": ({"dim": {0: 9}}, "E_SHAPE", "impossible dimensions"),
    "negative size": ({"dim": {2: -4}}, "E_SHAPE", "impossible dimensions"),
    "huge": ({"dim": {1: 32767, 2: 32767, 3: 32767}}, "E_TOO_LARGE", "too large"),
    "more voxels than bytes": ({"dim": {1: 800, 2: 800, 3: 800}}, "E_TRUNCATED", "cannot hold"),
    "fewer bytes than declared": ({"dim": {3: 6}}, "E_TRUNCATED", "end early"),
    "color": ({"datatype": 128, "bitpix": 24}, "E_DATATYPE", "RGB color"),
    "complex": ({"datatype": 32, "bitpix": 64}, "E_DATATYPE", "complex"),
    "unknown type": ({"datatype": 77}, "E_DATATYPE", "unknown"),
    "wrong bits": ({"bitpix": 8}, "E_HEADER", "16 bits"),
    "voxels in the header": ({"vox_offset": 100}, "E_HEADER", "vox_offset"),
    "voxels far away": ({"vox_offset": 1e12}, "E_HEADER", "vox_offset"),
    "infinite slope": ({"scl_slope": np.inf}, "E_SCALING", "not finite"),
    "two files": ({"magic": b"ni1"}, "E_NOT_NIFTI", "two files"),
    "Analyze": ({"magic": b""}, "E_NOT_NIFTI", "Analyze"),
    "spacing of 60 mm": ({"pixdim": {3: 60.0}, "sform_code": 0}, "E_SPACING", "60 mm"),
    "spacing of a metre": ({"pixdim": {1: 0.004}, "sform_code": 0}, "E_SPACING", "outside the limits"),
}


@pytest.mark.parametrize("case", BROKEN_HEADERS)
def test_a_broken_header_is_refused_with_its_cause(make_nifti: Maker, case: str) -> None:
    fields, code, word = BROKEN_HEADERS[case]
    with pytest.raises(InputError, match=word) as caught:
        read_volume(make_nifti(np.zeros((3, 4, 5), np.int16), **fields))
    assert caught.value.code == code
    assert len(str(caught.value)) <= 200
    assert str(caught.value).startswith("image.nii.gz: ")


def test_dimensions_of_64_bits_do_not_overflow(make_nifti: Maker) -> None:
    with pytest.raises(InputError, match="too large"):
        read_volume(make_nifti(np.zeros((3, 4, 5), np.int16), version=2, dim={1: 2**62, 2: 2**62, 3: 16}))


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 4, 5, 1, 3)])
def test_more_than_one_volume_is_refused(make_nifti: Maker, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="a 3D volume is needed"):
        read_volume(make_nifti(np.zeros(shape, np.int16)))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_trailer(content: bytes) -> bytes:
    return content[:-8]


def wrong_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


def bit_flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :]


BROKEN_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (cut, "gzip stream ends early"),
    "no trailer": (without_trailer, "gzip stream ends early"),
    "checksum": (wrong_checksum, "checksum is wrong"),
    "bit flip": (bit_flip, "gzip (stream|checksum) is wrong"),
    "empty": (lambda _: b"", "it is empty"),
    "empty gzip": (lambda _: gzip.compress(b""), "only 0 bytes"),
    "web page": (lambda _: b"<!DOCTYPE html><html><body>404</body></html>" * 20, "web page"),
    "table": (lambda _: gzip.compress(b"patient_id,venous\n" * 50), "it is text"),
    "noise": (lambda _: bytes(range(256)) * 4, "does not begin with a NIfTI header"),
    "one DICOM file": (lambda _: b"\0" * 128 + b"DICM" + b"\2" * 500, "names no transfer syntax"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_damaged_file_is_refused_as_such(make_nifti: Maker, case: str) -> None:
    damage, word = BROKEN_FILES[case]
    path = make_nifti(np.random.default_rng(0).integers(0, 999, (30, 30, 30)).astype(np.int16))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=f"incomplete or damaged file: .*{word}"):
        read_volume(path)


def test_a_flood_behind_the_voxels_is_refused(make_nifti: Maker) -> None:
    path = make_nifti(np.zeros((9, 9, 9), np.int16), extra=b"\0" * 3_000_000)
    with pytest.raises(InputError, match="too many behind the last voxel"):
        read_volume(path)


def test_a_ct_that_unpacks_beyond_all_measure_is_refused(make_nifti: Maker) -> None:
    path = make_nifti(np.zeros((300, 300, 300), np.int16))
    with pytest.raises(InputError, match="gzip ratio"):
        read_nifti(path, anatomy=AnatomicalLimits(compression_grace=5_000_000))
    assert read_volume(path).geometry.shape == (300, 300, 300)


def grid(kind: str, shape: tuple[int, int, int]) -> Geometry:
    return Geometry.from_affine(FLIP @ ras_affine(kind), shape)


@pytest.mark.parametrize("kind", ["LPS", "PIR", "oblique left-handed"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", "i8"])
def test_a_written_image_reads_back_with_type_and_place(tmp_path: Path, kind: str, dtype: str) -> None:
    array = np.random.default_rng(2).integers(0, 100, (5, 6, 7)).astype(dtype)
    volume = Volume(array=array, geometry=grid(kind, (5, 6, 7)))
    write_volume(tmp_path / "out.nii.gz", volume)
    back = read_volume(tmp_path / "out.nii.gz")
    assert_array_equal(back.array, array)
    assert back.geometry.matches(volume.geometry)
    assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == np.dtype(dtype)
    itk = SimpleITK.ReadImage(str(tmp_path / "out.nii.gz"))
    assert_allclose(itk.TransformIndexToPhysicalPoint((4, 5, 6)), volume.geometry.world((4, 5, 6)), atol=1e-3)


def test_truth_values_and_foreign_byte_order_are_written_too(tmp_path: Path) -> None:
    geometry = grid("oblique", (2, 2, 2))
    for array in (np.ones((2, 2, 2), bool), np.ones((2, 2, 2), ">i2")):
        write_volume(tmp_path / "out.nii.gz", Volume(array=array, geometry=geometry))
        assert_array_equal(read_volume(tmp_path / "out.nii.gz").array, 1)


def test_a_vector_field_reads_back_with_components_last(tmp_path: Path) -> None:
    array = np.random.default_rng(2).normal(size=(5, 6, 7, 3)).astype(np.float32)
    write_volume(tmp_path / "field.nii.gz", Volume(array=array, geometry=grid("PIR", (5, 6, 7))))
    assert_array_equal(read_field(tmp_path / "field.nii.gz").array, array)
    assert_array_equal(np.asarray(nib.load(tmp_path / "field.nii.gz").dataobj), array)


def test_an_image_is_no_vector_field(make_nifti: Maker) -> None:
    with pytest.raises(InputError, match="1 values per voxel"):
        read_field(make_nifti(np.zeros((3, 4, 5), np.float32)))


def test_equal_images_give_equal_bytes_without_name_or_time(tmp_path: Path) -> None:
    volume = Volume(array=np.ones((4, 4, 4), np.int16), geometry=grid("RAS", (4, 4, 4)))
    write_volume(tmp_path / "first.nii.gz", volume)
    write_volume(tmp_path / "second.nii.gz", volume)
    content = (tmp_path / "first.nii.gz").read_bytes()
    assert content == (tmp_path / "second.nii.gz").read_bytes()
    assert content[3:8] == b"\0" * 5  # no name, no time
    header = nib.load(tmp_path / "first.nii.gz").header
    assert bytes(header["descrip"]).strip(b"\0") == bytes(header["aux_file"]).strip(b"\0") == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.nii.gz", "second.nii.gz"]


def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    geometry = grid("RAS", (2, 2, 2))
    target = tmp_path / "out.nii.gz"
    target.mkdir()
    with pytest.raises(EnvironmentProblemError, match="folder stands where a file belongs"):
        write_volume(target, Volume(array=np.ones((2, 2, 2), np.int16), geometry=geometry))
    assert [path.name for path in tmp_path.iterdir()] == ["out.nii.gz"]


def test_check_grid_speaks_before_any_voxel_is_read(make_nifti: Maker) -> None:
    path = make_nifti(np.random.default_rng(0).integers(0, 999, (30, 30, 30)).astype(np.int16))
    path.write_bytes(cut(path.read_bytes()))

    def refuse(geometry: Geometry) -> None:
        raise InputError(str(geometry.shape))

    with pytest.raises(InputError, match=r"\(30, 30, 30\)"):
        read_nifti(path, check_grid=refuse)


def test_the_array_is_in_c_order(make_nifti: Maker, body: AnyArray) -> None:
    assert read_volume(make_nifti(body)).array.flags.c_contiguous


def line_of_refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def test_random_damage_of_the_header_never_ends_in_anything_but_one_line(make_nifti: Maker) -> None:
    path = make_nifti(np.zeros((9, 8, 7), np.int16), name="image.nii")
    content = path.read_bytes()
    rng = np.random.default_rng(7)
    lines = []
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, 352, 3):
            damaged[place] = rng.choice([0, 127, 128, 255])
        path.write_bytes(damaged)
        lines.append(line_of_refusal(lambda: read_volume(path)))
    assert sum(bool(line) for line in lines) > 40
    assert all(len(line.splitlines()) <= 1 for line in lines)
