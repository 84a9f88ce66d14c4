"""A study is begun: its plan and its tasks are laid into the folder."""

import logging
import secrets
from pathlib import Path
from typing import Final

from lymphct.cascade.sizes import scaled
from lymphct.core.errors import OutputInUseError, UsageError
from lymphct.core.patient import Clinical
from lymphct.io.results.store import DESKTOP_FILES
from lymphct.patients.prepared.dataset import clinical_of
from lymphct.study.nested.building import PREDICTIONS, TABLES, nested_graph
from lymphct.study.nested.outlook import StudyOutlook
from lymphct.study.nested.plan import (
    COHORT,
    FORMAT,
    NestedPlan,
    StoredFold,
    StoredNestedFold,
    StudyPatient,
)
from lymphct.study.nested.predictions import PREDICTIONS_FILE
from lymphct.study.nested.request import CrossvalRequest
from lymphct.study.tasks.board import FAILURES, TASKS, UNFINISHED
from lymphct.study.tasks.graph import STUDY_FILE, Study

logger = logging.getLogger(__name__)

REPORTED: Final = ("report.html", "methods.md", "figures", "checklists")
"""What the report of a study lays into its folder."""
_WHO: Final = ("seed", "is_phantom", "folds", "features", "nested")
"""What makes a study another one; settings, methods and further cohorts may change: what depends on them is
done again."""


_OF_TABLE_1: Final = ("sex", "age", "pT", "pN", "tumor_size_cm")
"""Columns that Tab. I tells of besides N status and tumor site."""


def begin_study(request: CrossvalRequest, outlook: StudyOutlook) -> NestedPlan:
    """Lay the study into its folder, or bring the one that is there up to date.

    Args:
        request: what was asked for.
        outlook: of the same request, without problems.

    Raises:
        OutputInUseError: the folder holds something else.
        UsageError: it holds a study of other patients, folds or another seed.

    """
    before = _before(request.folder)
    plan = _plan(request, outlook, before)
    if before is not None:
        _require_same(before, plan)
    graph = nested_graph(plan, outlook.methods)
    request.folder.mkdir(parents=True, exist_ok=True)
    Study(format=FORMAT, facts=plan.model_dump(mode="json"), graph=graph).write(request.folder)
    logger.info("study of %d tasks in %d outer folds", len(graph), len(plan.nested))
    return plan


def _before(folder: Path) -> NestedPlan | None:
    if (folder / STUDY_FILE).exists():
        return NestedPlan.of(Study.read(folder, FORMAT).facts)
    ours = {
        TASKS,
        UNFINISHED,
        FAILURES,
        "prepared",
        "logs",
        "radiomics",
        "plan",
        TABLES,
        PREDICTIONS,
        PREDICTIONS_FILE,
        *REPORTED,
        *DESKTOP_FILES,
    }
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    strangers = sorted(name for name in names - ours if not name.startswith("."))
    if strangers:
        msg = f"the folder is not empty and holds no study of ours, but for example {strangers[0][:60]}"
        raise OutputInUseError(msg, cure="choose another --out").at(file=folder.name)
    return None


def _plan(request: CrossvalRequest, outlook: StudyOutlook, before: NestedPlan | None) -> NestedPlan:
    is_phantom = any(record.is_synthetic for record in request.everybody)
    is_phantom = is_phantom or (outlook.init is not None and outlook.init.info.is_phantom)
    if outlook.init is not None:
        salt = outlook.init.info.salt  # the hashes of its patients were made with it
    elif before is not None:
        salt = before.salt
    else:
        salt = f"phantom-{request.seed:08d}" if is_phantom else secrets.token_hex(16)
    patients = {
        record.patient_id: _patient(cohort, clinical_of(record))
        for cohort, records in {COHORT: request.learners, **request.externals}.items()
        for record in records
    }
    return NestedPlan(
        name=request.name,
        seed=request.seed,
        salt=salt,
        threads=request.threads if before is None else before.threads,
        is_phantom=is_phantom,
        folds=request.folds,
        features=request.features,
        methods=tuple(outlook.methods),
        titles={name: request.method(name).name for name in outlook.methods},
        extras=outlook.extras(request),
        ablations=outlook.ablations,
        labels=request.labels,
        work=None if request.work is None else str(request.work.absolute()),
        config=scaled(request.config),
        given=request.given,
        init=None if request.init is None else str(request.init.absolute()),
        init_digest="" if outlook.init is None else outlook.init.digest,
        taken=outlook.taken,
        kinetics=None if request.kinetics is None else str(request.kinetics[0].absolute()),
        kinetics_digest="" if request.kinetics is None else request.kinetics[1].digest,
        imagenet=None if request.imagenet is None else str(request.imagenet[0].absolute()),
        imagenet_digest="" if request.imagenet is None else request.imagenet[1].digest,
        structures_source=outlook.sources.structures,
        tumor_source=outlook.sources.tumor,
        manifests={name: str(manifest.path.absolute()) for name, manifest in request.manifests.items()},
        patients=dict(sorted(patients.items())),
        characteristics={
            record.patient_id: {name: record.cells[name] for name in _OF_TABLE_1 if record.cells.get(name)}
            for record in request.everybody
        },
        nested=tuple(
            StoredNestedFold(
                outer=StoredFold.of(fold.outer), inner=tuple(StoredFold.of(inner) for inner in fold.inner)
            )
            for fold in outlook.folds
        ),
    )


def _patient(cohort: str, clinical: Clinical) -> StudyPatient:
    return StudyPatient(
        cohort=cohort,
        n_status=clinical.n_status,
        ct_reported_n=clinical.ct_reported_n,
        center=clinical.center,
        tumor_location=clinical.tumor_location,
    )


def _require_same(before: NestedPlan, plan: NestedPlan) -> None:
    other = [name for name in _WHO if getattr(before, name) != getattr(plan, name)]
    if before.ids(COHORT) != plan.ids(COHORT):
        other.insert(0, "patients")
    if other:
        msg = f"the folder holds a study with other {', '.join(other)}"
        raise UsageError(msg, code="E_OTHER_RUN", cure="choose another --out")
