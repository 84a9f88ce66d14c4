"""A calibration of scores as JSON and back; what comes from a file is checked as a whole (decision 0052)."""

import math
from collections.abc import Mapping
from typing import Any, Final, get_args

import numpy as np
from pydantic import JsonValue

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.conformal import ConformalSets, SensitivityThreshold
from lymphct.evaluation.recalibration import IsotonicCalibration, PlattCalibration, VennAbers
from lymphct.evaluation.score_calibration import Curve, Identity, Method, ScoreCalibration

VERSION: Final = 1
"""Of this layout. One that is not known is no calibration: the score stands without."""


def calibration_record(calibration: ScoreCalibration) -> dict[str, JsonValue]:
    """Return a calibration as JSON; `calibration_of` gives it back exactly."""
    sets, threshold = calibration.sets, calibration.threshold
    return {
        "version": VERSION,
        "method": calibration.method,
        "curve": _curve_record(calibration.curve),
        "brier": {str(name): value for name, value in calibration.brier.items()},
        "log_loss": {str(name): value for name, value in calibration.log_loss.items()},
        "sets": {
            "error": sets.error,
            "positive_from": _finite(sets.positive_from),
            "negative_to": _finite(sets.negative_to),
            "positives": sets.positives,
            "negatives": sets.negatives,
            "needed": sets.needed,
        },
        "threshold": {
            "threshold": threshold.threshold,
            "sensitivity": threshold.sensitivity,
            "confidence": threshold.confidence,
            "positives": threshold.positives,
            "needed": threshold.needed,
        },
    }


def calibration_of(record: Mapping[str, Any]) -> ScoreCalibration | None:
    """Return the calibration a record holds; None for the layout of another version.

    Raises:
        InputError: it is damaged.

    """
    if record.get("version") != VERSION:
        return None
    try:
        return _calibration_of(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"the calibration of the score is damaged: {type(error).__name__} {str(error)[:60]}"
        raise InputError(msg, code="E_CALIBRATION", cure="use a bundle made by this version") from error


def _calibration_of(record: Mapping[str, Any]) -> ScoreCalibration:
    method, sets, threshold = record["method"], record["sets"], record["threshold"]
    if method is not None and method not in get_args(Method):
        msg = f"method {str(method)[:20]!r}"
        raise ValueError(msg)
    low, high = sets["positive_from"], sets["negative_to"]
    lowest = threshold["threshold"]
    return ScoreCalibration(
        method=method,
        curve=None if method is None else _CURVES[method](record["curve"]),
        brier={name: _number(value, 0, 1) for name, value in record["brier"].items()},
        # Bundles whose method was chosen by the Brier score have none.
        log_loss={name: _number(value, 0) for name, value in record.get("log_loss", {}).items()},
        sets=ConformalSets(
            error=_number(sets["error"], 0, 1),
            positive_from=-math.inf if low is None else _number(low, 0, 1),
            negative_to=math.inf if high is None else _number(high, 0, 1),
            positives=_count(sets["positives"]),
            negatives=_count(sets["negatives"]),
            needed=_count(sets["needed"]),
        ),
        threshold=SensitivityThreshold(
            threshold=None if lowest is None else _number(lowest, 0, 1),
            sensitivity=_number(threshold["sensitivity"], 0, 1),
            confidence=_number(threshold["confidence"], 0, 1),
            positives=_count(threshold["positives"]),
            needed=_count(threshold["needed"]),
        ),
    )


def _curve_record(curve: Curve | None) -> JsonValue:
    if isinstance(curve, PlattCalibration):
        return {"slope": curve.slope, "intercept": curve.intercept}
    if isinstance(curve, IsotonicCalibration):
        return {"scores": curve.scores.tolist(), "probabilities": curve.probabilities.tolist()}
    if isinstance(curve, VennAbers):
        return {
            "scores": curve.scores.tolist(),
            "patients": curve.patients.tolist(),
            "positives": curve.positives.tolist(),
        }
    return None


def _identity_of(_curve: object) -> Curve:
    return Identity()


def _platt_of(curve: Mapping[str, Any]) -> Curve:
    return PlattCalibration(_number(curve["slope"], 0), _number(curve["intercept"]))


def _isotonic_of(curve: Mapping[str, Any]) -> Curve:
    found = IsotonicCalibration(
        _rising(curve["scores"]), np.array([_number(p, 0, 1) for p in curve["probabilities"]])
    )
    if found.scores.shape != found.probabilities.shape or (np.diff(found.probabilities) < 0).any():
        msg = "the isotonic curve does not rise"
        raise ValueError(msg)
    return found


def _venn_abers_of(curve: Mapping[str, Any]) -> Curve:
    scores = _rising(curve["scores"])
    patients = np.array([float(_count(n)) for n in curve["patients"]])
    positives = np.array([float(_count(n)) for n in curve["positives"]])
    if not scores.shape == patients.shape == positives.shape or (positives > patients).any():
        msg = "patients and scores do not belong together"
        raise ValueError(msg)
    if patients.min() < 1:
        msg = "a score without patients"
        raise ValueError(msg)
    return VennAbers(scores, patients, positives)


_CURVES: Final = {
    "identity": _identity_of,
    "platt": _platt_of,
    "isotonic": _isotonic_of,
    "venn_abers": _venn_abers_of,
}


def _rising(values: Any) -> DoubleArray:  # noqa: ANN401 - whatever the file holds
    found = np.array([_number(value, 0, 1) for value in values], dtype=np.float64)
    if found.size == 0 or (np.diff(found) <= 0).any():
        msg = "scores do not ascend"
        raise ValueError(msg)
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any, least: float = -math.inf, most: float = math.inf) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"{str(value)[:20]!r} is no number"
        raise ValueError(msg)
    if not least <= value <= most:
        msg = f"{value:g} lies outside {least:g} to {most:g}"
        raise ValueError(msg)
    return float(value)


def _count(value: Any) -> int:  # noqa: ANN401 - whatever the file holds
    number = _number(value, 0)
    if number != int(number):
        msg = f"{number:g} is no count"
        raise ValueError(msg)
    return int(number)
