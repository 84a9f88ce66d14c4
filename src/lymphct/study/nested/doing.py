"""What the tasks of a nested cross-validation do, kind by kind."""

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from lymphct.cascade.evidence import EvidenceSettings, evidence_from, look_at
from lymphct.cascade.examination import Given
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, new_description
from lymphct.cascade.parts import Part, Start, Weights
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import CASCADE, STAGES
from lymphct.core.errors import DAMAGED, InputError
from lymphct.core.leakage import NOBODY, Roles
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import Bundle, PartInfo, read_bundle, write_bundle
from lymphct.io.results.fingerprints import code_version
from lymphct.io.results.jsonfile import write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.store import DONE_FILE
from lymphct.learning.devices import chosen_device
from lymphct.nodes.found import FoundNodes
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.guided import Drawing, network_key
from lymphct.patients.prepared.preparation import prepare_patient
from lymphct.study.evidence import write_evidence
from lymphct.study.found_nodes import Seen, search_out_of_fold
from lymphct.study.guiding import Guided, fit_guided, guided_by
from lymphct.study.keeping import LOG_FILE, Checkpoints
from lymphct.study.kept_radiomics import KeptRadiomics
from lymphct.study.nested.ending import judge, measure_nodes, predict, report, score_masks, tabulate
from lymphct.study.nested.guard import BUNDLE, LEARNED_FILE, write_learned
from lymphct.study.nested.materials import (
    LOGS,
    LOST_FILE,
    MEASURED_FILE,
    RADIOMICS,
    Materials,
    cascade_of,
)
from lymphct.study.nested.measuring import measured
from lymphct.study.nested.plan import COHORT, CascadeRole, NestedPlan
from lymphct.study.nested.seen import keeps_seen, write_seen
from lymphct.study.request import FOUND
from lymphct.study.tasks.board import Doing
from lymphct.study.tasks.graph import Task
from lymphct.study.tasks.receipts import PREPARED_FILE, write_receipt

logger = logging.getLogger(__name__)

EXAMINING: Final = ("study.nested.measuring", "study.nested.seen")
"""Whose code what is kept of a test patient depends on."""


def do_kind(materials: Materials, task: Task, doing: Doing) -> None:
    """Do a task."""
    _KINDS[task.kind](materials, task, doing)


def _prepare(materials: Materials, task: Task, doing: Doing) -> None:
    images: dict[str, Path] = {}
    names: Any = task.arguments["patients"]
    for name in names:
        try:
            images[name] = prepare_patient(materials.records[name], materials.preparation)
        except InputError as error:
            raise error.at(patient=name) from error.__cause__
    write_receipt(doing.folder / PREPARED_FILE, images)


def _learn(materials: Materials, task: Task, doing: Doing) -> None:
    plan, cascade = materials.plan, cascade_of(task)
    learned = fit_learned(materials.patients, cascade.roles(plan).train, plan.settings(cascade.variant))
    if plan.taken:  # who is taken over sees as it always did
        there = Learned.of_bundle(_taken(plan).info)
        learned = replace(learned, sights={**learned.sights, **{s: there.sight(s) for s in plan.taken}})
    write_learned(doing.folder / LEARNED_FILE, learned, plan.salt)


def _taken(plan: NestedPlan) -> Bundle:
    return read_bundle(Path(plan.init or ""))


def _train(materials: Materials, task: Task, doing: Doing) -> None:
    plan, cascade, artefacts = materials.plan, cascade_of(task), materials.artefacts
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
    is_placed = stage.name is StageName.IDENTIFICATION and config.identification.head.place_features
    if (stage.name is StageName.NODES or is_placed) and plan.sources.networks:
        seen = _guided(materials, cascade, roles, doing.device)
    if stage.name is StageName.IDENTIFICATION and config.identification.found.learn:
        start = replace(start, found=_found_nodes(materials, cascade, start, doing))
    keep = Checkpoints.open(doing.scratch, resume=True)
    part = fit_guided(stage, seen, learned, start, keep)
    _write_parts(doing.folder, (plan, config), learned, {stage.name: part})
    log = materials.run / LOGS / f"{task.id}.jsonl"
    with suppress(OSError):  # nothing depends on it
        log.parent.mkdir(exist_ok=True)
        shutil.copyfile(doing.scratch / LOG_FILE, log)


