"""Registration of volumes: phantoms whose true field is known, in rotated and unequal grids; and refusals."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import lymphct.registration
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Vector3
from lymphct.core.errors import EnvironmentProblemError, InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.imaging.crop import crop_volume
from lymphct.imaging.preprocess import resample
from lymphct.phantom.patient import PhantomPatient
from lymphct.registration import convexadam
from lymphct.registration.deeds_settings import DeedsSettings
from lymphct.registration.registering import Resources, accepted, register, register_with
from lymphct.registration.result import Registration
from lymphct.registration.settings import RegistrationSettings

COARSE = 3.0
"""mm; the spacing of the nano phantom."""
TURNED: DoubleArray = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
"""A rotation about no axis in particular."""
MIRRORED = AxisOrder(axes=(2, 0, 1), flipped=(False, True, False))
"""Another order of axes, one reversed: the determinant is -1."""


def turned(grid: Geometry) -> Geometry:
    """The same grid in a patient who lies turned."""
    affine = np.eye(4)
    affine[:3] = TURNED @ grid.affine[:3]
    return Geometry.from_affine(affine, grid.shape)


def shifted(volume: Volume, shift: Vector3) -> Volume:
    affine = volume.geometry.affine
    affine[:3, 3] += shift
    return Volume(array=volume.array, geometry=Geometry.from_affine(affine, volume.geometry.shape))


def mean_errors(registration: Registration, truth: Volume, where: BoolArray) -> tuple[float, float]:
    """Return the mean error without and with registration, mm."""
    off = registration.displacement(truth.geometry) - truth.array
    lengths = [float(np.linalg.norm(u, axis=-1)[where].mean()) for u in (truth.array, off)]
    return lengths[0], lengths[1]


@pytest.fixture(scope="module")
def registered(phantom: PhantomPatient) -> Registration:
    return register(phantom.venous, phantom.arterial, spacing_mm=COARSE)


def test_the_error_in_the_body_is_far_less_than_half(
    phantom: PhantomPatient, registered: Registration
) -> None:
    before, after = mean_errors(registered, phantom.field, body_mask(phantom.venous.array.astype(np.float32)))
    assert before > 3.0
    assert after < 0.35 * before


def test_the_report_of_a_good_registration_has_no_flags(registered: Registration) -> None:
    report = registered.report
    assert report.flags == ()
    assert report.method == "deeds"
    assert report.folding_percent == 0.0
    assert 0.3 < report.min_jacobian < 1.0
    assert 0.0 < report.sd_log_jacobian < 0.15
    assert report.consistency_mean_mm is not None
    assert report.consistency_p95_mm is not None
    assert 0.0 < report.consistency_mean_mm < report.consistency_p95_mm < 1.0
    assert report.distance_before is not None
    assert report.distance_after is not None
    assert report.distance_after < 0.8 * report.distance_before
    assert report.overlap == 1.0
    assert report.seconds > 0.0
    assert report.peak_memory_mb is not None
    assert report.peak_memory_mb > 50.0


def test_the_warped_image_looks_more_like_the_fixed_one(
    phantom: PhantomPatient, registered: Registration
) -> None:
    body = phantom.structures.array > 0
    venous = phantom.venous.array[body]
    warped = registered.warp_image(phantom.arterial, phantom.venous.geometry).array[body]
    before, after = (np.corrcoef(venous, image)[0, 1] for image in (phantom.arterial.array[body], warped))
    assert after > before + 0.05


def test_oblique_mirrored_unequal_and_partly_overlapping_grids_are_registered(
    phantom: PhantomPatient,
) -> None:
    lying = turned(phantom.venous.geometry)
    fixed = MIRRORED.apply(Volume(array=phantom.venous.array, geometry=lying))
    # The moving image: other axes, other spacing, and a quarter of the slices missing.
    source = Volume(array=phantom.arterial.array, geometry=lying)
    n_i, n_j, n_k = lying.shape
    view = source.geometry.cropped((0, 0, 0), (n_i, n_j, 3 * n_k // 4)).resampled((3.4, 2.8, 2.5))
    moving = AxisOrder(axes=(1, 2, 0), flipped=(True, True, False)).apply(
        resample(source, view, fill=-1024.0)
    )
    found = register(fixed, moving, spacing_mm=COARSE)
    truth = MIRRORED.apply(Volume(array=(phantom.field.array @ TURNED.T.astype(np.float32)), geometry=lying))
    index = moving.geometry.index(truth.geometry.world(np.moveaxis(np.indices(truth.geometry.shape), 0, -1)))
    seen = np.all((index > 0) & (index < np.asarray(moving.geometry.shape) - 1), axis=-1)
    before, after = mean_errors(found, truth, seen & body_mask(fixed.array.astype(np.float32)))
    assert before > 3.0
    assert after < 0.5 * before
    assert 0.6 < found.report.overlap < 0.9
    assert not found.is_flagged


def test_an_image_registered_to_itself_does_not_move(phantom: PhantomPatient) -> None:
    found = register(phantom.venous, phantom.venous, spacing_mm=COARSE)
    assert not found.displacement(phantom.venous.geometry).any()
    assert (found.report.distance_before, found.report.distance_after) == (0.0, 0.0)
    assert not found.is_flagged
    assert_array_equal(found.warp_image(phantom.venous, phantom.venous.geometry).array, phantom.venous.array)


def test_an_affine_start_finds_what_lies_far_apart(phantom: PhantomPatient) -> None:
    away = (24.0, -18.0, 12.0)
    found = register(phantom.venous, shifted(phantom.venous, away), spacing_mm=2.4, init="affine")
    assert np.abs(found.affine - np.eye(4)).max() > 1.0
    inner = phantom.structures.array > 0
    off = np.linalg.norm(found.displacement(phantom.venous.geometry) - away, axis=-1)[inner]
    assert float(off.mean()) < 1.5


def test_what_matches_no_better_than_before_is_flagged_and_gives_way_to_the_coordinates(
    phantom: PhantomPatient,
) -> None:
    noise = np.random.default_rng(0).normal(0.0, 100.0, phantom.venous.geometry.shape).astype(np.float32)
    moving = phantom.venous.with_array(noise)
    found = register(phantom.venous, moving, spacing_mm=COARSE)
    assert any("do not agree better than before" in flag for flag in found.report.flags)
    instead = accepted(found, phantom.venous, moving)
    assert instead.report.method == "none"
    assert not instead.displacement(phantom.venous.geometry).any()


def test_a_registration_without_flags_is_accepted_as_it_is(
    phantom: PhantomPatient, registered: Registration
) -> None:
    assert accepted(registered, phantom.venous, phantom.arterial) is registered


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"least_jacobian": 0.99}, r"tissue shrinks to 0\.\d+ of its volume \(limit 0.99\)"),
        ({"largest_inconsistency_mm": 1e-6}, r"misses by .* mm at the 95th percentile \(limit 1e-06 mm\)"),
    ],
)
def test_limits_of_the_settings_decide_what_is_flagged(
    phantom: PhantomPatient, limits: dict[str, float], words: str
) -> None:
    settings = RegistrationSettings(spacing_mm=6.0, **limits)
    found = register_with(phantom.venous, phantom.arterial, settings)
    assert len(found.report.flags) == 1
    with pytest.raises(ValueError, match=words):
        raise ValueError(found.report.flags[0])


def solver_of(displacement: FloatArray) -> Resources:
    def solve(fixed: FloatArray, moving: FloatArray, settings: DeedsSettings) -> FloatArray:
        assert fixed.shape == moving.shape
        assert settings.alpha == 1.6
        return displacement

    return Resources(solver=solve)


def binary() -> RegistrationSettings:
    return RegistrationSettings(method="deeds-binary", spacing_mm=COARSE)


def test_a_folding_field_is_flagged(phantom: PhantomPatient) -> None:
    torn = np.random.default_rng(0).normal(0.0, 6.0, (3, 16, 16, 12)).astype(np.float32)
    found = register_with(phantom.venous, phantom.arterial, binary(), solver_of(torn))
    assert any("the deformation folds in" in flag and "limit 0.1 %" in flag for flag in found.report.flags)
    assert any("tissue shrinks to -" in flag for flag in found.report.flags)


def test_a_handed_in_program_s_displacement_is_used_in_voxels_of_the_work_grid(
    phantom: PhantomPatient,
) -> None:
    shift = np.array([1.0, -2.0, 0.5], dtype=np.float32).reshape(3, 1, 1, 1)
    found = register_with(phantom.venous, phantom.arterial, binary(), solver_of(shift))
    assert_allclose(found.displacement(phantom.venous.geometry)[10, 20, 30], (3.0, -6.0, 1.5), atol=1e-4)
    assert found.report.consistency_p95_mm is None
    assert found.report.method == "deeds-binary"


def test_little_overlap_is_flagged(phantom: PhantomPatient) -> None:
    few = crop_volume(phantom.arterial, (0, 0, 0), (64, 64, 10))
    settings = RegistrationSettings(method="none", spacing_mm=COARSE)
    report = register_with(phantom.venous, few, settings).report
    assert report.overlap < 0.25
    assert [flag for flag in report.flags if "of the body lie in both images (limit 25 %)" in flag]


def test_method_none_takes_the_coordinates_even_of_three_slices(phantom: PhantomPatient) -> None:
    three = crop_volume(phantom.arterial, (0, 0, 20), (64, 64, 3))
    found = register(phantom.venous, three, method="none")
    assert found.report.method == "none"
    assert found.report.min_jacobian == 1.0
    warped = found.warp_image(three, phantom.venous.geometry).array
    assert_allclose(warped[:, :, 20:23], three.array, atol=1e-6)
    assert_array_equal(warped[:, :, :20], -1024.0)
    with pytest.raises(InputError, match="64×64×3 voxels, too few to register"):
        register(phantom.venous, three)


def test_a_constant_image_is_refused(phantom: PhantomPatient) -> None:
    flat: AnyArray = np.full(phantom.venous.geometry.shape, -1000, dtype=np.int16)
    with pytest.raises(InputError, match="the moving image shows nothing to register"):
        register(phantom.venous, phantom.venous.with_array(flat))


def test_images_of_different_places_are_refused(phantom: PhantomPatient) -> None:
    with pytest.raises(InputError, match="no common region"):
        register(phantom.venous, shifted(phantom.arterial, (0.0, 0.0, 500.0)))


def test_progress_runs_from_nothing_to_all(phantom: PhantomPatient) -> None:
    told: list[tuple[str, float]] = []
    register(phantom.venous, phantom.arterial, spacing_mm=6.0, progress=lambda *what: told.append(what))
    shares = [share for _, share in told]
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert len(told) > 6
    assert all(earlier <= later for earlier, later in pairwise(shares))
    assert {text for text, _ in told} >= {"measure the quality", "registered"}


def test_one_thread_and_two_give_the_same_bits(phantom: PhantomPatient) -> None:
    one, two = (
        register(phantom.venous, phantom.arterial, spacing_mm=6.0, threads=threads) for threads in (1, 2)
    )
    assert_array_equal(one.control.displacement, two.control.displacement)
    timeless = [replace(found.report, seconds=0.0, peak_memory_mb=0.0) for found in (one, two)]
    assert timeless[0] == timeless[1]


def test_the_program_of_the_authors_must_be_handed_in(phantom: PhantomPatient) -> None:
    with pytest.raises(EnvironmentProblemError, match="needs the program of the authors") as caught:
        register(phantom.venous, phantom.arterial, method="deeds-binary")
    assert caught.value.exit_code == 6
    assert "DEEDS_BIN" in caught.value.cure


def test_convexadam_is_refused_fine_spacing(phantom: PhantomPatient) -> None:
    least = convexadam.LEAST_SPACING
    with pytest.raises(UsageError, match=f"a spacing of at least {least} mm, got 1"):
        register(phantom.venous, phantom.arterial, method="convexadam", spacing_mm=1.0)


def test_other_programs_know_no_affine_start(phantom: PhantomPatient) -> None:
    with pytest.raises(UsageError, match="method convexadam starts from the patient's coordinates only"):
        register(phantom.venous, phantom.arterial, method="convexadam", init="affine")


def test_the_package_exports_the_entry_point() -> None:
    assert lymphct.registration.register is register
    with pytest.raises(AttributeError, match="has no attribute 'align'"):
        lymphct.registration.align  # noqa: B018 - the access itself is tested
