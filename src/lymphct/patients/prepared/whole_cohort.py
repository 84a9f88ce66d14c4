"""All patients of a cohort, prepared: what cannot do without any of them begins here."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from lymphct.core.errors import EnvironmentProblemError, InputError, OutputInUseError
from lymphct.io.manifest import PatientRecord
from lymphct.patients.prepared.dataset import PreparedCohort, prepared_cohort
from lymphct.patients.prepared.memory import affordable_jobs, worker_memory
from lymphct.patients.prepared.preparation import Preparation, prepared_patients

logger = logging.getLogger(__name__)

TOLD: Final = 10
"""Lines that tell how far the preparation of a cohort is, whatever its size."""


def whole_cohort(
    records: Sequence[PatientRecord],
    preparation: Preparation,
    *,
    jobs: int = 1,
    done: Callable[[str], None] | None = None,
) -> PreparedCohort:
    """Prepare every patient, side by side as memory allows; return them as they lie in the store.

    Args:
        records: none of whom is excluded.
        preparation: how, and where.
        jobs: processes, at most.
        done: called with the id of each patient who was looked at.

    Raises:
        InputError: patients cannot be read; how many, and why the first.
        EnvironmentProblemError: no space, no memory; patients that are prepared are kept.
        OutputInUseError: something that is not ours lies in the store.

    """
    failures = []
    fitting = affordable_jobs(jobs, worker_memory(records, preparation))
    total = len(records)
    for number, outcome in enumerate(prepared_patients(records, preparation, jobs=fitting), start=1):
        name = outcome.item.patient_id
        if number == total or number % -(-total // TOLD) == 0:
            logger.info("%d of %d patients prepared", number, total)
        if isinstance(outcome.error, EnvironmentProblemError | OutputInUseError):
            raise outcome.error.at(patient=name)  # no fault of the patient: the next fails, too
        if outcome.error is not None:
            failures.append(outcome.error.at(patient=name))
            logger.error("%s", failures[-1])
        if done is not None:
            done(name)
    if failures:
        msg = f"{len(failures)} of {total} patients cannot be read; the first: {failures[0]}"
        raise InputError(msg, code="E_COHORT", cure="run `lymphct check`, then correct or exclude them")
    return prepared_cohort(preparation, records)
