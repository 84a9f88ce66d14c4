"""A tumor network from few drawn masks and those that a network draws in everybody else (Sec. IV-B).

Every step lies in `few/` of the run and is made once: arterial phases as acquired, a teacher of them, what it
draws, the teacher tuned on it, what that draws, the same on the venous phase, the network, its scores
(decision 0041).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from lymphct.anatomy.self_learning import repeated
from lymphct.anatomy.settings import TumorSettings
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import FIXED, Sight, fit_sights
from lymphct.cascade.stages import STAGES, Start, Weights
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import Roles
from lymphct.core.terms import Phase, StageName, counted
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import fingerprint_key
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.store import read_done
from lymphct.learning.devices import chosen_device
from lymphct.patients.arterial_phase import ArterialPhases
from lymphct.patients.dataset import PreparedCohort, prepared_cohort
from lymphct.patients.harvested import Drawing, Finding, HarvestedCohort, Warping
from lymphct.patients.memory import affordable_jobs, worker_memory
from lymphct.patients.whole_cohort import whole_cohort
from lymphct.study.bundling import add_part, parts_in, write_part_alone
from lymphct.study.few import Cast, chosen_cast, scored_records
from lymphct.study.guiding import tell_tumors
from lymphct.study.harvest_scores import scored_networks, tell_scores
from lymphct.study.harvest_table import FINAL, TEACHER, TUNED
from lymphct.study.in_turn import in_turn
from lymphct.study.keeping import lesson_checkpoints
from lymphct.study.places import free_device
from lymphct.study.plan import Run
from lymphct.study.progress import Progress, watched
from lymphct.study.request import FEW, HARVEST, TrainingRequest

logger = logging.getLogger(__name__)

STAGE: Final = StageName.TUMOR
RECORD_FILE: Final = "record.json"
LESSON: Final = "lesson"
"""Key of what a network learned from, in its own bundle."""


def harvest_tumors(run: Run, request: TrainingRequest, progress: Progress | None = None) -> None:
    """Train the tumor network of a run from few drawn masks, and add it to the bundle.

    Args:
        run: prepared, with its bundle laid.
        request: with the patients who are kept for the scores.
        progress: called after every epoch.

    Raises:
        InputError: an image cannot be read, nobody can be harvested, or nothing was found in anybody.
        UsageError: a training was begun and is not resumed, or its labels are others now.

    """
    if STAGE in read_bundle(run.bundle).info.parts:
        logger.info("%s: already in the bundle", STAGE)
        return
    work = _begun(run, request, progress)
    cast = work.cast
    teacher = _network(work, _arterial_lesson(work, TEACHER, {}))
    first = _harvest(work, "pseudo-1", teacher)
    tuned = _network(work, _arterial_lesson(work, TUNED, first, start=teacher))
    second = _harvest(work, "pseudo-2", tuned)
    warping = Warping(folder=work.folder / "warped", drawing=work.drawing("pseudo-2", tuned))
    warped = in_turn(warping.place, list(second), request.jobs, "few: masks on the venous phase")
    lesson = _Lesson(
        name=FINAL,
        patients=HarvestedCohort(work.patients, warped),
        roles=Roles(train=(*cast.few, *warped), validation=cast.judges),
        config=run.plan.config,
        learned=run.plan.learned,
        labels=warped,
        training=run.stage(STAGE),
    )
    final = _network(work, lesson)
    scores = _scores(work, {TEACHER: teacher, TUNED: tuned, FINAL: final})
    record = _record(work, {"pseudo-1": first, "pseudo-2": second}, scores)
    write_json(work.folder / RECORD_FILE, record)
    part = parts_in(read_bundle(final), (STAGE,))[STAGE]
    kept = {name: value for name, value in part.extra.items() if name != LESSON}
    add_part(run, replace(part, extra={**kept, HARVEST: record}))
    tell_tumors(run, device=request.device)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A harvest in progress.

    Attributes:
        run: its run.
        request: what was asked for.
        cast: who does what.
        patients: everybody of the cast, prepared.
        progress: is told of epochs.

    """

    run: Run
    request: TrainingRequest
    cast: Cast
    patients: PreparedCohort
    progress: Progress | None

    @property
    def folder(self) -> Path:
        """Folder of all steps."""
        return self.run.folder / FEW

    @cached_property
    def phases(self) -> ArterialPhases:
        """Arterial phases as acquired."""
        return ArterialPhases(
            folder=self.folder / "arterial",
            preparation=self.request.preparation,
            records={record.patient_id: record for record in self.request.records},
            patients=self.patients,
        )

    @cached_property
    def arterial(self) -> dict[str, Path]:
        """Where they lie, of everybody who has one."""
        return in_turn(
            self.phases.place,
            sorted(self.cast.arterial),
            self.request.jobs,
            "few: arterial phases as acquired",
        )

    def drawing(self, name: str, bundle: Path) -> Drawing:
        """Return how a network draws."""
        settings, device = self.run.plan.config.tumor_harvest, self.request.device
        return Drawing(
            folder=self.folder / name, bundle=bundle, phases=self.phases, settings=settings, device=device
        )


