"""Stages of patients are told across processes, and telling never stops the work."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lymphct.config import Config
from lymphct.io.manifest import Manifest
from lymphct.io.processes import map_patients
from lymphct.patients.course import Course, watched_course
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort, predict_single
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort

STAGES = [
    "reading",
    "alignment",
    "structures",
    "tumor",
    "attention",
    "nodes",
    "identification",
    "status",
    "output",
]


def _begin(patient: str, course: Course) -> str:
    course(patient, "nodes")
    return patient


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_stage_is_told_whichever_process_works(jobs: int) -> None:
    told: list[tuple[str, str]] = []
    with watched_course(lambda patient, stage: told.append((patient, stage))) as course:
        done = [o.result() for o in map_patients(partial(_begin, course=course), ["a", "b", "c"], jobs=jobs)]
    assert done == ["a", "b", "c"]
    assert sorted(told) == [("a", "nodes"), ("b", "nodes"), ("c", "nodes")]
    assert course.file is not None
    assert not course.file.parent.exists()


def test_without_anybody_who_listens_nothing_is_written() -> None:
    with watched_course(None) as course:
        course("a", "nodes")
        assert course == Course(None)


def test_a_disk_that_refuses_stops_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    Course(tmp_path / "file" / "course.jsonl")("a", "nodes")

    def refuse(**_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with watched_course(lambda *_: pytest.fail("nobody can be told")) as course:
        course("a", "nodes")


def test_a_prediction_tells_its_stages_in_their_order(
    cohort: Manifest, bundle: Path, config: Config, tmp_path: Path
) -> None:
    how = PredictionRequest(bundle=bundle, config=config, device="cpu")
    told: list[tuple[str, str]] = []

    def begun(patient: str, stage: str) -> None:
        told.append((patient, stage))

    first, second, *_ = cohort.patients
    predict_single(first, how, tmp_path / "one", begun=begun)
    assert list(dict.fromkeys(stage for _, stage in told)) == [*STAGES, "report"]
    assert {patient for patient, _ in told} == {first.patient_id}
    told.clear()
    few = replace(cohort, patients=(first, second))
    predict_cohort(few, how, tmp_path / "both", begun=begun)
    assert [patient for patient, stage in told if stage == "nodes"] == [first.patient_id, second.patient_id]


def test_a_preparation_tells_its_stages(cohort: Manifest, config: Config, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    few = replace(cohort, patients=cohort.patients[:1])
    request = PreparationRequest(out=tmp_path / "work", config=config)
    prepare_cohort(few, request, begun=lambda patient, stage: told.append((patient, stage)))
    assert told == [(few.patients[0].patient_id, stage) for stage in ("registration", "attention")]
