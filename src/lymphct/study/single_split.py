"""Everything a cohort can teach: one split, the five stages in their order, one bundle (Sec. IV-A.2)."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from lymphct.cascade.stages import STAGES
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.study.begun import require_no_other_study
from lymphct.study.bundling import take_over
from lymphct.study.few import require_few, with_some_kept_aside
from lymphct.study.plan import PLAN_FILE, Run
from lymphct.study.progress import Progress, watched
from lymphct.study.request import (
    TrainingRequest,
    require_begun,
    require_nothing_taken_over,
    require_start_weights,
)
from lymphct.study.self_learning import teach_structures
from lymphct.study.single.doing import lay_study, note_parts
from lymphct.study.single.facts import LEARNED
from lymphct.study.single.laying import require_foreseen, start_run
from lymphct.study.single.training import train_stage
from lymphct.study.single.work import SplitWork, open_split
from lymphct.study.starting import require_start_fits, start_refusals
from lymphct.study.tasks.graph import STUDY_FILE
from lymphct.study.tasks.one_run import run_to_end
from lymphct.study.tasks.workers import Hands
from lymphct.study.tumor_harvest import harvest_tumors


def train_all(request: TrainingRequest, progress: Progress | None = None) -> Path:
    """Train every stage and return the folder of the bundle.

    The run is a graph of tasks (`study.json`). With two jobs or more, those that do not wait for one another
    are done side by side.

    Raises:
        InputError: patients cannot be read; the first reason is given.

    """
    require_begun(request)
    require_nothing_taken_over(request)
    require_start_weights(request)
    stages, folder = tuple(STAGES), request.folder
    if (folder / PLAN_FILE).exists():  # another run is refused, and what changed since is prepared again
        start_run(request, stages)
    else:
        require_foreseen(request, stages)
    lay_study(request)
    hands = Hands(jobs=max(request.jobs, len(request.devices)), devices=request.places)
    work_of = partial(_work_of, request)
    with watched(folder / "stages", progress):
        run_to_end(folder, work_of, hands, until=LEARNED)
        lay_study(request)  # whose masks guide stage 1 is known for certain when all patients are prepared
        run_to_end(folder, work_of, hands)
    return Run.bundle_in(folder)


def _work_of(request: TrainingRequest, jobs: int) -> SplitWork:
    return open_split(request.folder, replace(request, jobs=min(jobs, request.jobs)))


def train_one(request: TrainingRequest, stage: StageName, progress: Progress | None = None) -> Path:
    """Train one stage and return the folder of the bundle, which may hold other stages already."""
    request = with_some_kept_aside(request)
    require_begun(request, stage)
    if request.start_from is not None:
        require_start_fits(request.start_from, stage, request.config)
    elif stage is StageName.METASTASIS:
        require_start_weights(request)
    if request.few:
        require_few(request)
    require_no_other_study(request.folder)
    run = start_run(request, (stage,))
    if request.start_from is not None:
        _require_start(request.start_from, request, run, stage)
    if request.init is not None:
        take_over(run, read_bundle(request.init), stage)
    _train_one(run, request, stage, progress)
    if (run.folder / STUDY_FILE).exists():
        note_parts(request)
    return run.bundle


def _train_one(run: Run, request: TrainingRequest, stage: StageName, progress: Progress | None) -> None:
    if stage is StageName.STRUCTURES and request.teaching is not None:
        teach_structures(run, request, progress)
    elif stage is StageName.TUMOR and request.few:
        harvest_tumors(run, request, progress)
    else:
        with watched(run.folder / "stages", progress):
            train_stage(run, stage, request)


def _require_start(start_from: Path, request: TrainingRequest, run: Run, stage: StageName) -> None:
    """Refuse to go on from a network that knows who would choose the epoch, or that works otherwise."""
    given = None if request.init is None else read_bundle(request.init).info
    others = (given, read_bundle(run.bundle).info)
    info = read_bundle(start_from).info
    for reason in start_refusals(info, run.plan.config, stage, run.plan.roles(stage), others):
        raise reason
