"""What a training or a cross-validation would do and what stands in its way, before anything is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError
from lymphct.core.leakage import Roles
from lymphct.core.terms import StageName
from lymphct.evaluation.folds import Fold, stratified_folds
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.results.usable import require_usable
from lymphct.learning.devices import chosen_device
from lymphct.patients.foresight.checking import column_notices
from lymphct.patients.foresight.foreseeing import looked_at, memory_need, weak_memory
from lymphct.patients.foresight.inventory import is_held_out, taken_inventory
from lymphct.patients.foresight.outlook import Lesson, Outlook, Purpose, Share
from lymphct.patients.foresight.problems import Problem, by_line, found_by, of_manifest
from lymphct.patients.foresight.space import require_room, room_to_prepare
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.begun import begun_refusals, foreseen_sources, laid_bundle, planned_split
from lymphct.study.bundling import init_refusals
from lymphct.study.few import chosen_cast, few_refusals, with_some_kept_aside
from lymphct.study.lessons import (
    foreseen_nodes,
    lesson,
    lesson_notices,
    lesson_refusals,
    phase_notices,
    share_notices,
    shares,
)
from lymphct.study.needs import parts_needs, require_needs
from lymphct.study.plan import Part, PatientPlan
from lymphct.study.request import TrainingRequest
from lymphct.study.single.split import split_cohort
from lymphct.study.sources import MaskSources, chosen_sources
from lymphct.study.starting import start_refusals
from lymphct.study.teaching import chosen_teachers

FOLDS: Final = 5
"""Of the cross-validation (Sec. IV-A)."""

PARTS: Final[tuple[Part, ...]] = ("train", "validation", "fusion_train", "fusion_validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Who would teach what, and what was found on the way."""

    purpose: Purpose
    learners: Sequence[PatientRecord]
    parts: tuple[Share, ...]
    lessons: Sequence[Lesson]
    problems: list[Problem]


def foresee_training(manifest: Manifest, request: TrainingRequest, stage: StageName | None = None) -> Outlook:
    """Return what a training would do and everything that forbids it; nothing is made, no image is read.

    Args:
        manifest: where the records of the request come from.
        request: the training.
        stage: the one to train; None for all.

    """
    request = with_some_kept_aside(request)
    stages = tuple(STAGES) if stage is None else (stage,)
    init, problems = None, []
    if request.init is None:
        for name in dict.fromkeys(request.places):
            problems += found_by(partial(chosen_device, name))
    else:
        init, refused = looked_at(request.init, request.device)
        problems += refused
    sources = foreseen_sources(request, init)
    split, unsplit = _split(request, sources)
    problems = [*unsplit, *problems]
    roles = {name: _roles(split, name) for name in stages}
    problems += map(Problem.of, begun_refusals(request, stage, split, init))
    if init is not None and stage is not None:
        problems += map(
            Problem.of, init_refusals(init, request.config, stage, roles[stage], laid_bundle(request.folder))
        )
    if request.start_from is not None and stage is not None:
        problems += _start_problems(request, stage, roles[stage], init)
    records = {record.patient_id: record for record in request.teachers if record.patient_id in split}
    lessons = (
        [
            lesson(name, roles[name], records, request.config, sources, is_taught=is_taught(request, name))
            for name in stages
        ]
        if split
        else []
    )
    if request.teaching is not None and split:
        problems += found_by(lambda: chosen_teachers(request, roles[StageName.STRUCTURES].train))
    if request.few:
        lessons, refused = _harvest(request, roles[StageName.TUMOR], lessons)
        problems += refused
    needy = tuple(name for name in stages if not is_taught(request, name))
    if split and not any(
        list(lesson_refusals(found)) for found in lessons
    ):  # those say the same of training patients, stage by stage
        problems += found_by(
            lambda: require_needs(split, parts_needs(request.teachers, None, sources), needy)
        )
    course = _Course(
        purpose="train",
        learners=list(records.values()),
        parts=shares({part: _ids(split, part) for part in PARTS} if split else {}, records),
        lessons=lessons,
        problems=problems,
    )
    return _outlook(manifest, request, course)


def _harvest(
    request: TrainingRequest, roles: Roles, lessons: list[Lesson]
) -> tuple[list[Lesson], list[Problem]]:
    """Return the lesson of the tumor network with who is harvested and scored, or why nobody can be."""
    hopeless = list(few_refusals(request))
    if hopeless or not lessons:
        return lessons, list(map(Problem.of, hopeless))
    try:
        cast = chosen_cast(request, roles)
    except InputError as error:
        return lessons, [Problem.of(error)]
    harvested, scored = len(cast.harvested), len(cast.scored)
    return [replace(found, harvested=harvested, scored=scored) for found in lessons], []


