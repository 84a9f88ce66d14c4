import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.cascade import alignment
from lymphct.cascade.alignment import AIR, Aligned, align
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.registration_check import registration_check, registration_record
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import REGISTRATION_METHODS
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, working_grid
from lymphct.registration.deeds import ControlField
from lymphct.registration.result import Registration, RegistrationReport
from lymphct.registration.settings import RegistrationSettings

C, S = math.cos(0.2), math.sin(0.2)
TURNED = ((C, -S, 0.0), (S, C, 0.0), (0.0, 0.0, 1.0))
GRID = Geometry(shape=(28, 26, 24), spacing=(3.1, 2.9, 3.4), origin=(-40.0, 12.0, 7.0), direction=TURNED)
SPACING = (3.0, 3.0, 3.0)
DEEDS, NONE = RegistrationSettings(method="deeds"), RegistrationSettings(method="none")
REPORT = RegistrationReport(
    method="deeds", min_jacobian=0.71234567, folding_percent=0.0, sd_log_jacobian=0.08,
    consistency_mean_mm=0.03, consistency_p95_mm=0.11, distance_before=8.7, distance_after=6.5, overlap=1.0,
    seconds=1.5, peak_memory_mb=300.0,
)  # fmt: skip


def image(seed: int, grid: Geometry = GRID) -> Volume:
    """Smooth HU, so that interpolating them twice would show."""
    i, j, k = (axis / 3.0 for axis in np.indices(grid.shape))
    values = 60 * np.sin(i + seed) * np.cos(0.7 * j) + 40 * np.cos(1.1 * k + seed)
    return Volume(array=np.rint(values).astype(np.int16), geometry=grid)


