"""Do two phases belong together: one patient, one body region, each in its right place?"""

from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import CT

EXPECTED_OVERLAP: Final = 0.8
"""Share of the smaller image that lies inside the other, at least; below it there is a notice."""
LEAST_OVERLAP: Final = 0.1
"""Below it the two phases show different places."""
EXPECTED_AORTA_GAIN: Final = 50.0
"""HU by which the aorta is brighter in the arterial phase, at least; below it there is a notice."""

_COARSE: Final = 4.0
_VESSEL_GAIN: Final = 70.0
_VESSELS: Final = (150.0, 500.0)
_ORGAN_GAIN: Final = (20.0, 90.0)
_ORGANS: Final = (20.0, 180.0)
_LEAST_VESSEL_VOLUME: Final = 5_000.0
_LEAST_ORGAN_VOLUME: Final = 100_000.0


def check_pair(venous: CT, arterial: CT, *, trust_pairing: bool = False) -> tuple[Notice, ...]:
    """Check that two phases show one patient and one region, before registration.

    Args:
        venous: the reference phase.
        arterial: the other phase.
        trust_pairing: the user vouches for the pair (ids replaced differently when de-identified).

    Returns:
        Notices: another frame of reference, little overlap, ids that differ though trusted.

    Raises:
        InputError: two patients, one image given twice, or no common region. Ids are never quoted.

    """
    notices = []
    if venous.digest == arterial.digest or _same_image(venous.volume, arterial.volume):
        msg = "the same image was given as arterial and as venous phase"
        raise InputError(msg, code="E_SAME_FILE", cure="give both phases, or the venous phase alone")
    if venous.patient_key and arterial.patient_key and venous.patient_key != arterial.patient_key:
        msg = "arterial and venous phase belong to different patients (PatientID differs)"
        if not trust_pairing:
            raise InputError(msg, code="E_PATIENTS", cure="check that both series are of one patient")
        notices.append(Notice(code="patient_ids_differ", text=msg))
    if venous.frame_key and arterial.frame_key and venous.frame_key != arterial.frame_key:
        text = "arterial and venous phase have different frames of reference: the patient may have moved"
        notices.append(Notice(code="frames_differ", text=text))
    overlap = grid_overlap(venous.volume.geometry, arterial.volume.geometry)
    percent = f"{100 * overlap:.0f} %"
    if overlap < LEAST_OVERLAP:
        msg = f"arterial and venous phase show different regions (overlap {percent} of the smaller one)"
        raise InputError(msg, code="E_OVERLAP", cure="check that both series show the upper abdomen")
    if overlap < EXPECTED_OVERLAP:
        text = f"arterial and venous phase overlap by {percent} of the smaller one only (80 % expected)"
        notices.append(Notice(code="little_overlap", text=text, value=round(overlap, 3)))
    return tuple(notices)


def grid_overlap(one: Geometry, other: Geometry) -> float:
    """Return the share, 0 to 1, of the smaller grid's box that lies inside the other's, sampled."""
    if np.prod(one.size) > np.prod(other.size):
        one, other = other, one
    fractions = (np.indices((16, 16, 16)).reshape(3, -1).T + 0.5) / 16
    inside = other.index(one.world(fractions * one.shape - 0.5))
    hits = np.all((inside >= -0.5) & (inside <= np.asarray(other.shape) - 0.5), axis=1)
    return float(hits.mean())


def phases_look_swapped(venous: Volume, arterial: Volume, aorta: Volume | None = None) -> Notice | None:
    """Tell whether two phases look exchanged, or the arterial one lacks arterial contrast.

    With the aorta its median HU decides: it must be at least 50 HU brighter in the arterial phase. Without
    it, exchange shows in two signs together: vessels much brighter in the "venous" image while organs,
    which fill later, are brighter in the "arterial" one. One sign alone (a native scan, a late phase) is
    not reported.

    Args:
        venous: HU.
        arterial: HU, on any grid; registered or not.
        aorta: mask on the venous grid.

    Returns:
        `phases_swapped` or `weak_arterial_contrast` with the measured HU, or None.

    """
    if aorta is not None and np.any(aorta.array):
        return _compare_aorta(venous, arterial, aorta)
    grid = coarse_grid(venous.geometry)
    late, early = sampled(venous, grid), sampled(arterial, grid)
    gain = late - early
    voxel = grid.voxel_volume
    # A single bright voxel is an edge of bone that moved; vessels are thicker.
    vessels = [_thick_volume(sign * gain > _VESSEL_GAIN, late, early, _VESSELS) * voxel for sign in (1, -1)]
    organs = [_organ_volume(sign * gain, late, early) * voxel for sign in (1, -1)]
    swapped = (
        vessels[0] > 3 * vessels[1] + _LEAST_VESSEL_VOLUME and organs[1] > 2 * organs[0] + _LEAST_ORGAN_VOLUME
    )
    if not swapped:
        return None
    text = (
        f"arterial and venous phase look swapped: {vessels[0] / 1000:.0f} ml of vessels are brighter in the "
        "venous image, the organs in the arterial one"
    )
    return Notice(code="phases_swapped", text=text, value=round(vessels[0] / 1000, 1))


