import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.volume import Volume
from lymphct.metastasis.settings import PatchSettings
from lymphct.metastasis.slices import largest_slices, tumor_patches

SPACING = (0.68, 0.68, 0.8)
ROTATED: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
SMALL = PatchSettings(crop_size=16, crop_extent=16 * 0.68)


def volume(array: AnyArray, spacing: Vector3 = SPACING) -> Volume:
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Volume(
        array=array, geometry=Geometry(shape=shape, spacing=spacing, origin=(5, -3, 9), direction=ROTATED)
    )


def phases(rng: np.random.Generator, shape: tuple[int, int, int] = (30, 28, 26)) -> list[Volume]:
    return [volume(rng.normal(size=shape).astype(np.float32)) for _ in range(2)]


def test_slices_with_the_largest_area_are_chosen_largest_first_and_ties_go_to_the_lower_index() -> None:
    mask = np.zeros((4, 5, 8), dtype=bool)
    for index, area in ((1, 3), (2, 6), (4, 9), (5, 6), (6, 4)):
        mask[:, :, index].flat[:area] = True
    assert largest_slices(mask, 2, 0.8, PatchSettings()) == [4, 2, 5]


def test_a_minimum_gap_keeps_neighbours_out() -> None:
    mask = np.zeros((4, 5, 8), dtype=bool)
    for index, area in ((1, 3), (2, 6), (4, 9), (5, 6), (6, 4)):
        mask[:, :, index].flat[:area] = True
    assert largest_slices(mask, 2, 0.8, PatchSettings(minimum_gap=1.6)) == [4, 2, 6]


def test_a_tumor_of_two_slices_repeats_the_largest() -> None:
    mask = np.zeros((4, 5, 8), dtype=bool)
    mask[:2, 0, 3] = mask[:3, 0, 4] = True
    assert largest_slices(mask, 2, 0.8, PatchSettings()) == [4, 3, 4]


def test_at_the_spacing_of_the_paper_the_nine_patches_are_copies_of_voxels(rng: np.random.Generator) -> None:
    arterial, venous = phases(rng)
    tumor = np.zeros((30, 28, 26), dtype=np.uint8)
    tumor[11:18, 10:19, 9:16] = 1
    tumor[12:17, 11:18, 16] = 1
    tumor[14, 14, 12] = 0  # smaller area in slices 14, 14 and 12
    patches = tumor_patches([arterial, venous], volume(tumor), SMALL)
    assert patches.shape == (9, 3, 16, 16)
    assert patches.dtype == np.float32
    # axial: area 63 in slices 9, 10, 11, 13 …; centroid (14, 14): voxels 7 to 22 around it
    for n, k in enumerate((9, 10, 11)):
        assert_allclose(patches[n, 0], arterial.array[7:23, 7:23, k].T, atol=1e-5)
        assert_allclose(patches[n, 1], venous.array[7:23, 7:23, k].T, atol=1e-5)
        assert_array_equal(patches[n, 2], tumor[7:23, 7:23, k].T)
    # sagittal: rows are k, columns j; slices 12, 13, 15 hold a part of slice k = 16, whose centroid is 12.47
    areas = {i: int(tumor[i].sum()) for i in range(30)}
    for n, i in enumerate(sorted(areas, key=lambda i: (-areas[i], i))[:3]):
        assert_allclose(patches[3 + n, 0], arterial.array[i, 7:23, 5:21].T, atol=1e-5)
        assert_array_equal(patches[3 + n, 2], tumor[i, 7:23, 5:21].T)
    areas = {j: int(tumor[:, j].sum()) for j in range(28)}
    for n, j in enumerate(sorted(areas, key=lambda j: (-areas[j], j))[:3]):
        assert_allclose(patches[6 + n, 1], venous.array[7:23, j, 5:21].T, atol=1e-5)


@pytest.mark.parametrize(("isotropic", "along_k"), [(True, 152.32), (False, 224 * 0.8)])
def test_the_crop_is_152_mm_at_any_spacing(isotropic: bool, along_k: float) -> None:  # noqa: FBT001 - a case
    spacing = (1.7, 2.0, 2.5)
    shape = (120, 110, 90)
    grid = np.indices(shape)
    ramps = [volume((grid[axis] * spacing[axis]).astype(np.float32), spacing) for axis in (0, 2)]
    tumor = np.zeros(shape, dtype=np.uint8)
    tumor[60, 55, 45] = 1
    settings = PatchSettings(crop_size=64, isotropic=isotropic)
    patches = tumor_patches(ramps, volume(tumor, spacing), settings)
    # one pixel is extent / 64; the ramps hold positions in mm, so neighbours differ by the size of a pixel
    axial_i = np.diff(patches[0, 0], axis=1)
    coronal_k = np.diff(patches[6, 1], axis=0)
    assert_allclose(axial_i[20:40, 20:40] * 64, 152.32, rtol=1e-3)
    assert_allclose(coronal_k[20:40, 20:40] * 64, along_k, rtol=1e-3)
    # the tumor lies in the middle, within a pixel
    assert abs(patches[0, 0, 32, 31:33].mean() - 60 * 1.7) < 152.32 / 64
    assert abs(patches[6, 1, 31:33, 32].mean() - 45 * 2.5) < along_k / 64


def test_beyond_the_image_lies_the_lowest_value_or_what_is_asked_for(rng: np.random.Generator) -> None:
    arterial, venous = phases(rng)
    tumor = np.zeros((30, 28, 26), dtype=np.uint8)
    tumor[0, 0, 0] = 1
    cornered = tumor_patches([arterial, venous], volume(tumor), SMALL)
    assert_allclose(cornered[:, 0, :6, :6], arterial.array.min())
    assert_allclose(cornered[0, 0, 7:, 7:], arterial.array[:9, :9, 0].T, atol=1e-5)
    assert_allclose(cornered[:, 2, 7, 7], 1.0)
    filled = tumor_patches([arterial, venous], volume(tumor), SMALL, fill=(-5.0, -6.0))
    assert_allclose(filled[:, 0, :6, :6], -5.0)
    assert_allclose(filled[:, 1, :6, :6], -6.0)


def test_a_window_much_larger_than_the_image_keeps_a_constant_constant() -> None:
    tumor = np.zeros((12, 10, 8), dtype=np.uint8)
    tumor[5:8, 4:6, 3:5] = 1
    constant = volume(np.full((12, 10, 8), 0.7, dtype=np.float32))
    patches = tumor_patches([constant, constant], volume(tumor), PatchSettings(crop_size=20))
    assert_allclose(patches[:, :2], 0.7, atol=1e-5)


def test_an_empty_tumor_mask_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match=r"the tumor mask is empty.*E_NO_TUMOR.*withhold the score"):
        tumor_patches(phases(rng), volume(np.zeros((30, 28, 26), dtype=np.uint8)), SMALL)


def test_a_tumor_mask_on_another_grid_is_refused(rng: np.random.Generator) -> None:
    tumor = volume(np.ones((30, 28, 26), dtype=np.uint8), (0.7, 0.7, 0.8))
    with pytest.raises(GeometryMismatchError, match="CT lies on another voxel grid than the tumor mask"):
        tumor_patches(phases(rng), tumor, SMALL)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
