"""The tasks at the end of a nested cross-validation: methods judge, tables and the report are written."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lymphct.baselines.table import methods
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import NOBODY, FittedOn
from lymphct.core.terms import PHANTOM_NOTICE, NodeClass
from lymphct.io.models.loading import read_pretrained
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.nodes.features import FEATURES
from lymphct.patients.predicting.files import installed_versions
from lymphct.study.keeping import Checkpoints, Sparing
from lymphct.study.nested.building import MASKS, NOTHING, PREDICTIONS, TABLES, VOLUMES
from lymphct.study.nested.findings import found_in_tested
from lymphct.study.nested.first_table import node_volumes
from lymphct.study.nested.guard import Artefacts
from lymphct.study.nested.judging import Judged, judged_in_fold
from lymphct.study.nested.mask_tables import mask_tables
from lymphct.study.nested.materials import (
    JUDGED_FILE,
    VOLUMES_FILE,
    Materials,
)
from lymphct.study.nested.plan import COHORT, CascadeRole, NestedPlan, cascades_of
from lymphct.study.nested.predictions import write_predictions
from lymphct.study.nested.reporting import Source, write_report
from lymphct.study.nested.showing import shown_of
from lymphct.study.nested.tables import write_tables
from lymphct.study.tasks.board import Doing
from lymphct.study.tasks.graph import Task


def judge(materials: Materials, task: Task, doing: Doing) -> None:
    """Let one method learn in one outer fold and judge whom it was not shown."""
    plan = materials.plan
    fold, name, variant = (
        int(str(task.arguments["fold"])),
        str(task.arguments["method"]),
        str(task.arguments["variant"]),
    )
    nested = plan.outer_folds[fold - 1]
    views = _Views(materials, materials.artefacts, fold, variant)
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
    keep = Sparing(Checkpoints.open(doing.scratch, resume=True))
    method = methods(plan.config.baselines, kinetics, imagenet, keep)[name](plan.config.metastasis)
    found = judged_in_fold(method, train, validation, asked, seed=plan.seed)
    write_json(doing.folder / JUDGED_FILE, _judged_record(found, plan, method.name))


@dataclass(frozen=True, slots=True)
class _Views:
    """Patients as the cascades of an outer fold see them."""

    materials: Materials
    artefacts: Artefacts
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
                return self.artefacts.evidence(cascade, COHORT, patient)
        return None

    def asked(self, patient: str) -> list[Evidence]:
        """Return a patient as every cascade of the fold does, none of which knows him."""
        if self.variant == NOTHING:
            return [self._bare(patient)]
        cohort = self.materials.plan.patients[patient].cohort
        found = [self.artefacts.evidence(cascade, cohort, patient) for cascade in self._cascades]
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


def predict(materials: Materials, task: Task, doing: Doing) -> None:
    """Put together what every method says of every patient."""
    files = {name: materials.artefacts.place(name) / JUDGED_FILE for name in task.after}
    write_predictions(doing.folder, materials.plan, files)


def tabulate(materials: Materials, task: Task, doing: Doing) -> None:
    """Write Tab. I, VI and VII, and the comparisons."""
    artefacts = materials.artefacts
    volumes: Any = read_json(artefacts.place(VOLUMES) / VOLUMES_FILE) if VOLUMES in task.after else {}
    write_tables(doing.folder, materials.plan, artefacts.place(PREDICTIONS), volumes)


def score_masks(materials: Materials, task: Task, doing: Doing) -> None:
    """Put together what the cascades drew in test patients (Tab. III to Tab. V)."""
    examined: Any = task.arguments["examined"]
    found = found_in_tested(materials, examined)
    notes = (PHANTOM_NOTICE,) if materials.plan.is_phantom else ()
    for table in mask_tables(found, materials.plan.seed, notes):
        for name, content in table.forms().items():
            replace_file(doing.folder / name, content)


def measure_nodes(materials: Materials, _task: Task, doing: Doing) -> None:
    """Measure the drawn lymph nodes of everybody, for Tab. I."""
    found: dict[str, JSON] = {}
    for name, patient in materials.patients.items():
        volumes = node_volumes(patient)
        found[name] = {
            kind.label: list(volumes.get(kind, ())) for kind in (NodeClass.POSITIVE, NodeClass.NEGATIVE)
        }
    write_json(doing.folder / VOLUMES_FILE, found)


def report(materials: Materials, task: Task, doing: Doing) -> None:
    """Write the page, figures and checklists."""
    artefacts = materials.artefacts
    source = Source(
        plan=materials.plan,
        predicted=artefacts.place(PREDICTIONS),
        tables=artefacts.place(TABLES),
        masks=artefacts.place(MASKS) if MASKS in task.after else None,
        versions=installed_versions(),
    )
    if MASKS in task.after:
        source = replace(source, shown=shown_of(materials, source.scores(COHORT)))
    write_report(doing.folder, source)