def _same_image(one: Volume, other: Volume) -> bool:
    return one.geometry.matches(other.geometry) and np.array_equal(one.array, other.array)


def _compare_aorta(venous: Volume, arterial: Volume, aorta: Volume) -> Notice | None:
    inside = np.argwhere(aorta.array)
    inside = inside[:: max(1, len(inside) // 50_000)]
    world = aorta.geometry.world(inside)
    late, early = _values_at(venous, world), _values_at(arterial, world)
    known = np.isfinite(late) & np.isfinite(early)
    if not known.any():
        return None
    gain = round(float(np.median(early[known]) - np.median(late[known])), 1)
    if gain >= EXPECTED_AORTA_GAIN:
        return None
    if gain < -EXPECTED_AORTA_GAIN / 2:
        text = (
            f"arterial and venous phase look swapped: the aorta is {-gain:g} HU brighter in the venous image"
        )
        return Notice(code="phases_swapped", text=text, value=gain)
    text = f"the aorta is only {gain:g} HU brighter in the arterial phase (50 expected): little contrast"
    return Notice(code="weak_arterial_contrast", text=text, value=gain)


def coarse_grid(geometry: Geometry) -> Geometry:
    """Return a grid over the same box whose voxels are at least 4 mm wide."""
    return geometry.resampled(
        (
            max(geometry.spacing[0], _COARSE),
            max(geometry.spacing[1], _COARSE),
            max(geometry.spacing[2], _COARSE),
        )
    )


def sampled(volume: Volume, grid: Geometry) -> DoubleArray:
    """Return block means of an image at the voxels of a coarse grid; NaN outside the image."""
    blocks = [max(1, round(_COARSE / step)) for step in volume.geometry.spacing]
    shape = [n // b for n, b in zip(volume.geometry.shape, blocks, strict=True)]
    kept = volume.array[tuple(slice(0, n * b) for n, b in zip(shape, blocks, strict=True))]
    means = kept.reshape(shape[0], blocks[0], shape[1], blocks[1], shape[2], blocks[2]).mean(axis=(1, 3, 5))
    index = volume.geometry.index(grid.world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    place = (index - (np.asarray(blocks) - 1) / 2) / np.asarray(blocks)
    values: DoubleArray = ndimage.map_coordinates(
        means.astype(np.float64), np.moveaxis(place, -1, 0), order=1, mode="constant", cval=np.nan
    )
    return values


def _values_at(volume: Volume, world: DoubleArray) -> DoubleArray:
    index = np.rint(volume.geometry.index(world)).astype(int)
    inside = np.all((index >= 0) & (index < volume.geometry.shape), axis=1)
    values = np.full(len(world), np.nan)
    values[inside] = volume.array[tuple(index[inside].T)]
    return values


def _thick_volume(
    brighter: AnyArray, late: DoubleArray, early: DoubleArray, values: tuple[float, float]
) -> int:
    """Count voxels of brighter vessels, without sheets one voxel thin."""
    brightest, faintest = np.fmax(late, early), np.fmin(late, early)
    vessel = brighter & (brightest > values[0]) & (brightest < values[1]) & (faintest > 0)
    return int(np.count_nonzero(ndimage.binary_opening(vessel, np.ones((2, 2, 2), dtype=np.bool_))))


def _organ_volume(gain: DoubleArray, late: DoubleArray, early: DoubleArray) -> int:
    brightest, faintest = np.fmax(late, early), np.fmin(late, early)
    brighter: BoolArray = (gain > _ORGAN_GAIN[0]) & (gain < _ORGAN_GAIN[1])
    organ: BoolArray = brighter & (faintest > _ORGANS[0]) & (brightest < _ORGANS[1])
    return int(np.count_nonzero(ndimage.binary_opening(organ)))
