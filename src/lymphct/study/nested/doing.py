"""What the tasks of a nested cross-validation do, kind by kind."""

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.baselines.table import methods
from lymphct.cascade.evidence import EvidenceSettings, evidence_from, look_at
from lymphct.cascade.examination import Given
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, new_description
from lymphct.cascade.stages import CASCADE, STAGES, Part, Start, Weights
from lymphct.core.errors import DAMAGED, InputError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import NOBODY, FittedOn, Roles
from lymphct.core.terms import PHANTOM_NOTICE, NodeClass, StageName
from lymphct.io.manifest import PatientRecord
from lymphct.io.models.bundles import Bundle, PartInfo, read_bundle, write_bundle
from lymphct.io.models.loading import read_pretrained
from lymphct.io.results.disk import replace_file
from lymphct.io.results.fingerprints import code_version
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.store import DONE_FILE
from lymphct.learning.devices import chosen_device
from lymphct.nodes.features import FEATURES
from lymphct.patients.dataset import PreparedCohort, StoredPatient
from lymphct.patients.guided import Drawing, network_key
from lymphct.patients.prediction_files import installed_versions
from lymphct.patients.preparation import Preparation, prepare_patient
from lymphct.study.evidence import write_evidence
from lymphct.study.guiding import Guided, guided_by
from lymphct.study.keeping import LOG_FILE, Checkpoints
from lymphct.study.nested.building import MASKS, NOTHING, PREDICTIONS, TABLES, VOLUMES
from lymphct.study.nested.first_table import node_volumes
from lymphct.study.nested.guard import BUNDLE, LEARNED_FILE, Artefacts, write_learned
from lymphct.study.nested.judging import Judged, judged_in_fold
from lymphct.study.nested.mask_tables import mask_tables
from lymphct.study.nested.measuring import measured
from lymphct.study.nested.plan import COHORT, CascadeRole, NestedPlan, cascades_of
from lymphct.study.nested.predictions import write_predictions
from lymphct.study.nested.reporting import Source, write_report
from lymphct.study.nested.tables import write_tables
from lymphct.study.tasks.board import Doing
from lymphct.study.tasks.graph import Task

logger = logging.getLogger(__name__)

PREPARED_FILE: Final = "prepared.json"
JUDGED_FILE: Final = "judged.json"
VOLUMES_FILE: Final = "volumes.json"
MEASURED_FILE: Final = "measured.json"
"""How what was found in a test patient agrees with what is drawn."""
LOST_FILE: Final = "lost.json"
"""Patients who could not be examined, with the reason."""
LOGS: Final = "logs"
"""Folder of the run that keeps the log of each training."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What tasks work on.

    Attributes:
        run: folder of the study.
        plan: its facts.
        preparation: how patients are prepared, and where.
        records: lines of the manifests by patient.

    """

    run: Path
    plan: NestedPlan
    preparation: Preparation
    records: Mapping[str, PatientRecord]

    @property
    def artefacts(self) -> Artefacts:
        """The results so far."""
        return Artefacts(self.run, self.plan)

    @property
    def patients(self) -> PreparedCohort:
        """Everybody, as prepared."""
        clinical = {name: entry.clinical for name, entry in self.plan.patients.items()}
        return PreparedCohort(self.preparation.store, clinical)


def do_kind(materials: Materials, task: Task, doing: Doing) -> None:
    """Do a task."""
    _KINDS[task.kind](materials, task, doing)


def _cascade(task: Task) -> CascadeRole:
    arguments = {name: task.arguments[name] for name in CascadeRole.model_fields if name in task.arguments}
    return CascadeRole.model_validate(arguments)


def _prepare(materials: Materials, task: Task, doing: Doing) -> None:
    keys: dict[str, JSON] = {}
    names: Any = task.arguments["patients"]
    for name in names:
        try:
            images = prepare_patient(materials.records[name], materials.preparation)
        except InputError as error:
            raise error.at(patient=name) from error.__cause__
        keys[name] = key_of(images)
    write_json(doing.folder / PREPARED_FILE, keys)


def _learn(materials: Materials, task: Task, doing: Doing) -> None:
    plan, cascade = materials.plan, _cascade(task)
    learned = fit_learned(materials.patients, cascade.roles(plan).train, plan.config)
    if plan.taken:  # who is taken over sees as it always did
        there = Learned.of_bundle(_taken(plan).info)
        learned = replace(learned, sights={**learned.sights, **{s: there.sight(s) for s in plan.taken}})
    write_learned(doing.folder / LEARNED_FILE, learned, plan.salt)


