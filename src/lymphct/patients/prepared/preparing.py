"""What preparing a patient computes: phases brought together, the working grid, what is cut away."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.anatomy.regions import region_around, whole
from lymphct.cascade.alignment import Aligned, align, nodes_on_grid
from lymphct.cascade.registration_check import registration_record
from lymphct.core.arrays import Vector3
from lymphct.core.patient import Multiphase, NodeMap, PatientInput
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.imaging.crop import crop_volume
from lymphct.imaging.locations import class_locations
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.volumes import Crop, save_volumes, smallest_unsigned
from lymphct.io.structure_sources import structure_sources
from lymphct.patients.prepared.files import ALIGNMENT_FILE, LABELLED_FILE, NODES_FILE, SOURCES_FILE
from lymphct.patients.reading import read_patient
from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

AROUND_BODY: Final = 10.0
"""mm that are kept around the body and what was drawn."""


def write_images(
    folder: Path,
    *,
    record: PatientRecord,
    spacing: Vector3,
    registration: RegistrationSettings,
    labels: Scheme,
) -> None:
    """Read one patient and write what the networks learn from into an empty folder.

    Raises:
        InputError: a file is refused, or the phases do not belong together.

    """
    patient = read_patient(record, labels=labels)
    aligned = align(patient.venous, patient.arterial, spacing, registration)
    prepared = on_working_grid(patient, aligned.ct)
    volumes, crop = cropped(images_of(prepared))
    drawn = {name: volume for name, volume in volumes.items() if name not in {"venous", "arterial"}}
    found = {name: class_locations(volume.array) for name, volume in drawn.items()}
    save_volumes(folder, volumes, crop=crop, locations=found)
    write_json(folder / NODES_FILE, _node_records(prepared.nodes))
    if prepared.labelled is not None:
        write_json(folder / LABELLED_FILE, [structure.label for structure in prepared.labelled])
    sources = {} if record.structures is None else structure_sources(record.structures)
    if sources:
        write_json(folder / SOURCES_FILE, {s.label: source for s, source in sorted(sources.items())})
    write_json(folder / ALIGNMENT_FILE, _alignment_record(patient, aligned))
    full, shape = crop.full.shape, volumes["venous"].geometry.shape
    logger.info("%s: prepared on a grid of %s voxels, %s kept", record.patient_id, full, shape)
    if aligned.registration is not None:
        took = aligned.registration
        logger.info("%s: phases registered by %s in %.1f s", record.patient_id, took.method, took.seconds)
    for notice in aligned.notices:
        logger.warning("%s: %s", record.patient_id, notice.text)


def on_working_grid(patient: PatientInput, ct: Multiphase) -> PatientInput:
    """Round both phases to whole HU and resample the drawn masks onto their grid."""
    grid = ct.venous.geometry
    return replace(
        patient,
        venous=_whole_hu(ct.venous),
        arterial=None if ct.arterial is None else _whole_hu(ct.arterial),
        structures=None if patient.structures is None else resample_labels(patient.structures, grid),
        tumor=None if patient.tumor is None else resample_labels(patient.tumor, grid),
        nodes=None if patient.nodes is None else nodes_on_grid(patient.nodes, grid),
        unjudged=None if patient.unjudged is None else resample_labels(patient.unjudged, grid),
    )


def cropped(volumes: Mapping[str, Volume]) -> tuple[dict[str, Volume], Crop]:
    """Cut images on one grid to the body, its surroundings and all that was drawn (decision 0032).

    Args:
        volumes: by name; `venous` shows the body (HU), all but the phases are drawn: above 0 inside.

    Returns:
        The images on the grid of the box, and where it lies.

    """
    venous = volumes["venous"]
    inside = body_mask(venous.array)
    for name, volume in volumes.items():
        if name not in {"venous", "arterial"}:
            inside |= volume.array > 0
    box = region_around(inside, venous.geometry.spacing, AROUND_BODY) or whole(venous)
    start = (box[0].start, box[1].start, box[2].start)
    size = (box[0].stop - start[0], box[1].stop - start[1], box[2].stop - start[2])
    cut = {name: crop_volume(volume, start, size) for name, volume in volumes.items()}
    return cut, Crop(start=start, full=venous.geometry)


def _alignment_record(patient: PatientInput, aligned: Aligned) -> dict[str, JSON]:
    report = aligned.registration
    return {
        "has_arterial": aligned.ct.arterial is not None,
        "registration": None if report is None else registration_record(report),
        "notices": [asdict(notice) for notice in (*patient.notices, *aligned.notices)],
    }


def images_of(prepared: PatientInput) -> dict[str, Volume]:
    """Return phases and drawn masks by name, masks in the smallest type that holds their numbers."""
    phases = {"venous": prepared.venous, "arterial": prepared.arterial}
    drawn = {
        "structures": prepared.structures,
        "tumor": prepared.tumor,
        "nodes": None if prepared.nodes is None else prepared.nodes.instances,
        "unjudged": prepared.unjudged,
    }
    small = {
        name: volume.with_array(smallest_unsigned(volume.array))
        for name, volume in drawn.items()
        if volume is not None
    }
    return {**{name: volume for name, volume in phases.items() if volume is not None}, **small}


def _node_records(nodes: NodeMap | None) -> JSON:
    return [
        {
            "label": node.label,
            "class": None if node.node_class is None else node.node_class.label,
            "station": node.station,
        }
        for node in (() if nodes is None else nodes.nodes)
    ]


def _whole_hu(phase: Volume) -> Volume:
    # Half a HU is far below the noise, and int16 halves the memory of a cohort.
    return phase.with_array(np.clip(np.rint(phase.array), -1024, 32767).astype(np.int16))
