"""What the folder of a training run says against training there, before anything is prepared."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.sizes import scaled
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import LymphctError, OutputInUseError, UsageError
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.checkpoints import has_checkpoint
from lymphct.io.results.store import DESKTOP_FILES
from lymphct.patients.prepared.preparation import labels_key
from lymphct.patients.prepared.registration_table import TABLE_FILE
from lymphct.study.plan import PLAN_FILE, PatientPlan, Run
from lymphct.study.request import (
    FEW,
    SELF_LEARNING,
    TrainingRequest,
    require_begun,
    require_nothing_taken_over,
)
from lymphct.study.single.facts import FORMAT
from lymphct.study.sources import MaskSources, chosen_sources, stage_missing
from lymphct.study.tasks.board import FAILURES, TASKS, UNFINISHED
from lymphct.study.tasks.graph import STUDY_FILE, Study

OURS: Final = frozenset(
    {
        PLAN_FILE,
        TABLE_FILE,
        "bundle",
        "evidence",
        "prepared",
        "stages",
        SELF_LEARNING,
        FEW,
        STUDY_FILE,
        TASKS,
        UNFINISHED,
        FAILURES,
    }
)
"""What a run lays into its folder."""
NAMED: Final = 3
"""Settings that a refusal names."""


def begun_refusals(
    request: TrainingRequest,
    stage: StageName | None,
    split: Mapping[str, PatientPlan],
    init: BundleInfo | None,
) -> Iterator[LymphctError]:
    """Yield every reason why the run's folder does not take this training.

    Args:
        request: the training.
        stage: the one to train; None for all.
        split: who would have which role; empty where no split can be made.
        init: of the bundle whose parts would be taken over.

    """
    looks = [partial(_require_ours, request.folder), partial(require_begun, request, stage)]
    looks += [partial(require_nothing_taken_over, request)] if stage is None else []
    looks += [partial(_require_same_plan, request, split)] if split else []
    for look in looks:
        try:
            look()
        except LymphctError as error:
            yield error
    yield from _about_stages(request, (stage,) if stage else tuple(STAGES), init)


def _require_ours(folder: Path) -> None:
    if not folder.is_dir() or (folder / PLAN_FILE).exists():
        return
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    require_no_other_study(folder)
    strangers = sorted(names - OURS - DESKTOP_FILES)
    if strangers:
        msg = f"the folder is not empty and holds no run of ours, but for example {strangers[0][:60]}"
        raise OutputInUseError(msg, cure="choose another --out").at(file=folder.name)


def require_no_other_study(folder: Path) -> None:
    """Refuse a folder in which a cross-validation lies.

    Raises:
        InputError: its `study.json` is damaged.
        OutputInUseError: that is so.

    """
    if (folder / STUDY_FILE).exists() and Study.read(folder).format != FORMAT:
        msg = "the folder holds a study of another kind, such as a cross-validation"
        raise OutputInUseError(msg, cure="choose another --out").at(file=folder.name)


def _require_same_plan(request: TrainingRequest, split: Mapping[str, PatientPlan]) -> None:
    if not (request.folder / PLAN_FILE).exists():
        return
    plan = Run.open(request.folder).plan
    settings = plan.other_settings(scaled(request.config))
    begun = {
        "settings": ((), settings),
        "seed": (plan.seed, request.seed),
        "name": (plan.name, request.name),
        "labels": (plan.labels, labels_key(request.labels)),
        # Who has which part also depends on the drawn nodes, which are read later: `kept_plan` compares it.
        "patients": (_status_of(plan.patients), _status_of(split)),
    }
    other = [name for name, (there, asked) in begun.items() if there != asked]
    if other:
        msg = f"the folder {request.folder.name} holds a run with other {', '.join(other)}"
        cure = "choose another --out"
        if settings:
            more = f" and {len(settings) - NAMED} more" if len(settings) > NAMED else ""
            cure += f", or set as in its {PLAN_FILE}: {', '.join(settings[:NAMED])}{more}"
        raise UsageError(msg, code="E_OTHER_RUN", cure=cure)


def _status_of(patients: Mapping[str, PatientPlan]) -> dict[str, int | None]:
    return {name: entry.n_status for name, entry in patients.items()}


def planned_split(request: TrainingRequest) -> Mapping[str, PatientPlan] | None:
    """Return who has which role in the run that was begun in the folder.

    None without one, and where it is another's run or its plan cannot be read, which `begun_refusals` says.
    """
    if not (request.folder / PLAN_FILE).exists():
        return None
    try:
        plan = Run.open(request.folder).plan
    except LymphctError:
        return None
    asked = {record.patient_id: record.n_status for record in request.teachers}
    is_ours = plan.seed == request.seed and _status_of(plan.patients) == asked
    return plan.patients if is_ours else None


def foreseen_sources(request: TrainingRequest, init: BundleInfo | None) -> MaskSources:
    """Return whose masks guide stage 1: as the run that was begun in the folder, else as will be chosen."""
    try:
        if (request.folder / PLAN_FILE).exists():
            return Run.open(request.folder).plan.sources
    except LymphctError:  # `begun_refusals` says it
        pass
    available = () if init is None else tuple(init.parts)
    return chosen_sources(request.config.cascade, request.teachers, available=available)


def laid_bundle(folder: Path) -> BundleInfo | None:
    """Return what the bundle of a run says; None where none is laid, or it cannot be read."""
    try:
        bundle = Run.bundle_in(folder)
        return read_bundle(bundle).info if bundle.exists() else None
    except LymphctError:  # `begun_refusals` says so
        return None


def _about_stages(
    request: TrainingRequest, stages: Sequence[StageName], init: BundleInfo | None
) -> Iterator[LymphctError]:
    bundle, sources = request.folder / "bundle", foreseen_sources(request, init)
    try:
        present = set(read_bundle(bundle).info.parts) if bundle.exists() else set()
    except LymphctError as error:
        yield error
        return
    coming = present | (set(init.parts) if init is not None else set())
    for name in stages:
        if name in present:
            continue
        if not request.resume and has_checkpoint(request.folder / "stages" / name):
            msg = f"stage {name} was begun here before"
            yield UsageError(msg, code="E_BEGUN", cure="add --resume, or choose another --out")
        missing = [needed for needed in sources.needs(name) if needed not in coming]
        if len(stages) == 1 and missing:
            yield stage_missing(name, missing)