def _taken(plan: NestedPlan) -> Bundle:
    return read_bundle(Path(plan.init or ""))


def _train(materials: Materials, task: Task, doing: Doing) -> None:
    plan, cascade, artefacts = materials.plan, _cascade(task), materials.artefacts
    stage = STAGES[StageName(str(task.arguments["stage"]))]
    roles, config = cascade.roles(plan), plan.settings(cascade.variant)
    learned = artefacts.learned(cascade, roles.validation)
    start = Start(
        config=config,
        parts={name: artefacts.part(cascade, name, roles.validation) for name in stage.needs},
        seed=plan.seed,
        device=chosen_device(doing.device),
    )
    seen = Guided(patients=materials.patients, roles=roles)
    if stage.name is StageName.NODES and plan.sources.networks:
        seen = _guided(materials, cascade, roles, doing.device)
    keep = Checkpoints.open(doing.scratch, resume=True)
    part = fit_stage(stage, seen.patients, seen.roles, learned, start, keep)
    counts: JSON = {"train": len(part.train.ids), "validation": len(part.validation.ids)}
    part = replace(part, extra={**part.extra, **seen.record, "patients": counts})
    _write_parts(doing.folder, plan, learned, {stage.name: part})
    log = materials.run / LOGS / f"{task.id}.jsonl"
    with suppress(OSError):  # nothing depends on it
        log.parent.mkdir(exist_ok=True)
        shutil.copyfile(doing.scratch / LOG_FILE, log)


def _guided(materials: Materials, cascade: CascadeRole, roles: Roles, device: str) -> Guided:
    """Return patients with the masks of the cascade's own networks, as they taught or chose them."""
    bundle = materials.artefacts.place(f"networks.{cascade.shared}") / BUNDLE
    stages = materials.plan.sources.networks
    key = network_key(read_bundle(bundle).info, stages)
    drawing = Drawing(bundle=bundle, stages=stages, networks=key, device=device)
    return guided_by(materials.patients, drawing, roles)


def _write_parts(folder: Path, plan: NestedPlan, learned: Learned, parts: Mapping[StageName, Part]) -> None:
    described = {name: part.described(plan.salt) for name, part in parts.items()}
    thresholds = {name: value for part in parts.values() for name, value in part.thresholds.items()}
    weights = {name: part.weights for name, part in parts.items()}
    _write_bundle(folder, plan, learned, (described, weights, thresholds))


def _write_bundle(
    folder: Path,
    plan: NestedPlan,
    learned: Learned,
    content: tuple[Mapping[StageName, PartInfo], Mapping[StageName, Weights], Mapping[str, float]],
) -> None:
    parts, weights, thresholds = content
    if StageName.TUMOR not in parts and StageName.TUMOR in learned.sights:
        # The status methods see as the tumor network would: the bundle says so without it.
        sight = learned.sights[StageName.TUMOR]
        fitted_on = (
            learned.fitted_on
            if sight.fitted_on == NOBODY
            else {**learned.fitted_on, "intensity": sight.fitted_on}
        )
        learned = replace(learned, intensity=sight.phases, fitted_on=fitted_on)
    info = new_description(plan.name, learned, plan.config, salt=plan.salt, is_phantom=plan.is_phantom)
    info = info.model_copy(
        update={
            "parts": dict(parts),
            "thresholds": dict(thresholds),
            "code_version": code_version(),
            "structures_source": plan.structures_source,
            "tumor_source": plan.tumor_source,
        }
    )
    card = "Networks of one fold of a cross-validation. They know its training patients: see `bundle.json`.\n"
    write_bundle(folder / BUNDLE, info, {name.value: tensors for name, tensors in weights.items()}, card)


def _networks(materials: Materials, task: Task, doing: Doing) -> None:
    stages = (StageName.STRUCTURES, StageName.TUMOR)
    _gather(materials, _cascade(task), doing.folder, stages)


def _bundle(materials: Materials, task: Task, doing: Doing) -> None:
    _gather(materials, _cascade(task), doing.folder, CASCADE)


