"""Self-learning of structures in rounds: a teacher's masks, a student, its masks again (Sec. III-A.1).

Every step lies in the folder of the run and is made once: the teacher's masks of each patient, how they agree
with drawn ones, the labels of the student, the student (decision 0040).
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lymphct.anatomy.self_learning import Overlap, incomplete, overlaps, repeated
from lymphct.anatomy.structures import segment_structures
from lymphct.cascade.alignment import normalized
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.sight import fit_sights
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import Roles
from lymphct.core.origin import united
from lymphct.core.terms import STRUCTURES_BY_NAME, StageName, Structure
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import fingerprint_key
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.store import read_done
from lymphct.learning.devices import chosen_device
from lymphct.patients.sources.taught import LABELS, TEACHER, Round, TaughtCohort, TaughtPatient, drawn_in
from lymphct.patients.sources.teachers import BundleSource, MaskSource
from lymphct.study.bundling import add_part, write_part_alone
from lymphct.study.in_turn import in_turn
from lymphct.study.keeping import lesson_checkpoints
from lymphct.study.places import free_device
from lymphct.study.plan import Run
from lymphct.study.progress import Progress, watched
from lymphct.study.request import SELF_LEARNING, TrainingRequest
from lymphct.study.teaching import chosen_teachers

if TYPE_CHECKING:
    from lymphct.anatomy.settings import StructureSettings
    from lymphct.learning.unet import SegmentationNetwork

logger = logging.getLogger(__name__)

STAGE: Final = StageName.STRUCTURES
JUDGEMENT: Final = "judgement"
"""Folder of how the teacher agrees with what was drawn."""
RECORD_FILE: Final = "record.json"

Scores = Mapping[Structure, tuple[float, int]]
"""Mean Dice over patients, and how many they are."""


def teach_structures(run: Run, request: TrainingRequest, progress: Progress | None = None) -> None:
    """Train the structures network of a run on a teacher's masks and drawn ones, and add it to the bundle.

    Args:
        run: prepared, with its bundle laid.
        request: with what teaches, and in how many rounds.
        progress: called after every epoch.

    Raises:
        InputError: a mask of the teacher cannot be used, or nobody has any label.
        LeakageError: a teacher learned from patients who must not teach.
        UsageError: the training was begun and is not resumed, or its labels are others now.

    """
    if STAGE in read_bundle(run.bundle).info.parts:
        logger.info("%s: already in the bundle", STAGE)
        return
    if request.teaching is None:
        msg = "nobody teaches"
        raise UsageError(msg, cure="give --teacher")
    sources: tuple[MaskSource, ...] = chosen_teachers(request, run.plan.roles(STAGE).train)
    origins = united(*(source.origins for source in sources))
    history: list[JSON] = []
    for number in range(1, request.teaching.rounds + 1):
        folder = run.folder / SELF_LEARNING / f"round-{number}"
        if number == request.teaching.rounds:
            with watched(run.folder / "stages", progress):
                part = _taught(run, request, _Step(number, folder, sources, run.stage(STAGE)), history)
            add_part(run, part, origins)
            return
        bundle = folder / "bundle"
        if not bundle.exists():
            with watched(folder / "stages", progress):
                step = _Step(number, folder, sources, folder / "stages" / STAGE)
                student = _taught(run, request, step, history)
                write_part_alone(run, bundle, f"round-{number}", student)
        told = read_bundle(bundle).info.parts[STAGE].extra.get(SELF_LEARNING)
        history = list(told) if isinstance(told, list) else []
        sources = (BundleSource(bundle, request.device),)


@dataclass(frozen=True, slots=True)
class _Step:
    """A round: its number, its folder, who teaches, and where the training keeps its checkpoints."""

    number: int
    folder: Path
    sources: tuple[MaskSource, ...]
    training: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What a student learns from, and what is known of it."""

    patients: TaughtCohort
    roles: Roles
    judgement: Mapping[str, Any]
    record: Mapping[str, JSON]
    key: str


