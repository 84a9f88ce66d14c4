"""What an image may measure before any work starts."""

from typing import NamedTuple

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import order_towards
from lymphct.core.settings import Settings


class Range(NamedTuple):
    """Smallest and largest value that is accepted."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Tell whether the value lies inside; NaN does not."""
        # Headers store 32-bit floats: a spacing of exactly 0.2 mm reads back as 0.19999999.
        slack = 1e-6
        return self.low * (1 - slack) <= value <= self.high * (1 + slack)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class SafetyLimits(Settings):
    """Limits of every image that is opened, whatever it shows."""

    voxels: PositiveInt = 600_000_000
    """Voxels of one image. Not stated in the paper; eight times a 512×512×300 CT."""
    file_bytes: PositiveInt = 2_000_000_000
    """Size of one file. Not stated in the paper; far above any compressed CT."""
    spacing: Range = Range(0.05, 20.0)
    """Voxel spacing, mm. Not stated in the paper; below lies metre instead of mm, above no image."""
    shear: PositiveFloat = 1e-3
    """Largest cosine between two axes. Not stated in the paper; 0.06 degrees, above rounding errors."""
    form_disagreement: PositiveFloat = 0.1
    """Largest distance of one voxel's positions by qform and sform, voxels. Not stated in the paper."""
    trailing_bytes: PositiveInt = 1_048_576
    """Bytes behind the last voxel that are skipped with a notice. Not stated in the paper."""


class AnatomicalLimits(Settings):
    """Limits of a CT given to `predict`, `prepare`, `train` and `check`."""

    voxels_in_plane: Range = Range(16, 1024)
    """Voxels along i and along j. Not stated in the paper; matrices of CT, and small phantoms."""
    slices: Range = Range(20, 3000)
    """Number of slices. Not stated in the paper; fewer cannot hold the pancreas and its nodes."""
    spacing_in_plane: Range = Range(0.2, 5.0)
    """Spacing along i and along j, mm. Not stated in the paper; its CTs have 0.68 mm (Sec. IV-A.2)."""
    slice_spacing: Range = Range(0.3, 10.0)
    """Spacing between slices, mm. Not stated in the paper; its CTs have 0.80 mm (Sec. IV-A.2)."""
    extent_in_plane: Range = Range(150.0, 700.0)
    """Size of a slice, mm. Not stated in the paper; a body and the widest field of view."""
    compression_ratio: PositiveFloat = 200.0
    """Largest gzip ratio beyond `compression_grace`. Not stated in the paper; CT reaches 2 to 6."""
    compression_grace: PositiveInt = 50_000_000
    """Unpacked bytes up to which any gzip ratio passes. Not stated in the paper."""


class DicomLimits(Settings):
    """Limits of one folder of DICOM slices."""

    files: PositiveInt = 5000
    """Files in the folder, at any depth. Not stated in the paper; ten times a usual series."""
    file_bytes: PositiveInt = 64_000_000
    """Size of one file of one slice. Not stated in the paper; a slice has 0.5 MB."""
    multiframe_bytes: PositiveInt = 2_000_000_000
    """Size of one file of many frames. Not stated in the paper; 512×512×1000 frames have 0.5 GB."""
    frames: PositiveInt = 20_000
    """Frames of one file. Not stated in the paper; twenty times of 1000 slices."""
    group_elements: PositiveInt = 1_000_000
    """Elements and items of the functional groups of one file. Not stated in the paper; a frame has 50."""
    archive_bytes: PositiveInt = 4_000_000_000
    """What a zip archive may unpack to. Not stated in the paper; eight times a usual series."""
    elements: PositiveInt = 5000
    """Data elements of one file before the pixels. Not stated in the paper; a CT slice has about 150."""
    position_tolerance: PositiveFloat = 0.01
    """Deviation of a slice from its even place, in slice spacings. Not stated in the paper."""
    tilt: PositiveFloat = 1e-3
    """Largest sideways shift per mm along the stack. Not stated in the paper; above it lies gantry tilt."""
    axial_cosine: PositiveFloat = 0.7
    """Smallest cosine between the slice normal and the body's long axis. Not stated in the paper."""


class LookLimits(Settings):
    """What a process may take that looks at one series of an export."""

    memory_bytes: PositiveInt = 6_000_000_000
    """Its address space, libraries with it. Not stated in the paper; a CT of 512×512×1000 takes 2 GB."""
    processor_seconds: PositiveInt = 300
    """Seconds of computing. Not stated in the paper; a compressed CT of 1000 slices takes 60."""
    wall_seconds: PositiveFloat = 900.0
    """Seconds by the clock. Not stated in the paper; what waits for a disk longer hangs."""


def check_safety(geometry: Geometry, limits: SafetyLimits) -> None:
    """Refuse a grid beyond the safety limits.

    Raises:
        InputError: `E_TOO_LARGE` or `E_SPACING`, with the measured value.

    """
    check_voxel_count(geometry.shape, limits)
    for step in geometry.spacing:
        if not limits.spacing.holds(step):
            msg = f"voxel spacing {step:.4g} mm lies outside the limits {limits.spacing} mm"
            raise InputError(msg, code="E_SPACING", cure="correct the spacing in the header (unit: mm)")


def check_voxel_count(shape: tuple[int, ...], limits: SafetyLimits) -> None:
    """Refuse a size that needs too much memory, before anything is allocated."""
    voxels = 1
    for size in shape:
        voxels *= int(size)  # Python integers: header fields of 64 bits overflow NumPy's
    if voxels > limits.voxels:
        text = "×".join(str(n) for n in shape)
        msg = f"dimensions {text} are too large ({voxels:.3g} voxels, limit {limits.voxels:.3g})"
        raise InputError(
            msg, code="E_TOO_LARGE", cure="check the dimensions in the header, or crop the image"
        )


def check_anatomy(geometry: Geometry, limits: AnatomicalLimits) -> None:
    """Refuse a grid that no abdominal CT has, whatever the order of its axes.

    Raises:
        InputError: `E_ANATOMY`, with the measured value and the limit.

    """
    # Limits speak of slices; the file may store its axes in any order.
    order = order_towards(geometry, Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0)))
    shape = [geometry.shape[axis] for axis in order.axes]
    spacing = [geometry.spacing[axis] for axis in order.axes]
    extent = np.multiply(shape, spacing)
    measured = (
        ("voxels in plane", "", limits.voxels_in_plane, shape[:2]),
        ("number of slices", "", limits.slices, shape[2:]),
        ("spacing in plane", " mm", limits.spacing_in_plane, spacing[:2]),
        ("spacing of the slices", " mm", limits.slice_spacing, spacing[2:]),
        ("extent in plane", " mm", limits.extent_in_plane, extent[:2]),
    )
    for what, unit, allowed, values in measured:
        for value in values:
            if not allowed.holds(float(value)):
                msg = f"{what} {value:.4g}{unit} lies outside the limits {allowed}{unit} of an abdominal CT"
                raise InputError(msg, code="E_ANATOMY", cure="check the header, or give the whole abdomen")
