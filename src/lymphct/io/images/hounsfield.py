"""Are the values of a CT Hounsfield units? Air, soft tissue and bone say so."""

from typing import Final, NoReturn

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Notice
from lymphct.core.volume import Volume

AIR: Final = -1024
"""Nothing is thinner than air: lower values are padding or ringing, HU."""

_LARGEST: Final = 100_000.0
_NO_AIR_ABOVE: Final = -200.0
_SOFT_TISSUE: Final = (-200.0, 300.0)
_DENSE: Final = 700.0
_SAMPLES: Final = 2_000_000


def checked_hounsfield(volume: Volume) -> tuple[Volume, tuple[Notice, ...]]:
    """Refuse values that cannot be HU; cut padding off at -1024.

    Returns:
        int16 where the values are whole numbers that fit, else float32; and notices about the values.

    Raises:
        InputError: `E_NOT_FINITE` or `E_NOT_HU`, with the measured value.

    """
    array = volume.array
    _require_finite(array)
    low, high = float(array.min()), float(array.max())
    if low == high:
        _refuse(f"all voxels have the same value {low:g}")
    if max(-low, high) > _LARGEST:
        _refuse(f"values from {low:.4g} to {high:.4g}")
    if low > _NO_AIR_ABOVE:
        _refuse(f"minimum {low:g}, maximum {high:g}, no air ({_guess(low, high)})")
    step = max(1, array.size // _SAMPLES)
    sample = array.reshape(-1)[::step]
    _require_tissue(sample)
    notices = _padding_notice(sample) + _saturation_notice(sample, high)
    return volume.with_array(_clipped(array)), notices


def _require_finite(array: AnyArray) -> None:
    if array.dtype.kind != "f":
        return
    # The sum of float32 values in float64 is finite exactly when all of them are: no mask in memory.
    if np.isfinite(np.sum(array, dtype=np.float64)):
        return
    bad = 1.0 - np.count_nonzero(np.isfinite(array)) / array.size
    if bad > 0:
        msg = f"{100 * bad:.3g} % of the voxels are not finite (NaN or infinite)"
        raise InputError(msg, code="E_NOT_FINITE", cure="export the CT again, in HU")


def _guess(low: float, high: float) -> str:
    if high <= 1.01:
        return "scaled to 0-1?"
    if low >= 0 and high <= 255:
        return "an 8-bit window?"
    return "shifted by +1024, or not CT?"


def _require_tissue(sample: AnyArray) -> None:
    in_body = int(np.count_nonzero(sample > _SOFT_TISSUE[0]))
    dense = int(np.count_nonzero(sample > _DENSE)) / max(in_body, 1)
    if dense > 0.25:
        _refuse(f"{100 * dense:.0f} % of the body is denser than {_DENSE:g} HU (shifted by +1024?)")
    soft = np.count_nonzero((sample > _SOFT_TISSUE[0]) & (sample < _SOFT_TISSUE[1])) / sample.size
    if soft < 0.02:
        _refuse(f"only {100 * soft:.2g} % of the voxels are soft tissue (-200 to 300 HU)")


def _padding_notice(sample: AnyArray) -> tuple[Notice, ...]:
    share = np.count_nonzero(sample < AIR - 200) / sample.size
    if share < 0.001:
        return ()
    text = (
        f"padding down to {float(sample.min()):g} HU was set to {AIR} HU ({100 * share:.2g} % of the voxels)"
    )
    return (Notice(code="padding_clipped", text=text, value=float(sample.min())),)


def _saturation_notice(sample: AnyArray, high: float) -> tuple[Notice, ...]:
    share = np.count_nonzero(sample >= high) / sample.size
    if share < 0.05:
        return ()
    text = f"{100 * share:.0f} % of the voxels have the largest value {high:g} HU: were values cut off?"
    return (Notice(code="values_cut_off", text=text, value=high),)


def _clipped(array: AnyArray) -> AnyArray:
    if array.dtype.kind in "iu" and float(array.max()) <= np.iinfo(np.int16).max:
        whole: AnyArray = np.maximum(array, np.asarray(AIR, dtype=array.dtype)).astype(np.int16)
        return whole
    values: AnyArray = np.maximum(array.astype(np.float32), np.float32(AIR))
    return values


def _refuse(measured: str) -> NoReturn:
    msg = f"the values are not HU: {measured}"
    raise InputError(msg, code="E_NOT_HU", cure="export the CT in HU")