def _gather(materials: Materials, cascade: CascadeRole, folder: Path, stages: tuple[StageName, ...]) -> None:
    """Put parts of a cascade, and those that are taken over, into one bundle."""
    plan, artefacts = materials.plan, materials.artefacts
    bundles = {
        stage: _taken(plan) if stage in plan.taken else artefacts.bundle_of_part(cascade, stage)
        for stage in stages
        if stage not in plan.given
    }
    parts = {stage: bundle.info.parts[stage] for stage, bundle in bundles.items()}
    weights = {stage: bundle.weights[stage] for stage, bundle in bundles.items()}
    thresholds = {
        name: bundle.info.thresholds[name]
        for stage, bundle in bundles.items()
        for name in STAGES[stage].thresholds
        if name in bundle.info.thresholds
    }
    _write_bundle(folder, plan, artefacts.learned(cascade), (parts, weights, thresholds))


def _examine(materials: Materials, task: Task, doing: Doing) -> None:
    """Examine patients one by one; a kill costs the one under way."""
    plan, cascade, cohort = materials.plan, _cascade(task), str(task.arguments["cohort"])
    names = cascade.examined(plan) if cohort == COHORT else plan.ids(cohort)
    models = _as_variant(materials.artefacts.models(cascade.trained, names, doing.device), plan, cascade)
    asked: Any = plan.extras.get(cascade.variant, ())  # needs of methods, as the table of methods has them
    settings = EvidenceSettings.of(plan.settings(cascade.variant), asked)
    patients, lost = materials.patients, {}
    tested = set(plan.outer_folds[cascade.fold - 1].outer.test) if cohort == COHORT else set()
    for name in names:

        def write(folder: Path, patient: StoredPatient) -> None:
            found = look_at(patient, models, settings, _given(plan, patient))
            write_evidence(folder, evidence_from(patient, found, models, settings))
            if patient.patient_id in tested:
                write_json(folder / MEASURED_FILE, measured(patient, found, models, plan.given))

        try:
            recipe = Recipe(settings={"patient": name}, code=("study.nested.measuring",))
            made(doing.scratch / name, recipe, partial(write, patient=patients[name]))
        except InputError as error:
            if error.code == DAMAGED:  # the next start mends it
                raise
            logger.warning("left out: %s", error.at(patient=name))
            lost[name] = str(error)
    for name in names:
        if name not in lost:
            shutil.copytree(
                doing.scratch / name, doing.folder / name, ignore=shutil.ignore_patterns(DONE_FILE)
            )
    write_json(doing.folder / LOST_FILE, {**lost})


def _as_variant(models: Models, plan: NestedPlan, cascade: CascadeRole) -> Models:
    """Return networks of another variant as those of one that differs at inference alone."""
    if cascade.trained == cascade or models.nodes is None:
        return models
    gate = plan.settings(cascade.variant).nodes.hard_gate
    settings = models.nodes.settings.model_copy(update={"hard_gate": gate})
    return replace(models, nodes=replace(models.nodes, settings=settings))


def _given(plan: NestedPlan, patient: StoredPatient) -> Given:
    return Given(
        structures=patient.structures if StageName.STRUCTURES in plan.given else None,
        tumor=patient.tumor if StageName.TUMOR in plan.given else None,
    )


def _judge(materials: Materials, task: Task, doing: Doing) -> None:
    plan = materials.plan
    fold, name, variant = (
        int(str(task.arguments["fold"])),
        str(task.arguments["method"]),
        str(task.arguments["variant"]),
    )
    nested = plan.outer_folds[fold - 1]
    views = _Views(materials, fold, variant)
    train, validation = (
        [item for patient in ids if (item := views.learned_from(patient)) is not None]
        for ids in (nested.roles.train, nested.roles.validation)
    )
    others = [patient for cohort in plan.cohorts if cohort != COHORT for patient in plan.ids(cohort)]
    asked = {patient: views.asked(patient) for patient in (*nested.outer.test, *others)}
    kinetics, imagenet = (
        None if place is None else read_pretrained(Path(place)).tensors
        for place in (plan.kinetics, plan.imagenet)
    )
    method = methods(plan.config.baselines, kinetics, imagenet)[name](plan.config.metastasis)
    found = judged_in_fold(method, train, validation, asked, seed=plan.seed)
    write_json(doing.folder / JUDGED_FILE, _judged_record(found, plan, method.name))


