"""The score of a patient from what the cascade found, or the reason why there is none (Sec. III-B)."""

from dataclasses import dataclass

import numpy as np

from lymphct.cascade.description import DEFAULT_PATIENT_THRESHOLD
from lymphct.cascade.evidence import evidence_of
from lymphct.cascade.examination import Findings
from lymphct.cascade.models import Models
from lymphct.core.patient import Notice
from lymphct.metastasis.heads import status_score


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientScore:
    """Probability and threshold; both None where the score is withheld, with the reason."""

    probability: float | None
    threshold: float | None
    reason: Notice | None = None


def predict_score(found: Findings, models: Models, *, drawn: bool = False) -> PatientScore:
    """Predict the status of the patient, or say why not (Sec. III-B).

    Args:
        found: what the cascade found.
        models: the bundle.
        drawn: the tumor mask was given.

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
    score = status_score(models.metastasis.network, settings)
    return PatientScore(
        probability=score(evidence_of(found, models, settings.patches)),
        threshold=models.info.thresholds.get("patient", DEFAULT_PATIENT_THRESHOLD),
    )


def _withheld(code: str, text: str) -> PatientScore:
    return PatientScore(probability=None, threshold=None, reason=Notice(code=code, text=text))
