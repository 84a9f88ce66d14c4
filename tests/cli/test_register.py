import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.cli.context import Globals
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.io.images.reading import read_field, read_volume, write_volume
from lymphct.io.results.store import DONE_FILE
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.registration import register

Program = Callable[..., Any]
FILES = {"warped.nii.gz", "field.nii.gz", "registration.json", DONE_FILE}
COARSE = ("--spacing", "6")
"""mm; a tenth of a second."""


@pytest.fixture(scope="module")
def phantom() -> PhantomPatient:
    return generate_patient(PhantomSettings(size="nano"), seed=5, index=0)


@pytest.fixture(scope="module")
def phases(phantom: PhantomPatient, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A venous phase on mirrored axes in another order, and the arterial one as it is."""
    folder = tmp_path_factory.mktemp("phases")
    order = AxisOrder(axes=(2, 0, 1), flipped=(True, False, False))
    write_volume(folder / "venous.nii.gz", order.apply(phantom.venous))
    write_volume(folder / "arterial.nii.gz", phantom.arterial)
    return folder / "venous.nii.gz", folder / "arterial.nii.gz"


def test_warped_image_field_and_report_lie_on_the_fixed_file_s_own_axes(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path
) -> None:
    fixed, moving = phases
    out = tmp_path / "out"
    result = lymphct("register", "--fixed", fixed, "--moving", moving, "--out", out, *COARSE, "--json")
    assert (result.code, result.err) == (0, "")
    assert {path.name for path in out.iterdir()} == FILES
    report = json.loads(result.out)
    assert report == json.loads((out / "registration.json").read_text())
    assert (report["method"], report["method_used"], report["flags"]) == ("deeds", "deeds", [])
    venous, arterial = read_volume(fixed), read_volume(moving)
    found = register(venous, arterial, spacing_mm=6.0)
    warped, field = read_volume(out / "warped.nii.gz"), read_field(out / "field.nii.gz")
    assert warped.geometry == field.geometry == venous.geometry
    assert warped.array.dtype == field.array.dtype == np.float32
    assert field.array.shape == (*venous.geometry.shape, 3)
    assert_array_equal(field.array, found.displacement(venous.geometry))
    assert_array_equal(warped.array, found.warp_image(arterial, venous.geometry).array)


def test_warped_is_the_moving_image_at_p_plus_the_field(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path
) -> None:
    fixed, moving = phases
    out = tmp_path / "out"
    assert lymphct("register", "--fixed", fixed, "--moving", moving, "--out", out, *COARSE).code == 0
    warped, field, arterial = (
        read_volume(out / "warped.nii.gz"),
        read_field(out / "field.nii.gz"),
        read_volume(moving),
    )
    assert np.abs(field.array).max() > 2.0
    voxel = (24, 30, 31)
    i, j, k = arterial.geometry.index(warped.geometry.world(voxel) + field.array[voxel]).tolist()
    corner = np.floor([i, j, k]).astype(int)
    f = np.array([i, j, k]) - corner
    value = 0.0
    for step in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(step, f, 1 - f))
        a, b, c = corner + step
        value += weight * float(arterial.array[a, b, c])
    assert_allclose(warped.array[voxel], value, atol=0.05)


def test_a_second_run_of_the_same_order_changes_nothing(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ("register", "--fixed", phases[0], "--moving", phases[1], "--out", tmp_path / "out", *COARSE)
    assert lymphct(*words).code == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = lymphct(*words)
    assert again.code == 0
    assert again.out.startswith("deeds: descriptor distance ")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert lymphct(*words, "--method", "none").code == 0
    assert json.loads((tmp_path / "out" / "registration.json").read_text())["method_used"] == "none"


@pytest.fixture
def noise(phantom: PhantomPatient, tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(0.0, 100.0, phantom.venous.geometry.shape)
    path = tmp_path / "noise.nii.gz"
    write_volume(path, phantom.venous.with_array(values.astype(np.float32)))
    return path


def test_a_flagged_result_gives_way_to_the_coordinates_with_a_warning(
    lymphct: Program, phases: tuple[Path, Path], noise: Path, tmp_path: Path
) -> None:
    words = ("register", "--fixed", phases[0], "--moving", noise, *COARSE)
    result = lymphct(*words, "--out", tmp_path / "a")
    assert result.code == 0
    assert result.out.startswith("none: ")
    assert "WARNING registration flagged: the images show little in common" in result.err
    assert "WARNING the patient's coordinates alone were used" in result.err
    assert not read_field(tmp_path / "a" / "field.nii.gz").array.any()
    report = json.loads((tmp_path / "a" / "registration.json").read_text())
    assert (report["method"], report["method_used"]) == ("deeds", "none")
    kept = lymphct(*words, "--out", tmp_path / "b", "--keep-flagged")
    assert kept.out.startswith("deeds: ")
    assert "coordinates alone" not in kept.err
    assert read_field(tmp_path / "b" / "field.nii.gz").array.any()


def test_settings_of_the_configuration_apply_and_options_win(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("register", "--fixed", phases[0], "--moving", phases[1], "--out", out)
    changes = ("--set", "registration.least_jacobian=0.99", "--set", "registration.spacing_mm=3")
    result = lymphct(*words, *changes, *COARSE)
    assert result.code == 0
    assert "(limit 0.99)" in result.err
    settings = json.loads((out / DONE_FILE).read_text())["fingerprint"]["settings"]
    assert (settings["least_jacobian"], settings["spacing_mm"]) == (0.99, 6.0)


def shifted(volume: Volume, along_z: float) -> Volume:
    affine = volume.geometry.affine
    affine[2, 3] += along_z
    return Volume(array=volume.array, geometry=Geometry.from_affine(affine, volume.geometry.shape))


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("three slices", 3, "64×64×3 voxels, too few to register"),
        ("constant", 3, "shows nothing to register"),
        ("tiny", 3, "4×4×4 voxels, too few to register"),
        ("elsewhere", 3, "no common region"),
        ("not finite", 3, "values that are not finite"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_one_line(  # noqa: PLR0917 - fixtures and the cases
    lymphct: Program,
    phantom: PhantomPatient,
    phases: tuple[Path, Path],
    tmp_path: Path,
    name: str,
    code: int,
    words: str,
) -> None:
    arterial = phantom.arterial
    whole = arterial.array.astype(np.float32)
    moving = {
        "three slices": crop_volume(arterial, (0, 0, 20), (64, 64, 3)),
        "constant": arterial.with_array(np.full_like(arterial.array, 40)),
        "tiny": crop_volume(arterial, (30, 30, 20), (4, 4, 4)),
        "elsewhere": shifted(arterial, 900.0),
        "not finite": arterial.with_array(np.where(whole > 300, np.nan, whole)),
    }[name]
    path, out = tmp_path / "moving.nii.gz", tmp_path / "out"
    write_volume(path, moving)
    result = lymphct("register", "--fixed", phases[0], "--moving", path, "--out", out)
    assert result.code == code
    assert words in result.err
    assert result.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--spacing", "0.1"), 2, "spacing_mm: Input should be greater than or equal to 0.5 [E_SETTING]"),
        (("--method", "magic"), 2, "'magic' is not one of"),
        (("--method", "convexadam", "--spacing", "1"), 2, "convexAdam needs a spacing of at least 1.4 mm"),
        (("--method", "deeds-binary"), 6, "DEEDS_BIN is not set"),
    ],
)
def test_orders_that_make_no_sense_here_are_refused(  # noqa: PLR0917 - fixtures and the cases
    lymphct: Program,
    phases: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.delenv("DEEDS_BIN", raising=False)
    out = tmp_path / "out"
    result = lymphct("register", "--fixed", phases[0], "--moving", phases[1], "--out", out, *options)
    assert result.code == code
    assert words in result.err
    assert not out.exists()


def test_a_folder_that_is_not_ours_is_never_replaced(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    result = lymphct("register", "--fixed", phases[0], "--moving", phases[1], "--out", out, *COARSE)
    assert result.code == 5
    assert (out / "thesis.txt").read_text() == "years of work"


def test_progress_is_shown_to_whoever_watches(
    lymphct: Program, phases: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Globals, "show_progress", property(lambda _: True))
    monkeypatch.setenv("FORCE_COLOR", "1")  # what the bar takes for a terminal
    out = tmp_path / "out"
    result = lymphct("register", "--fixed", phases[0], "--moving", phases[1], "--out", out, *COARSE)
    assert result.code == 0
    assert "registration: " in result.err
