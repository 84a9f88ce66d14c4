"""One patient's files, read and checked against one another before any work."""

from pathlib import Path

from lymphct.core.errors import LymphctError
from lymphct.core.patient import PatientInput
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.enhancement import looks_unenhanced
from lymphct.io.images.node_masks import sidecar
from lymphct.io.images.reading import (
    Scheme,
    check_pair,
    phases_look_swapped,
    read_ct,
    read_labels,
    read_mask,
    read_nodes,
)
from lymphct.io.manifest import PatientRecord


def files_of(record: PatientRecord) -> dict[str, Path]:
    """Return the files a patient has, by role; a node map brings the JSON file beside it."""
    files = record.paths
    described = None if record.nodes is None else sidecar(record.nodes)
    return files | ({"nodes_json": described} if described is not None and described.exists() else {})


def read_patient(record: PatientRecord, *, labels: Scheme = "lymphct") -> PatientInput:
    """Read all files of one patient.

    Raises:
        InputError: a file is refused, or two of them do not belong together; the error names the patient.

    """
    try:
        return _read(record, labels)
    except LymphctError as error:
        raise error.at(patient=record.patient_id) from error.__cause__


def _read(record: PatientRecord, labels: Scheme) -> PatientInput:
    venous = read_ct(record.venous, phase=Phase.VENOUS)
    notices = list(venous.notices)
    grid = venous.volume.geometry
    arterial = None
    if record.arterial is not None:
        arterial = read_ct(record.arterial, phase=Phase.ARTERIAL)
        notices += arterial.notices
        notices += check_pair(venous, arterial)
    structures = (
        None if record.structures is None else read_labels(record.structures, scheme=labels, grid=grid)
    )
    tumor = None if record.tumor is None else read_mask(record.tumor, grid, name="tumor mask")
    nodes = None if record.nodes is None else read_nodes(record.nodes, grid)
    aorta = _aorta(structures)
    seen = [looks_unenhanced(venous.volume, aorta)]
    if arterial is not None:
        seen.append(phases_look_swapped(venous.volume, arterial.volume, aorta))
    notices += [notice for notice in seen if notice is not None]
    return PatientInput(
        patient_id=record.patient_id,
        venous=venous.volume,
        arterial=None if arterial is None else arterial.volume,
        structures=structures,
        tumor=tumor,
        nodes=nodes,
        notices=tuple(notices),
    )


def _aorta(structures: Volume | None) -> Volume | None:
    return None if structures is None else structures.with_array(structures.array == Structure.AORTA)
