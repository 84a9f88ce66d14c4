"""The bundle of a run: laid empty, one part after the other, some taken over from another bundle."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.cascade.parts import Part
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.leakage import Fitted, FittedOn
from lymphct.core.terms import PHANTOM_NOTICE, Phase, StageName, Structure
from lymphct.evaluation.calibration_record import calibration_record
from lymphct.evaluation.score_calibration import fit_score_calibration
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.io.models.bundles import Bundle, read_bundle, write_bundle
from lymphct.learning.settings import SamplingSettings, UNetSettings
from lymphct.learning.weights import as_stored
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.study.bundling import add_part, lay_bundle, parts_in, take_over
from lymphct.study.plan import PatientPlan, Plan, Run

UNET = UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
CONFIG = Config.model_validate(
    {
        "registration": {"method": "none"},
        **{
            stage: {"unet": UNET, "sampling": SamplingSettings(patch_size=(16, 16, 8))}
            for stage in ("tumor", "nodes")
        },
    }
)
INTENSITY = IntensityStatistics(-10.0, 90.0, 25.0, 20.0)
PARTS = {"a": "train", "b": "validation", "c": "fusion_train", "d": "fusion_validation"}
SALT = "the key of another bundle"


@pytest.fixture(autouse=True)
def _nobody_has_drawn_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card counts drawn nodes; the patients of these tests are names alone."""
    monkeypatch.setattr(PreparedCohort, "drawn_nodes", {})


def run_in(folder: Path, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "name": "test",
        "seed": 7,
        "is_phantom": False,
        "phase_dropout": False,
        "config": CONFIG,
        "intensity": {"venous": (-10.0, 90.0, 25.0, 20.0)},
        "bands": {structure.label: tuple(band) for structure, band in PAPER_BANDS.items()},
        "patients": {name: PatientPlan(part=part, n_status=None) for name, part in PARTS.items()},
    }
    folder.mkdir(exist_ok=True)
    return Run(folder, Plan.model_validate(values | changes), folder / "prepared")


def part(stage: StageName = StageName.TUMOR, seed: int = 1, **changes: Any) -> Part:
    settings = STAGES[stage].settings_in(CONFIG)
    values: dict[str, Any] = {
        "stage": stage,
        "settings": settings,
        "weights": as_stored(STAGES[stage].build(settings, seed=seed).state_dict()),
        "train": FittedOn.of(["a"]),
        "validation": FittedOn.of(["b"]),
        "scores": {"f": 0.125},
    }
    return Part(**values | changes)


def info(**changes: Any) -> BundleInfo:
    learned = Learned(
        intensity={Phase.VENOUS: replace(INTENSITY, mean=33.0)},
        bands={Structure.AORTA: Band(0.0, 9.0)},
        fitted_on={"intensity": FittedOn.of(["theirs"])},
    )
    described = new_description("other", learned, CONFIG, salt=SALT, is_phantom=False)
    return described.model_copy(update=changes)


def other_bundle(folder: Path, *parts: Part, **changes: Any) -> Bundle:
    described = info(parts={one.stage: one.described(SALT) for one in parts}, **changes)
    write_bundle(folder, described, {one.stage: one.weights for one in parts}, "# other\n")
    return read_bundle(folder)


def test_a_bundle_is_laid_with_what_the_run_learned_and_without_a_part(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run)
    laid = read_bundle(run.bundle).info
    assert (laid.name, laid.parts, laid.is_phantom, laid.notice) == ("test", {}, False, "")
    assert laid.spacing == CONFIG.imaging.spacing
    assert laid.registration == "none"
    assert laid.code_version
    back = Learned.of_bundle(laid)
    assert back.intensity == {Phase.VENOUS: INTENSITY}
    assert back.bands == PAPER_BANDS
    # The statistics were measured on the training patients of the cascade.
    assert [name in laid.fitted_on_anybody for name in "abcd"] == [True, False, False, False]


def test_a_bundle_is_laid_once(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run)
    before = (run.bundle / "bundle.json").read_bytes()
    lay_bundle(run, info())
    assert (run.bundle / "bundle.json").read_bytes() == before


