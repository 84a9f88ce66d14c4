"""Tumors from few drawn masks: 12 patients of whom 4 are drawn, and 2 drawn ones kept for the scores."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from lymphct.config import Config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import Phase, StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.imaging.distance import signed_distance
from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.volumes import load_volumes
from lymphct.patients.harvest.arterial_phase import drawn_pancreas
from lymphct.patients.harvest.harvested import HarvestedCohort
from lymphct.patients.prepared.dataset import prepared_cohort
from lymphct.study.keeping import Checkpoints
from lymphct.study.outlook import foresee_training
from lymphct.study.plan import Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_one

DRAWN, SCORED = 4, 2
TRUSTING = {
    "confidence": 0.0,
    "surest_share": 1.0,
    "least_volume": 0.0,
    "largest_volume": 1e9,
    "tuning_share": 1.0,
    "network_share": 2.0,
}
"""Networks that have learned next to nothing draw no tumor: their masks must be let through."""


def without(record: PatientRecord, *masks: str) -> PatientRecord:
    cells = {name: cell for name, cell in record.cells.items() if name not in masks}
    blank: dict[str, Any] = dict.fromkeys(masks)
    return replace(record, cells=cells, **blank)


@pytest.fixture(scope="module")
def few(cohort: Manifest) -> Manifest:
    """Nano patients of unknown status; the last are drawn, two of them of split test, one with structures."""
    records = [without(record, "structures", "nodes", "n_status") for record in cohort.patients[:-1]]
    records.append(without(cohort.patients[-1], "nodes", "n_status"))
    others = [without(record, "tumor") for record in records[: -DRAWN - SCORED]]
    scored = [replace(r, cells={**r.cells, "split": "test"}) for r in records[-SCORED:]]
    return replace(cohort, patients=(*others, *records[-DRAWN - SCORED : -SCORED], *scored))


@pytest.fixture(scope="module")
def asked(few: Manifest, config: Config, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    folder = tmp_path_factory.mktemp("harvest")
    harvest = config.tumor_harvest.model_copy(update=TRUSTING)
    return TrainingRequest(
        folder=folder / "run",
        name="few",
        records=few.patients,
        config=config.model_copy(update={"tumor_harvest": harvest}),
        seed=1,
        device="cpu",
        work=folder / "store",
        few=True,
    )


@pytest.fixture(scope="module")
def bundle(asked: TrainingRequest) -> Path:
    return train_one(asked, StageName.TUMOR)


@pytest.fixture(scope="module")
def run(bundle: Path, asked: TrainingRequest) -> Run:
    return Run.open(bundle.parent, asked.work)


def harvested_in(run: Run, few: Manifest) -> list[str]:
    drawn = {record.patient_id for record in few.patients if record.tumor is not None}
    return [name for name in run.plan.roles(StageName.TUMOR).train if name not in drawn]


def test_every_step_lies_in_the_run_with_masks_that_can_be_opened(run: Run, few: Manifest) -> None:
    names = harvested_in(run, few)
    assert len(names) >= 4
    steps = run.folder / "few"
    for step in ("pseudo-1", "pseudo-2", "warped"):
        assert sorted(path.name for path in (steps / step).iterdir() if path.is_dir()) == sorted(names)
        for name in names:
            mask = read_volume(steps / step / name / "tumor.nii.gz")
            stored = load_volumes(steps / step / name)
            assert set(np.unique(mask.array)) <= {0, 1, 255}
            assert_array_equal(mask.array == 1, stored["tumor"].array > 0)
            assert_array_equal(mask.array == 255, unjudged_in(stored["unjudged"].array, StageName.TUMOR))
    for network in ("teacher", "tuned", "final"):
        assert list(read_bundle(steps / network / "bundle").info.parts) == [StageName.TUMOR]
        for record in few.patients[-SCORED:]:
            found = read_volume(steps / "found" / network / record.patient_id / "tumor.nii.gz")
            assert found.geometry.shape


def test_the_first_two_networks_see_the_arterial_phase_alone_and_the_last_what_was_asked(run: Run) -> None:
    steps = run.folder / "few"
    for network in ("teacher", "tuned"):
        part = read_bundle(steps / network / "bundle").info.parts[StageName.TUMOR]
        assert part.architecture["phases"] == "arterial"
        assert part.intensity is not None
        assert set(part.intensity.phases) == {Phase.ARTERIAL.value}
    assert run.plan.config.tumor.phases == "both"
    assert read_bundle(run.bundle).info.parts[StageName.TUMOR].architecture["phases"] == "both"


def test_the_last_network_learns_as_long_as_its_share_says(run: Run, config: Config) -> None:
    log = run.folder / "stages" / StageName.TUMOR / "log.jsonl"
    epochs = config.tumor.training.epochs
    assert len(log.read_text("utf-8").splitlines()) == TRUSTING["network_share"] * epochs


def test_drawn_masks_win(run: Run, few: Manifest) -> None:
    names = harvested_in(run, few)
    warped = {name: run.folder / "few" / "warped" / name for name in names}
    cohort = HarvestedCohort(run.patients, warped)
    for name in run.plan.roles(StageName.TUMOR).train:
        seen, drawn = cohort[name].tumor, run.patients[name].tumor
        assert seen is not None
        if name in names:
            assert drawn is None
            assert_array_equal(seen.array, load_volumes(warped[name])["tumor"].array)
        else:
            assert drawn is not None
            assert_array_equal(seen.array, drawn.array)
            assert cohort[name].unjudged is None


def test_who_is_scored_taught_nothing_and_chose_nothing(run: Run, few: Manifest) -> None:
    scored = [record.patient_id for record in few.patients[-SCORED:]]
    folders = [run.bundle, *(run.folder / "few" / n / "bundle" for n in ("teacher", "tuned", "final"))]
    for folder in folders:
        seen = read_bundle(folder).info.fitted_on_anybody
        assert not [name for name in scored if name in seen]
    info = read_bundle(run.bundle).info
    taught = FittedOn(hashes=frozenset(info.parts[StageName.TUMOR].patients["train"]), salt=info.salt)
    assert all(name in taught for name in run.plan.roles(StageName.TUMOR).train)


def test_scores_are_told_in_the_run_the_bundle_and_its_card(run: Run, few: Manifest) -> None:
    steps = run.folder / "few"
    record: Any = read_bundle(run.bundle).info.parts[StageName.TUMOR].extra["harvest"]
    assert record == read_json(steps / "record.json")
    assert record["scores"] == read_json(steps / "scores.json")
    assert record["patients"]["scored"] == SCORED
    assert record["patients"]["harvested"] == len(harvested_in(run, few))
    rows = list(csv.DictReader((steps / "scores.csv").read_text().splitlines()))
    assert len(rows) == 3 * (SCORED + 1)  # in one of them the pancreas is drawn
    for network, found in record["scores"].items():
        dices = [float(row["dice"]) for row in rows if row["network"] == network]
        assert found["dice"]["median"] == pytest.approx(np.median(dices))
        assert found["dice"]["patients"] == (1 if network.endswith("_at_pancreas") else SCORED)
    card = (run.bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "masks of another network in" in card
    assert "| teacher |" in card
    assert few.patients[-1].patient_id not in card


def test_at_the_pancreas_nothing_is_found_elsewhere(run: Run, few: Manifest, asked: TrainingRequest) -> None:
    outlined = few.patients[-1]
    pancreas = drawn_pancreas(prepared_cohort(asked.preparation, [outlined])[outlined.patient_id])
    assert pancreas is not None
    distance = signed_distance(pancreas.array != 0, pancreas.geometry.spacing)
    place = run.folder / "few" / "found" / "final_at_pancreas" / outlined.patient_id
    parts, number = ndimage.label(read_volume(place / "tumor.nii.gz").array, np.ones((3, 3, 3)))
    assert number >= 1
    for part in range(1, number + 1):
        assert distance[parts == part].min() <= run.plan.config.tumor.pancreas_reach


def test_a_second_run_is_no_work(bundle: Path, asked: TrainingRequest) -> None:
    files = sorted((bundle.parent / "few").rglob("*"))
    before = [path.stat().st_mtime_ns for path in files]
    assert train_one(asked, StageName.TUMOR) == bundle
    assert [path.stat().st_mtime_ns for path in files] == before


class Stopped(BaseException):
    """A kill."""


@pytest.fixture
def stopped(asked: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRequest:
    """The same harvest in another folder, killed after the first epoch of the tuning."""
    anew, calls, plain = replace(asked, folder=tmp_path / "run"), 0, Checkpoints.add

    def add(self: Any, record: Any, epochs: int) -> None:
        nonlocal calls
        plain(self, record, epochs)
        calls += 1
        if calls == 3:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "add", add)
        with pytest.raises(Stopped):
            train_one(anew, StageName.TUMOR)
    return anew


def digest(bundle: Path) -> str:
    return read_bundle(bundle).info.parts[StageName.TUMOR].sha256


@pytest.mark.slow
def test_a_killed_harvest_goes_on_where_it_was_and_ends_the_same(
    bundle: Path, stopped: TrainingRequest
) -> None:
    teacher = stopped.folder / "few" / "teacher" / "bundle" / "bundle.json"
    before = teacher.stat().st_mtime_ns
    with pytest.raises(UsageError, match="begun here before"):
        train_one(stopped, StageName.TUMOR)
    gone = next((stopped.folder / "few" / "pseudo-1").glob("phantom-*"))
    shutil.rmtree(gone)  # a step that is lost is made again, and the training goes on
    again = train_one(replace(stopped, resume=True), StageName.TUMOR)
    assert gone.is_dir()
    assert teacher.stat().st_mtime_ns == before
    assert digest(again) == digest(bundle)


def test_a_network_of_other_masks_is_not_gone_on_with(
    bundle: Path, asked: TrainingRequest, tmp_path: Path
) -> None:
    anew = tmp_path / "run"
    for step in ("teacher", "tuned"):
        shutil.copytree(bundle.parent / "few" / step, anew / "few" / step)
    description = anew / "few" / "tuned" / "bundle" / "bundle.json"
    record: Any = read_json(description)
    key = record["parts"]["tumor"]["extra"]["lesson"]
    text = description.read_text(encoding="utf-8")
    description.write_text(text.replace(key, "0" * len(key)), encoding="utf-8")
    with pytest.raises(UsageError, match="few/tuned learned from other masks"):
        train_one(replace(asked, folder=anew), StageName.TUMOR)


def test_a_teacher_that_finds_nothing_that_can_be_is_said(
    run: Run, asked: TrainingRequest, tmp_path: Path
) -> None:
    harvest = asked.config.tumor_harvest.model_copy(update={"largest_volume": 1.0})
    config = asked.config.model_copy(update={"tumor_harvest": harvest})
    shutil.copytree(run.folder / "few" / "teacher", tmp_path / "run" / "few" / "teacher")
    with pytest.raises(InputError, match="of few/pseudo-1 may teach: for example phantom-9-") as refusal:
        train_one(replace(asked, folder=tmp_path / "run", config=config), StageName.TUMOR)
    assert refusal.value.code == "E_NO_LABELS"


def test_what_stands_in_the_way_is_foreseen(asked: TrainingRequest, few: Manifest, tmp_path: Path) -> None:
    fresh = replace(asked, folder=tmp_path / "run", work=tmp_path / "store")
    outlook = foresee_training(few, fresh, StageName.TUMOR)
    assert outlook.problems == ()
    (lesson,) = outlook.lessons
    assert (lesson.train + lesson.validation, lesson.scored) == (DRAWN, SCORED)
    assert lesson.harvested >= 4
    nobody = tuple(without(record, "tumor") for record in few.patients)
    outlook = foresee_training(replace(few, patients=nobody), replace(fresh, records=nobody), StageName.TUMOR)
    assert any("has a drawn tumor" in str(problem) for problem in outlook.problems)
