"""What a registration knows: where a point of the fixed image lies in the moving one, and how sure it is."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.registration.deeds import ControlField
from lymphct.registration.pulling import Mapping, mapping_of, places, read_linear, read_nearest
from lymphct.registration.work_grid import AIR


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationReport:
    """The quality of a registration, measured on the work grid in the body inside the moving field of view.

    Attributes:
        method: `none`, `deeds`, `convexadam` or `deeds-binary`.
        min_jacobian: least determinant of the deformation's derivative; at most 0 where tissue folds.
        folding_percent: share of voxels with a determinant of at most 0, percent.
        sd_log_jacobian: standard deviation of the determinant's natural logarithm, values below 0.001 raised
            to it.
        consistency_mean_mm: mean way off after going forward and back, mm; None where there is no way back.
        consistency_p95_mm: its 95th percentile, mm.
        distance_before: mean Hamming distance of the self-similarity descriptors, 0 to 60, before; None
            where the images have too little in common to measure it.
        distance_after: the same after registration.
        overlap: share of the fixed body inside the moving image's field of view, 0 to 1.
        seconds: wall time.
        peak_memory_mb: largest resident memory of the process until then, MB (10⁶ bytes); None on Windows.
        flags: what is suspicious, in words; empty when nothing is.

    """

    method: str
    min_jacobian: float
    folding_percent: float
    sd_log_jacobian: float
    consistency_mean_mm: float | None
    consistency_p95_mm: float | None
    distance_before: float | None
    distance_after: float | None
    overlap: float
    seconds: float
    peak_memory_mb: float | None
    flags: tuple[str, ...] = ()

    def record(self) -> dict[str, str | float | list[str] | None]:
        """Return the report as plain values, in the order above."""
        return {**asdict(self), "flags": list(self.flags)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Registration:
    """Maps a fixed image's points into the moving image; made by `register`.

    Attributes:
        grid: the work grid the field lives on.
        control: displacement in voxels of `grid`; beyond the grid its edge holds.
        affine: 4×4, voxels of `grid`, applied before the displacement.
        report: quality.
        threads: how many work on one image.

    """

    grid: Geometry
    control: ControlField
    affine: DoubleArray
    report: RegistrationReport
    threads: int = 1

    @property
    def is_flagged(self) -> bool:
        """Tell whether something about the result is suspicious."""
        return bool(self.report.flags)

    def warp_image(self, volume: Volume, reference: Geometry, *, fill: float = AIR) -> Volume:
        """Return the moving image as it looks on `reference`, a grid in the fixed patient's position.

        The image given is interpolated once, linearly, whatever its grid; up to half a voxel beyond its
        outermost centres the edge value holds, farther out lies `fill`. Beside the float32 output no more
        than a few MB are needed (and a float32 copy of an image that is neither int16 nor float32).
        """
        mapping = self._mapping(reference, volume.geometry)
        array = read_linear(volume.array, mapping, reference.shape, fill=fill, threads=self.threads)
        return Volume(array=array, geometry=reference)

    def warp_labels(self, labels: Volume, reference: Geometry) -> Volume:
        """Return a label map of the moving image on `reference`: the nearest voxel counts, 0 outside.

        Raises:
            InputError: values that are not whole numbers.

        """
        array = labels.array
        if array.dtype.kind not in "iub":
            msg = f"a label map holds whole numbers, not {array.dtype} values"
            raise InputError(msg, code="E_LABELS", cure="give a label map, or use warp_image")
        mapping = self._mapping(reference, labels.geometry)
        warped = read_nearest(array, mapping, reference.shape, threads=self.threads)
        return Volume(array=warped, geometry=reference)

    def displacement(self, reference: Geometry) -> FloatArray:
        """Return u, float32 (i, j, k, 3), mm, LPS+: what `reference` has at p, the moving image has at p + u.

        The affine part is included.
        """
        found = self._mapping(reference, None)
        return places(found, reference.shape, threads=self.threads)

    def _mapping(self, reference: Geometry, moving: Geometry | None) -> Mapping:
        """Return the way from `reference` indices to `moving` indices, or to the displacement in mm."""
        to_grid = np.linalg.inv(self.grid.affine) @ reference.affine
        to_world = self.grid.affine
        nodes = self._nodes_per_voxel @ to_grid
        if moving is None:
            base = to_world @ self.affine @ to_grid - reference.affine
            return mapping_of(base, to_world[:3, :3], nodes, self._control)
        to_moving = np.linalg.inv(moving.affine) @ to_world
        return mapping_of(to_moving @ self.affine @ to_grid, to_moving[:3, :3], nodes, self._control)

    @cached_property
    def _nodes_per_voxel(self) -> DoubleArray:
        # Node i of an axis with n nodes sits at voxel i * N / n, the lower corner of its block.
        nodes = self.control.displacement.shape[1:]
        ratios = [n / size for n, size in zip(nodes, self.grid.shape, strict=True)]
        return np.diag([*ratios, 1.0])

    @cached_property
    def _control(self) -> FloatArray:
        return np.ascontiguousarray(self.control.displacement, dtype=np.float32)
