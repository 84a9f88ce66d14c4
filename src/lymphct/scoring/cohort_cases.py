"""Which patients of a manifest have a prediction that may be scored against what is drawn in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.io.images.label_names import dataset_file
from lymphct.io.images.labels import Scheme
from lymphct.io.images.node_masks import sidecar
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import manifest_problems
from lymphct.io.results.jsonfile import JSON, read_json_lines
from lymphct.scoring.predicted import (
    RESULT_FILE,
    STAGES,
    PredictedResult,
    Stage,
    read_result,
    require_predicted,
)
from lymphct.scoring.status import RESAMPLES

FAILURES_FILE: Final = "failures.jsonl"

FILES: Final[Mapping[Stage, tuple[str, ...]]] = {
    "structures": ("seg/structures.nii.gz",),
    "tumor": ("seg/tumor.nii.gz",),
    "nodes": ("seg/node_instances.nii.gz", "nodes.csv"),
}
"""Files of a result folder that a stage is scored from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRequest:
    """How to evaluate a predicted cohort.

    Attributes:
        without: stages that are not scored.
        allow_seen: keep patients on whom the models were fitted, and say so everywhere.
        labels: numbering of the structures that are drawn.
        iou: smallest intersection over union of a matched node (Sec. IV-D: 0.3).
        seed: of the resamples.
        resamples: of each bootstrap interval.

    """

    without: frozenset[Stage] = frozenset()
    allow_seen: bool = False
    labels: Scheme = "auto"
    iou: float = 0.3
    seed: int = 0
    resamples: int = RESAMPLES

    def settings(self) -> dict[str, JSON]:
        """Return what the record says of it."""
        return {
            "without": [stage for stage in STAGES if stage in self.without],
            "allow_seen": self.allow_seen,
            "labels": str(self.labels),
            "iou": self.iou,
            "seed": self.seed,
            "resamples": self.resamples,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortCase:
    """One patient who is scored: what is true, what was predicted, and where.

    Attributes:
        record: the line of the manifest.
        folder: the result folder.
        result: its `result.json`.
        stages: what is drawn and scored.

    """

    record: PatientRecord
    folder: Path
    result: PredictedResult
    stages: tuple[Stage, ...]

    @property
    def case(self) -> str:
        """Return the patient's id."""
        return self.record.patient_id

    @property
    def files(self) -> dict[str, Path]:
        """Return every file the scores depend on, by role and patient."""
        drawn: dict[str, Path] = {stage: self.record.paths[stage] for stage in self.stages}
        if "nodes" in drawn and sidecar(drawn["nodes"]).exists():
            drawn["nodes_json"] = sidecar(drawn["nodes"])
        named = dataset_file(drawn["structures"]) if "structures" in drawn else None
        if named is not None:
            drawn["structures_json"] = named
        predicted = [RESULT_FILE, *(name for stage in self.stages for name in FILES[stage])]
        return {f"truth/{self.case}/{role}": path for role, path in drawn.items()} | {
            f"result/{self.case}/{name}": self.folder / name for name in predicted
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """All patients of a manifest, by what becomes of them here; every patient is in one group.

    Attributes:
        cases: those who are scored.
        excluded: id → reason the manifest gives.
        without_result: id → why there is none, as far as `failures.jsonl` tells.
        seen: ids of patients left out because the models were fitted on them.
        records: the lines of all patients, by id.

    """

    cases: tuple[CohortCase, ...]
    records: Mapping[str, PatientRecord] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    without_result: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[str, ...] = ()


def gather(manifest: Manifest, results: Path, request: CohortRequest) -> Cohort:
    """Find the prediction of every patient of a manifest, and refuse to score what was not predicted.

    Args:
        manifest: what is true; images of its patients are not needed.
        results: folder of `predict`, with a folder per patient.
        request: how to evaluate.

    Raises:
        InputError: the manifest cannot be used, no patient has a result, a result is damaged, of another
            patient, or by a version that does not say where its masks come from, or a stage that would be
            scored was given instead of predicted; the message names patient and stage.

    """
    _require_ids(manifest)
    if not results.is_dir():
        msg = "no such folder"
        raise InputError(msg, code="E_MISSING", cure="give the folder predict wrote").at(file=results.name)
    told = _failures(results)
    cases: list[CohortCase] = []
    excluded: dict[str, str] = {}
    without: dict[str, str] = {}
    seen: list[str] = []
    for record in manifest.patients:
        name, folder = record.patient_id, results / record.patient_id
        if record.is_excluded:
            excluded[name] = record.cells["exclude_reason"]
        elif name in told or not (folder / RESULT_FILE).exists():
            # After a failure the folder of an earlier prediction is still there: of other inputs.
            without[name] = told.get(name, "no result folder")
        else:
            result = _result(record, folder)
            if result.is_seen and not request.allow_seen:
                seen.append(name)
            else:
                cases.append(_case(record, folder, result, request))
    if not cases:
        raise _nobody(results, manifest, len(seen))
    return Cohort(
        cases=tuple(cases),
        records={record.patient_id: record for record in manifest.patients},
        excluded=excluded,
        without_result=without,
        seen=tuple(seen),
    )


def _require_ids(manifest: Manifest) -> None:
    """Refuse a manifest whose ids or labels forbid any work; whether its images exist does not matter."""
    bare = [
        replace(record, venous=manifest.path, arterial=None, structures=None, tumor=None, nodes=None)
        for record in manifest.patients
    ]
    for problem in manifest_problems(replace(manifest, patients=tuple(bare))):
        if problem.scope == "cohort":
            cause = f"line {problem.line}: {problem.error.cause}"
            error = InputError(cause, code=problem.error.code, cure=problem.error.cure)
            raise error.at(file=manifest.path.name)


def _failures(results: Path) -> dict[str, str]:
    """Return why predictions failed, by patient."""
    path = results / FAILURES_FILE
    lines: list[Any] = read_json_lines(path) if path.is_file() else []
    told = [line for line in lines if isinstance(line, dict)]
    return {str(line.get("patient_id")): str(line.get("cause", "failed")) for line in told}


def _result(record: PatientRecord, folder: Path) -> PredictedResult:
    try:
        return read_result(folder / RESULT_FILE, record.patient_id)
    except InputError as error:
        raise error.at(patient=record.patient_id) from None


def _case(record: PatientRecord, folder: Path, result: PredictedResult, request: CohortRequest) -> CohortCase:
    try:
        for stage in STAGES:
            if stage not in request.without:
                require_predicted(result, stage)
        stages = tuple(s for s in STAGES if s not in request.without and s in record.paths)
        for stage in stages:
            _require_files(record, folder, result, stage)
    except InputError as error:
        raise error.at(patient=record.patient_id) from None
    return CohortCase(record=record, folder=folder, result=result, stages=stages)


def _require_files(record: PatientRecord, folder: Path, result: PredictedResult, stage: Stage) -> None:
    if not record.paths[stage].exists():
        msg = f"{stage}: no such file"
        raise InputError(msg, code="E_MISSING", cure="check the path in the manifest").at(
            file=record.paths[stage].name
        )
    for name in FILES[stage]:
        if not (folder / name).exists():
            msg = "the result folder lacks this file"
            cure = (
                f"leave the stage out: --without {stage}"
                if result.is_partial
                else "predict the patient again"
            )
            raise InputError(msg, code="E_MISSING", cure=cure).at(file=name)


def _nobody(results: Path, manifest: Manifest, seen: int) -> InputError:
    if seen:
        msg = f"the models were fitted on every predicted patient ({seen}): nobody is left to evaluate"
        cure = "predict patients the models never saw, or say --allow-seen"
        return InputError(msg, code="E_LEAKAGE", cure=cure)
    if (results / RESULT_FILE).exists():
        msg = f"this is the result of one patient; a folder per patient of {manifest.path.name} is needed"
        return InputError(msg, code="E_NO_RESULTS", cure="predict the cohort: lymphct predict COHORT.csv").at(
            file=results.name
        )
    if all(record.is_excluded for record in manifest.patients):
        msg = f"every patient of {manifest.path.name} has an exclude_reason: nobody is left to evaluate"
        return InputError(msg, code="E_NO_RESULTS", cure="leave exclude_reason blank for some")
    msg = f"none of {len(manifest.patients)} patients of {manifest.path.name} has a result here"
    cure = "give the folder that predict wrote for this manifest"
    return InputError(msg, code="E_NO_RESULTS", cure=cure).at(file=results.name)
