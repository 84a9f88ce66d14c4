"""A registration on disk: two images in; the warped image, the field and the report out."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.io.deeds_binary import DeedsBinary
from lymphct.io.images.reading import read_image, write_volume
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made_to_be_seen
from lymphct.registration.registering import Progress, Resources, accepted, register_with
from lymphct.registration.result import Registration, RegistrationReport
from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

WARPED_FILE: Final = "warped.nii.gz"
FIELD_FILE: Final = "field.nii.gz"
REPORT_FILE: Final = "registration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """What to register and how.

    Attributes:
        fixed: NIfTI file or DICOM folder; the result lies on its grid.
        moving: NIfTI file or DICOM folder.
        settings: method, work grid, limits of the flags, whether a flagged result is replaced.
        threads: how many to use.

    """

    fixed: Path
    moving: Path
    settings: RegistrationSettings
    threads: int = 1


def register_files(
    request: RegistrationRequest, out: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Register two files and write `warped.nii.gz`, `field.nii.gz` and `registration.json` into `out`.

    Only the safety limits apply to the images. A folder made from the same files, settings and code is left
    as it is. Largest in memory are both images and the field on the fixed grid: 12 bytes for each of its
    voxels, beside about 160 bytes for each voxel of the work grid before that.

    Returns:
        What `registration.json` holds.

    Raises:
        InputError: a file is refused, or the images cannot be registered.
        OutputInUseError: `out` is not ours to replace, or another process writes it.
        EnvironmentProblemError: the machine refuses, or a part the method needs is missing.

    """
    recipe = Recipe.of_files(
        {"fixed": request.fixed, "moving": request.moving},
        request.settings.model_dump(mode="json"),
        code=("patients.registration",),
    )
    made_to_be_seen(out, recipe, partial(_register_into, request=request, progress=progress))
    stored: Any = read_json(out / REPORT_FILE)
    return dict(stored)


def _register_into(folder: Path, *, request: RegistrationRequest, progress: Progress | None) -> None:
    settings = request.settings
    solver = None
    if settings.method == "deeds-binary":
        solver = DeedsBinary.from_environment(threads=request.threads)
    fixed, moving = _read_pair(request)
    resources = Resources(threads=request.threads, progress=progress, solver=solver)
    attempted = register_with(fixed, moving, settings, resources)
    used = accepted(attempted, fixed, moving) if settings.fall_back else attempted
    grid = fixed.geometry
    write_volume(folder / WARPED_FILE, used.warp_image(moving, grid))
    write_volume(folder / FIELD_FILE, Volume(array=used.displacement(grid), geometry=grid))
    write_json(folder / REPORT_FILE, report_record(attempted.report, used))


def _read_pair(request: RegistrationRequest) -> tuple[Volume, Volume]:
    fixed, moving = read_image(request.fixed), read_image(request.moving)
    if fixed.patient_key and moving.patient_key and fixed.patient_key != moving.patient_key:
        msg = "the images belong to different patients (PatientID differs)"
        raise InputError(msg, code="E_PATIENTS", cure="check that both series are of one patient")
    return fixed.volume, moving.volume


def report_record(attempted: RegistrationReport, used: Registration) -> dict[str, JSON]:
    """Return `registration.json`: the report of the method asked for, and the method that was used."""
    values = cast("dict[str, JSON]", attempted.record())
    return {"schema": 1, **values, "method_used": used.report.method}