def _taught(run: Run, request: TrainingRequest, step: _Step, history: Sequence[JSON]) -> Part:
    """Let the teacher speak, train the student, and score both on validation patients."""
    lesson = _lesson(run, request, step)
    keep = lesson_checkpoints(step.training, lesson.key, resume=request.resume)
    with free_device(run.folder, request.places) as device:
        start = Start(config=run.plan.config, seed=run.plan.seed, device=chosen_device(device))
        learned = _learned(run, lesson)
        roles = Roles(train=_sampled(run, lesson), validation=lesson.roles.validation)
        part = fit_stage(STAGES[STAGE], lesson.patients, roles, learned, start, keep)
    scores = _scored(run, part, lesson, request)
    record: dict[str, JSON] = {"round": step.number, **lesson.record, "validation": scores}
    write_json(step.folder / RECORD_FILE, record)
    _tell(step.number, scores)
    extra: dict[str, JSON] = {SELF_LEARNING: [*history, record]}
    extra["patients"] = {"train": len(part.train.ids), "validation": len(part.validation.ids)}
    return replace(part, extra={**part.extra, **_shown(lesson), **extra})


def _lesson(run: Run, request: TrainingRequest, step: _Step) -> _Lesson:
    records = {record.patient_id: record for record in request.teachers}
    roles = run.plan.roles(STAGE)
    work = Round(
        folder=step.folder,
        sources=step.sources,
        settings=run.plan.config.self_learning,
        records=records,
        patients=run.patients,
    )
    judges = [name for name in roles.validation if run.patients[name].view("structures") is not None]
    in_turn(work.teacher, [*roles.train, *judges], request.jobs, f"round {step.number}: the teacher's masks")
    judgement = _judged(work, roles.train, judges)
    untold = tuple(
        s for s in Structure if s.label in judgement["drawn_alone"] or not judgement["told_in"].get(s.label)
    )
    places = in_turn(
        partial(work.labels, untold=untold), roles.train, request.jobs, f"round {step.number}: the labels"
    )
    cohort = TaughtCohort(run.patients, places)
    taught = [name for name in roles.train if cast("TaughtPatient", cohort[name]).is_taught]
    if not taught:
        msg = "neither the teacher nor anybody else has a mask of any training patient"
        raise InputError(msg, code="E_NO_LABELS", cure="check --teacher, or fill the column structures")
    return _Lesson(
        patients=cohort,
        roles=Roles(train=tuple(taught), validation=tuple(judges)),
        judgement=judgement,
        record=_record(work, taught, judgement),
        key=fingerprint_key(
            {LABELS: {name: (read_done(places[name]) or {}).get("outputs") for name in taught}}
        ),
    )


def _judged(work: Round, train: Sequence[str], judges: Sequence[str]) -> dict[str, Any]:
    """Return how the teacher agrees with what was drawn, read from the folder of the round."""
    names: dict[str, JSON] = {"train": list(train), "validation": list(judges)}
    everybody = [*train, *judges]
    recipe = Recipe(
        inputs={
            **{f"{TEACHER}/{name}": key_of(work.teacher(name)) for name in everybody},
            **{f"images/{name}": work.patients[name].digest for name in everybody},
        },
        settings={"patients": names, "least_recall": work.settings.least_recall},
        code=("anatomy.self_learning", "study.self_learning"),
    )
    place = made(work.folder / JUDGEMENT, recipe, partial(_judge, work=work, train=train, judges=judges))
    found: Any = read_json(place / RECORD_FILE)  # written by `_judge`
    return dict(found)


def _judge(folder: Path, *, work: Round, train: Sequence[str], judges: Sequence[str]) -> None:
    told_in: Counter[Structure] = Counter()
    pooled: dict[Structure, Overlap] = {}
    dices: dict[Structure, list[float]] = {}
    for name in (*train, *judges):
        told, drawn = work.told(name), drawn_in(work.patients[name])
        if told is None:
            continue
        if name in train:
            told_in.update(s for s in told.structures if np.any(told.labels.array == s))
        if drawn is None:
            continue
        measured = overlaps(told.labels, drawn, told.structures)
        if name in train:
            for structure, overlap in measured.items():
                pooled[structure] = pooled.get(structure, Overlap(0, 0, 0)) + overlap
        else:
            _add_dices(dices, measured)
    # What occurs in nobody the teacher does not know, whatever its numbering could tell apart.
    pooled = {s: overlap for s, overlap in pooled.items() if s in told_in}
    dices = {s: values for s, values in dices.items() if s in told_in}
    write_json(
        folder / RECORD_FILE,
        {
            "told_in": {s.label: count for s, count in sorted(told_in.items())},
            "recall": {s.label: overlap.recall for s, overlap in sorted(pooled.items())},
            "drawn_alone": {s.label: share for s, share in incomplete(pooled, work.settings).items()},
            "validation": {s.label: [float(np.mean(d)), len(d)] for s, d in sorted(dices.items())},
        },
    )