def is_taught(request: TrainingRequest, stage: StageName) -> bool:
    """Tell whether the masks of a teacher stand for drawn ones."""
    return stage is StageName.STRUCTURES and request.teaching is not None


def _start_problems(
    request: TrainingRequest, stage: StageName, roles: Roles, init: BundleInfo | None
) -> list[Problem]:
    """Return why the stage cannot go on from that of the bundle given with `--from`."""
    info, problems = looked_at(request.start_from, request.device) if request.start_from else (None, [])
    if info is None:
        return problems
    others = (init, laid_bundle(request.folder))
    return [*problems, *map(Problem.of, start_refusals(info, request.config, stage, roles, others))]


def foresee_crossval(manifest: Manifest, request: TrainingRequest) -> Outlook:
    """Return what a cross-validation in five folds would do and what forbids it (Sec. IV-A).

    A stage learns in every fold; told is the fold in which it has fewest patients to learn from.
    """
    records = {r.patient_id: r for r in request.records if not r.is_excluded and not is_held_out(r)}
    problems = found_by(lambda: chosen_device(request.device))
    folds: Sequence[Fold] = ()
    try:
        strata = {name: f"{record.n_status} {record.tumor_location}" for name, record in records.items()}
        folds = stratified_folds(strata, FOLDS, request.seed)
    except InputError as error:
        problems.append(Problem.of(error))
    parts: dict[str, Sequence[str]] = {}
    for number, fold in enumerate(folds, start=1):
        parts |= {f"fold {number} {name}": getattr(fold, name) for name in ("train", "validation", "test")}
    every_roles = [Roles(train=fold.train, validation=fold.validation) for fold in folds]
    sources = chosen_sources(request.config.cascade, list(records.values()))
    every = [
        [lesson(name, roles, records, request.config, sources) for roles in every_roles] for name in STAGES
    ]
    course = _Course(
        purpose="crossval",
        learners=list(records.values()),
        parts=shares(parts, records),
        lessons=[min(found, key=_scarcity) for found in every if found],
        problems=problems,
    )
    return _outlook(manifest, request, course)


def _split(request: TrainingRequest, sources: MaskSources) -> tuple[Mapping[str, PatientPlan], list[Problem]]:
    """Return the split of the run that was begun; before, the one that the manifest alone allows."""
    try:
        nodes = foreseen_nodes(request.teachers)
        return planned_split(request) or split_cohort(request.teachers, request.seed, nodes, sources), []
    except InputError as error:
        return {}, [Problem.of(error)]


def _ids(split: Mapping[str, PatientPlan], part: Part) -> tuple[str, ...]:
    return tuple(sorted(name for name, entry in split.items() if entry.part == part))


def _roles(split: Mapping[str, PatientPlan], stage: StageName) -> Roles:
    if stage is StageName.METASTASIS:
        return Roles(train=_ids(split, "fusion_train"), validation=_ids(split, "fusion_validation"))
    return Roles(train=_ids(split, "train"), validation=_ids(split, "validation"))


def _scarcity(found: Lesson) -> tuple[int, int]:
    return min(found.classes.values(), default=found.train), found.train


def _outlook(manifest: Manifest, request: TrainingRequest, course: _Course) -> Outlook:
    preparation = Preparation(
        folder=request.work or request.folder / "prepared",
        spacing=request.config.imaging.spacing,
        registration=request.config.registration,
        labels=request.labels,
    )
    problems = list(course.problems)
    for folder in dict.fromkeys((request.folder, preparation.folder)):
        problems += found_by(lambda folder=folder: require_usable(folder))  # type: ignore[misc] # bound now
    problems += map(Problem.of, chain.from_iterable(map(lesson_refusals, course.lessons)))
    disk = room_to_prepare(course.learners, preparation, preparation.folder)
    problems += found_by(lambda: require_room(disk, preparation.folder))
    memory = memory_need(course.learners, preparation)
    chosen = chain.from_iterable(map(lesson_notices, course.lessons))
    return Outlook(
        purpose=course.purpose,
        inventory=taken_inventory(manifest.patients),
        parts=course.parts,
        lessons=tuple(course.lessons),
        jobs=request.jobs,
        memory=memory,
        disk=disk,
        notices=(
            *column_notices(manifest),
            *weak_memory(memory, request.jobs),
            *share_notices([part for part in course.parts if part.patients]),
            *phase_notices(course.learners, request.config),
            *chosen,
        ),
        problems=by_line([*problems, *of_manifest(manifest, all_stop=True)]),
    )