def test_the_key_of_patients_is_random_and_that_of_phantoms_that_of_their_seed(tmp_path: Path) -> None:
    salts = []
    for name, is_phantom in (("one", False), ("two", False), ("three", True)):
        run = run_in(tmp_path / name, is_phantom=is_phantom)
        lay_bundle(run)
        salts.append(read_bundle(run.bundle).info.salt)
    assert salts[0] != salts[1]
    assert min(map(len, salts[:2])) == 32
    assert salts[2] == "phantom-00000007"
    assert read_bundle(tmp_path / "three" / "bundle").info.notice == PHANTOM_NOTICE


def test_a_run_begun_with_another_bundle_has_its_statistics_its_key_and_whom_it_knows(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run, info())
    laid = read_bundle(run.bundle).info
    assert laid.salt == SALT
    assert Learned.of_bundle(laid).intensity == {Phase.VENOUS: replace(INTENSITY, mean=33.0)}
    assert Learned.of_bundle(laid).bands == {Structure.AORTA: Band(0.0, 9.0)}
    assert "theirs" in laid.fitted_on_anybody
    assert "a" not in laid.fitted_on_anybody


def test_a_part_comes_back_from_the_bundle_as_it_was_added(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run)
    added = part()
    with caplog.at_level(logging.INFO, logger="lymphct.study.bundling"):
        add_part(run, added)
    assert [record.getMessage() for record in caplog.records] == ["tumor: added to the bundle (f 0.125)"]
    back = parts_in(read_bundle(run.bundle), [StageName.TUMOR])[StageName.TUMOR]
    assert (back.stage, back.settings, back.scores) == (added.stage, added.settings, added.scores)
    assert back.weights.keys() == added.weights.keys()
    assert all(torch.equal(back.weights[name], added.weights[name]) for name in added.weights)
    assert ["a" in back.train, "b" in back.train, "b" in back.validation] == [True, False, True]
    # It can be described again under the same key, and under no other.
    salt = read_bundle(run.bundle).info.salt
    assert back.described(salt).patients == added.described(salt).patients
    with pytest.raises(LeakageError, match="made with another key"):
        back.described(SALT)


def test_thresholds_of_parts_stand_side_by_side(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run)
    add_part(run, part(StageName.NODES, thresholds={"node_voxel": 0.25}))
    add_part(run, part(StageName.TUMOR, thresholds={"patient": 0.75}))
    assert read_bundle(run.bundle).info.thresholds == {"node_voxel": 0.25, "patient": 0.75}
    assert set(parts_in(read_bundle(run.bundle), [StageName.NODES])) == {StageName.NODES}


