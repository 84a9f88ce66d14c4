"""The score of a patient from what the cascade found, or the reason why there is none (Sec. III-B)."""

from dataclasses import dataclass, replace

import numpy as np

from lymphct.cascade.description import DEFAULT_PATIENT_THRESHOLD
from lymphct.cascade.evidence import evidence_of
from lymphct.cascade.examination import Findings
from lymphct.cascade.models import Models
from lymphct.cascade.status_calibration import PATIENTS
from lymphct.core.patient import Notice, PatientInput
from lymphct.core.score import CalibratedScore, ScoreDrivers
from lymphct.evaluation.calibration_record import calibration_of
from lymphct.metastasis.drivers import score_drivers
from lymphct.metastasis.heads import status_score


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientScore:
    """What is said of the patient's status.

    Attributes:
        probability: 0 to 1; None where the score is withheld.
        threshold: from which the patient is called N+; None with it.
        reason: why the score is withheld.
        calibrated: what the score is worth; None where that is not known or not told.
        uncalibrated: why it is not told though the bundle knows it of other patients.
        drivers: what drove the score; None where nobody asked.

    """

    probability: float | None
    threshold: float | None
    reason: Notice | None = None
    calibrated: CalibratedScore | None = None
    uncalibrated: Notice | None = None
    drivers: ScoreDrivers | None = None


def predict_score(
    found: Findings, models: Models, *, drawn: bool = False, explained: bool = False
) -> PatientScore:
    """Predict the status of the patient, or say why not (Sec. III-B).

    Args:
        found: what the cascade found.
        models: the bundle.
        drawn: the tumor mask was given.
        explained: tell what drove the score, too.

    """
    if models.metastasis is None:
        return _withheld("no_status_model", "the bundle has no status network: score not computed")
    if not found.searched:
        return _withheld(
            "no_structures",
            "none of the ten guiding structures was found: lymph nodes not searched, score not computed",
        )
    if not np.any(found.tumor.array):
        where = "in the mask" if drawn else "found"
        return _withheld("no_tumor", f"no tumor {where}: score not computed")
    settings = models.metastasis.settings
    network, evidence = models.metastasis.network, evidence_of(found, models, settings.patches)
    return PatientScore(
        probability=status_score(network, settings)(evidence),
        threshold=models.info.thresholds.get("patient", DEFAULT_PATIENT_THRESHOLD),
        drivers=score_drivers(network, settings, evidence) if explained else None,
    )


def with_worth(score: PatientScore, patient: PatientInput, models: Models) -> PatientScore:
    """Add what the score is worth, where the bundle knows and the patient was examined as those who told it.

    They were examined by the networks alone, at the bundle's own operating points. Promises made on their
    scores say nothing of a patient with a drawn tumor or drawn nodes, or with nodes found at other points.
    """
    calibration = calibration_of(models.info.calibration or {})
    if calibration is None or score.probability is None:
        return score
    drawn = [name for name in ("tumor", "nodes") if getattr(patient, name) is not None]
    points = [name for name in models.moved_from if name != "patient"]  # not behind the score
    if drawn or points:
        own = f"at the bundle's own operating points ({', '.join(points)} was moved)"
        how = f"without a drawn {' or '.join(drawn)}" if drawn else own
        text = f"the score is not calibrated: the patients behind its calibration were examined {how}"
        return replace(score, uncalibrated=Notice(code="calibration_withheld", text=text))
    on = (models.info.calibration or {}).get(PATIENTS)
    told = calibration.of(score.probability)
    return replace(score, calibrated=replace(told, calibrated_on=on if isinstance(on, str) else ""))


def _withheld(code: str, text: str) -> PatientScore:
    return PatientScore(probability=None, threshold=None, reason=Notice(code=code, text=text))