def _begun(run: Run, request: TrainingRequest, progress: Progress | None) -> _Work:
    """Settle who does what, say so, and prepare those who are scored."""
    cast = chosen_cast(request, run.plan.roles(STAGE))
    scored = scored_records(request)
    if request.jobs > 1:
        memory = worker_memory(request.records, request.preparation, with_networks=True)
        request = replace(request, jobs=affordable_jobs(request.jobs, memory))
    if scored:
        whole_cohort(scored, request.preparation, jobs=request.jobs)
    records = [r for r in request.records if r.patient_id in run.plan.patients or r in scored]
    logger.info(
        "few: %s with a drawn tumor teach, %d are harvested, %d choose, %d are scored",
        counted(len(cast.few), "patient"), len(cast.harvested), len(cast.judges), len(cast.scored),
    )  # fmt: skip
    if cast.left_out:
        told = counted(len(cast.left_out), "training patient")
        logger.warning("few: %s without a drawn tumor and without arterial phase teach nothing", told)
    if not cast.scored:
        logger.warning("few: no drawn tumor is kept from the training: nothing will be scored")
    patients = prepared_cohort(request.preparation, records)
    return _Work(run=run, request=request, cast=cast, patients=patients, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What one of the three networks learns from.

    Attributes:
        name: of the step, and of its folder.
        patients: as the network sees them.
        roles: who teaches and who chooses.
        config: settings, those of the step.
        learned: how the network sees images; None as the one it starts from.
        labels: folders of the masks that another network drew, by id.
        training: folder of the checkpoints.
        start: bundle of the network it goes on from; None begins anew.

    """

    name: str
    patients: HarvestedCohort
    roles: Roles
    config: Config
    learned: Learned
    labels: Mapping[str, Path]
    training: Path
    start: Path | None = None

    @property
    def key(self) -> str:
        """Digest of patients, masks and the network it starts from; settings are those of the run."""
        patients: dict[str, JSON] = {
            name: self.patients.patients[name].digest for name in self.roles.everybody
        }
        masks: dict[str, JSON] = {
            name: (read_done(place) or {}).get("outputs") for name, place in self.labels.items()
        }
        start = "" if self.start is None else read_bundle(self.start).digest
        return fingerprint_key({"patients": patients, "labels": masks, "start": start})


def _arterial_lesson(
    work: _Work, name: str, labels: Mapping[str, Path], start: Path | None = None
) -> _Lesson:
    """Return the lesson of a network that sees the arterial phase as acquired, and no other."""
    config, cast = work.run.plan.config, work.cast
    few, judges = cast.seen(cast.few), cast.seen(cast.judges)
    if not judges:
        logger.warning("few: nobody who chooses has an arterial phase: the last epoch of %s counts", name)
    patients = HarvestedCohort(work.patients, labels, work.arterial)
    learned = work.run.plan.learned
    sight = _arterial_sight(patients, few, config) if start is None else _sight_of(start)
    return _Lesson(
        name=name,
        patients=patients,
        roles=Roles(train=(*few, *labels), validation=judges),
        config=config.model_copy(update={STAGE.value: _seeing_one_phase(config, is_tuned=start is not None)}),
        learned=replace(learned, sights={**learned.sights, STAGE: sight}),
        labels=labels,
        training=work.folder / name / "stages" / STAGE,
        start=start,
    )


def _seeing_one_phase(config: Config, *, is_tuned: bool) -> TumorSettings:
    tumor, harvest = config.tumor, config.tumor_harvest
    training = tumor.training
    if is_tuned:
        changes = {
            "epochs": max(round(harvest.tuning_share * training.epochs), 1),
            "learning_rate": harvest.tuning_rate * training.learning_rate,
        }
        training = training.model_copy(update=changes)
    sampling = tumor.sampling.model_copy(update={"phase_dropout": 0.0})
    return tumor.model_copy(update={"phases": "arterial", "sampling": sampling, "training": training})


def _arterial_sight(patients: HarvestedCohort, few: Sequence[str], config: Config) -> Sight:
    if not config.cascade.fit_intensity:
        return FIXED
    sight = fit_sights(patients, few)[STAGE]
    # Of the venous phase it was told nothing.
    return replace(sight, phases={p: s for p, s in sight.phases.items() if p is Phase.ARTERIAL})


def _sight_of(bundle: Path) -> Sight:
    return Learned.of_bundle(read_bundle(bundle).info).sight(STAGE)


def _network(work: _Work, lesson: _Lesson) -> Path:
    """Train a network unless it is there; return its bundle.

    Raises:
        UsageError: it is there and learned from other masks than there are now.

    """
    run, request = work.run, work.request
    bundle, key = work.folder / lesson.name / "bundle", lesson.key
    if bundle.exists():
        if read_bundle(bundle).info.parts[STAGE].extra.get(LESSON) != key:
            msg = f"the network of {FEW}/{lesson.name} learned from other masks than there are now"
            cure = f"remove {FEW}/{lesson.name} to train it anew, or choose another --out"
            raise UsageError(msg, code="E_OTHER_RUN", cure=cure)
        return bundle
    keep = lesson_checkpoints(lesson.training, key, resume=request.resume)
    drawn = [name for name in lesson.roles.train if name not in lesson.labels]
    sampled = repeated(drawn, list(lesson.labels), lesson.config.tumor_harvest.drawn_share)
    roles = Roles(train=sampled, validation=lesson.roles.validation)
    logger.info(
        "few: %s learns from %d drawn and %d other masks", lesson.name, len(drawn), len(lesson.labels)
    )
    with (
        watched(lesson.training.parent, work.progress),
        free_device(run.folder, request.places) as device,
    ):
        weights: Weights | None = None if lesson.start is None else read_bundle(lesson.start).weights[STAGE]
        start = Start(config=lesson.config, seed=run.plan.seed, device=chosen_device(device), weights=weights)
        part = fit_stage(STAGES[STAGE], lesson.patients, roles, lesson.learned, start, keep)
    counts: dict[str, JSON] = {"train": len(part.train.ids), "validation": len(part.validation.ids)}
    write_part_alone(
        run, bundle, lesson.name, replace(part, extra={**part.extra, "patients": counts, LESSON: key})
    )
    return bundle


def _harvest(work: _Work, name: str, bundle: Path) -> dict[str, Path]:
    """Let a network draw everybody who is harvested; return the folders of the masks that may teach."""
    drawing = work.drawing(name, bundle)
    places = in_turn(drawing.place, work.cast.harvested, work.request.jobs, f"few: the masks of {name}")
    kept = {patient: place for patient, place in places.items() if not drawing.record(patient)["refused"]}
    logger.info("few: %d of %d masks of %s may teach", len(kept), len(places), name)
    if not kept:
        first = next(iter(places))
        msg = (
            f"none of {counted(len(places), 'mask')} of {FEW}/{name} may teach: "
            f"for example {first}: {drawing.record(first)['refused']}"
        )
        cure = "train longer (tumor.training), draw more, or move the limits of tumor_harvest"
        raise InputError(msg, code="E_NO_LABELS", cure=cure)
    return kept


def _scores(work: _Work, networks: Mapping[str, Path]) -> dict[str, JSON]:
    """Score the three networks on whoever nothing learned from."""
    cast = work.cast
    if not cast.scored:
        return {}
    findings: dict[str, tuple[Finding, Sequence[str]]] = {}
    for name, bundle in networks.items():
        is_arterial = name != FINAL
        finding = Finding(
            folder=work.folder / "found" / name,
            bundle=bundle,
            patients=work.patients,
            phases=work.phases if is_arterial else None,
            device=work.request.device,
        )
        seen = read_bundle(bundle).info.fitted_on_anybody
        for patient in cast.scored:
            seen.require_unseen(patient)
        ids = cast.seen(cast.scored) if is_arterial else cast.scored
        if ids:
            findings[name] = finding, ids
    told = scored_networks(findings, work.folder, jobs=work.request.jobs)
    tell_scores(told)
    return told


def _record(
    work: _Work, masks: Mapping[str, Mapping[str, Path]], scores: Mapping[str, JSON]
) -> dict[str, JSON]:
    """Return what the bundle says of the steps; no id of a patient."""
    cast = work.cast
    patients: dict[str, JSON] = {
        "few": len(cast.few),
        "harvested": len(cast.harvested),
        "judges": len(cast.judges),
        "scored": len(cast.scored),
        "without_arterial": len(cast.left_out),
    }
    return {
        "patients": patients,
        "settings": work.run.plan.config.tumor_harvest.model_dump(mode="json"),
        "taught_by": {name: len(places) for name, places in masks.items()},
        "scores": dict(scores),
    }
