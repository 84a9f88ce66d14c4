"""What the tasks of one split do, kind by kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from lymphct.cascade.stages import STAGES
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.patients.prepared.dataset import prepared_cohort
from lymphct.patients.prepared.preparation import labels_key, variant
from lymphct.study.begun import foreseen_sources, require_no_other_study
from lymphct.study.plan import PLAN_FILE, Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single.facts import EXAMINE, FORMAT, LEARNED, PREPARE, SplitFacts, split_graph
from lymphct.study.single.laying import prepare_all, settle_run
from lymphct.study.single.training import add_stage, examinees, run_evidence
from lymphct.study.single.work import EXAMINED_FILE, PART_FILE, PLANNED_FILE, open_split
from lymphct.study.tasks.board import TASKS, Board, Doing, State
from lymphct.study.tasks.graph import Study, Task
from lymphct.study.tasks.receipts import PREPARED_FILE, write_receipt

REFUSED_FILE: Final = "refused.json"
"""Patients of the status network whose images were refused."""


def lay_study(request: TrainingRequest) -> None:
    """Write the tasks of a run into its folder: as far as it is known now whose masks guide stage 1.

    Raises:
        OutputInUseError: a study of another kind lies there.

    """
    require_no_other_study(request.folder)
    config, work = request.config, request.work
    facts = SplitFacts(
        name=request.name,
        seed=request.seed,
        work=None if work is None else str(work.absolute()),
        variant=variant(config.imaging.spacing, config.registration, labels_key(request.labels)),
        patients=tuple(sorted(record.patient_id for record in request.teachers)),
    )
    request.folder.mkdir(parents=True, exist_ok=True)
    graph = split_graph(foreseen_sources(request, None))
    study = Study(format=FORMAT, facts=facts.model_dump(mode="json"), graph=graph)
    study.write(request.folder)


def note_parts(request: TrainingRequest) -> None:
    """Give the tasks of a run their receipts of the parts that the command of a single stage has trained."""
    board = Board(request.folder, open_split(request.folder, request))
    done = {PREPARE, LEARNED, *read_bundle(Run.bundle_in(request.folder)).info.parts}
    done |= {EXAMINE} if StageName.METASTASIS in done else set()
    for name, task in board.graph.items():
        if name in done and board.state(name) is State.READY:
            with board.claimed(name):
                board.do(task, request.device)


def do_kind(request: TrainingRequest, task: Task, doing: Doing) -> None:
    """Do a task."""
    _KINDS[task.kind](request, task, doing)


def _prepare(request: TrainingRequest, task: Task, doing: Doing) -> None:
    del task
    patients = prepare_all(request)
    write_receipt(doing.folder / PREPARED_FILE, {name: patients.store.place(name) for name in patients})


def _learn(request: TrainingRequest, task: Task, doing: Doing) -> None:
    del task
    there = prepared_cohort(request.preparation, request.teachers)
    run = settle_run(request, prepare_all(request) if request.rehash else there, tuple(STAGES))
    write_json(doing.folder / PLANNED_FILE, {"sha256": digest_file(run.folder / PLAN_FILE)})


def _train(request: TrainingRequest, task: Task, doing: Doing) -> None:
    run, stage = Run.open(request.folder, request.work), StageName(task.id)
    refused: Any = ()
    if stage is StageName.METASTASIS:
        refused = read_json(request.folder / TASKS / EXAMINE / REFUSED_FILE)
    add_stage(run, stage, replace(request, device=doing.device), refused)
    write_json(doing.folder / PART_FILE, {"sha256": read_bundle(run.bundle).info.parts[stage].sha256})


def _examine(request: TrainingRequest, task: Task, doing: Doing) -> None:
    """Examine the patients of the status network, unless one that learned from them is there."""
    del task
    run = Run.open(request.folder, request.work)
    found: set[str] = set()
    refused: list[JSON] = []
    if StageName.METASTASIS not in read_bundle(run.bundle).info.parts:
        found = set(run_evidence(run, device=doing.device, jobs=request.jobs))
        refused = [name for name in examinees(run) if name not in found]
    write_receipt(doing.folder / EXAMINED_FILE, {name: run.evidence / name for name in sorted(found)})
    write_json(doing.folder / REFUSED_FILE, refused)


_KINDS: Final[Mapping[str, Callable[[TrainingRequest, Task, Doing], None]]] = {
    "prepare": _prepare,
    "learned": _learn,
    "train": _train,
    "examine": _examine,
}
"""Kind → what is done; one more is one more line."""
