"""Bring images onto the working grid (Sec. IV-A.2) and into comparable intensities (decision 0017)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK

from lymphct.core.arrays import AnyArray, FloatArray, Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.leakage import Fitted
from lymphct.core.orientation import order_towards
from lymphct.core.volume import Volume
from lymphct.imaging.resampling import Interpolation, resample_parallel

VALUES_PER_PATIENT: Final = 10_000
"""Foreground values a patient contributes to the intensity statistics (the number nnU-Net uses)."""

_INTERPOLATORS: Final = {
    "nearest": SimpleITK.sitkNearestNeighbor,
    "linear": SimpleITK.sitkLinear,
    "cubic": SimpleITK.sitkBSpline,
}


@dataclass(frozen=True, slots=True)
class IntensityStatistics:
    """How one phase is normalized; all values in HU.

    Attributes:
        low: values below are raised to it.
        high: values above are lowered to it.
        mean: subtracted after clipping.
        sd: divisor after that.

    Raises:
        InputError: `low` is not below `high`, `sd` is not positive, or a value is not finite.

    """

    low: float
    high: float
    mean: float
    sd: float

    def __post_init__(self) -> None:
        finite = np.isfinite([self.low, self.high, self.mean, self.sd]).all()
        if not (finite and self.low < self.high and self.sd > 0):
            msg = f"intensity statistics need finite values, low < high and sd > 0, got {self}"
            raise InputError(
                msg, code="E_INTENSITY", cure="fit them on CTs in HU with foreground that varies"
            )

    @property
    def fill(self) -> float:
        """Return the normalized lower clip value, with which images are padded: bit for bit that of air."""
        return float(normalized_values(np.array(self.low), self))


DEFAULT_INTENSITY: Final = IntensityStatistics(low=-100.0, high=240.0, mean=70.0, sd=85.0)
"""Used where nothing was fitted; not stated in the paper (decision 0017)."""


def fit_intensity(
    phase_volumes: Iterable[tuple[Volume, Volume]],
    patients: Iterable[str],
    *,
    least: float | None = None,
) -> Fitted[IntensityStatistics]:
    """Measure the foreground intensities of one phase in training patients.

    The clip values are the 0.5 and 99.5 percentiles of the foreground; mean and standard deviation are those
    of the clipped foreground, so that it has mean 0 and deviation 1 once normalized. Each patient
    contributes at most `VALUES_PER_PATIENT` values, evenly spaced in their sorted order: the result is
    deterministic, memory stays small, and a patient with large organs does not outweigh the others.

    Args:
        phase_volumes: per patient the CT in HU and a mask (non-zero = foreground) on its grid.
        patients: their ids.
        least: HU; darker voxels of the mask are not foreground. None takes all.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its CT.
        InputError: there is no foreground at all, or it has one value only.

    """
    samples = [foreground_values(ct, foreground, least=least) for ct, foreground in phase_volumes]
    return Fitted(statistics_of(samples), frozenset(patients))


def foreground_values(ct: Volume, foreground: Volume, *, least: float | None = None) -> FloatArray:
    """Return what one patient contributes to the statistics of a phase: sorted HU, float32.

    Args:
        ct: HU.
        foreground: mask on its grid, non-zero inside.
        least: HU; darker voxels do not count. None takes all.

    Raises:
        GeometryMismatchError: the mask does not lie on the grid of the CT.

    """
    foreground.require_same_grid(ct, name="foreground mask", reference="CT")
    values = ct.array[foreground.array != 0].astype(np.float32)
    if least is not None:
        values = values[values >= least]
    return _evenly_spaced(np.sort(values))


def statistics_of(samples: Sequence[FloatArray]) -> IntensityStatistics:
    """Return clip values, mean and SD of what patients contributed.

    Raises:
        InputError: there is no value at all, or one only.

    """
    values = np.concatenate([*samples, np.empty(0, dtype=np.float32)])
    if values.size == 0:
        msg = "no foreground voxel in any training patient: intensities cannot be measured"
        raise InputError(msg, code="E_INTENSITY", cure="check the masks that mark the foreground")
    low, high = np.percentile(values, (0.5, 99.5))
    clipped = np.clip(values.astype(np.float64), low, high)
    return IntensityStatistics(float(low), float(high), float(clipped.mean()), float(clipped.std()))


def _evenly_spaced(ordered: FloatArray) -> FloatArray:
    if ordered.size <= VALUES_PER_PATIENT:
        return ordered
    middles = (np.arange(VALUES_PER_PATIENT) + 0.5) * (ordered.size / VALUES_PER_PATIENT)
    chosen: FloatArray = ordered[middles.astype(np.int64)]
    return chosen


def normalize(ct: Volume, statistics: IntensityStatistics) -> Volume:
    """Clip HU and scale them to mean 0 and standard deviation 1 of the foreground (float32)."""
    return ct.with_array(normalized_values(ct.array, statistics))


def normalized_values(hu: AnyArray, statistics: IntensityStatistics) -> FloatArray:
    """Return clipped and scaled HU of any shape, as `normalize` does."""
    values: FloatArray = np.clip(hu, statistics.low, statistics.high).astype(np.float32)
    values -= np.float32(statistics.mean)
    values /= np.float32(statistics.sd)
    return values


def working_grid(geometry: Geometry, spacing: Vector3) -> Geometry:
    """Return the grid with axes i → left, j → posterior, k → cranial over the same box of tissue.

    Axes are reordered and reversed, never rotated: an oblique grid keeps its oblique axes.
    """
    left_posterior_cranial = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0))
    reordered = order_towards(geometry, left_posterior_cranial).apply_to_grid(geometry)
    return reordered.resampled(spacing)


def resample(
    volume: Volume, grid: Geometry, *, fill: float = 0.0, interpolation: Interpolation = "linear"
) -> Volume:
    """Read `volume` at the voxel centres of `grid`, through their positions in the patient.

    On the same lattice, in any axis order, voxels are moved without interpolation. Up to half a voxel beyond
    the outermost centres (the faces of the image) the edge value holds; farther out lies `fill`.
    `nearest` keeps the type of the values, `linear` and `cubic` (B-spline) give float32. Where an axis has
    too few voxels for a cubic spline, `cubic` means `linear`. Grids with parallel axes take the fast way of
    `imaging.resampling`, oblique ones SimpleITK's; the numbers are the same.
    """
    if interpolation == "cubic" and min(volume.geometry.shape) < 4:
        interpolation = "linear"  # the ends of so short a spline have no mirror image
    kind = volume.array.dtype if interpolation == "nearest" else np.dtype(np.float32)
    if volume.geometry.matches(grid):
        return Volume(array=volume.array.astype(kind, copy=False), geometry=grid)
    order = order_towards(volume.geometry, grid)
    if order.apply_to_grid(volume.geometry).matches(grid):
        return Volume(array=order.apply(volume).array.astype(kind, copy=False), geometry=grid)
    array = resample_parallel(volume, grid, fill=fill, interpolation=interpolation)
    if array is None:
        array = _resample_oblique(
            volume.with_array(volume.array.astype(kind, copy=False)), grid, fill, interpolation
        )
    return Volume(array=array, geometry=grid)


def _resample_oblique(volume: Volume, grid: Geometry, fill: float, interpolation: Interpolation) -> AnyArray:
    resampled = SimpleITK.Resample(
        _image(volume), _bare_image(grid), SimpleITK.Transform(), _INTERPOLATORS[interpolation], float(fill)
    )
    array: AnyArray = SimpleITK.GetArrayFromImage(resampled).transpose(2, 1, 0)
    return array.astype(volume.array.dtype, order="C", copy=False)


def _bare_image(grid: Geometry) -> SimpleITK.Image:
    # A one-byte image carries the reference grid; Resample takes its value type from the moving image.
    image = SimpleITK.Image([int(n) for n in grid.shape], SimpleITK.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(np.asarray(grid.direction).ravel().tolist())
    return image


def _image(volume: Volume) -> SimpleITK.Image:
    array = volume.array
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
    # A new voxel's centre may fall on the very face of the image; rounding must not push it outside. So the
    # image is stretched about its centre by far less than a millionth of a voxel.
    geometry, stretch = volume.geometry, 1e-9
    image.SetSpacing([step * (1 + stretch) for step in geometry.spacing])
    image.SetOrigin(geometry.world((1 - np.asarray(geometry.shape)) * (stretch / 2)).tolist())
    image.SetDirection(np.asarray(geometry.direction).ravel().tolist())
    return image


def resample_labels(labels: Volume, grid: Geometry) -> Volume:
    """Read a label map or mask at the voxel centres of `grid`: the nearest voxel counts, 0 outside."""
    return resample(labels, grid, interpolation="nearest")