def test_what_a_score_is_worth_stands_in_the_bundle_with_those_who_told_it(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lay_bundle(run)
    add_part(run, part(StageName.TUMOR))
    assert read_bundle(run.bundle).info.calibration is None
    scores, truth = [0.01 * n for n in range(40)], [n % 2 for n in range(40)]
    fitted = fit_score_calibration(scores, truth, [f"c{n}" for n in range(40)])
    record = calibration_record(fitted.value)
    add_part(run, part(StageName.METASTASIS, calibration=Fitted(record, fitted.patients)))
    info = read_bundle(run.bundle).info
    assert info.calibration == record
    assert "c7" in info.fitted_on_anybody
    assert info.parts_that_saw("c7") == ("calibration",)
    # The other bundle is given another stage before it, whose scores nobody has seen.
    next_run = run_in(tmp_path / "next")
    lay_bundle(next_run, info)
    take_over(next_run, read_bundle(run.bundle), StageName.TUMOR)
    taken = read_bundle(next_run.bundle).info
    assert StageName.METASTASIS in taken.parts
    assert taken.calibration is None
    assert "calibration" not in taken.fitted_on


def test_the_parts_of_another_bundle_are_copied_except_the_trained_one_and_those_there(
    tmp_path: Path,
) -> None:
    theirs = other_bundle(tmp_path / "other", part(StageName.NODES, seed=2), part(StageName.TUMOR, seed=2))
    run = run_in(tmp_path / "run")
    lay_bundle(run, theirs.info)
    take_over(run, theirs, StageName.TUMOR)
    assert set(read_bundle(run.bundle).info.parts) == {StageName.NODES}
    taken = read_bundle(run.bundle)
    assert taken.info.parts[StageName.NODES] == theirs.info.parts[StageName.NODES]
    add_part(run, part(StageName.TUMOR, seed=3))
    before = (run.bundle / "tumor.safetensors").read_bytes()
    take_over(run, theirs, StageName.STRUCTURES)
    assert (run.bundle / "tumor.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words", "cure"),
    [
        (
            {"spacing": (2.0, 2.0, 2.0)},
            r"the bundle works at \(2\.0, 2\.0, 2\.0\) mm, this run at \(0\.68, 0\.68, 0\.8\) mm",
            "set imaging.spacing to that of the bundle",
        ),
        (
            {"registration": "deeds"},
            "trained on phases registered by method deeds, this run uses none",
            "--set registration.method=deeds",
        ),
    ],
)
def test_a_bundle_of_other_images_is_not_taken_over(
    changes: dict[str, Any], words: str, cure: str, tmp_path: Path
) -> None:
    theirs = other_bundle(tmp_path / "other", part(StageName.NODES), **changes)
    run = run_in(tmp_path / "run")
    lay_bundle(run, theirs.info)
    with pytest.raises(ModelError, match=words) as caught:
        take_over(run, theirs, StageName.TUMOR)
    assert caught.value.cure == cure
    assert not read_bundle(run.bundle).info.parts


def test_parts_whose_patients_could_not_be_recognised_are_not_taken_over(tmp_path: Path) -> None:
    theirs = other_bundle(tmp_path / "other", part(StageName.NODES))
    run = run_in(tmp_path / "run")
    lay_bundle(run)  # begun without them, with a key of its own
    with pytest.raises(ModelError, match=r"begun without this bundle, .* another key") as caught:
        take_over(run, theirs, StageName.TUMOR)
    assert caught.value.cure == "begin a new run with --init"
    assert not read_bundle(run.bundle).info.parts


@pytest.mark.parametrize("teacher", ["c", "d"])
def test_a_status_network_takes_nothing_over_that_saw_its_patients(teacher: str, tmp_path: Path) -> None:
    theirs = other_bundle(tmp_path / "other", part(StageName.NODES, train=FittedOn.of([teacher])))
    run = run_in(tmp_path / "run")
    lay_bundle(run, theirs.info)
    with pytest.raises(LeakageError, match=f"{teacher}: the bundle given with --init was fitted on this"):
        take_over(run, theirs, StageName.METASTASIS)
    fine = other_bundle(tmp_path / "fine", part(StageName.NODES))
    take_over(run, fine, StageName.METASTASIS)
    assert set(read_bundle(run.bundle).info.parts) == {StageName.NODES}


@pytest.mark.parametrize(("role", "is_refused"), [("train", True), ("validation", False)])
def test_identification_is_not_chosen_on_patients_who_taught_the_network_it_starts_from(
    role: str, *, is_refused: bool, tmp_path: Path
) -> None:
    groups: dict[str, Any] = {"train": FittedOn.of(["x"]), "validation": FittedOn.of(["y"])} | {
        role: FittedOn.of(["a", "b"])
    }
    theirs = other_bundle(tmp_path / "other", part(StageName.NODES, **groups))
    run = run_in(tmp_path / "run")
    lay_bundle(run, theirs.info)
    if is_refused:
        words = "b: stage identification would be chosen on this patient, from whom the nodes network"
        with pytest.raises(LeakageError, match=words) as caught:
            take_over(run, theirs, StageName.IDENTIFICATION)
        assert caught.value.cure == "train nodes here, or leave the patient out"
        assert not read_bundle(run.bundle).info.parts
        add_part(run, part(StageName.NODES))  # of this run's own: the other one is not taken
    take_over(run, theirs, StageName.IDENTIFICATION)
    assert set(read_bundle(run.bundle).info.parts) == {StageName.NODES}
