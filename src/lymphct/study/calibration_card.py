"""What the card of a bundle says of the calibration of its score (decision 0052)."""

from typing import Final

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.status_calibration import PATIENTS
from lymphct.evaluation.calibration_record import calibration_of

_WHOSE: Final = {
    "validation": "validation patients, who chose the epoch, too",
    "out_of_fold": "patients of the status network, each judged by a network that was trained without him",
}


def calibration_card(info: BundleInfo) -> str:
    """Return a paragraph on what the score of a bundle is worth; empty where it does not know."""
    record = info.calibration or {}
    found = calibration_of(record)
    if found is None:
        return ""
    sets, threshold = found.sets, found.threshold
    whose = _WHOSE.get(str(record.get(PATIENTS)), "patients who are not recorded")
    by, losses = ("logarithmic loss", found.log_loss) if found.log_loss else ("Brier score", found.brier)
    tried = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
    told = [f"Learned from {sets.positives} N+ and {sets.negatives} N-: {whose}."]
    if found.method is not None:
        told.append(f"Probability by `{found.method}` ({by} over inner folds: {tried}).")
    if not sets.abstains:
        told.append(
            f"Of new patients of each class, {sets.error:.0%} at most have a set of outcomes that lacks "
            "their own."
        )
    if threshold.threshold is not None:
        told.append(
            f"A score from {threshold.threshold:.4g} finds {threshold.sensitivity:.0%} of all N+ at least, "
            f"with {threshold.confidence:.0%} confidence."
        )
    told += [f"Withheld: {text}." for text in found.of(0.5).abstentions]
    return " ".join(told)
