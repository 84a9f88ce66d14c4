"""Structures learned from a teacher's masks in two rounds: 12 patients of whom 3 have drawn ones."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.config import Config
from lymphct.core.errors import GeometryMismatchError, InputError, LeakageError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName, Structure
from lymphct.io.images.labels import read_labels
from lymphct.io.images.nifti import write_nifti
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.volumes import load_volumes
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.sources.named_teachers import teachers_named
from lymphct.patients.sources.teachers import BundleSource, FileSource
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.keeping import Checkpoints
from lymphct.study.outlook import foresee_training
from lymphct.study.plan import Run
from lymphct.study.request import Teaching, TrainingRequest
from lymphct.study.single_split import train_one

PATIENTS, DRAWN = 12, 3
SMA, LGA = Structure.SUPERIOR_MESENTERIC_ARTERY, Structure.LEFT_GASTRIC_ARTERY


def without_structures(record: PatientRecord) -> PatientRecord:
    cells = {name: cell for name, cell in record.cells.items() if name != "structures"}
    return replace(record, cells=cells, structures=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Fully drawn nano patients."""
    folder = tmp_path_factory.mktemp("whole")
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    return read_manifest(
        write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=6, patients=PATIENTS))
    )


@pytest.fixture(scope="module")
def few(whole: Manifest) -> Manifest:
    """The same, of whom the last three are drawn."""
    others = tuple(map(without_structures, whole.patients[:-DRAWN]))
    return replace(whole, patients=(*others, *whole.patients[-DRAWN:]))


