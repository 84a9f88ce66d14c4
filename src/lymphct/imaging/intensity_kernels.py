"""The compiled loops that change the intensities of a patch, in place, one channel or all of them at a time.

All run on one thread and release the interpreter. Channels are (k, j, i), float32, C order.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from lymphct.core.arrays import FloatArray

NORMAL: Final = tuple(
    np.float32(factor)
    for factor in (
        0.9642316226495896,
        0.0016588497188443842,
        0.009974640908724916,
        -0.003926645487799429,
        0.0007599258679168358,
        -6.766138115940344e-05,
        2.3669991253180266e-06,
    )
)
"""Factors of t, t³, …, t¹³ that make a normal number out of t, the standardised sum of four uniform ones.

Fitted by least squares to Φ⁻¹(F(t)), F the distribution of the sum (Teichroew's way). Its distribution
differs from the normal one by 2.3e-5 at most, its variance from 1 by 3e-7; it ends at ±5.6.
"""
SUM_MEAN: Final = np.float32(131070.0)
SUM_SCALE: Final = np.float32(np.sqrt(3.0) / np.sqrt(65536.0**2 - 1.0))
"""The sum of four whole numbers from 0 to 65535 has this mean, and 1 / this deviation."""
MULTIPLIERS: Final = (0x7FEB352D, 0x846CA68B)
"""Of the mixing of 32 bits ("lowbias32", found by C. Wellons' search for the least bias)."""

_CHUNK: Final = 2048
_FIRST, _SECOND = np.uint32(MULTIPLIERS[0]), np.uint32(MULTIPLIERS[1])
_S15, _S16 = np.uint32(15), np.uint32(16)
_LOW: Final = np.uint32(0xFFFF)
_ROOT_HALF: Final = np.int32(0x3F3504F3)
"""√½ as bits: what lies above it in the exponent of a value / √½ is a whole power of 2."""
_LARGEST, _SMALLEST, _SIGN = np.int32(0x7FFFFFFF), np.int32(-0x80000000), np.int32(31)
_MANTISSA, _BIAS = np.int32(23), np.int32(127)
# log₂(1 + t) / t on [√½ − 1, √2 − 1] within 1.9e-6, and 2^t on [−½, ½] within 8e-8: Chebyshev's points.
_L0, _L1, _L2, _L3, _L4, _L5, _L6 = (
    np.float32(factor)
    for factor in (
        1.4426964322205753,
        -0.721364039847258,
        0.48062914692428377,
        -0.3593506528382484,
        0.29563360026154056,
        -0.2695062744399735,
        0.1721287306698637,
    )
)
_E0, _E1, _E2, _E3, _E4, _E5 = (
    np.float32(factor)
    for factor in (
        1.000000075495349,
        0.6931472067106208,
        0.24022107355830688,
        0.05550327214208467,
        0.009676037097859972,
        0.0013400432165550141,
    )
)
_N1, _N3, _N5, _N7, _N9, _N11, _N13 = NORMAL
_FAST: Final = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


@njit(cache=True, nogil=True, inline="always")
def _mixed(bits: np.uint32) -> np.uint32:  # pragma: no cover - compiled
    bits = np.uint32(bits ^ (bits >> _S16))
    bits = np.uint32(bits * _FIRST)
    bits = np.uint32(bits ^ (bits >> _S15))
    bits = np.uint32(bits * _SECOND)
    return np.uint32(bits ^ (bits >> _S16))


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_noise(
    flat: FloatArray, low_key: np.uint32, high_key: np.uint32, deviation: np.float32
) -> None:  # pragma: no cover - compiled
    """Add a normal number to each value that depends on its place, counted from 0, and the keys alone."""
    for n in range(flat.size):
        bits = _mixed(np.uint32(_mixed(np.uint32(np.uint32(n) ^ low_key)) ^ high_key))
        more = _mixed(np.uint32(bits ^ low_key))
        total = np.int32((bits & _LOW) + (bits >> _S16) + (more & _LOW) + (more >> _S16))
        t = (np.float32(total) - SUM_MEAN) * SUM_SCALE
        s = t * t
        z = t * (_N1 + s * (_N3 + s * (_N5 + s * (_N7 + s * (_N9 + s * (_N11 + s * _N13))))))
        flat[n] += deviation * z


@njit(cache=True, nogil=True, fastmath=_FAST)
def moments(flat: FloatArray) -> tuple[float, float, float, float]:  # pragma: no cover - compiled
    """Return minimum, maximum, mean and (unbiased) standard deviation."""
    bits = flat.view(np.int32)
    low, high = _LARGEST, _SMALLEST
    # Relative to one of the values, sums of a channel that hardly varies lose nothing.
    pivot = flat[0]
    total = squares = 0.0
    for begin in range(0, flat.size, _CHUNK):
        part, part_bits = flat[begin : begin + _CHUNK], bits[begin : begin + _CHUNK]
        some = some_squares = np.float32(0.0)
        for n in range(part.size):
            difference = part[n] - pivot
            some += difference
            some_squares += difference * difference
            key = _key(part_bits[n])
            low = min(low, key)
            high = max(high, key)
        total += float(some)
        squares += float(some_squares)
    mean = total / flat.size
    variance = max(squares - total * mean, 0.0) / max(flat.size - 1, 1)
    return _key(low).view(np.float32), _key(high).view(np.float32), pivot + mean, math.sqrt(variance)


@njit(cache=True, nogil=True, inline="always")
def _key(bits: np.int32) -> np.int32:  # pragma: no cover - compiled
    """Return whole numbers in the order of the floats with these bits, or back; they are compared faster."""
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN) & _LARGEST))