def pushed(steps: float) -> Registration:
    """A registration that finds everything so many 2 mm voxels further along the first axis of the image."""
    control = np.zeros((3, 2, 2, 2), dtype=np.float32)
    control[0] = steps
    return Registration(
        grid=GRID.resampled((2.0, 2.0, 2.0)),
        control=ControlField(displacement=control, spacing=4),
        affine=np.eye(4),
        report=REPORT,
    )


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let registration end as the test says: with a result or with an error."""

    def ends(result: Registration | Exception) -> None:
        def register(*_: object) -> Registration:
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(alignment, "register_with", register)

    return ends


def at_coordinates(arterial: Volume) -> Any:
    return resample(arterial, working_grid(GRID, SPACING), fill=AIR).array


def test_the_original_arterial_phase_is_interpolated_once_where_registration_found_it(outcome: Any) -> None:
    outcome(pushed(2.0))
    arterial = image(2)
    aligned = align(image(1), arterial, SPACING, DEEDS)
    # What registration finds 4 mm further on belongs 4 mm further back.
    back = np.asarray(GRID.origin) - 4.0 * np.asarray(TURNED)[:, 0]
    moved = Volume(array=arterial.array, geometry=replace(GRID, origin=tuple(back.tolist())))
    assert aligned.ct.arterial is not None
    assert_allclose(aligned.ct.arterial.array, at_coordinates(moved), atol=1e-2)
    assert aligned.registration is REPORT
    assert aligned.notices == ()


def test_without_an_arterial_phase_nothing_is_registered(outcome: Any) -> None:
    outcome(AssertionError("called"))
    aligned = align(image(1), None, SPACING, DEEDS)
    assert aligned.ct.arterial is None
    assert aligned.registration is None
    assert registration_check(aligned) is None


def test_method_none_leaves_the_phases_at_the_coordinates_and_says_so(outcome: Any) -> None:
    outcome(AssertionError("called"))
    aligned = align(image(1), image(2), SPACING, NONE)
    assert aligned.ct.arterial is not None
    assert_array_equal(aligned.ct.arterial.array, at_coordinates(image(2)))
    check = registration_check(aligned)
    assert check is not None
    assert (check.passed, check.value) == (None, None)


def test_a_flagged_registration_is_not_used_and_reported_with_its_numbers(outcome: Any) -> None:
    flagged = replace(pushed(2.0), report=replace(REPORT, flags=("the deformation folds",)))
    outcome(flagged)
    aligned = align(image(1), image(2), SPACING, DEEDS)
    assert aligned.ct.arterial is not None
    assert_array_equal(aligned.ct.arterial.array, at_coordinates(image(2)))
    (notice,) = aligned.notices
    assert (notice.code, notice.value) == ("registration_flagged", 1)
    assert "the deformation folds" in notice.text
    assert "left at the scanner's coordinates" in notice.text
    check = registration_check(aligned)
    assert check is not None
    assert check.passed is False
    assert isinstance(check.value, dict)
    assert check.value["flags"] == ["the deformation folds"]


def test_a_flagged_registration_is_used_when_the_settings_know_no_way_back(outcome: Any) -> None:
    flagged = replace(pushed(2.0), report=replace(REPORT, flags=("the deformation folds",)))
    outcome(flagged)
    aligned = align(image(1), image(2), SPACING, DEEDS.model_copy(update={"fall_back": False}))
    assert aligned.ct.arterial is not None
    assert np.abs(aligned.ct.arterial.array - at_coordinates(image(2))).max() > 10
    assert "used all the same" in aligned.notices[0].text


def test_what_cannot_be_registered_keeps_its_coordinates_with_a_notice(outcome: Any) -> None:
    outcome(InputError("both images have only 9×9×5 voxels in common", code="E_TOO_SMALL"))
    aligned = align(image(1), image(2), SPACING, DEEDS)
    assert aligned.ct.arterial is not None
    assert_array_equal(aligned.ct.arterial.array, at_coordinates(image(2)))
    assert [notice.code for notice in aligned.notices] == ["registration_failed"]
    assert "only 9×9×5 voxels" in aligned.notices[0].text
    check = registration_check(aligned)
    assert check is not None
    assert check.passed is False
    with pytest.raises(InputError, match="only 9×9×5 voxels"):
        align(image(1), image(2), SPACING, DEEDS.model_copy(update={"fall_back": False}))


def test_phases_of_different_regions_are_refused(outcome: Any) -> None:
    outcome(InputError("the images show no common region", code="E_OVERLAP"))
    with pytest.raises(InputError, match="no common region"):
        align(image(1), image(2), SPACING, DEEDS)


def test_a_slab_too_thin_to_register_is_not_a_failure() -> None:
    thin = Geometry(shape=(40, 40, 7), spacing=(4.0, 4.0, 2.5))
    aligned = align(image(1, thin), image(2, thin), SPACING, DEEDS)
    assert [notice.code for notice in aligned.notices] == ["registration_failed"]
    assert aligned.ct.arterial is not None


def test_numbers_in_results_are_rounded_and_leave_out_time_and_memory() -> None:
    record = registration_record(replace(REPORT, consistency_p95_mm=None))
    assert record["min_jacobian"] == 0.7123
    assert record["consistency_p95_mm"] is None
    assert not {"seconds", "peak_memory_mb"} & set(record)
    assert record == registration_record(replace(REPORT, consistency_p95_mm=None, seconds=9.9))


def test_a_trusted_registration_passes_the_check() -> None:
    aligned = Aligned(ct=align(image(1), image(2), SPACING, NONE).ct, registration=REPORT)
    check = registration_check(aligned)
    assert check is not None
    assert check.passed is True
    assert check.value == registration_record(REPORT)


def test_a_bundle_can_name_every_method_there_is() -> None:
    fields = {
        "name": "b",
        "salt": "12345678",
        "spacing": (2.0, 2.0, 2.5),
        "is_phantom": True,
        "code_version": "1",
    }
    assert BundleInfo.model_validate(fields).registration == "none"
    for method in REGISTRATION_METHODS:
        assert BundleInfo.model_validate({**fields, "registration": method}).registration == method