@pytest.fixture(scope="module")
def masks(whole: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's masks: without left gastric artery, with a short superior mesenteric one."""
    folder = tmp_path_factory.mktemp("masks")
    for record in whole.patients:
        assert record.structures is not None
        labels = read_labels(record.structures)
        array = labels.array.copy()
        array[array == LGA] = 0
        heights = np.argwhere(array == SMA)[:, 2]
        lower = np.arange(array.shape[2]) < np.percentile(heights, 70)
        array[(array == SMA) & lower] = 0
        write_nifti(folder / f"{record.patient_id}.nii.gz", labels.with_array(array))
    return folder


@pytest.fixture(scope="module")
def asked(
    few: Manifest, masks: Path, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> TrainingRequest:
    folder = tmp_path_factory.mktemp("taught")
    return TrainingRequest(
        folder=folder / "run",
        name="taught",
        records=few.patients,
        config=config,
        seed=1,
        device="cpu",
        work=folder / "store",
        teaching=Teaching(sources=str(masks), rounds=2),
    )


@pytest.fixture(scope="module")
def bundle(asked: TrainingRequest) -> Path:
    # Networks that have learned next to nothing draw no anatomy: their masks must be let through.
    trusting = asked.config.self_learning.model_copy(update={"plausible_only": False})
    config = asked.config.model_copy(update={"self_learning": trusting})
    return train_one(replace(asked, config=config), StageName.STRUCTURES)


def rounds_of(bundle: Path) -> list[dict[str, Any]]:
    rounds: Any = read_bundle(bundle).info.parts[StageName.STRUCTURES].extra["self_learning"]
    return list(rounds)


def test_each_round_leaves_its_masks_sources_and_scores(bundle: Path, masks: Path) -> None:
    first, second = rounds_of(bundle)
    run = bundle.parent
    assert first["teacher"] == ["files:" + "/".join(masks.parts[-2:])]
    assert second["teacher"] == ["bundle:taught-round-1"]
    for number, told in enumerate((first, second), start=1):
        folder = run / "self_learning" / f"round-{number}"
        assert read_json(folder / "record.json") == told
        assert told["round"] == number
        assert sum(told["patients"].values()) == len(list((folder / "labels").iterdir()))
        scores = told["validation"]["liver"]
        assert scores["patients"] >= 1
        assert 0 <= scores["student"] <= 1
    assert first["validation"]["liver"]["teacher"] == 1.0
    assert first["validation"]["left_gastric_artery"]["teacher"] is None
    assert second["validation"]["liver"]["teacher"] == pytest.approx(
        first["validation"]["liver"]["student"],
        abs=0.02,  # rounded weights, cleaned otherwise
    )


def test_what_the_teacher_lacks_or_cuts_short_is_learned_from_drawn_masks(
    bundle: Path, asked: TrainingRequest
) -> None:
    first = rounds_of(bundle)[0]
    assert "left_gastric_artery" not in first["told_in"]
    assert set(first["drawn_alone"]) == {SMA.label}
    assert 0 < first["drawn_alone"][SMA.label] < 0.6
    run = Run.open(bundle.parent, asked.work)
    folder = bundle.parent / "self_learning" / "round-1" / "labels"
    drawn = {record.patient_id for record in asked.records if record.structures is not None}
    for place in folder.iterdir():
        known = read_json(place / "told.json")
        assert isinstance(known, dict)
        array = load_volumes(place)["structures"].array
        names: Any = known["structures"]
        if place.name in drawn:
            structures = run.patients[place.name].structures
            assert structures is not None
            assert len(names) == len(Structure)
            assert_array_equal(array, structures.array)
        else:
            assert set(names) == {s.label for s in Structure} - {SMA.label, LGA.label}
            assert not np.isin(array, [SMA, LGA]).any()
            assert (array == 255).any()  # where the teacher says superior mesenteric artery
            assert (array == Structure.LIVER).any()


def test_everybody_who_taught_is_known_and_the_card_tells_the_rounds(
    bundle: Path, asked: TrainingRequest
) -> None:
    info = read_bundle(bundle).info
    part = info.parts[StageName.STRUCTURES]
    train = Run.open(bundle.parent, asked.work).plan.roles(StageName.STRUCTURES).train
    assert set(part.patients["train"]) == set(FittedOn.of(train).hashed(info.salt))
    card = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Self-learning, round 2: the teacher is bundle:taught-round-1." in card
    assert "of which the teacher finds too little: superior mesenteric artery" in card
    assert str(bundle.parent) not in card


class Stopped(BaseException):
    """A kill."""


@pytest.fixture
def anew(asked: TrainingRequest, tmp_path: Path, masks: Path) -> TrainingRequest:
    """The same training in another folder, of masks that may be spoiled."""
    shutil.copytree(masks, tmp_path / masks.name)
    trusting = asked.config.self_learning.model_copy(update={"plausible_only": False})
    return replace(
        asked,
        folder=tmp_path / "run",
        config=asked.config.model_copy(update={"self_learning": trusting}),
        teaching=Teaching(sources=str(tmp_path / masks.name), rounds=2),
    )


@pytest.fixture
def stopped(anew: TrainingRequest, monkeypatch: pytest.MonkeyPatch) -> TrainingRequest:
    """A training that was killed after the first epoch of the second round."""
    calls = 0
    plain = Checkpoints.add

    def add(self: Any, record: Any, epochs: int) -> None:
        nonlocal calls
        plain(self, record, epochs)
        calls += 1
        if calls == 3:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "add", add)
        with pytest.raises(Stopped):
            train_one(anew, StageName.STRUCTURES)
    return anew


def weights(bundle: Path) -> str:
    return read_bundle(bundle).info.parts[StageName.STRUCTURES].sha256


def test_a_killed_training_goes_on_where_it_was_and_ends_the_same(
    bundle: Path, stopped: TrainingRequest
) -> None:
    first = stopped.folder / "self_learning" / "round-1" / "bundle" / "bundle.json"
    before = first.stat().st_mtime_ns
    with pytest.raises(UsageError, match="begun here before"):
        train_one(stopped, StageName.STRUCTURES)
    lesson = stopped.folder / "stages" / "structures" / "lesson.json"
    key = lesson.read_bytes()
    lesson.write_text('{"key": "of other labels"}', encoding="utf-8")
    with pytest.raises(UsageError, match="labels of the student are others"):
        train_one(replace(stopped, resume=True), StageName.STRUCTURES)
    lesson.write_bytes(key)
    again = train_one(replace(stopped, resume=True), StageName.STRUCTURES)
    assert first.stat().st_mtime_ns == before  # the first round is not trained again
    assert weights(again) == weights(bundle)


def test_a_cohort_in_which_nobody_drew_structures_learns_from_the_teacher_alone(
    anew: TrainingRequest, whole: Manifest
) -> None:
    nobody = tuple(map(without_structures, whole.patients))
    teaching = replace(anew.teaching, rounds=1) if anew.teaching is not None else None
    request = replace(anew, records=nobody, teaching=teaching)
    outlook = foresee_training(replace(whole, patients=nobody), request, StageName.STRUCTURES)
    assert outlook.problems == ()
    part = read_bundle(train_one(request, StageName.STRUCTURES)).info.parts[StageName.STRUCTURES]
    assert part.patients["validation"] == ()
    assert part.intensity is not None
    assert part.intensity.foreground == "structures"  # measured on the labels
    drawn_in: Any = part.extra["drawn_in"]
    assert drawn_in["left_gastric_artery"] == 0
    assert drawn_in["liver"] == len(part.patients["train"])


def test_a_teacher_without_a_mask_of_anybody_is_refused(
    anew: TrainingRequest, few: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    request = replace(anew, teaching=Teaching(sources=str(tmp_path / "empty")))
    outlook = foresee_training(few, request, StageName.STRUCTURES)
    assert any("there is no mask of any of" in str(problem) for problem in outlook.problems)
    with pytest.raises(InputError, match="there is no mask of any of"):
        train_one(request, StageName.STRUCTURES)


def test_a_mask_on_another_lattice_is_refused_by_patient(anew: TrainingRequest, few: Manifest) -> None:
    assert anew.teaching is not None
    outlook = foresee_training(few, anew, StageName.STRUCTURES)
    assert outlook.problems == ()
    for path in Path(anew.teaching.sources).iterdir():
        labels = read_labels(path)
        moved = replace(labels.geometry, origin=(500.0, 0.0, 0.0))
        write_nifti(path, replace(labels, geometry=moved))
    with pytest.raises(GeometryMismatchError, match="more patients") as refusal:
        train_one(anew, StageName.STRUCTURES)
    assert refusal.value.patient.startswith("phantom-6-")


def test_a_bundle_that_learned_from_patients_kept_for_a_test_does_not_teach(
    bundle: Path, anew: TrainingRequest
) -> None:
    seen = Run.open(bundle.parent, anew.work).plan.roles(StageName.STRUCTURES).train[0]
    records = [
        replace(r, cells={**r.cells, "split": "test"}) if r.patient_id == seen else r for r in anew.records
    ]
    request = replace(anew, records=records, teaching=Teaching(sources=f"bundle:{bundle}"))
    with pytest.raises(LeakageError, match="who must not teach") as refusal:
        train_one(request, StageName.STRUCTURES)
    assert refusal.value.patient == seen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tea:cher", "'tea' is neither a source of structures nor a file"),
        ("pant:masks/{patient}", "did you mean pants?"),
        ("pants", "the source pants needs a path"),
        ("pants:somewhere", "is no folder and does not say where the masks of each patient lie"),
        ("masks/{patient},,others/{patient}", "holds an empty one"),
        ("nowhere.nii.gz", "is no folder and does not say where the masks of each patient lie"),
        ("bundle", "needs the folder of a bundle here"),
        ("trace", "needs the aorta, which no source before it gives"),
    ],
)
def test_a_source_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        teachers_named(text)


def test_a_source_named_twice_is_refused(anew: TrainingRequest, masks: Path) -> None:
    request = replace(anew, teaching=Teaching(sources=f"{masks},{masks}"))
    with pytest.raises(UsageError, match="is named twice"):
        train_one(request, StageName.STRUCTURES)


def test_sources_are_read_in_their_order(bundle: Path, masks: Path, tmp_path: Path) -> None:
    first, second, third = teachers_named(
        f"bundle:{bundle}, {masks},{tmp_path}/{{patient}}/seg.nii.gz", device="cpu"
    )
    assert isinstance(first, BundleSource)
    assert first.name == "bundle:taught"
    assert isinstance(second, FileSource)
    assert second.path("phantom-6-0003") == masks / "phantom-6-0003.nii.gz"
    assert second.path("nobody") is None
    assert isinstance(third, FileSource)
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1" / "seg.nii.gz").touch()
    assert third.path("p1") == tmp_path / "p1" / "seg.nii.gz"
