"""A training run on disk: who is trained on, with which settings, and where each stage keeps its files."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lymphct.attention.mapping import PAPER_BANDS, Bands, bands_from_mapping, fit_bands
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import BundleInfo
from lymphct.config import Config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.terms import Phase
from lymphct.evaluation.folds import split_for_training_all
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, IntensityStatistics, fit_intensity
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.patients.preparation import PreparedPatient, load_prepared

logger = logging.getLogger(__name__)

Part = Literal["train", "validation", "fusion_train", "fusion_validation"]
StageName = Literal["structures", "tumor", "nodes", "identification", "metastasis"]
STAGES: tuple[StageName, ...] = ("structures", "tumor", "nodes", "identification", "metastasis")
PLAN_FILE = "plan.json"


class PatientPlan(BaseModel):
    """One patient's place in the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    part: Part
    n_status: int | None


class Plan(BaseModel):
    """Everything a stage needs to know besides the prepared images; `plan.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    seed: int
    is_phantom: bool
    phase_dropout: bool
    config: Config
    intensity: dict[str, tuple[float, float, float, float]]
    bands: dict[str, tuple[float, float]]
    patients: dict[str, PatientPlan]

    @model_validator(mode="before")
    @classmethod
    def _begun_without_registration(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        # A plan that does not say was made before phases were registered, not by today's default.
        config = values.get("config") if isinstance(values, dict) else None
        if isinstance(config, dict) and "registration" not in config:
            return {**values, "config": {**config, "registration": {"method": "none"}}}
        return values

    def ids(self, *parts: Part) -> tuple[str, ...]:
        """Return the patients of some parts, sorted."""
        return tuple(sorted(name for name, entry in self.patients.items() if entry.part in parts))

    def intensity_by_phase(self) -> Intensity:
        """Return the statistics of each phase."""
        return {Phase(name): IntensityStatistics(*values) for name, values in self.intensity.items()}

    def distance_bands(self) -> Bands:
        """Return the distance bands."""
        return bands_from_mapping({n: {"d_min": low, "d_max": high} for n, (low, high) in self.bands.items()})


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of a training run and its plan."""

    folder: Path
    plan: Plan

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the plan of a run that was begun.

        Raises:
            InputError: there is no plan, or it is not valid.

        """
        try:
            return cls(folder, Plan.model_validate(read_json(folder / PLAN_FILE)))
        except ValidationError as error:
            msg = f"not a plan of ours: {error.errors()[0]['msg']}"
            raise InputError(msg, code="E_PLAN", cure="begin a new run").at(file=PLAN_FILE) from error

    @property
    def prepared(self) -> Path:
        """Folder of the prepared patients."""
        return self.folder / "prepared"

    @property
    def bundle(self) -> Path:
        """Folder of the bundle in the making."""
        return self.folder / "bundle"

    def stage(self, name: StageName) -> Path:
        """Folder of one stage: checkpoints, log."""
        return self.folder / "stages" / name

    def patient(self, patient_id: str) -> PreparedPatient:
        """Return a prepared patient."""
        return load_prepared(self.prepared / patient_id)

    def patients(self, *parts: Part) -> list[PreparedPatient]:
        """Return the prepared patients of some parts, in the order of their ids."""
        return [self.patient(name) for name in self.plan.ids(*parts)]


def split_cohort(records: Sequence[PatientRecord], seed: int) -> dict[str, PatientPlan]:
    """Assign each patient to a part: 60 % cascade, 40 % fusion, 20 % of each for validation.

    Patients whose `split` column says `test` or that have an `exclude_reason` take no part. Strata are N
    status and tumor site.

    Raises:
        InputError: fewer than four patients are left.

    """
    taking_part = [r for r in records if r.cells.get("split") != "test" and not r.is_excluded]
    strata = {r.patient_id: f"{r.n_status} {r.tumor_location}" for r in taking_part}
    split = split_for_training_all(strata, seed)
    groups: Mapping[Part, Sequence[str]] = {
        "train": split.train,
        "validation": split.validation,
        "fusion_train": split.fusion_train,
        "fusion_validation": split.fusion_validation,
    }
    part_of = {name: part for part, names in groups.items() for name in names}
    return {r.patient_id: PatientPlan(part=part_of[r.patient_id], n_status=r.n_status) for r in taking_part}


def begin_run(  # noqa: PLR0913 - the last is an option
    folder: Path,
    name: str,
    records: Sequence[PatientRecord],
    config: Config,
    seed: int,
    *,
    init: BundleInfo | None = None,
) -> Run:
    """Split the prepared cohort, fit what is fitted before any network, and write the plan.

    Intensity statistics and bands of `init`, a bundle whose networks are taken over, stay as they are: those
    networks know no others.

    Raises:
        UsageError: the folder holds a run with other settings, patients or seed.
        InputError: too few patients.

    """
    patients = split_cohort(records, seed)
    prepared = folder / "prepared"
    training = [load_prepared(prepared / n) for n, entry in sorted(patients.items()) if entry.part == "train"]
    plan = Plan(
        name=name,
        seed=seed,
        is_phantom=any(record.is_synthetic for record in records),
        phase_dropout=config.nodes.sampling.phase_dropout > 0,
        config=config,
        intensity=_fitted_intensity(training, config)
        if init is None
        else {phase: (s.low, s.high, s.mean, s.sd) for phase, s in init.intensity.items()},
        bands=_fitted_bands(training, config)
        if init is None
        else {name: (b.d_min, b.d_max) for name, b in init.bands.items()},
        patients=patients,
    )
    if (folder / PLAN_FILE).exists():
        if Run.open(folder).plan != plan:
            msg = f"the folder {folder.name} holds a run with other patients, settings or seed"
            raise UsageError(msg, code="E_OTHER_RUN", cure="choose another --out")
    else:
        write_json(folder / PLAN_FILE, plan.model_dump(mode="json"))
    return Run(folder, plan)


def _fitted_intensity(
    training: Sequence[PreparedPatient], config: Config
) -> dict[str, tuple[float, float, float, float]]:
    found = {}
    for phase in Phase:
        pairs = []
        for patient in training:
            volume = patient.ct.venous if phase is Phase.VENOUS else patient.ct.arterial
            foreground = patient.structures or patient.tumor
            if volume is not None and foreground is not None:
                pairs.append((volume, foreground))
        statistics = DEFAULT_INTENSITY
        if pairs and config.cascade.fit_intensity:
            statistics = fit_intensity(pairs, [p.patient_id for p in training]).value
        found[phase.value] = (statistics.low, statistics.high, statistics.mean, statistics.sd)
    return found


def _fitted_bands(training: Sequence[PreparedPatient], config: Config) -> dict[str, tuple[float, float]]:
    bands: Bands = PAPER_BANDS
    if config.cascade.fit_bands:
        pairs = [
            (labels, patient.nodes.instances)
            for patient in training
            if patient.nodes is not None and (labels := patient.labels_for_attention()) is not None
        ]
        ids = [patient.patient_id for patient in training]
        bands = fit_bands(pairs, ids, percentile=config.attention.band_percentile).value
    return {structure.label: (band.d_min, band.d_max) for structure, band in bands.items()}
