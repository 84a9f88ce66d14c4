"""What the score of a trained status network is worth, and where a patient's is not told (decision 0052)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from pydantic import JsonValue
from torch import nn

from lymphct.cascade.thresholds import Lesson, expected
from lymphct.core.leakage import Fitted
from lymphct.core.terms import counted
from lymphct.evaluation.calibration_record import calibration_record
from lymphct.evaluation.folds import stratified_folds
from lymphct.evaluation.score_calibration import LEAST_PER_CLASS, Promises, fit_score_calibration
from lymphct.learning.keeping import FORGET, followed
from lymphct.learning.training import best_weights
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.prediction import fit_status, predict_status
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import MetastasisSettings

logger = logging.getLogger(__name__)

Begin = Callable[[MetastasisSettings], nn.Module]
"""Makes a network that was not trained yet, as the one that is judged was begun."""
Numbered = Callable[
    [nn.Module, Sequence[str], Sequence[str], MetastasisSettings],
    tuple[Sequence[StatusCase], Sequence[StatusCase]],
]
"""Returns what such a network is shown of those who teach it and of others, by id; what is learned of the
number of the nodes is learned from those who teach."""

PATIENTS: Final = "calibrated_on"
"""Key of the record that says whose scores were taken."""


def calibrate_status(
    network: nn.Module, lesson: Lesson, begin: Begin | None, numbered: Numbered, *, seed: int
) -> Fitted[Mapping[str, JsonValue]] | None:
    """Learn what the scores of a status network are worth, from patients it did not learn from.

    By `validation` they are the network's own scores of those who chose its epoch and threshold: it did not
    learn from them, but the choice of the epoch flatters it a little. By `out_of_fold` all patients are
    judged, each by a network that is trained anew without him; with fewer than ten of a class that would
    tell nothing, and validation patients stand in.

    Args:
        network: trained.
        lesson: of its training.
        begin: begins another network; None where nobody can be left out, and validation patients stand in.
        numbered: shows it patients.
        seed: of folds and trainings.

    Returns:
        As a bundle keeps it, with those whose scores told it; None where the settings ask for nothing, or
        nobody is there.

    Raises:
        LearningStoppedError: the loss of a further training is not finite.

    """
    settings = expected(lesson.settings, MetastasisSettings)
    asked = settings.calibration
    judged: Sequence[StatusCase] = lesson.validation
    if asked.patients == "none":
        return None
    everybody: Sequence[StatusCase] = [*lesson.cases, *judged]
    whose: Literal["validation", "out_of_fold"] = "validation"
    if asked.patients == "out_of_fold" and begin is not None and _are_enough(everybody, asked.folds):
        whose, judged = "out_of_fold", sorted(everybody, key=lambda case: case.patient)
        scores = _out_of_fold(judged, settings, begin, numbered, seed)
    else:
        scores = [predict_status(network, case.patches, case.volume) for case in judged]
    if not judged:
        logger.warning("metastasis: not calibrated: no validation patients")
        return None
    fitted = fit_score_calibration(
        scores,
        [case.n_status for case in judged],
        [case.patient for case in judged],
        promises=Promises(error=asked.error, sensitivity=asked.sensitivity, confidence=asked.confidence),
        seed=seed,
    )
    said = fitted.value.of(0.5).abstentions
    logger.log(
        logging.WARNING if said else logging.INFO,
        "metastasis: calibrated on %s (%s): %s",
        counted(len(judged), "patient"),
        whose.replace("_", " "),
        "; ".join(said) or fitted.value.method,
    )
    return Fitted({**calibration_record(fitted.value), PATIENTS: whose}, fitted.patients)


def _are_enough(cases: Sequence[StatusCase], folds: int) -> bool:
    positives = sum(case.n_status for case in cases)
    return min(positives, len(cases) - positives) >= max(LEAST_PER_CLASS, folds)


def _out_of_fold(
    cases: Sequence[StatusCase], settings: MetastasisSettings, begin: Begin, numbered: Numbered, seed: int
) -> list[float]:
    """Return the score of each patient by a network that never saw him, nor did what gives his number."""
    strata = {case.patient: str(case.n_status) for case in cases}
    found: dict[str, float] = {}
    for number, fold in enumerate(stratified_folds(strata, settings.calibration.folds, seed)):
        network = expected(begin(settings), StatusNetwork)
        train, others = numbered(network, fold.train, (*fold.validation, *fold.test), settings)
        validation, test = (
            [case for case in others if case.patient in names] for names in (fold.validation, fold.test)
        )
        course = partial(fit_status, network, train, validation, settings, seed=seed)
        state = followed(course, settings.training, FORGET, f"the status network of fold {number}")
        network.load_state_dict(best_weights(state))
        found |= {case.patient: predict_status(network, case.patches, case.volume) for case in test}
        logger.info("metastasis: fold %d of %d judged", number + 1, settings.calibration.folds)
    return [found[case.patient] for case in cases]
