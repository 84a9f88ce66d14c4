"""Evidence on disk: what a trained cascade sees in patients it never learned from (decision 0006)."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.evidence import EvidenceSettings, examined
from lymphct.cascade.stages import CASCADE
from lymphct.core.errors import DAMAGED, InputError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import STRUCTURES_BY_NAME, NodeClass, Source, counted
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.processes import map_patients
from lymphct.io.results.arrays import StoredArray, save_array
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.nodes.features import FEATURES
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.memory import drawing_jobs

logger = logging.getLogger(__name__)

EVIDENCE_FILE: Final = "evidence.json"
PATCHES_FILE: Final = "patches.npy"
CROP_FILE: Final = "crop.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Who is examined by which models, and where the evidence is kept.

    Attributes:
        patients: prepared.
        bundle: folder of the models.
        folder: receives a folder per patient.
        settings: how patients are examined.
        device: on which the networks run.

    """

    patients: PreparedCohort
    bundle: Path
    folder: Path
    settings: EvidenceSettings
    device: str = "auto"

    def __call__(self, patient_id: str) -> Path:
        """Examine one patient, unless the evidence is there; return its folder.

        Raises:
            LeakageError: the models learned from the patient.

        """
        info = read_bundle(self.bundle).info
        info.fitted_on_anybody.require_unseen(patient_id)
        recipe = Recipe(
            inputs={"prepared": self.patients[patient_id].digest},
            settings={**_described(info), "how": self._how()},
            code=("cascade.evidence",),
        )
        return made(self.folder / patient_id, recipe, partial(self._write, patient_id))

    def _how(self) -> JSON:
        how = {name: getattr(self.settings, name) for name in ("attention", "patches", "radiomics", "box")}
        return {name: group.model_dump(mode="json") for name, group in how.items() if group is not None}

    def _write(self, patient_id: str, folder: Path) -> None:
        models = models_in(self.bundle, self.device)
        write_evidence(folder, examined(self.patients[patient_id], models, self.settings))


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write what was seen in a patient into a folder that is there; who taught the models is not written."""
    write_json(folder / EVIDENCE_FILE, _record(evidence))
    if evidence.patches is not None:
        save_array(folder / PATCHES_FILE, np.asarray(evidence.patches))
    if evidence.crop is not None:  # half the digits are more than CT has
        save_array(folder / CROP_FILE, np.asarray(evidence.crop).astype(np.float16))
    found = "no tumor" if evidence.patches is None else "a tumor"
    logger.info("%s: examined: %s, %s", evidence.patient, found, counted(len(evidence.nodes), "lymph node"))


def _described(info: BundleInfo) -> dict[str, JSON]:
    """Return what the evidence depends on of a bundle: not the parts that judge it."""
    fields = info.model_dump(mode="json")
    parts = {name: fields["parts"][name] for name in CASCADE if name in fields["parts"]}
    return {
        "parts": parts,
        **{name: fields[name] for name in ("spacing", "intensity", "bands", "phase_dropout")},
        # Said only where it is so: evidence of bundles that do not say it stands.
        **{name: fields[name] for name in ("atlas", "trapezia", "suppress_other_organs") if fields[name]},
    }


def examined_patients(examination: Examination, ids: Sequence[str], *, jobs: int = 1) -> dict[str, Evidence]:
    """Return the evidence of patients by id, examining those whose evidence is not there.

    A patient whose images are refused is left out, with the reason in the log.

    Raises:
        LeakageError: the models learned from one of them.
        ModelError: a network that examines is missing.
        EnvironmentProblemError: no space, no memory and the like: nobody is left out for that.

    """
    info = read_bundle(examination.bundle).info
    for name in ids:
        info.fitted_on_anybody.require_unseen(name)
    found = {}
    fitting = drawing_jobs(examination.patients, ids, jobs)
    for outcome in map_patients(examination, ids, jobs=fitting):
        try:
            folder = outcome.result()
        except InputError as error:
            if error.code == DAMAGED:  # the next start mends it; without the patient it would be another run
                raise
            logger.warning("left out of the status training: %s", error.at(patient=outcome.item))
            continue
        found[outcome.item] = read_evidence(folder, examination.patients, info)
    return found


def read_evidence(folder: Path, patients: PreparedCohort, info: BundleInfo) -> Evidence:
    """Read back the evidence of a patient by the models of a bundle; patches stay on the disk.

    Raises:
        InputError: damaged.

    """
    return stored_evidence(folder, patients.clinical[folder.name], info.fitted_on_anybody)


def stored_evidence(folder: Path, clinical: Clinical, fitted_on: FittedOn) -> Evidence:
    """Read back the evidence of the patient after whom the folder is named; patches stay on the disk.

    Args:
        folder: as `write_evidence` left it.
        clinical: what the manifest says of the patient.
        fitted_on: whoever taught the models that examined the patient.

    Raises:
        InputError: damaged.

    """
    record: Any = read_json(folder / EVIDENCE_FILE)  # written by `Examination`
    patches, crop = folder / PATCHES_FILE, folder / CROP_FILE
    features = [[math.nan if x is None else x for x in row] for row in record["features"]]
    return Evidence(
        patient=folder.name,
        patches=StoredArray.open(patches) if patches.exists() else None,
        tumor_volume=record["tumor_volume_mm3"],
        nodes=tuple(_node(entry) for entry in record["nodes"]),
        features=np.array(features, dtype=np.float64).reshape(-1, len(FEATURES)),
        clinical=clinical,
        fitted_on=fitted_on,
        is_searched=record["is_searched"],
        radiomics=_numbers(record["radiomics"]),
        crop=StoredArray.open(crop) if crop.exists() else None,
    )


def _numbers(features: Mapping[str, float | None] | None) -> dict[str, float] | None:
    if features is None:
        return None
    return {name: math.nan if value is None else value for name, value in features.items()}


def _record(evidence: Evidence) -> dict[str, JSON]:
    return {
        "tumor_volume_mm3": evidence.tumor_volume,
        "is_searched": evidence.is_searched,
        "nodes": [_node_record(node) for node in evidence.nodes],
        "features": [[_finite(x) for x in row] for row in evidence.features.tolist()],
        "radiomics": None
        if evidence.radiomics is None
        else {name: _finite(value) for name, value in evidence.radiomics.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _node_record(node: Node) -> dict[str, JSON]:
    return {
        "label": node.label,
        "volume_mm3": node.volume,
        "center": list(node.center),
        "class": None if node.node_class is None else node.node_class.label,
        "probability": node.probability,
        "predicted_iou": node.predicted_iou,
        "detection": node.detection,
        "detection_mean": node.detection_mean,
        "node_probability": node.node_probability,
        "short_axis_mm": node.short_axis,
        "nearest_structure": None if node.nearest_structure is None else node.nearest_structure.label,
        "distance_mm": node.distance,
        "tumor_distance_mm": node.tumor_distance,
        "station": node.station,
        "station_shares": [list(share) for share in node.station_shares],
        "hu_arterial": node.hu_arterial,
        "hu_venous": node.hu_venous,
        "class_source": node.class_source.value,
        "flags": list(node.flags),
    }


def _node(entry: Mapping[str, Any]) -> Node:
    nearest, called = entry["nearest_structure"], entry["class"]
    x, y, z = entry["center"]
    return Node(
        label=entry["label"],
        volume=entry["volume_mm3"],
        center=(x, y, z),
        node_class=None if called is None else NodeClass[called.upper()],
        probability=entry["probability"],
        predicted_iou=entry["predicted_iou"],
        detection=entry["detection"],
        detection_mean=entry["detection_mean"],
        node_probability=entry["node_probability"],
        short_axis=entry["short_axis_mm"],
        nearest_structure=None if nearest is None else STRUCTURES_BY_NAME[nearest],
        distance=entry["distance_mm"],
        tumor_distance=entry["tumor_distance_mm"],
        station=entry["station"],
        station_shares=tuple((station, share) for station, share in entry["station_shares"]),
        hu_arterial=entry["hu_arterial"],
        hu_venous=entry["hu_venous"],
        class_source=Source(entry["class_source"]),
        flags=tuple(entry["flags"]),
    )