@njit(cache=True, nogil=True, fastmath=_FAST)
def stretch(
    flat: FloatArray, scale: np.float32, shift: np.float32, low: np.float32, high: np.float32
) -> None:  # pragma: no cover - compiled
    """Replace each value by scale·value + shift, kept within bounds."""
    for n in range(flat.size):
        flat[n] = min(max(flat[n] * scale + shift, low), high)


@njit(cache=True, nogil=True, fastmath=_FAST)
def bend(
    flat: FloatArray, scale: np.float32, shift: np.float32, exponent: np.float32
) -> tuple[float, float]:  # pragma: no cover - compiled
    """Replace each value by (scale·value + shift)^exponent; the base lies in [0, 1].

    The power is 2^(exponent·log₂): both by polynomials, together within 1e-5 of the power.

    Returns:
        Mean and standard deviation of the new values.

    """
    pivot = _power(flat[0] * scale + shift, exponent)
    total = squares = 0.0
    for begin in range(0, flat.size, _CHUNK):
        part = flat[begin : begin + _CHUNK]
        some = some_squares = np.float32(0.0)
        for n in range(part.size):
            value = _power(part[n] * scale + shift, exponent)
            part[n] = value
            some += value - pivot
            some_squares += (value - pivot) * (value - pivot)
        total += float(some)
        squares += float(some_squares)
    mean = total / flat.size
    variance = max(squares - total * mean, 0.0) / max(flat.size - 1, 1)
    return pivot + mean, math.sqrt(variance)


@njit(cache=True, nogil=True, inline="always")
def _power(base: np.float32, exponent: np.float32) -> np.float32:  # pragma: no cover - compiled
    return np.float32(_exp2(exponent * _log2(max(base, np.float32(1e-30)))))


@njit(cache=True, nogil=True, inline="always")
def _log2(value: np.float32) -> np.float32:  # pragma: no cover - compiled
    bits = np.float32(value).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT_HALF) >> _MANTISSA)
    t = np.int32(bits - np.int32(exponent << _MANTISSA)).view(np.float32) - np.float32(1.0)
    series = _L0 + t * (_L1 + t * (_L2 + t * (_L3 + t * (_L4 + t * (_L5 + t * _L6)))))
    return np.float32(exponent) + t * series


@njit(cache=True, nogil=True, inline="always")
def _exp2(value: np.float32) -> np.float32:  # pragma: no cover - compiled
    value = max(value, np.float32(-126.0))
    whole = np.floor(value + np.float32(0.5))
    t = value - whole
    series = _E0 + t * (_E1 + t * (_E2 + t * (_E3 + t * (_E4 + t * _E5))))
    return np.float32(series * np.int32((np.int32(whole) + _BIAS) << _MANTISSA).view(np.float32))
