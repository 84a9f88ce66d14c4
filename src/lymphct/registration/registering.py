"""Register a moving CT to a fixed one: arterial to venous phase (Sec. IV-A.2)."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.core.system import peak_memory
from lymphct.core.terms import RegistrationMethod
from lymphct.core.volume import Volume
from lymphct.registration import convexadam
from lymphct.registration.deeds import ControlField, deeds
from lymphct.registration.deeds_settings import DeedsSettings
from lymphct.registration.pulling import NO_CONTROL
from lymphct.registration.quality import Quality, Solution, measure
from lymphct.registration.result import Registration, RegistrationReport
from lymphct.registration.settings import Init, RegistrationSettings
from lymphct.registration.work_grid import WorkPair, require_registrable, work_pair

Progress = Callable[[str, float], None]
"""Called with what is done at present and the share of the whole work that is finished, 0 to 1."""

Solver = Callable[[FloatArray, FloatArray, DeedsSettings], FloatArray]
"""Somebody else's program: fixed and moving HU on one grid → control displacement (3, n0, n1, n2), voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a registration may use.

    Attributes:
        threads: at most so many; the result does not depend on it.
        progress: is told how far the work is.
        solver: the program of method `deeds-binary`.

    """

    threads: int = 1
    progress: Progress | None = None
    solver: Solver | None = None

    def tell(self, text: str, share: float) -> None:
        """Report progress to whoever asked for it."""
        if self.progress is not None:
            self.progress(text, share)


def register(  # noqa: PLR0913 - the public entry point; settings by name read better than a settings object
    fixed: Volume,
    moving: Volume,
    *,
    method: RegistrationMethod = "deeds",
    spacing_mm: float = 2.0,
    init: Init = "world",
    settings: DeedsSettings | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Registration:
    """Register `moving` to `fixed`, two CTs of one patient, HU (Sec. IV-A.2, DEEDS).

    The result may be flagged: look at `is_flagged`, or pass it through `accepted`.

    Args:
        fixed: HU on any grid.
        moving: HU on any grid; both lie in the patient's coordinates.
        method: `deeds`; `none` takes the coordinates as they are; `convexadam` needs the extra of that name;
            `deeds-binary` needs a program, see `register_with`.
        spacing_mm: isotropic spacing of the work grid.
        init: `affine` fits an affine map first, for images of different sessions.
        settings: of DEEDS; None for the defaults.
        threads: how many threads to use; the result does not depend on it.
        progress: told what is done and the share of the work that is finished.

    Raises:
        InputError: no common region, too few voxels, constant or not finite values.
        EnvironmentProblemError: a part that the method needs is missing.
        UsageError: a spacing the method cannot work with.

    """
    chosen = RegistrationSettings(
        method=method, spacing_mm=spacing_mm, init=init, deeds=settings or DeedsSettings()
    )
    return register_with(fixed, moving, chosen, Resources(threads=threads, progress=progress))


def register_with(
    fixed: Volume, moving: Volume, settings: RegistrationSettings, resources: Resources | None = None
) -> Registration:
    """Register as `register` does, with the limits of the flags and the resources given.

    Raises:
        InputError, EnvironmentProblemError, UsageError: as `register`.

    """
    resources = resources or Resources()
    began = time.perf_counter()
    _require_means(settings, resources)
    resources.tell("bring both images onto the work grid", 0.0)
    pair = work_pair(fixed, moving, settings.spacing_mm, threads=resources.threads)
    if settings.method != "none":
        require_registrable(fixed, moving, pair)
    found = _solve(pair, settings, resources)
    resources.tell("measure the quality", 0.9)
    quality = measure(pair, found, threads=resources.threads)
    peak = peak_memory()
    report = RegistrationReport(
        method=settings.method,
        **asdict(quality),
        overlap=pair.overlap,
        seconds=time.perf_counter() - began,
        peak_memory_mb=None if peak is None else peak / 1e6,
        flags=_flags(quality, pair.overlap, settings),
    )
    resources.tell("registered", 1.0)
    return Registration(
        grid=pair.grid,
        control=found.forward,
        affine=found.affine,
        report=report,
        threads=resources.threads,
    )


def accepted(registration: Registration, fixed: Volume, moving: Volume) -> Registration:
    """Return the registration, or that of method `none` where it is flagged (decision 0015)."""
    if not registration.is_flagged:
        return registration
    spacing = registration.grid.spacing[0]
    return register(fixed, moving, method="none", spacing_mm=spacing, threads=registration.threads)


def _require_means(settings: RegistrationSettings, resources: Resources) -> None:
    if settings.method == "convexadam" and settings.spacing_mm < convexadam.LEAST_SPACING:
        least = convexadam.LEAST_SPACING
        msg = f"convexAdam needs a spacing of at least {least} mm, got {settings.spacing_mm:g}"
        raise UsageError(msg, cure="use 2 mm, or method deeds")
    if settings.method in {"convexadam", "deeds-binary"} and settings.init == "affine":
        msg = f"method {settings.method} starts from the patient's coordinates only"
        raise UsageError(msg, cure="leave out the affine start, or use method deeds")
    if settings.method == "deeds-binary":
        _solver(resources)


def _solver(resources: Resources) -> Solver:
    if resources.solver is None:
        msg = "method deeds-binary needs the program of the authors of DEEDS"
        cure = "set DEEDS_BIN to the path of deedsBCV and use `lymphct register`, or use method deeds"
        raise EnvironmentProblemError(msg, code="E_DEEDS_BIN", cure=cure)
    return resources.solver


def _solve(pair: WorkPair, settings: RegistrationSettings, resources: Resources) -> Solution:
    if settings.method == "deeds":
        result = deeds(
            pair.fixed,
            pair.moving,
            settings.deeds,
            affine=settings.init == "affine",
            valid=pair.valid,
            threads=resources.threads,
            progress=lambda text, share: resources.tell(text, 0.05 + 0.85 * share),
        )
        return Solution(forward=result.forward, backward=result.backward, affine=result.affine)
    if settings.method == "none":
        return Solution(forward=_control(NO_CONTROL), backward=_control(NO_CONTROL), affine=np.eye(4))
    resources.tell(settings.method, 0.05)
    if settings.method == "convexadam":
        displacement = convexadam.solve(pair.fixed, pair.moving)
    else:
        displacement = _solver(resources)(pair.fixed, pair.moving, settings.deeds)
    return Solution(forward=_control(displacement), backward=None, affine=np.eye(4))


def _control(displacement: FloatArray) -> ControlField:
    return ControlField(displacement=displacement, spacing=1)


def _flags(quality: Quality, overlap: float, settings: RegistrationSettings) -> tuple[str, ...]:
    """Say what is suspicious; each flag is a short sentence with the measured value and its limit."""
    flags = []
    if quality.folding_percent > settings.largest_folding_percent:
        limit = settings.largest_folding_percent
        flags.append(
            f"the deformation folds in {quality.folding_percent:.3g} % of the body (limit {limit:g} %)"
        )
    if quality.min_jacobian < settings.least_jacobian:
        limit = settings.least_jacobian
        flags.append(f"tissue shrinks to {quality.min_jacobian:.3g} of its volume (limit {limit:g})")
    if (
        quality.consistency_p95_mm is not None
        and quality.consistency_p95_mm > settings.largest_inconsistency_mm
    ):
        limit = settings.largest_inconsistency_mm
        off = quality.consistency_p95_mm
        flags.append(f"there and back misses by {off:.3g} mm at the 95th percentile (limit {limit:g} mm)")
    before, after = quality.distance_before, quality.distance_after
    moved = settings.method != "none"
    if moved and before is not None and after is not None and after >= before > 0.0:
        flags.append(f"the images do not agree better than before (distance {before:.3g}, now {after:.3g})")
    if moved and after is not None and after > settings.largest_distance:
        limit = settings.largest_distance
        flags.append(
            f"the images show little in common (distance {after:.3g}, limit {limit:g}): one patient?"
        )
    if overlap < settings.least_overlap:
        limit = settings.least_overlap
        flags.append(f"only {100 * overlap:.0f} % of the body lie in both images (limit {100 * limit:.0f} %)")
    return tuple(flags)
