"""Radiomics around the tumor: the values of pyradiomics on the whole image, and those of its references."""

import csv
import importlib
import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import SimpleITK
from scipy.ndimage import gaussian_filter

from lymphct.baselines.radiomics import library
from lymphct.baselines.radiomics.binary_patterns import binary_patterns
from lymphct.baselines.radiomics.features import FEATURES_OF_A_PHASE, radiomics_features
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.arrays import AnyArray, Vector3
from lymphct.core.errors import EnvironmentProblemError, GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_volume

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
SPACING = (0.68, 0.7, 0.8)
DEFAULT = RadiomicsSettings()
needs_pyradiomics = pytest.mark.skipif(
    importlib.util.find_spec("radiomics") is None or importlib.util.find_spec("skimage") is None,
    reason="pyradiomics is not installed (pip install 'lymphct[radiomics]')",
)
IMAGE_TYPES = [
    "Original",
    "Wavelet",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP2D",
    "LBP3D",
]
ILL_CONDITIONED = "RobustMeanAbsoluteDeviation"
"""Of the few levels of LBP3D: whether one lies within percentiles is up to the last bit of equal numbers."""


def volume(array: AnyArray, spacing: Vector3 = SPACING) -> Volume:
    """An array (k, j, i) as an image."""
    geometry = Geometry(
        shape=array.T.shape,
        spacing=spacing,
        origin=(3.0, -20.0, 7.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    return Volume(array=np.ascontiguousarray(array.T), geometry=geometry)


def texture(shape: tuple[int, ...], dtype: str = "int16", seed: int = 0) -> AnyArray:
    """Soft tissue with noise; air in one corner and metal in another, far from the tumor."""
    rng = np.random.default_rng(seed)
    image: AnyArray = 3 * gaussian_filter(rng.normal(0, 60, shape), 0.8) + 60
    image[0, 0, 0], image[-1, -1, -1] = -1024, 1500
    return image.astype(dtype)


def ball(shape: tuple[int, ...], center: tuple[int, ...], radius: float) -> AnyArray:
    places = np.moveaxis(np.indices(shape), 0, -1) - center
    mask: AnyArray = np.linalg.norm(places * SPACING[::-1], axis=-1) < radius
    return mask


@pytest.fixture
def old_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that pyradiomics' LBP3D asks scipy for and scipy no longer has: Y of order m, degree n."""

    def sph_harm(m: int, n: int, azimuth: AnyArray, polar: AnyArray) -> AnyArray:
        order = abs(m)
        scale = math.sqrt((2 * n + 1) / (4 * math.pi) * math.factorial(n - order) / math.factorial(n + order))
        y: AnyArray = scale * scipy.special.lpmv(order, n, np.cos(polar)) * np.exp(1j * order * azimuth)
        return (-1) ** order * np.conj(y) if m < 0 else y

    monkeypatch.setattr(scipy.special, "sph_harm", sph_harm, raising=False)


def by_pyradiomics(image: AnyArray, mask: AnyArray, kinds: list[str]) -> dict[str, float]:
    """Pyradiomics on the whole image."""
    extractor = library.extractor(DEFAULT.bin_width)
    extractor.disableAllImageTypes()
    for kind in kinds:
        extractor.enableImageTypeByName(kind)
    images = [SimpleITK.GetImageFromArray(array) for array in (image, mask.astype(np.uint8))]
    for one in images:
        one.SetSpacing(SPACING)
    with library.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = extractor.execute(*images)
    return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics")}


@needs_pyradiomics
@pytest.mark.usefixtures("old_scipy")
@pytest.mark.parametrize(
    ("shape", "center", "radius", "dtype"),
    [
        ((61, 64, 75), (28, 30, 40), 5.0, "int16"),
        ((30, 25, 27), (4, 3, 23), 5.0, "int16"),  # at the border, where wavelets wrap around
        ((12, 14, 13), (6, 6, 6), 4.0, "float64"),  # smaller than the margins
        ((9, 9, 9), (4, 4, 4), 99.0, "int16"),  # all of the image but one voxel
    ],
    ids=["inside", "border", "small", "all"],
)
def test_around_the_tumor_features_are_those_of_the_whole_image(
    shape: tuple[int, int, int], center: tuple[int, int, int], radius: float, dtype: str
) -> None:
    pytest.importorskip("trimesh", reason="pyradiomics' LBP3D needs trimesh")
    image, mask = texture(shape, dtype), ball(shape, center, radius)
    mask[0, 0, 0] = False
    whole = by_pyradiomics(image, mask, IMAGE_TYPES)
    ours = radiomics_features(Multiphase(venous=volume(image)), volume(mask.astype(np.uint8)), DEFAULT)
    assert len(whole) == FEATURES_OF_A_PHASE
    assert [f"venous_{name}" for name in whole] == list(ours)
    for name, value in whole.items():
        if name.startswith("lbp-3D") and name.endswith(ILL_CONDITIONED):
            assert ours[f"venous_{name}"] == pytest.approx(value, rel=0.2)
        elif name.startswith("lbp-3D"):  # written without complex numbers
            assert ours[f"venous_{name}"] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            np.testing.assert_equal(ours[f"venous_{name}"], value, err_msg=name)


@needs_pyradiomics
def test_both_phases_have_their_features_and_share_the_shape() -> None:
    shape, mask = (20, 22, 24), ball((20, 22, 24), (10, 11, 12), 4.0).astype(np.uint8)
    late, early = (volume(texture(shape, seed=seed)) for seed in (0, 1))
    both = radiomics_features(Multiphase(venous=late, arterial=early), volume(mask), DEFAULT)
    alone = radiomics_features(Multiphase(venous=early), volume(mask), DEFAULT)
    assert len(both) == 2 * FEATURES_OF_A_PHASE
    assert {name.split("_")[0] for name in alone} == {"venous"}
    np.testing.assert_equal(
        {name: both[f"arterial_{name[7:]}"] for name in alone}, dict(alone), err_msg="the arterial phase"
    )
    assert both["venous_original_firstorder_Mean"] != both["arterial_original_firstorder_Mean"]
    shapes = {name.split("_", 1)[1]: value for name, value in both.items() if "_shape_" in name}
    assert len(shapes) == 14
    assert all(
        both[f"{phase}_{name}"] == value for name, value in shapes.items() for phase in ("arterial", "venous")
    )


@needs_pyradiomics
def test_a_phase_has_eighteen_image_types_of_ninety_three_features() -> None:
    image, mask = texture((12, 14, 13)), ball((12, 14, 13), (6, 6, 6), 4.0)
    found = radiomics_features(Multiphase(venous=volume(image)), volume(mask.astype(np.uint8)), DEFAULT)
    kinds: dict[str, int] = {}
    for name in found:
        _, kind, group, _ = name.split("_")
        if group != "shape":
            kinds[kind] = kinds.get(kind, 0) + 1
    assert set(kinds.values()) == {93}
    wavelets = [f"wavelet-{a}{b}{c}" for a in "LH" for b in "LH" for c in "LH"]
    others = ["square", "squareroot", "logarithm", "exponential", "gradient", "lbp-2D"]
    assert set(kinds) == {"original", *wavelets, *others, "lbp-3D-m1", "lbp-3D-m2", "lbp-3D-k"}
    assert len(found) == 18 * 93 + 14 == FEATURES_OF_A_PHASE


@needs_pyradiomics
def test_a_line_is_no_tumor_to_measure() -> None:
    mask = np.zeros((9, 9, 9), np.uint8)
    ct = Multiphase(venous=volume(texture((9, 9, 9))))
    for fill, words in ((0, "has 0 voxels"), (1, "has 3 voxels in a line")):
        mask[4, 4, 2:5] = fill
        with pytest.raises(InputError, match=words):
            radiomics_features(ct, volume(mask), DEFAULT)
    mask[4, 5, 2] = 1
    assert len(radiomics_features(ct, volume(mask), DEFAULT)) == FEATURES_OF_A_PHASE


@needs_pyradiomics
def test_a_tumor_on_another_grid_is_refused() -> None:
    ct = Multiphase(venous=volume(texture((9, 9, 9))))
    with pytest.raises(GeometryMismatchError):
        radiomics_features(ct, volume(np.ones((9, 9, 8), np.uint8)), DEFAULT)


def test_without_pyradiomics_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(
        EnvironmentProblemError, match=r"needs pyradiomics.*pip install 'lymphct\[radiomics\]'"
    ):
        library.require_pyradiomics()


def test_binary_patterns_count_the_sphere_of_a_bright_and_a_dark_voxel() -> None:
    """Around a voxel darker than all 42 points every sign is 1, around a brighter one 0; by hand."""
    image = np.full((9, 9, 9), 50.0)
    image[4, 4, 4] = 0.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[4, 4, 4] = True
    dark = {name: derived[4, 4, 4] for name, derived in binary_patterns(image, mask)}
    assert dark["lbp-3D-m1"] == pytest.approx(42 * np.sqrt(42) / (4 * np.pi))
    bright = {name: derived[4, 4, 4] for name, derived in binary_patterns(-image, mask)}
    assert (bright["lbp-3D-m1"], bright["lbp-3D-m2"]) == (0.0, 0.0)


def test_binary_patterns_do_not_depend_on_how_voxels_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = texture((15, 16, 17)), ball((15, 16, 17), (7, 8, 8), 4.0)
    once = [derived for _, derived in binary_patterns(image, mask)]
    monkeypatch.setattr("lymphct.baselines.radiomics.binary_patterns._CHUNK", 100)
    np.testing.assert_equal([derived for _, derived in binary_patterns(image, mask)], once)


IBSI = {
    "morph_volume": "shape_MeshVolume",
    "morph_vol_approx": "shape_VoxelVolume",
    "morph_area_mesh": "shape_SurfaceArea",
    "morph_av": "shape_SurfaceVolumeRatio",
    "morph_sphericity": "shape_Sphericity",
    "morph_diam": "shape_Maximum3DDiameter",
    "morph_pca_elongation": "shape_Elongation",
    "morph_pca_flatness": "shape_Flatness",
    "stat_mean": "firstorder_Mean",
    "stat_var": "firstorder_Variance",
    "stat_skew": "firstorder_Skewness",
    "stat_median": "firstorder_Median",
    "stat_min": "firstorder_Minimum",
    "stat_p10": "firstorder_10Percentile",
    "stat_p90": "firstorder_90Percentile",
    "stat_max": "firstorder_Maximum",
    "stat_iqr": "firstorder_InterquartileRange",
    "stat_range": "firstorder_Range",
    "stat_mad": "firstorder_MeanAbsoluteDeviation",
    "stat_rmad": "firstorder_RobustMeanAbsoluteDeviation",
    "stat_energy": "firstorder_Energy",
    "stat_rms": "firstorder_RootMeanSquared",
    "ih_entropy": "firstorder_Entropy",
    "ih_uniformity": "firstorder_Uniformity",
    "cm_joint_max_3D_avg": "glcm_MaximumProbability",
    "cm_joint_avg_3D_avg": "glcm_JointAverage",
    "cm_joint_var_3D_avg": "glcm_SumSquares",
    "cm_joint_entr_3D_avg": "glcm_JointEntropy",
    "cm_diff_avg_3D_avg": "glcm_DifferenceAverage",
    "cm_diff_var_3D_avg": "glcm_DifferenceVariance",
    "cm_diff_entr_3D_avg": "glcm_DifferenceEntropy",
    "cm_sum_avg_3D_avg": "glcm_SumAverage",
    "cm_sum_entr_3D_avg": "glcm_SumEntropy",
    "cm_energy_3D_avg": "glcm_JointEnergy",
    "cm_contrast_3D_avg": "glcm_Contrast",
    "cm_inv_diff_3D_avg": "glcm_Id",
    "cm_inv_diff_norm_3D_avg": "glcm_Idn",
    "cm_inv_diff_mom_3D_avg": "glcm_Idm",
    "cm_inv_diff_mom_norm_3D_avg": "glcm_Idmn",
    "cm_inv_var_3D_avg": "glcm_InverseVariance",
    "cm_corr_3D_avg": "glcm_Correlation",
    "cm_auto_corr_3D_avg": "glcm_Autocorrelation",
    "cm_clust_tend_3D_avg": "glcm_ClusterTendency",
    "cm_clust_shade_3D_avg": "glcm_ClusterShade",
    "cm_clust_prom_3D_avg": "glcm_ClusterProminence",
    "cm_info_corr1_3D_avg": "glcm_Imc1",
    "cm_info_corr2_3D_avg": "glcm_Imc2",
    "rlm_sre_3D_avg": "glrlm_ShortRunEmphasis",
    "rlm_lre_3D_avg": "glrlm_LongRunEmphasis",
    "rlm_lgre_3D_avg": "glrlm_LowGrayLevelRunEmphasis",
    "rlm_hgre_3D_avg": "glrlm_HighGrayLevelRunEmphasis",
    "rlm_srlge_3D_avg": "glrlm_ShortRunLowGrayLevelEmphasis",
    "rlm_srhge_3D_avg": "glrlm_ShortRunHighGrayLevelEmphasis",
    "rlm_lrlge_3D_avg": "glrlm_LongRunLowGrayLevelEmphasis",
    "rlm_lrhge_3D_avg": "glrlm_LongRunHighGrayLevelEmphasis",
    "rlm_glnu_3D_avg": "glrlm_GrayLevelNonUniformity",
    "rlm_rlnu_3D_avg": "glrlm_RunLengthNonUniformity",
    "rlm_r_perc_3D_avg": "glrlm_RunPercentage",
    "rlm_gl_var_3D_avg": "glrlm_GrayLevelVariance",
    "rlm_rl_var_3D_avg": "glrlm_RunVariance",
    "rlm_rl_entr_3D_avg": "glrlm_RunEntropy",
    "szm_sze_3D": "glszm_SmallAreaEmphasis",
    "szm_lze_3D": "glszm_LargeAreaEmphasis",
    "szm_lgze_3D": "glszm_LowGrayLevelZoneEmphasis",
    "szm_hgze_3D": "glszm_HighGrayLevelZoneEmphasis",
    "szm_szlge_3D": "glszm_SmallAreaLowGrayLevelEmphasis",
    "szm_szhge_3D": "glszm_SmallAreaHighGrayLevelEmphasis",
    "szm_lzlge_3D": "glszm_LargeAreaLowGrayLevelEmphasis",
    "szm_lzhge_3D": "glszm_LargeAreaHighGrayLevelEmphasis",
    "szm_glnu_3D": "glszm_GrayLevelNonUniformity",
    "szm_zsnu_3D": "glszm_SizeZoneNonUniformity",
    "szm_z_perc_3D": "glszm_ZonePercentage",
    "szm_gl_var_3D": "glszm_GrayLevelVariance",
    "szm_zs_var_3D": "glszm_ZoneVariance",
    "szm_zs_entr_3D": "glszm_ZoneEntropy",
    "ngt_coarseness_3D": "ngtdm_Coarseness",
    "ngt_contrast_3D": "ngtdm_Contrast",
    "ngt_busyness_3D": "ngtdm_Busyness",
    "ngt_complexity_3D": "ngtdm_Complexity",
    "ngt_strength_3D": "ngtdm_Strength",
    "ngl_lde_3D": "gldm_SmallDependenceEmphasis",
    "ngl_hde_3D": "gldm_LargeDependenceEmphasis",
    "ngl_lgce_3D": "gldm_LowGrayLevelEmphasis",
    "ngl_hgce_3D": "gldm_HighGrayLevelEmphasis",
    "ngl_ldlge_3D": "gldm_SmallDependenceLowGrayLevelEmphasis",
    "ngl_ldhge_3D": "gldm_SmallDependenceHighGrayLevelEmphasis",
    "ngl_hdlge_3D": "gldm_LargeDependenceLowGrayLevelEmphasis",
    "ngl_hdhge_3D": "gldm_LargeDependenceHighGrayLevelEmphasis",
    "ngl_glnu_3D": "gldm_GrayLevelNonUniformity",
    "ngl_dcnu_3D": "gldm_DependenceNonUniformity",
    "ngl_gl_var_3D": "gldm_GrayLevelVariance",
    "ngl_dc_var_3D": "gldm_DependenceVariance",
    "ngl_dc_entr_3D": "gldm_DependenceEntropy",
}
"""Features of the consensus → pyradiomics' names; it defines axis lengths and kurtosis otherwise."""


def in_data(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"no {folder}: set LYMPHCT_DATA")


@needs_pyradiomics
@pytest.mark.data
@in_data("open_ibsi_digital_phantom")
def test_the_digital_phantom_has_the_consensus_values() -> None:
    folder = DATA / "open_ibsi_digital_phantom"
    image, mask = (read_volume(folder / f"{name}.nii.gz") for name in ("image_phantom", "mask_mask"))
    ct = Multiphase(venous=image.with_array(image.array.astype(np.int16)))
    found = radiomics_features(ct, mask, RadiomicsSettings(bin_width=1.0))
    with (folder / "ibsi_1_dig_phantom.csv").open() as file:
        rows = {row["tag"]: row for row in csv.DictReader(file, delimiter=";")}
    wrong = {}
    for tag, name in IBSI.items():
        reference, tolerance = float(rows[tag]["reference value"]), float(rows[tag]["tolerance"])
        last_digit = 0.51 * 10 ** (math.floor(math.log10(abs(reference))) - 2)  # three digits are printed
        value = found[f"venous_original_{name}"]
        if abs(value - reference) > max(tolerance, last_digit):
            wrong[name] = (value, reference)
    assert wrong == {}


def shifted(found: dict[str, float], voxel: float) -> dict[str, float]:
    """Features as with 2000 added to every value, which the baselines ask for; three of them change."""
    name = "venous_original_firstorder_{}".format
    count = found["venous_original_shape_VoxelVolume"] / voxel
    energy = found[name("Energy")] + count * (2 * 2000 * found[name("Mean")] + 2000**2)
    changed = {"Energy": energy, "TotalEnergy": energy * voxel, "RootMeanSquared": math.sqrt(energy / count)}
    return found | {name(key): value for key, value in changed.items()}


@needs_pyradiomics
@pytest.mark.data
@in_data("open_pyradiomics_brain1")
def test_the_baselines_of_pyradiomics_are_met() -> None:
    folder = DATA / "open_pyradiomics_brain1"
    image, mask = (SimpleITK.ReadImage(folder / f"brain1_{name}.nrrd") for name in ("image", "label"))
    spacing = image.GetSpacing()
    ct, tumor = (volume(SimpleITK.GetArrayFromImage(one), spacing) for one in (image, mask))
    label = tumor.with_array((tumor.array == 1).astype(np.uint8))
    found = shifted(radiomics_features(Multiphase(venous=ct), label, DEFAULT), math.prod(spacing))
    compared = 0
    for group in ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"):
        with (folder / f"baseline_{group}.csv").open() as file:
            for row in csv.DictReader(file):
                name = row["featureName"]
                if f"venous_{name}" in found and row["brain1"]:
                    precision = 1e-3 if group == "shape" else 1e-9  # meshes of later versions differ
                    value = pytest.approx(float(row["brain1"]), rel=precision)
                    assert found[f"venous_{name}"] == value, name
                    compared += 1
    assert compared == 107