def _add_dices(dices: dict[Structure, list[float]], found: Mapping[Structure, Overlap]) -> None:
    for structure, overlap in found.items():
        if overlap.drawn and overlap.dice is not None:
            dices.setdefault(structure, []).append(overlap.dice)


def _record(work: Round, taught: Sequence[str], judgement: Mapping[str, Any]) -> dict[str, JSON]:
    origin: Counter[str] = Counter()
    withheld: Counter[str] = Counter()
    for name in taught:
        by_hand = work.patients[name].view("structures") is not None
        by_teacher = work.told_record(name)["structures"] is not None
        origin["both" if by_hand and by_teacher else "drawn" if by_hand else "teacher"] += 1
        withheld.update(list(work.told_record(name)["refused"]))
    return {
        "teacher": [source.name for source in work.sources],
        "settings": work.settings.model_dump(mode="json"),
        "patients": dict(sorted(origin.items())),
        "told_in": judgement["told_in"],
        "drawn_alone": judgement["drawn_alone"],
        "implausible": dict(sorted(withheld.items())),
    }


def _sampled(run: Run, lesson: _Lesson) -> tuple[str, ...]:
    """Return the training patients as patches are drawn from them: some of them several times."""
    train = lesson.roles.train
    drawn = [name for name in train if run.patients[name].view("structures") is not None]
    others = [name for name in train if name not in drawn]
    return repeated(drawn, others, run.plan.config.self_learning.drawn_share)


def _learned(run: Run, lesson: _Lesson) -> Learned:
    """Return what was measured on drawn structures; on the student's labels where nobody drew any."""
    learned = run.plan.learned
    if any(run.patients[name].view("structures") is not None for name in lesson.roles.train):
        return learned
    sight = fit_sights(lesson.patients, lesson.roles.train)[STAGE]
    return replace(learned, sights={**learned.sights, STAGE: sight})


def _shown(lesson: _Lesson) -> dict[str, JSON]:
    """Return in how many training patients each structure was labelled."""
    labelled = [lesson.patients[name].labelled for name in lesson.roles.train]
    counts = {s.label: sum(known is None or s in known for known in labelled) for s in Structure}
    return {} if all(known is None for known in labelled) else {"drawn_in": dict(counts)}


def _scored(run: Run, part: Part, lesson: _Lesson, request: TrainingRequest) -> dict[str, JSON]:
    """Return the Dice of teacher and student per structure, over validation patients with drawn masks."""
    stage, device = STAGES[STAGE], chosen_device(request.device)
    network = stage.build(part.settings)
    network.load_state_dict(dict(part.weights))
    network.to(device).eval()
    dices: dict[Structure, list[float]] = {}
    seen = run.plan.learned.sight(STAGE) if part.sight is None else part.sight
    for name in lesson.roles.validation:
        drawn = drawn_in(run.patients[name])
        if drawn is None:
            continue
        image = normalized(run.patients[name].ct, seen.phases)
        settings = cast("StructureSettings", part.settings)
        found = segment_structures(cast("SegmentationNetwork", network), image, settings)
        _add_dices(dices, overlaps(found, drawn))
    of_teacher = lesson.judgement["validation"]
    return {
        s.label: {
            "teacher": of_teacher[s.label][0] if s.label in of_teacher else None,
            "student": float(np.mean(dices[s])),
            "patients": len(dices[s]),
        }
        for s in Structure
        if s in dices
    }


def _tell(number: int, scores: Mapping[str, JSON]) -> None:
    if not scores:
        logger.warning("round %d: nobody drew structures in a validation patient: nothing was scored", number)
    for name, found in scores.items():
        values = cast("Mapping[str, Any]", found)
        teacher = "-" if values["teacher"] is None else f"{values['teacher']:.3f}"
        logger.info(
            "round %d: %s: Dice teacher %s, student %.3f (%d validation patients)",
            number, STRUCTURES_BY_NAME[name].title, teacher, values["student"], values["patients"],
        )  # fmt: skip
