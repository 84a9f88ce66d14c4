"""The three trainings of a harvest: what each network sees, learns from and begins with (Sec. IV-B)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lymphct.anatomy.self_learning import repeated
from lymphct.anatomy.settings import TumorSettings
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Start, Weights
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import FIXED, Sight, fit_sights
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Roles
from lymphct.core.terms import Phase, StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import fingerprint_key
from lymphct.io.results.store import read_done
from lymphct.learning.devices import chosen_device
from lymphct.patients.harvest.arterial_phase import ArterialPhases
from lymphct.patients.harvest.harvested import HarvestedCohort
from lymphct.patients.harvest.steps import Drawing
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.study.bundling import write_part_alone
from lymphct.study.few import Cast
from lymphct.study.in_turn import in_turn
from lymphct.study.keeping import lesson_checkpoints
from lymphct.study.places import free_device
from lymphct.study.plan import Run
from lymphct.study.progress import Progress, watched
from lymphct.study.request import FEW, TrainingRequest

logger = logging.getLogger(__name__)

STAGE: Final = StageName.TUMOR
LESSON: Final = "lesson"
"""Key of what a network learned from, in its own bundle."""


@dataclass(frozen=True, kw_only=True)
class HarvestWork:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestLesson:
    """What one of the three networks learns from.

    Attributes:
        name: of the step, and of its folder.
        patients: as the network sees them.
        roles: who teaches and who chooses.
        config: settings, those of the step.
        learned: how the network sees images.
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
        patients: dict[str, Any] = {
            name: self.patients.patients[name].digest for name in self.roles.everybody
        }
        masks: dict[str, Any] = {
            name: (read_done(place) or {}).get("outputs") for name, place in self.labels.items()
        }
        start = "" if self.start is None else read_bundle(self.start).digest
        return fingerprint_key({"patients": patients, "labels": masks, "start": start})


def arterial_lesson(
    work: HarvestWork, name: str, labels: Mapping[str, Path], start: Path | None = None
) -> HarvestLesson:
    """Return the lesson of a network that sees the arterial phase as acquired, and no other."""
    config, cast = work.run.plan.config, work.cast
    few, judges = cast.seen(cast.few), cast.seen(cast.judges)
    if not judges:
        logger.warning("few: nobody who chooses has an arterial phase: the last epoch of %s counts", name)
    patients = HarvestedCohort(work.patients, labels, work.arterial)
    learned = work.run.plan.learned
    sight = _arterial_sight(patients, few, config) if start is None else _sight_of(start)
    return HarvestLesson(
        name=name,
        patients=patients,
        roles=Roles(train=(*few, *labels), validation=judges),
        config=config.model_copy(update={STAGE.value: _seeing_one_phase(config, is_tuned=start is not None)}),
        learned=replace(learned, sights={**learned.sights, STAGE: sight}),
        labels=labels,
        training=work.folder / name / "stages" / STAGE,
        start=start,
    )


def last_lesson(work: HarvestWork, name: str, labels: Mapping[str, Path]) -> HarvestLesson:
    """Return the lesson of the network that was asked for; it learns last and becomes a part of the run."""
    config, plan = work.run.plan.config, work.run.plan
    training = config.tumor.training
    epochs = max(round(config.tumor_harvest.network_share * training.epochs), 1)
    longer = config.tumor.model_copy(update={"training": training.model_copy(update={"epochs": epochs})})
    return HarvestLesson(
        name=name,
        patients=HarvestedCohort(work.patients, labels),
        roles=Roles(train=(*work.cast.few, *labels), validation=work.cast.judges),
        config=config.model_copy(update={STAGE.value: longer}),
        learned=plan.learned,
        labels=labels,
        training=work.run.stage(STAGE),
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


def trained_network(work: HarvestWork, lesson: HarvestLesson) -> Path:
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
    counts: dict[str, Any] = {"train": len(part.train.ids), "validation": len(part.validation.ids)}
    write_part_alone(
        run, bundle, lesson.name, replace(part, extra={**part.extra, "patients": counts, LESSON: key})
    )
    return bundle
