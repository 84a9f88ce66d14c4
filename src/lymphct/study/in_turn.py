"""One thing made of every patient, all or none: a lesson without some of them would be another lesson."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lymphct.core.errors import InputError
from lymphct.io.processes import map_patients

logger = logging.getLogger(__name__)


def in_turn(work: Any, names: Sequence[str], jobs: int, what: str) -> dict[str, Path]:  # noqa: ANN401 - a function of an id
    """Make something of every patient, side by side, and return the folder of each.

    Args:
        work: gives the folder of a patient by id, making it first.
        names: of the patients.
        jobs: processes side by side.
        what: is made, for the log.

    Raises:
        InputError: it cannot be made of some patients; the first is named, the others are counted.

    """
    places, failures = {}, []
    for outcome in map_patients(work, names, jobs=jobs):
        if outcome.error is None:
            places[outcome.item] = outcome.result()
        elif isinstance(outcome.error, InputError):
            failures.append(outcome.error.at(patient=outcome.item))
        else:
            raise outcome.error.at(patient=outcome.item)
    if failures:
        first = failures[0]
        if len(failures) > 1:
            first.cause += f" (and {len(failures) - 1} more patients)"
        raise first
    logger.info("%s of %d patients are there", what, len(places))
    return places
