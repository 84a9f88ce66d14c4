import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.learned import Learned
from lymphct.cascade.sizes import scaled
from lymphct.cascade.stages import CASCADE, STAGES
from lymphct.config import Config
from lymphct.core.errors import EnvironmentProblemError, InputError, LeakageError, ModelError, UsageError
from lymphct.core.leakage import FittedOn, hash_patient
from lymphct.core.terms import NodeClass, StageName
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.checkpoints import load_checkpoint
from lymphct.learning.training import EpochRecord
from lymphct.metastasis.pretrained import Pretrained
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.begun import begun_refusals
from lymphct.study.bundling import take_over
from lymphct.study.keeping import Checkpoints
from lymphct.study.plan import Run
from lymphct.study.progress import Beat, Step
from lymphct.study.request import TrainingRequest
from lymphct.study.single.laying import start_run
from lymphct.study.single.training import train_stage
from lymphct.study.single_split import train_all, train_one


def no_steps() -> list[Step | Beat]:
    return []


def epochs_in(told: list[Step | Beat]) -> list[Step]:
    return [news for news in told if isinstance(news, Step)]


def test_all_five_stages_end_up_in_one_verified_bundle(bundle: Path) -> None:
    info = read_bundle(bundle).info
    assert set(info.parts) == set(STAGES)
    assert info.is_phantom
    assert info.phase_dropout
    assert "meaningless for patients" in info.notice


def test_the_status_network_learns_on_patients_the_cascade_never_saw(
    bundle: Path, training: TrainingRequest
) -> None:
    parts = read_bundle(bundle).info.parts
    cascade = {h for stage in CASCADE for group in parts[stage].patients.values() for h in group}
    fusion = {h for group in parts[StageName.METASTASIS].patients.values() for h in group}
    assert len(cascade) + len(fusion) == len(training.records)
    assert not cascade & fusion


def test_the_bundle_knows_whom_it_has_seen(bundle: Path, training: TrainingRequest) -> None:
    info = read_bundle(bundle).info
    assert all(record.patient_id in info.fitted_on_anybody for record in training.records)
    assert "somebody-else" not in info.fitted_on_anybody


def test_how_far_the_preparation_is_is_told(
    training: TrainingRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="lymphct"):
        start_run(replace(training, folder=tmp_path / "run"))
    told = [line for line in caplog.messages if line.endswith("patients prepared")]
    assert told == [f"{number} of 12 patients prepared" for number in (2, 4, 6, 8, 10, 12)]


def test_a_finished_run_is_not_trained_again(bundle: Path, training: TrainingRequest) -> None:
    before = (bundle / "bundle.json").read_bytes()
    seen = no_steps()
    train_all(training, seen.append)
    assert seen == []
    assert (bundle / "bundle.json").read_bytes() == before


def test_each_epoch_leaves_a_line_in_the_log(bundle: Path, training: TrainingRequest) -> None:
    lines = (bundle.parent / "stages" / "nodes" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert training.config.nodes.training.epochs == 2


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    bundle: Path, training: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = replace(training, folder=tmp_path / "run")
    run = start_run(again)

    class StoppedError(Exception):
        pass

    kept = Checkpoints.add

    def interrupt(self: Checkpoints, record: EpochRecord, epochs: int) -> None:
        kept(self, record, epochs)
        raise StoppedError

    monkeypatch.setattr(Checkpoints, "add", interrupt)
    with pytest.raises(StoppedError):
        train_stage(run, StageName.TUMOR, again)
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"was begun here before.*--resume"):
        train_stage(run, StageName.TUMOR, again)
    train_stage(run, StageName.TUMOR, replace(again, resume=True))
    resumed = read_bundle(again.folder / "bundle").weights["tumor"]
    whole = read_bundle(bundle).weights["tumor"]
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_resuming_without_a_checkpoint_is_refused(training: TrainingRequest, tmp_path: Path) -> None:
    again = replace(training, folder=tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="nothing to resume"):
        train_one(again, StageName.TUMOR)
    with pytest.raises(UsageError, match="nothing to resume"):
        train_all(again)


