"""The plan of a training run: who has which role, with which settings; and the folder the run lies in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lymphct.attention.atlas import Atlas
from lymphct.attention.bands import bands_from_mapping
from lymphct.attention.trapezia import Trapezia
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import Foreground
from lymphct.cascade.learned import Learned
from lymphct.cascade.settings import Config, MaskSource
from lymphct.cascade.sight import Sight
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.origin import Origin
from lymphct.core.patient import Clinical
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.imaging.settings import GRID
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.preparation import Store, variant
from lymphct.study.sources import MaskSources

Part = Literal["train", "validation", "fusion_train", "fusion_validation"]
"""What a patient does in a run: teaches or chooses, for the cascade or for the status network."""
PLAN_FILE = "plan.json"


class PatientPlan(BaseModel):
    """One patient's place in the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    part: Part
    n_status: int | None


Numbers = tuple[float, float, float, float]
"""Lower and upper clip value, mean and SD of a phase, HU."""


class SightPlan(BaseModel):
    """How a network sees both phases."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    phases: dict[str, Numbers]
    foreground: Foreground
    patients: tuple[str, ...]

    @classmethod
    def of(cls, sight: Sight) -> Self:
        """Return what a plan says of it."""
        return cls(
            phases={phase.value: (s.low, s.high, s.mean, s.sd) for phase, s in sight.phases.items()},
            foreground=sight.foreground,
            patients=tuple(sorted(sight.fitted_on.ids)),
        )

    @property
    def sight(self) -> Sight:
        """What was measured."""
        return Sight(
            phases=_intensity(self.phases),
            foreground=self.foreground,
            fitted_on=FittedOn.of(self.patients),
        )


def _intensity(phases: Mapping[str, Numbers]) -> Intensity:
    return {Phase(name): IntensityStatistics(*numbers) for name, numbers in phases.items()}


class Plan(BaseModel):
    """Everything a stage needs to know besides the prepared images; `plan.json`.

    Its settings hold sizes of the working grid. Without `sights` it was made when all networks saw with one
    `intensity`, which is empty otherwise, unless parts of such a bundle are taken over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    seed: int
    is_phantom: bool
    phase_dropout: bool
    labels: str = "auto"
    config: Config
    intensity: dict[str, Numbers]
    sights: dict[StageName, SightPlan] | None = None
    bands: dict[str, tuple[float, float]]
    atlas: Atlas | None = None
    trapezia: Trapezia | None = None
    learned_from: dict[str, tuple[str, ...]] | None = None
    structures_source: MaskSource = "given"
    tumor_source: MaskSource = "given"
    origins: tuple[Origin, ...] = ()
    patients: dict[str, PatientPlan]

    @model_validator(mode="before")
    @classmethod
    def _begun_before(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        # What a plan does not say is what was done before it could be said, not today's default.
        config = values.get("config") if isinstance(values, dict) else None
        if isinstance(config, dict):
            return {**values, "config": _with_former_ways(config)}
        return values

    def ids(self, *parts: Part) -> tuple[str, ...]:
        """Return the patients of some parts, sorted."""
        return tuple(sorted(name for name, entry in self.patients.items() if entry.part in parts))

    def roles(self, stage: StageName) -> Roles:
        """Return who teaches a stage: the status network learns from patients no other stage saw."""
        if stage is StageName.METASTASIS:
            return Roles(train=self.ids("fusion_train"), validation=self.ids("fusion_validation"))
        return Roles(train=self.ids("train"), validation=self.ids("validation"))

    @property
    def sources(self) -> MaskSources:
        """Whose masks guide stage 1."""
        return MaskSources(structures=self.structures_source, tumor=self.tumor_source)

    @property
    def _learned_from(self) -> Mapping[str, Sequence[str]]:
        # A plan that does not say was made when all training patients were taken for it.
        return {"intensity": self.ids("train")} if self.learned_from is None else self.learned_from

    def other_settings(self, config: Config) -> tuple[str, ...]:
        """Return which settings, scaled to the grid, keep a training from going on with this run."""
        if self.sights is None:  # it does not know what its status network starts from
            config = config.model_copy(update={"metastasis": _starting_as(self.config, config)})
        others = _other_names(self.config, config)
        # A training does not read the group `inference`, and `prefetch` changes no result.
        return tuple(n for n in others if not (n.startswith("inference.") or n.endswith(".prefetch")))

    def agrees(self, config: Config) -> bool:
        """Tell whether a training with these settings, scaled to the grid, would go on with this run."""
        return not self.other_settings(config)

    @property
    def learned(self) -> Learned:
        """Intensities, bands and what was fitted in their place."""
        return Learned(
            sights={stage: plan.sight for stage, plan in (self.sights or {}).items()},
            intensity=_intensity(self.intensity),
            bands=bands_from_mapping(
                {name: {"d_min": low, "d_max": high} for name, (low, high) in self.bands.items()}
            ),
            atlas=self.atlas,
            trapezia=self.trapezia,
            fitted_on={what: FittedOn.of(names) for what, names in self._learned_from.items()},
        )


def _with_former_ways(config: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the settings of an older plan what was done before there was a choice."""
    filled = {"registration": {"method": "none"}, **config}
    filled["imaging"] = {"sizes_at": GRID, **filled.get("imaging", {})}
    metastasis = filled.get("metastasis", {})
    network = {"initialization": "random", **metastasis.get("network", {})}
    sliding = {name: filled.get(name, {}) for name in ("structures", "tumor", "nodes")}
    scored = {name: {"validate_on": "windows", **group} for name, group in sliding.items()}
    return {**filled, **scored, "metastasis": {**metastasis, "network": network}}


def _starting_as(begun: Config, config: Config) -> MetastasisSettings:
    start = begun.metastasis.network.initialization
    network = config.metastasis.network.model_copy(update={"initialization": start})
    return config.metastasis.model_copy(update={"network": network})


def _other_names(one: BaseModel, other: BaseModel, group: str = "") -> Iterator[str]:
    for name in type(one).model_fields:
        here, there = getattr(one, name), getattr(other, name)
        if isinstance(here, BaseModel) and isinstance(there, BaseModel):
            yield from _other_names(here, there, f"{group}{name}.")
        elif here != there:
            yield f"{group}{name}"


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of a training run, its plan, and the store of its patients."""

    folder: Path
    plan: Plan
    work: Path

    @classmethod
    def open(cls, folder: Path, work: Path | None = None) -> Self:
        """Read the plan of a run that was begun.

        Args:
            folder: of the run.
            work: store of the prepared patients; by default a folder of the run.

        Raises:
            InputError: there is no plan, or it is not valid.

        """
        try:
            plan = Plan.model_validate(read_json(folder / PLAN_FILE))
        except ValidationError as error:
            msg = f"not a plan of ours: {error.errors()[0]['msg']}"
            raise InputError(msg, code="E_PLAN", cure="begin a new run").at(file=PLAN_FILE) from error
        return cls(folder, plan, work or folder / "prepared")

    @property
    def patients(self) -> PreparedCohort:
        """The prepared patients who take part."""
        config = self.plan.config
        store = Store(self.work, variant(config.imaging.spacing, config.registration, self.plan.labels))
        clinical = {name: Clinical(n_status=entry.n_status) for name, entry in self.plan.patients.items()}
        return PreparedCohort(store, clinical)

    @property
    def bundle(self) -> Path:
        """Folder of the bundle in the making."""
        return self.bundle_in(self.folder)

    @staticmethod
    def bundle_in(folder: Path) -> Path:
        """Folder of the bundle of the run in a folder."""
        return folder / "bundle"

    @property
    def evidence(self) -> Path:
        """Folder of what the trained cascade sees in the patients of the status network."""
        return self.folder / "evidence"

    def stage(self, name: StageName) -> Path:
        """Folder of one stage: checkpoints, log."""
        return self.folder / "stages" / name


def kept_plan(folder: Path, plan: Plan) -> Plan:
    """Write the plan of a new run, or find the one of the run that was begun here, and return it.

    A run that was begun before there was a choice goes on with drawn masks.

    Raises:
        UsageError: the folder holds a run with other settings, patients or seed.

    """
    if not (folder / PLAN_FILE).exists():
        write_json(folder / PLAN_FILE, plan.model_dump(mode="json"))
        return plan
    begun = Run.open(folder).plan
    if not _is_same(begun, plan):
        msg = f"the folder {folder.name} holds a run with other patients, settings or seed"
        raise UsageError(msg, code="E_OTHER_RUN", cure="choose another --out")
    return begun


def _is_same(begun: Plan, plan: Plan) -> bool:
    measured = {"learned_from"} if begun.learned_from is None else set()
    if begun.sights is None:  # its one set of statistics stands; it was measured otherwise
        measured |= {"sights", "intensity", "learned_from"}
    kept = {name: getattr(begun, name) for name in measured}
    return begun.agrees(plan.config) and begun == plan.model_copy(update={**kept, "config": begun.config})
