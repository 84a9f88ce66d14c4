"""Whose scores calibrate a status network, and where what a bundle knows is told of a patient."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade import status_calibration
from lymphct.cascade.cases import Material
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models, assembled
from lymphct.cascade.parts import Start
from lymphct.cascade.patient import predict_patient
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.score import PatientScore, with_worth
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.cascade.status_calibration import PATIENTS, Numbered, calibrate_status
from lymphct.cascade.thresholds import Lesson
from lymphct.core.errors import ModelError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.patient import Clinical, PatientInput
from lymphct.core.terms import StageName
from lymphct.evaluation.calibration_record import calibration_record
from lymphct.evaluation.score_calibration import Promises, fit_score_calibration
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.learning.keeping import Forget
from lymphct.metastasis.prediction import build_status_network, fit_status, predict_status
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import MetastasisSettings, ScoreCalibrationSettings

MakePatient = Callable[..., PreparedPatient]


def by_volume(_network: nn.Module, _patches: object, volume: float) -> float:
    return volume / 1000.0


def case(number: int, group: str = "v") -> StatusCase:
    """Return a patient, every second one N+ with a larger node."""
    return StatusCase(
        patient=f"{group}{number:02d}",
        patches=np.full((2, 3, 16, 16), number % 5, np.float32),
        volume=200.0 + 9.0 * number + 100.0 * (number % 2),
        n_status=number % 2,
    )


def settings_of(tiny: Config, patients: str, **changes: Any) -> MetastasisSettings:
    calibration = ScoreCalibrationSettings.model_validate({"patients": patients, **changes})
    return tiny.metastasis.model_copy(update={"calibration": calibration})


def lesson(settings: MetastasisSettings, train: int, validation: int) -> Lesson:
    cases, judged = [case(n, "t") for n in range(train)], [case(n) for n in range(validation)]
    return Lesson(
        material=Material(patients={}, learned=Learned(bands=PAPER_BANDS), config=Config()),
        roles=Roles(
            train=tuple(item.patient for item in cases), validation=tuple(item.patient for item in judged)
        ),
        settings=settings,
        cases=cases,
        validation=judged,
    )


def never(_settings: MetastasisSettings) -> nn.Module:
    pytest.fail("a network was begun")


def shown_by(work: Lesson) -> Numbered:
    """Show patients as the lesson has them: nothing in their numbers is learned."""
    known = {item.patient: item for item in (*work.cases, *work.validation)}

    def numbered(
        _network: nn.Module, train: Sequence[str], others: Sequence[str], _settings: MetastasisSettings
    ) -> tuple[list[StatusCase], list[StatusCase]]:
        return [known[name] for name in train], [known[name] for name in others]

    return numbered


def nothing_shown(*_: Any) -> Any:
    pytest.fail("somebody was shown to another network")


def test_by_default_nothing_is_calibrated_and_nobody_is_looked_at(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_calibration, "predict_status", lambda *_: pytest.fail("looked at"))
    assert Config().metastasis.calibration.patients == "none"
    assert (
        calibrate_status(nn.Identity(), lesson(tiny.metastasis, 4, 40), never, nothing_shown, seed=0) is None
    )


def test_validation_patients_alone_tell_what_the_score_is_worth(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_calibration, "predict_status", by_volume)
    settings = settings_of(tiny, "validation", error=0.2, sensitivity=0.7, confidence=0.8)
    fitted = calibrate_status(nn.Identity(), lesson(settings, 10, 40), never, nothing_shown, seed=0)
    assert fitted is not None
    assert fitted.patients == {f"v{n:02d}" for n in range(40)}
    record: Any = fitted.value
    assert record[PATIENTS] == "validation"
    assert (record["sets"]["positives"], record["sets"]["negatives"]) == (20, 20)
    assert (record["sets"]["error"], record["threshold"]["sensitivity"]) == (0.2, 0.7)
    assert record["threshold"]["confidence"] == 0.8
    judged = [case(n) for n in range(40)]
    expected = fit_score_calibration(
        [item.volume / 1000.0 for item in judged],
        [item.n_status for item in judged],
        [item.patient for item in judged],
        promises=Promises(error=0.2, sensitivity=0.7, confidence=0.8),
    )
    assert {name: value for name, value in record.items() if name != PATIENTS} == calibration_record(
        expected.value
    )


def test_out_of_fold_everybody_is_judged_by_a_network_that_never_saw_him(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tiny, "out_of_fold", folds=3)
    taught: list[set[str]] = []
    judged: list[str] = []

    def fit(network: Any, train: Sequence[Any], validation: Sequence[Any], *rest: Any, **named: Any) -> Any:
        taught.append({item.patient for item in (*train, *validation)})
        return fit_status(network, train, validation, *rest, **named)

    def predict(network: nn.Module, patches: Any, volume: float) -> float:
        name = next(item.patient for item in everybody if item.volume == volume and item.patches is patches)
        assert name not in taught[-1]
        judged.append(name)
        return predict_status(network, patches, volume)

    work = lesson(settings, 14, 8)
    everybody = [*work.cases, *work.validation]
    monkeypatch.setattr(status_calibration, "fit_status", fit)
    monkeypatch.setattr(status_calibration, "predict_status", predict)

    def begin(asked: MetastasisSettings) -> nn.Module:
        return build_status_network(asked, seed=1)

    fitted = calibrate_status(nn.Identity(), work, begin, shown_by(work), seed=1)
    assert fitted is not None
    assert len(taught) == 3
    assert sorted(judged) == sorted(item.patient for item in everybody)
    assert fitted.patients == set(judged)
    assert fitted.value[PATIENTS] == "out_of_fold"
    assert fitted.value["method"] is not None
    again = calibrate_status(nn.Identity(), work, begin, shown_by(work), seed=1)
    assert again is not None
    assert again.value == fitted.value


@pytest.mark.parametrize(("begun", "train"), [("anew", 4), ("from another", 40)])
def test_where_nobody_can_be_left_out_validation_patients_stand_in(
    begun: str, train: int, tiny: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Too few patients of a class, or a network that was begun from one that may know everybody.
    monkeypatch.setattr(status_calibration, "predict_status", by_volume)
    work = lesson(settings_of(tiny, "out_of_fold"), train, 6)
    fitted = calibrate_status(nn.Identity(), work, never if begun == "anew" else None, nothing_shown, seed=0)
    assert fitted is not None
    assert fitted.value[PATIENTS] == "validation"
    assert fitted.patients == {f"v{n:02d}" for n in range(6)}
    assert fitted.value["method"] is None
    assert "calibrated on 6 patients (validation): no calibrated probability" in caplog.text


def test_without_validation_patients_nothing_is_calibrated_and_that_is_said(
    tiny: Config, caplog: pytest.LogCaptureFixture
) -> None:
    assert (
        calibrate_status(
            nn.Identity(), lesson(settings_of(tiny, "validation"), 4, 0), never, nothing_shown, seed=0
        )
        is None
    )
    assert "not calibrated: no validation patients" in caplog.text


@pytest.fixture
def calibrated(answering: Models) -> Models:
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.15), 0, 1)
    fitted = fit_score_calibration(scores, truth, [f"c{n}" for n in range(60)])
    record = {**calibration_record(fitted.value), PATIENTS: "out_of_fold"}
    return replace(answering, info=answering.info.model_copy(update={"calibration": record}))


def input_of(patient: PreparedPatient, *drawn: str) -> PatientInput:
    return PatientInput(
        patient_id="p0",
        venous=patient.ct.venous,
        arterial=patient.ct.arterial,
        **{name: getattr(patient, name) for name in drawn},
    )


def test_a_bundle_that_knows_tells_what_the_score_of_a_patient_is_worth(
    make_patient: MakePatient, calibrated: Models, answering: Models, tiny: Config
) -> None:
    patient = input_of(make_patient(noise=3.0))
    told = predict_patient(patient, calibrated, tiny, registration="none")
    assert told.probability is not None
    assert told.calibrated is not None
    assert told.calibrated.calibrated_on == "out_of_fold"
    assert told.calibrated.probability is not None
    assert (told.calibrated.positives, told.calibrated.negatives) == (30, 30)
    without = predict_patient(patient, answering, tiny, registration="none")
    assert without.calibrated is None
    assert without.probability == told.probability
    assert [n.code for n in without.notices] == [n.code for n in told.notices]


@pytest.mark.parametrize("drawn", ["tumor", "nodes"])
def test_a_score_from_drawn_masks_is_not_calibrated_and_that_is_said(
    drawn: str, make_patient: MakePatient, calibrated: Models
) -> None:
    patient = input_of(make_patient(), drawn)
    told = with_worth(PatientScore(probability=0.5, threshold=0.5), patient, calibrated)
    assert (told.probability, told.calibrated) == (0.5, None)
    assert told.uncalibrated is not None
    assert told.uncalibrated.code == "calibration_withheld"
    assert told.uncalibrated.text.endswith(
        f"the patients behind its calibration were examined without a drawn {drawn}"
    )


def test_a_score_at_other_operating_points_is_not_calibrated_but_the_patients_own_is_free(
    make_patient: MakePatient, calibrated: Models
) -> None:
    patient, score = input_of(make_patient()), PatientScore(probability=0.5, threshold=0.5)
    moved = with_worth(score, patient, replace(calibrated, moved_from={"node_voxel": 0.5, "patient": 0.5}))
    assert moved.calibrated is None
    assert moved.uncalibrated is not None
    assert moved.uncalibrated.text.endswith("own operating points (node_voxel was moved)")
    own = with_worth(score, patient, replace(calibrated, moved_from={"patient": 0.5}))
    assert own.calibrated is not None
    assert own.uncalibrated is None


def test_a_withheld_score_is_worth_nothing(make_patient: MakePatient, calibrated: Models) -> None:
    score = PatientScore(probability=None, threshold=None)
    assert with_worth(score, input_of(make_patient()), calibrated) == score


def test_a_bundle_of_a_later_layout_is_read_without_its_calibration(answering: Models) -> None:
    fields = answering.info.model_dump(mode="json")
    later = BundleInfo.model_validate({**fields, "calibration": {"version": 99, "anything": []}})
    score = PatientScore(probability=0.5, threshold=0.5)
    nobody: Any = None
    assert with_worth(score, nobody, replace(answering, info=later)) == score
    old = BundleInfo.model_validate({name: v for name, v in fields.items() if name != "calibration"})
    assert old.calibration is None


def test_a_damaged_calibration_refuses_the_bundle(tmp_path: Path, calibrated: Models) -> None:
    record: Any = calibrated.info.calibration
    info = calibrated.info.model_copy(update={"parts": {}, "calibration": {**record, "method": "magic"}})
    write_bundle(tmp_path / "bundle", info, {}, "# test\n")
    with pytest.raises(ModelError, match=r"calibration: .*the calibration of the score is damaged"):
        read_bundle(tmp_path / "bundle")


def test_the_status_training_brings_its_calibration_into_models_and_names_the_patients(
    tiny: Config,
) -> None:
    settings = settings_of(tiny, "validation")
    config = tiny.model_copy(update={"metastasis": settings})
    evidence = {
        item.patient: Evidence(
            patient=item.patient,
            patches=item.patches,
            tumor_volume=100.0,
            nodes=(),
            features=np.zeros((0, 7)),
            clinical=Clinical(n_status=item.n_status),
            fitted_on=FittedOn.of(["teacher"]),
        )
        for item in (case(n, "t") for n in range(26))
    }
    ids = tuple(evidence)
    start = Start(config=config, evidence=evidence, seed=3)
    learned = Learned(bands=PAPER_BANDS)
    roles = Roles(train=ids[:4], validation=ids[4:])
    part = fit_stage(STAGES[StageName.METASTASIS], {}, roles, learned, start, Forget())
    assert part.calibration is not None
    assert part.calibration.patients == set(ids[4:])
    models = assembled({StageName.METASTASIS: part}, learned, config, start.device)
    assert models.info.calibration == part.calibration.value
    off = replace(start, config=tiny)
    plain = fit_stage(STAGES[StageName.METASTASIS], {}, roles, learned, off, Forget())
    assert plain.calibration is None
    assert all(bool((plain.weights[name] == x).all()) for name, x in part.weights.items())
    assert plain.thresholds == part.thresholds