def test_a_stage_that_needs_another_says_which(training: TrainingRequest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs nodes in the bundle first"):
        train_one(replace(training, folder=tmp_path / "run"), StageName.IDENTIFICATION)


def test_other_settings_in_the_same_folder_are_refused(bundle: Path, training: TrainingRequest) -> None:
    del bundle
    with pytest.raises(UsageError, match="holds a run with other patients, settings or seed"):
        train_all(replace(training, seed=training.seed + 1))


def test_patients_without_the_label_of_a_stage_are_not_enough(
    training: TrainingRequest, tmp_path: Path
) -> None:
    unlabelled = [replace(record, tumor=None) for record in training.records]
    with pytest.raises(InputError, match=r"stage tumor needs a patient with a tumor mask in train \(has 0\)"):
        train_one(replace(training, folder=tmp_path / "run", records=unlabelled), StageName.TUMOR)
    # Known from the manifest: nobody was prepared for it.
    assert not (tmp_path / "run").exists()


def test_lymph_nodes_of_one_class_are_refused_before_any_training(
    training: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        StoredPatient, "node_classes", property(lambda _patient: (NodeClass.NEGATIVE, NodeClass.NEGATIVE))
    )
    with pytest.raises(InputError, match=r"stage identification needs a patient with a positive lymph node"):
        train_all(replace(training, folder=tmp_path / "run"))
    assert not (tmp_path / "run" / "plan.json").exists()
    assert not (tmp_path / "run" / "stages").exists()


def test_an_unreadable_patient_stops_a_training_before_it_begins(
    training: TrainingRequest, tmp_path: Path
) -> None:
    broken = tmp_path / "venous.nii.gz"
    broken.write_bytes(b"\x1f\x8b but no gzip")
    records = [replace(training.records[0], venous=broken), *training.records[1:]]
    with pytest.raises(InputError, match="1 of 12 patients cannot be read"):
        start_run(replace(training, folder=tmp_path / "run", records=records))


def test_a_full_disk_stops_a_training_and_is_no_fault_of_the_patients(
    training: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def no_space(record: PatientRecord, preparation: Preparation) -> Path:
        asked.append(record.patient_id)
        raise OSError(errno.ENOSPC, f"no room in {preparation.folder}")

    monkeypatch.setattr("lymphct.patients.prepared.preparation.prepare_patient", no_space)
    first = training.records[0].patient_id
    with pytest.raises(EnvironmentProblemError, match=f"{first}: no space left .*E_NO_SPACE") as caught:
        start_run(replace(training, folder=tmp_path / "run"))
    assert caught.value.exit_code == 6
    assert asked == [first]  # the others would fail, too


@pytest.mark.parametrize("word", ["test", "Test", " TEST", "holdout"])
def test_nothing_is_ever_learned_from_a_patient_kept_for_the_test(
    word: str, training: TrainingRequest, tmp_path: Path
) -> None:
    kept, *others = training.records
    unreadable = replace(kept, venous=tmp_path / "nowhere.nii.gz", cells={**kept.cells, "split": word})
    run = start_run(replace(training, folder=tmp_path / "run", records=[unreadable, *others]))
    assert sorted(run.plan.patients) == sorted(record.patient_id for record in others)
    assert sorted(run.patients) == sorted(run.plan.patients)
    assert not (run.work / kept.patient_id).exists()


def test_a_status_network_is_never_fed_by_networks_that_saw_its_patients(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    run = start_run(replace(training, folder=tmp_path / "run"))
    with pytest.raises(LeakageError, match="fitted on this patient"):
        take_over(run, read_bundle(bundle), StageName.METASTASIS)


def test_parts_of_another_bundle_are_taken_over_with_its_statistics(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    again = replace(training, folder=tmp_path / "run", init=bundle, seed=training.seed + 1)
    train_one(again, StageName.TUMOR)
    taken, given = read_bundle(again.folder / "bundle"), read_bundle(bundle)
    assert set(taken.info.parts) == set(STAGES)
    assert taken.info.intensity == given.info.intensity == {}
    # The new network sees by its own training patients, those that were taken over as before.
    seen = [info.parts[StageName.TUMOR].intensity for info in (taken.info, given.info)]
    assert all(sight is not None and sight.foreground == "tumor" for sight in seen)
    assert seen[0] != seen[1]
    assert taken.info.parts[StageName.NODES] == given.info.parts[StageName.NODES]
    assert taken.info.parts[StageName.TUMOR] != given.info.parts[StageName.TUMOR]
    assert taken.info.thresholds == given.info.thresholds
    assert taken.info.fitted_on == given.info.fitted_on


def test_the_bundle_says_how_each_threshold_came_about(bundle: Path) -> None:
    info = read_bundle(bundle).info
    chosen = {name: how for part in info.parts.values() for name, how in part.chosen.items()}
    assert set(chosen) == set(info.thresholds)
    for stage, row in STAGES.items():
        assert set(info.parts[stage].chosen) <= set(row.thresholds)
    assert all((how.patients > 0) == (how.by == "validation") == (not how.why) for how in chosen.values())


def test_each_network_sees_what_it_learns_to_find_and_gas_is_not_in_it(bundle: Path) -> None:
    run = Run.open(bundle.parent)
    info = read_bundle(bundle).info
    sights = {name: part.intensity for name, part in info.parts.items()}
    assert {name: sight.foreground for name, sight in sights.items() if sight} == {
        "structures": "structures", "tumor": "tumor", "nodes": "nodes",
        "identification": "nodes", "metastasis": "tumor",
    }  # fmt: skip
    nodes, structures = sights[StageName.NODES], sights[StageName.STRUCTURES]
    assert nodes is not None
    assert structures is not None
    assert sights[StageName.IDENTIFICATION] == nodes
    assert sights[StageName.METASTASIS] == sights[StageName.TUMOR]
    # Air in the stomach of the phantoms: one window over all organs reaches down to it, theirs does not.
    assert structures.phases["arterial"].low < -500
    assert structures.phases["arterial"].sd > 100
    assert nodes.phases["arterial"].low > -200
    assert nodes.phases["arterial"].sd < 60
    teachers = {hash_patient(name, info.salt) for name in run.plan.ids("train")}
    assert set(nodes.patients) == set(structures.patients) == teachers
    assert "| nodes | " in (bundle / "MODEL_CARD.md").read_text()
    assert "drawn lymph nodes, without gas" in (bundle / "MODEL_CARD.md").read_text()


def test_sizes_are_scaled_once_when_a_run_begins_and_said(
    training: TrainingRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    imaging = training.config.imaging.model_copy(update={"sizes_at": (1.5, 1.5, 1.5)})
    given = training.config.model_copy(update={"imaging": imaging})
    again = replace(training, folder=tmp_path / "run", work=training.folder / "prepared", config=given)
    with caplog.at_level("INFO", logger="lymphct"):
        run = start_run(again)
    assert run.plan.config == scaled(given)
    assert run.plan.config.nodes.sampling.patch_size == (16, 16, 12)
    assert given.nodes.sampling.patch_size == (32, 32, 24)
    told = "nodes.sampling.patch_size: (32, 32, 24), scaled to the grid: (16, 16, 12)"
    assert told in caplog.messages
    # The same command goes on with the same run, that with the scaled sizes too.
    assert start_run(again).plan == run.plan
    assert start_run(replace(again, config=scaled(given))).plan == run.plan
    assert list(begun_refusals(again, None, run.plan.patients, None)) == []


def test_a_bundle_says_what_its_status_network_started_from(bundle: Path) -> None:
    assert read_bundle(bundle).info.parts[StageName.METASTASIS].extra["pretrained"] == "none"
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "The status network started from random weights." in card


def test_start_weights_are_looked_at_before_anything_is_prepared(
    training: TrainingRequest, tmp_path: Path
) -> None:
    paper = training.config.model_copy(update={"metastasis": Config().metastasis})
    again = replace(training, folder=tmp_path / "run", config=paper)
    with pytest.raises(UsageError, match=r"starts from ImageNet weights, and none were given.*E_PRETRAINED"):
        train_all(again)
    with pytest.raises(ModelError, match=r"the start weights lack tensor .* torchvision's names"):
        train_all(replace(again, pretrained=Pretrained({"conv1.weight": torch.ones(64, 3, 7, 7)}, "ab")))
    assert not again.folder.exists()


def test_stage_2_is_scored_beside_logistic_regression(bundle: Path) -> None:
    scores = read_bundle(bundle).info.parts[StageName.IDENTIFICATION].scores
    assert ("auc" in scores) == ("auc_logistic" in scores)


def test_the_card_is_written_anew_with_every_part(bundle: Path) -> None:
    card = (bundle / "MODEL_CARD.md").read_text()
    for stage in STAGES:
        assert f"\n| {stage} | " in card
    for name, value in read_bundle(bundle).info.thresholds.items():
        assert f"| {name} | {value:.4g} | " in card
    assert "| `nodes.training.epochs` | `2` | " in card
    assert "of another run" not in card


def test_a_plan_that_does_not_say_who_informed_the_statistics_is_still_that_run(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    plan = json.loads((bundle.parent / "plan.json").read_text())
    one_set = plan["sights"]["structures"]["phases"]
    del plan["learned_from"], plan["sights"]
    del plan["config"]["imaging"]["sizes_at"], plan["config"]["metastasis"]["network"]["initialization"]
    plan["intensity"] = one_set
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    begun = start_run(replace(training, folder=tmp_path, work=bundle.parent / "prepared"))
    assert begun.plan.patients == Run.open(bundle.parent).plan.patients
    old = Run.open(tmp_path).plan
    assert old.learned.fitted_on == {"intensity": FittedOn.of(old.ids("train"))}
    # Its networks all see with the one set, also those that are trained now.
    assert begun.plan == old
    train_stage(begun, StageName.TUMOR, training)
    sight = read_bundle(begun.bundle).info.parts[StageName.TUMOR].intensity
    assert sight is not None
    assert sight.foreground == "any"
    assert {name: (s.low, s.high, s.mean, s.sd) for name, s in sight.phases.items()} == {
        name: tuple(values) for name, values in one_set.items()
    }
    assert all(
        name in Learned.of_bundle(read_bundle(begun.bundle).info).sight(StageName.TUMOR).fitted_on
        for name in old.ids("train")
    )


def test_parts_trained_on_phases_registered_otherwise_are_not_taken_over(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    run = start_run(replace(training, folder=tmp_path / "run"))
    given = read_bundle(bundle)
    other = replace(given, info=given.info.model_copy(update={"registration": "deeds"}))
    with pytest.raises(
        ModelError, match=r"registered by method deeds, this run uses none .* --set registration"
    ):
        take_over(run, other, StageName.TUMOR)


def test_plan_bundle_and_card_say_how_phases_were_registered(bundle: Path) -> None:
    assert Run.open(bundle.parent).plan.config.registration.method == "none"
    assert read_bundle(bundle).info.registration == "none"
    assert "Arterial phases registered by method none." in (bundle / "MODEL_CARD.md").read_text()
    table = (bundle.parent / "registration.csv").read_text().splitlines()
    assert len(table) == 1 + 12


def test_a_run_begun_before_phases_were_registered_goes_on_without(bundle: Path, tmp_path: Path) -> None:
    plan = json.loads((bundle.parent / "plan.json").read_text())
    del plan["config"]["registration"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert Run.open(tmp_path).plan == Run.open(bundle.parent).plan


def test_training_everything_takes_nothing_over(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nothing is taken over from --init"):
        train_all(replace(training, folder=tmp_path / "run", init=bundle))


def test_what_a_kill_left_beside_a_finished_bundle_goes_with_the_next_run(
    bundle: Path, training: TrainingRequest
) -> None:
    run = bundle.parent
    (run / ".bundle.old-123").mkdir()
    (run / ".bundle.staging.lock").touch()
    train_all(training)
    assert not list(run.glob(".bundle.*"))


def test_a_kill_between_the_renames_of_a_bundle_loses_no_part(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle.parent, tmp_path / "run"))
    (folder / "bundle").rename(folder / ".bundle.old-123")
    again = replace(training, folder=folder)
    start_run(again)
    assert (folder / "bundle" / "bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()


def test_checkpoints_hold_the_whole_state(bundle: Path) -> None:
    saved = load_checkpoint(bundle.parent / "stages" / "structures")
    assert saved is not None
    tensors, meta = saved
    assert meta["epoch"] == 2
    assert {name.split("/")[0] for name in tensors} >= {"network", "optimizer", "best"}


def test_a_plan_can_be_read_back(bundle: Path) -> None:
    run = Run.open(bundle.parent)
    assert set(run.plan.bands) == {
        "spleen", "esophagus", "stomach", "aorta", "pancreas", "duodenum", "superior_mesenteric_artery",
        "celiac_trunk_and_splenic_artery", "left_gastric_artery", "hepatic_artery_common_and_proper",
    }  # fmt: skip


@pytest.mark.slow
def test_progress_is_told_of_every_epoch_whichever_process_trains(
    bundle: Path, training: TrainingRequest, tmp_path: Path
) -> None:
    told = {jobs: no_steps() for jobs in (1, 2)}
    for jobs, steps in told.items():
        train_all(replace(training, folder=tmp_path / f"run{jobs}", jobs=jobs), steps.append)
    epochs = {
        jobs: sorted((step.stage, step.epoch, step.epochs) for step in epochs_in(steps))
        for jobs, steps in told.items()
    }
    assert epochs[1] == epochs[2] == sorted((stage, epoch, 2) for stage in STAGES for epoch in (1, 2))
    for news in told.values():  # and how far each stage was meanwhile, up to its last iteration
        last = {beat.stage: beat.pulse for beat in news if isinstance(beat, Beat)}
        assert {stage: (pulse.done, pulse.total) for stage, pulse in last.items()} == dict.fromkeys(
            STAGES, (8, 8)
        )
    # Side by side or one after the other, the bytes are the same.
    for name in STAGES:
        one, two = (tmp_path / f"run{jobs}" / "bundle" / f"{name}.safetensors" for jobs in told)
        assert one.read_bytes() == two.read_bytes() == (bundle / one.name).read_bytes()


def test_runs_that_share_a_store_prepare_a_patient_once(training: TrainingRequest, tmp_path: Path) -> None:
    first = start_run(replace(training, folder=tmp_path / "one", work=tmp_path / "work"))
    before = {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "work").rglob("DONE.json"))}
    second = start_run(replace(training, folder=tmp_path / "two", work=tmp_path / "work", seed=8))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(before) == len(training.records)
    assert first.patients.store == second.patients.store
    assert not (tmp_path / "two" / "prepared").exists()
    name = training.records[0].patient_id
    assert first.patients[name].digest == second.patients[name].digest


def test_what_lymphct_prepare_prepared_is_trained_on(training: TrainingRequest, tmp_path: Path) -> None:
    work = tmp_path / "work"
    cohort = Manifest(path=tmp_path / "cohort.csv", columns=(), patients=tuple(training.records[:2]))
    prepare_cohort(cohort, PreparationRequest(out=work, config=training.config, device="cpu"))
    before = {path: path.stat().st_mtime_ns for path in sorted(work.rglob("DONE.json"))}
    assert len(before) == 4  # images and attention of two patients
    run = start_run(replace(training, folder=tmp_path / "run", work=work))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for record in cohort.patients:
        patient = run.patients[record.patient_id]
        assert patient.attention_view(PAPER_BANDS, training.config.attention) is not None
    assert sorted(work.rglob("attention-*/DONE.json")) == [
        path for path in before if "attention-" in str(path)
    ]


def test_a_store_damaged_in_one_patient_is_mended_when_a_run_starts(
    training: TrainingRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = replace(training, folder=tmp_path / "one", work=tmp_path / "work")
    first = start_run(request)
    name, other = (record.patient_id for record in training.records[:2])
    path = first.patients[name].images / "arterial.chunks"
    content, others = path.read_bytes(), first.patients[other].images.stat().st_ino
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"{name}: arterial\.chunks: .*\[E_DAMAGED\]"):
        first.patients[name].ct  # noqa: B018 - reading is what fails
    with caplog.at_level("WARNING", logger="lymphct"):
        second = start_run(replace(request, folder=tmp_path / "two"))
    assert [line for line in caplog.messages if "damaged" in line] == [
        f"{path.parent.name} of {name} is damaged and is made again"
    ]
    assert path.read_bytes() == content
    assert second.patients[name].ct.arterial is not None
    assert second.patients[other].images.stat().st_ino == others


def test_a_store_keeps_patients_prepared_otherwise_beside_one_another(
    training: TrainingRequest, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    start_run(replace(training, folder=tmp_path / "one", work=work))
    coarse = training.config.imaging.model_copy(update={"spacing": (4.0, 4.0, 4.0)})
    other = replace(training, config=training.config.model_copy(update={"imaging": coarse}))
    start_run(replace(other, folder=tmp_path / "two", work=work))
    first = Run.open(tmp_path / "one", work).patients
    second = Run.open(tmp_path / "two", work).patients
    for name in first:
        assert first[name].ct.venous.geometry.spacing == training.config.imaging.spacing
        assert second[name].ct.venous.geometry.spacing == (4.0, 4.0, 4.0)
