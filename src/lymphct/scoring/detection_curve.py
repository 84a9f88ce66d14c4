"""What is read from a FROC curve and written of it, with intervals over resampled patients (Sec. IV-D)."""

from typing import Final

import numpy as np

from lymphct.evaluation.froc import Candidates, froc_intervals
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.status_tables import interval_record
from lymphct.scoring.stored import Table

FALSE_POSITIVES: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per case at which the sensitivity is read from the FROC curve, as is usual."""

CURVE_COLUMNS: Final = ("threshold", "sensitivity", "false_positives_per_case", "precision")


def curve_record(candidates: Candidates | None, seed: int, resamples: int) -> dict[str, JSON]:
    """Return average precision and sensitivity at numbers of false positives, each with its interval.

    Args:
        candidates: None where there is no true node: everything is null.
        seed: of the resamples.
        resamples: of the patients.

    """
    if candidates is None:
        nothing: dict[str, JSON] = {f"{number:g}": None for number in FALSE_POSITIVES}
        return {"average_precision": None, "sensitivity_at_false_positives": nothing, "intervals": None}
    rng = np.random.default_rng(seed)
    found = froc_intervals(candidates, FALSE_POSITIVES, rng, n=resamples)
    at = {f"{number:g}": interval for number, interval in found.sensitivity_at.items()}
    return {
        "average_precision": found.average_precision.estimate,
        "sensitivity_at_false_positives": {number: interval.estimate for number, interval in at.items()},
        "intervals": {
            "average_precision": interval_record(found.average_precision),
            "sensitivity_at_false_positives": {
                number: interval_record(interval) for number, interval in at.items()
            },
        },
    }


def curve_table(candidates: Candidates) -> Table:
    """Return a line per point of the FROC curve, most certain first."""
    curve = candidates.curve(np.ones(candidates.truths.size))
    columns = (curve.thresholds, curve.sensitivity, curve.false_positives, curve.precision)
    return Table(CURVE_COLUMNS, list(zip(*(column.tolist() for column in columns), strict=True)))
