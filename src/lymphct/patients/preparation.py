"""A patient on the working grid: read, checked, registered and resampled once, then kept as memory maps."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.attention.mapping import AttentionSettings, Bands, attention_map, merge_tumor
from lymphct.cascade.alignment import Aligned, align, nodes_on_grid
from lymphct.cascade.registration_check import registration_record
from lymphct.core.arrays import Vector3
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.reading import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.processes import Outcome, map_patients
from lymphct.io.results.fingerprints import code_version, digest_input, fingerprint, require_unchanged
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.store import committed_folder, is_current
from lymphct.io.results.volumes import load_volumes, save_volumes
from lymphct.nodes.measurement import measure_nodes
from lymphct.patients.reading import PatientInput, files_of, read_patient
from lymphct.registration.registering import RegistrationSettings

logger = logging.getLogger(__name__)

IMAGES: Final = "images"
"""Folder of a prepared patient's images within the patient's own."""
NODES_FILE: Final = "nodes.json"
ALIGNMENT_FILE: Final = "alignment.json"
"""How the phases were brought together, and what a reader of the files must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPatient:
    """One patient on the working grid.

    Attributes:
        patient_id: pseudonymous id.
        ct: HU, int16.
        structures: label map; None where nobody drew.
        tumor: mask; None likewise.
        nodes: drawn lymph nodes; None likewise.

    """

    patient_id: str
    ct: Multiphase
    structures: Volume | None
    tumor: Volume | None
    nodes: NodeMap | None

    def labels_for_attention(self) -> Volume | None:
        """Return the structures with the tumor counted as pancreas; None without structures."""
        if self.structures is None or self.tumor is None:
            return self.structures
        return merge_tumor(self.structures, self.tumor)

    def attention(self, bands: Bands, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures; None without them."""
        labels = self.labels_for_attention()
        return None if labels is None else attention_map(labels, bands, settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How patients are prepared, and where.

    Attributes:
        folder: receives a folder per patient.
        spacing: of the working grid, mm.
        registration: of the arterial to the venous phase.
        labels: numbering of the structures in the cohort's files.

    """

    folder: Path
    spacing: Vector3
    registration: RegistrationSettings
    labels: Scheme = "lymphct"

    def place(self, patient_id: str) -> Path:
        """Return the folder of one patient."""
        return self.folder / patient_id


def prepare_cohort(
    records: Sequence[PatientRecord], preparation: Preparation, *, jobs: int = 1
) -> Iterator[Outcome[PatientRecord, Path]]:
    """Prepare each patient, in turn or side by side; patients that are up to date cost nothing."""
    preparation.folder.mkdir(parents=True, exist_ok=True)
    return map_patients(_Preparer(preparation), records, jobs=jobs)


@dataclass(frozen=True, slots=True)
class _Preparer:
    preparation: Preparation

    def __call__(self, record: PatientRecord) -> Path:
        return prepare_patient(record, self.preparation)


def prepare_patient(record: PatientRecord, preparation: Preparation) -> Path:
    """Read one patient, bring everything onto the working grid and commit it; return the patient's folder.

    Raises:
        InputError: a file is refused, or the phases do not belong together; nothing is left behind.

    """
    place = preparation.place(record.patient_id)
    files = files_of(record)
    digests = {role: digest_input(path) for role, path in files.items()}
    origin = fingerprint(
        digests,
        {
            "spacing": list(preparation.spacing),
            "labels": str(preparation.labels),
            "registration": preparation.registration.model_dump(mode="json"),
        },
        code_version("core", "imaging", "io"),
    )
    if is_current(place / IMAGES, origin):
        return place
    patient = read_patient(record, labels=preparation.labels)
    aligned = align(patient.venous, patient.arterial, preparation.spacing, preparation.registration)
    prepared = on_working_grid(patient, aligned.ct)
    place.mkdir(parents=True, exist_ok=True)
    with committed_folder(place / IMAGES, origin) as staging:
        save_volumes(staging, _volumes(prepared))
        write_json(staging / NODES_FILE, _node_records(prepared.nodes))
        write_json(staging / ALIGNMENT_FILE, _alignment_record(patient, aligned))
        require_unchanged(files, digests)
    logger.info("%s: prepared on a grid of %s voxels", record.patient_id, prepared.ct.venous.geometry.shape)
    if aligned.registration is not None:
        took = aligned.registration
        logger.info("%s: phases registered by %s in %.1f s", record.patient_id, took.method, took.seconds)
    for notice in aligned.notices:
        logger.warning("%s: %s", record.patient_id, notice.text)
    return place


def on_working_grid(patient: PatientInput, ct: Multiphase) -> PreparedPatient:
    """Round both phases to whole HU and resample the drawn masks onto their grid."""
    grid = ct.venous.geometry
    return PreparedPatient(
        patient_id=patient.patient_id,
        ct=Multiphase(
            venous=_whole_hu(ct.venous), arterial=None if ct.arterial is None else _whole_hu(ct.arterial)
        ),
        structures=None if patient.structures is None else resample_labels(patient.structures, grid),
        tumor=None if patient.tumor is None else resample_labels(patient.tumor, grid),
        nodes=None if patient.nodes is None else nodes_on_grid(patient.nodes, grid),
    )


def load_prepared(place: Path) -> PreparedPatient:
    """Read a prepared patient back from the patient's folder; images are memory maps."""
    folder = place / IMAGES
    volumes = load_volumes(folder)
    ct = Multiphase(venous=volumes["venous"], arterial=volumes.get("arterial"))
    structures = volumes.get("structures")
    nodes = None
    if "nodes" in volumes:
        drawn = NodeMap(instances=volumes["nodes"], nodes=_read_nodes(folder))
        blank = volumes["nodes"].with_array(np.zeros(ct.venous.geometry.shape, np.uint8))
        nodes = measure_nodes(drawn, ct, blank if structures is None else structures)
    return PreparedPatient(
        patient_id=place.name, ct=ct, structures=structures, tumor=volumes.get("tumor"), nodes=nodes
    )


def load_alignment(place: Path) -> Mapping[str, Any]:
    """Return how the phases of a prepared patient were brought together: `registration` and `notices`."""
    record: Any = read_json(place / IMAGES / ALIGNMENT_FILE)  # written by `_alignment_record`
    return dict(record)


def _alignment_record(patient: PatientInput, aligned: Aligned) -> dict[str, JSON]:
    report = aligned.registration
    return {
        "has_arterial": aligned.ct.arterial is not None,
        "registration": None if report is None else registration_record(report),
        "notices": [asdict(notice) for notice in (*patient.notices, *aligned.notices)],
    }


def _volumes(prepared: PreparedPatient) -> dict[str, Volume]:
    found = {
        "venous": prepared.ct.venous,
        "arterial": prepared.ct.arterial,
        "structures": prepared.structures,
        "tumor": prepared.tumor,
        "nodes": None if prepared.nodes is None else prepared.nodes.instances,
    }
    return {name: volume for name, volume in found.items() if volume is not None}


def _node_records(nodes: NodeMap | None) -> JSON:
    return [
        {
            "label": node.label,
            "class": None if node.node_class is None else node.node_class.label,
            "station": node.station,
        }
        for node in (() if nodes is None else nodes.nodes)
    ]


def _read_nodes(folder: Path) -> tuple[Node, ...]:
    classes = {node_class.label: node_class for node_class in NodeClass}
    records: Any = read_json(folder / NODES_FILE)  # written by `_node_records`
    return tuple(
        Node(
            label=entry["label"],
            volume=0.0,
            center=(0.0, 0.0, 0.0),
            node_class=classes.get(entry["class"]),
            station=entry["station"],
        )
        for entry in records
    )


def _whole_hu(phase: Volume) -> Volume:
    # Half a HU is far below the noise, and int16 halves the memory of a cohort.
    return phase.with_array(np.clip(np.rint(phase.array), -1024, 32767).astype(np.int16))
