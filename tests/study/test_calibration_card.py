"""The card says what the score of a bundle is worth, and what it is not."""

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.status_calibration import PATIENTS
from lymphct.evaluation.calibration_record import calibration_record
from lymphct.evaluation.score_calibration import fit_score_calibration
from lymphct.study.calibration_card import calibration_card


def bundle(patients: int | None, **more: object) -> BundleInfo:
    """A bundle whose calibration saw so many patients, half of them N+; None for none."""
    record = None
    if patients is not None:
        truth = [n % 2 for n in range(patients)]
        scores = [0.3 + 0.3 * label + 0.2 * n / patients for n, label in enumerate(truth)]
        names = [f"p{n}" for n in range(patients)]
        record = {**calibration_record(fit_score_calibration(scores, truth, names).value), **more}
    return BundleInfo(
        name="mine",
        salt="a key of this test",
        spacing=(1.0, 1.0, 1.0),
        is_phantom=False,
        code_version="",
        calibration=record,
    )


def test_who_told_what_is_said() -> None:
    said = calibration_card(bundle(40, **{PATIENTS: "out_of_fold"}))
    assert said.startswith(
        "Learned from 20 N+ and 20 N-: patients of the status network, each judged by a network that was "
        "trained without him. Probability by `"
    )
    assert "identity 0." in said
    assert "10% at most have a set of outcomes that lacks their own." in said
    assert "finds 80% of all N+ at least, with 90% confidence." in said
    assert "Withheld" not in said


def test_what_is_withheld_is_said_with_the_reason() -> None:
    said = calibration_card(bundle(6, **{PATIENTS: "validation"}))
    assert said.startswith(
        "Learned from 3 N+ and 3 N-: validation patients, who chose the epoch, too. Withheld:"
    )
    assert said.count("Withheld:") == 3
    assert "Probability by" not in said


def test_a_bundle_that_does_not_know_says_nothing() -> None:
    assert not calibration_card(bundle(None))
    later = bundle(None).model_copy(update={"calibration": {"version": 2}})
    assert not calibration_card(later)