def _found_nodes(
    materials: Materials, cascade: CascadeRole, start: Start, doing: Doing
) -> Mapping[str, FoundNodes]:
    """Let stage 1 search those stage 2 learns from, seen as the cascade's own stage 1 sees them."""
    roles = cascade.roles(materials.plan)
    guided = Guided(patients=materials.patients, roles=roles)
    if materials.plan.sources.networks:
        guided = _guided(materials, cascade, roles, doing.device)
    seen = Seen(
        patients=guided.patients,
        learned=materials.artefacts.learned(cascade, roles.validation),
        start=start,
    )
    return search_out_of_fold(doing.scratch / FOUND, seen, guided.roles)


def _guided(materials: Materials, cascade: CascadeRole, roles: Roles, device: str) -> Guided:
    """Return patients with the masks of the cascade's own networks, as they taught or chose them."""
    bundle = materials.artefacts.place(f"networks.{cascade.shared}") / BUNDLE
    stages = materials.plan.sources.networks
    key = network_key(read_bundle(bundle).info, stages)
    drawing = Drawing(bundle=bundle, stages=stages, networks=key, device=device)
    return guided_by(materials.patients, drawing, roles)


def _write_parts(
    folder: Path, whose: tuple[NestedPlan, Config], learned: Learned, parts: Mapping[StageName, Part]
) -> None:
    plan = whose[0]
    described = {name: part.described(plan.salt) for name, part in parts.items()}
    thresholds = {name: value for part in parts.values() for name, value in part.thresholds.items()}
    weights = {name: part.weights for name, part in parts.items()}
    _write_bundle(folder, whose, learned, (described, weights, thresholds))


def _write_bundle(
    folder: Path,
    whose: tuple[NestedPlan, Config],
    learned: Learned,
    content: tuple[Mapping[StageName, PartInfo], Mapping[StageName, Weights], Mapping[str, float]],
) -> None:
    plan, config = whose
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
    info = new_description(plan.name, learned, config, salt=plan.salt, is_phantom=plan.is_phantom)
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
    _gather(materials, cascade_of(task), doing.folder, stages)


def _bundle(materials: Materials, task: Task, doing: Doing) -> None:
    _gather(materials, cascade_of(task), doing.folder, CASCADE)


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
    whose = plan, plan.settings(cascade.variant)
    _write_bundle(folder, whose, artefacts.learned(cascade), (parts, weights, thresholds))


def _examine(materials: Materials, task: Task, doing: Doing) -> None:
    """Examine patients one by one; a kill costs the one under way."""
    plan, cascade, cohort = materials.plan, cascade_of(task), str(task.arguments["cohort"])
    names = cascade.examined(plan) if cohort == COHORT else plan.ids(cohort)
    models = _as_variant(materials.artefacts.models(cascade.trained, names, doing.device), plan, cascade)
    asked: Any = plan.extras.get(cascade.variant, ())  # needs of methods, as the table of methods has them
    settings = EvidenceSettings.of(plan.settings(cascade.variant), asked)
    patients, lost = materials.patients, {}
    kept = KeptRadiomics(materials.run / RADIOMICS)
    tested = set(plan.outer_folds[cascade.fold - 1].outer.test) if cohort == COHORT else set()
    for name in names:

        def write(folder: Path, patient: StoredPatient) -> None:
            found = look_at(patient, models, settings, _given(plan, patient))
            write_evidence(folder, evidence_from(patient, found, models, settings, kept))
            if patient.patient_id in tested:
                write_json(folder / MEASURED_FILE, measured(patient, found, models, plan.given))
                if keeps_seen(cascade):
                    write_seen(folder, found)

        try:
            recipe = Recipe(settings={"patient": name}, code=EXAMINING)
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


_KINDS: Final[Mapping[str, Callable[[Materials, Task, Doing], None]]] = {
    "prepare": _prepare,
    "learned": _learn,
    "train": _train,
    "networks": _networks,
    "bundle": _bundle,
    "examine": _examine,
    "judge": judge,
    "predictions": predict,
    "volumes": measure_nodes,
    "masks": score_masks,
    "tables": tabulate,
    "report": report,
}
"""Kind → what is done; one more is one more line."""