@dataclass(frozen=True, slots=True)
class _Views:
    """Patients as the cascades of an outer fold see them."""

    materials: Materials
    fold: int
    variant: str

    @property
    def _cascades(self) -> tuple[CascadeRole, ...]:
        return cascades_of(self.materials.plan, self.fold, self.variant)

    def learned_from(self, patient: str) -> Evidence | None:
        """Return a patient as the cascade does who examined him for the methods."""
        if self.variant == NOTHING:
            return self._bare(patient)
        plan = self.materials.plan
        for cascade in self._cascades:
            part = cascade.part(plan)
            if patient in part.test or not part.test:
                return self.materials.artefacts.evidence(cascade, COHORT, patient)
        return None

    def asked(self, patient: str) -> list[Evidence]:
        """Return a patient as every cascade of the fold does, none of which knows him."""
        if self.variant == NOTHING:
            return [self._bare(patient)]
        cohort = self.materials.plan.patients[patient].cohort
        artefacts = self.materials.artefacts
        found = [artefacts.evidence(cascade, cohort, patient) for cascade in self._cascades]
        return [item for item in found if item is not None]

    def _bare(self, patient: str) -> Evidence:
        return Evidence(
            patient=patient,
            patches=None,
            tumor_volume=0.0,
            nodes=(),
            features=np.zeros((0, len(FEATURES))),
            clinical=self.materials.plan.patients[patient].clinical,
            fitted_on=NOBODY,
            is_searched=False,
        )


def _judged_record(found: Judged, plan: NestedPlan, name: str) -> dict[str, JSON]:
    return {
        "method": name,
        "threshold": found.threshold,
        "fitted_on": [*FittedOn.of(found.fitted_on).hashed(plan.salt)],
        "verdicts": [
            {
                "patient": verdict.patient,
                "score": verdict.score,
                "call": verdict.call,
                "lacking": list(verdict.lacking),
            }
            for verdict in found.verdicts
        ],
    }


def _predict(materials: Materials, task: Task, doing: Doing) -> None:
    files = {name: materials.artefacts.place(name) / JUDGED_FILE for name in task.after}
    write_predictions(doing.folder, materials.plan, files)


def _tabulate(materials: Materials, task: Task, doing: Doing) -> None:
    artefacts = materials.artefacts
    volumes: Any = read_json(artefacts.place(VOLUMES) / VOLUMES_FILE) if VOLUMES in task.after else {}
    write_tables(doing.folder, materials.plan, artefacts.place(PREDICTIONS), volumes)


def _score_masks(materials: Materials, task: Task, doing: Doing) -> None:
    """Put together what the cascades drew in test patients (Tab. III to Tab. V)."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    examined: Any = task.arguments["examined"]
    for name, variant in examined.items():
        for file in sorted(materials.artefacts.place(name).glob(f"*/{MEASURED_FILE}")):
            record: Any = read_json(file)
            found.setdefault(variant, {}).setdefault(file.parent.name, []).append(record)
    notes = (PHANTOM_NOTICE,) if materials.plan.is_phantom else ()
    for table in mask_tables(found, materials.plan.seed, notes):
        for name, content in table.forms().items():
            replace_file(doing.folder / name, content)


def _measure(materials: Materials, _task: Task, doing: Doing) -> None:
    """Measure the drawn lymph nodes of everybody, for Tab. I."""
    found: dict[str, JSON] = {}
    for name, patient in materials.patients.items():
        volumes = node_volumes(patient)
        found[name] = {
            kind.label: list(volumes.get(kind, ())) for kind in (NodeClass.POSITIVE, NodeClass.NEGATIVE)
        }
    write_json(doing.folder / VOLUMES_FILE, found)


def _report(materials: Materials, task: Task, doing: Doing) -> None:
    artefacts = materials.artefacts
    source = Source(
        plan=materials.plan,
        predicted=artefacts.place(PREDICTIONS),
        tables=artefacts.place(TABLES),
        masks=artefacts.place(MASKS) if MASKS in task.after else None,
        versions=installed_versions(),
    )
    write_report(doing.folder, source)


_KINDS: Final[Mapping[str, Callable[[Materials, Task, Doing], None]]] = {
    "prepare": _prepare,
    "learned": _learn,
    "train": _train,
    "networks": _networks,
    "bundle": _bundle,
    "examine": _examine,
    "judge": _judge,
    "predictions": _predict,
    "volumes": _measure,
    "masks": _score_masks,
    "tables": _tabulate,
    "report": _report,
}
"""Kind → what is done; one more is one more line."""
