"""A nested cross-validation in its folder: what each task is made from, and who does it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lymphct.core.terms import StageName
from lymphct.io.images.labels import label_scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.manifests import read_manifests
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.patients.prepared.preparation import Preparation, is_prepared
from lymphct.study.nested.plan import COHORT, FORMAT, OF_PATCHES, CascadeRole, NestedPlan
from lymphct.study.tasks.board import Doing
from lymphct.study.tasks.graph import Graph, Study, Task
from lymphct.study.tasks.receipts import PREPARED_FILE, still_stands

_CODE: Final = {
    "prepare": ("patients.prepared.preparation",),
    "learned": ("cascade.learned",),
    "train": ("cascade.fitting", "study.nested.guard", "study.nested.variants"),
    "networks": ("cascade.models", "study.nested.guard"),
    "bundle": ("cascade.models", "study.nested.guard"),
    "examine": (
        "cascade.evidence",
        "study.evidence",
        "study.nested.measuring",
        "study.nested.seen",
        "study.nested.variants",
    ),
    "judge": ("baselines.table", "study.nested.judging"),
    "predictions": ("study.nested.predictions",),
    "volumes": ("patients.prepared.dataset",),
    "masks": ("study.nested.mask_tables",),
    "tables": ("study.nested.tables",),
    "report": ("study.nested.reporting", "study.nested.showing", "report.studies.anatomy"),
}
"""Kind → whose code its result depends on, closed over imports."""

_FACTS: Final = {
    "predictions": ("patients", "methods"),
    "volumes": ("patients",),
    "masks": ("seed", "is_phantom"),
    "tables": ("seed", "methods", "titles", "features", "is_phantom", "patients", "characteristics"),
}
"""Kind → facts of the plan that its result depends on."""
_PLACES: Final = frozenset({"manifests", "work", "init", "salt"})
"""Facts that say where something lies or how it is hashed: no report shows them."""
_SHARED: Final = ("imaging", "registration", "attention", "cascade")
"""Groups of settings on which every network depends."""


@dataclass(frozen=True)
class NestedWork:
    """What the tasks of a study mean; nothing that computes is loaded before a task is done."""

    run: Path
    study: Study
    plan: NestedPlan
    records: dict[str, PatientRecord] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The tasks."""
        return self.study.graph

    @property
    def threads(self) -> int:
        """Threads of each task."""
        return self.plan.threads

    @property
    def preparation(self) -> Preparation:
        """How patients are prepared, and where."""
        return Preparation(
            folder=self.plan.store(self.run),
            spacing=self.plan.config.imaging.spacing,
            registration=self.plan.config.registration,
            labels=label_scheme(self.plan.labels),
        )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """The plan as `study.json` has it: every task is asked for some of it."""
        return self.plan.model_dump(mode="json")

    def recipe(self, task: Task) -> Recipe:
        """Return what a task is made from, besides the results before it."""
        return Recipe(settings=self._settings(task), code=_CODE[task.kind])

    def _settings(self, task: Task) -> dict[str, JSON]:
        plan, arguments = self.plan, dict(task.arguments)
        fields = self._facts
        if task.kind == "prepare":  # the files count, too: `holds`
            return {**arguments, **self.preparation.settings}
        if task.kind == "report":
            told = {name: value for name, value in fields.items() if name not in _PLACES}
            has_images = any(other.kind == "prepare" for other in self.graph.values())
            return told if has_images else {**told, "config": fields["config"]["attention"]}
        if task.kind in _FACTS:
            return {name: fields[name] for name in _FACTS[task.kind]}
        if task.kind == "judge":
            who = fields["nested"][int(str(task.arguments["fold"])) - 1]
            return {
                **arguments,
                "seed": plan.seed,
                "folds": who,
                "patients": fields["patients"],
                "metastasis": fields["config"]["metastasis"],
                "baselines": fields["config"]["baselines"],
                "kinetics": plan.kinetics_digest if task.arguments["method"] == "resnet3d" else "",
                "imagenet": plan.imagenet_digest if task.arguments["method"] in OF_PATCHES else "",
            }
        return {**arguments, "salt": plan.salt, **self._of_cascade(task, fields)}

    def _of_cascade(self, task: Task, fields: dict[str, Any]) -> dict[str, JSON]:
        """Return who teaches a cascade, whom it examines, and the settings that count."""
        plan = self.plan
        cascade = CascadeRole.model_validate(
            {name: task.arguments[name] for name in CascadeRole.model_fields if name in task.arguments}
        )
        roles = cascade.roles(plan)
        config: Any = plan.settings(cascade.variant).model_dump(mode="json")
        groups = {name: config[name] for name in _SHARED}
        found: dict[str, JSON] = {
            "train": list(roles.train),
            "validation": list(roles.validation),
            "seed": plan.seed,
            "init": plan.init_digest,
            **{name: fields[name] for name in ("structures_source", "tumor_source", "given")},
        }
        if task.kind == "train":
            groups |= {name: config[name] for name in _groups(str(task.arguments["stage"]))}
        if task.kind == "examine":
            cohort = str(task.arguments["cohort"])
            found["asked"] = [*(cascade.examined(plan) if cohort == COHORT else plan.ids(cohort))]
            found["features"] = plan.features
            found["extras"] = [*plan.extras.get(cascade.variant, ())]
            groups["patches"] = config["metastasis"]["patches"]
            if found["extras"]:
                groups["baselines"] = config["baselines"]
        return {**found, "settings": groups}

    def holds(self, task: Task, folder: Path) -> bool:
        """Tell whether the prepared images are still those a task made, of files that did not change."""
        if task.kind != "prepare":
            return True
        names: Any = task.arguments["patients"]
        return still_stands(folder / PREPARED_FILE, self.preparation.store.place) and all(
            name in self.records and is_prepared(self.records[name], self.preparation) for name in names
        )

    def make(self, task: Task, doing: Doing) -> None:
        """Do a task."""
        from lymphct.study.nested.doing import do_kind  # noqa: PLC0415 - loads torch
        from lymphct.study.nested.materials import Materials  # noqa: PLC0415 - likewise

        do_kind(Materials(self.run, self.plan, self.preparation, self.records), task, doing)


def _groups(stage: str) -> tuple[str, ...]:
    """Return the groups of settings a stage depends on: stage 2 goes on from stage 1."""
    return (stage, "nodes") if stage == StageName.IDENTIFICATION else (stage,)


def open_nested(run: Path) -> NestedWork:
    """Open the study in a folder.

    Raises:
        InputError: there is none, or its manifests are gone.

    """
    study = Study.read(run, FORMAT)
    plan = NestedPlan.of(study.facts)
    manifest = read_manifests([Path(plan.manifests[name]) for name in plan.cohorts])
    return NestedWork(run, study, plan, {record.patient_id: record for record in manifest.patients})
