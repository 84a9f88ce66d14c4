"""A patient on the working grid: read, checked, registered and resampled once, then kept in chunks."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.anatomy.regions import region_around, whole
from lymphct.cascade.alignment import Aligned, align, nodes_on_grid
from lymphct.cascade.registration_check import registration_record
from lymphct.core.arrays import Vector3
from lymphct.core.errors import InputError
from lymphct.core.patient import Multiphase, NodeMap, PatientInput
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.imaging.crop import crop_volume
from lymphct.imaging.locations import class_locations
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.processes import Outcome, map_patients
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.known import Known
from lymphct.io.results.made import SHARED, Recipe, made
from lymphct.io.results.store import DONE_FILE, is_current
from lymphct.io.results.volumes import Crop, save_volumes, smallest_unsigned
from lymphct.io.structure_sources import record_beside, structure_sources
from lymphct.patients.reading import files_of, read_patient
from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

CODE: Final = ("patients.preparation",)
"""Whose code the images depend on."""
AROUND_BODY: Final = 10.0
"""mm that are kept around the body and what was drawn."""
IMAGES: Final = "images"
"""Beginning of the name of the folder that holds a prepared patient's images, within the patient's own."""
NODES_FILE: Final = "nodes.json"
LABELLED_FILE: Final = "labelled.json"
"""Names of the structures that were drawn; not there when all were."""
SOURCES_FILE: Final = "structure_sources.json"
"""Who gave each structure, where the masks say so; not there otherwise."""
ALIGNMENT_FILE: Final = "alignment.json"
"""How the phases were brought together, and what a reader of the files must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How patients are prepared, and where.

    Runs may share the folder: what is prepared otherwise lies in another folder beside.

    Attributes:
        folder: the store; receives a folder per patient.
        spacing: of the working grid, mm.
        registration: of the arterial to the venous phase.
        labels: numbering of the structures in the cohort's files.
        rehash: hash every input and every stored image, even where size, time of change and inode stand.

    """

    folder: Path
    spacing: Vector3
    registration: RegistrationSettings
    labels: Scheme = "auto"
    rehash: bool = False

    @property
    def settings(self) -> dict[str, JSON]:
        """What the images of a patient depend on besides the patient's files."""
        return _settings(self.spacing, self.registration, labels_key(self.labels))

    @property
    def store(self) -> "Store":
        """Where the images lie."""
        return Store(self.folder, variant(self.spacing, self.registration, labels_key(self.labels)))


@dataclass(frozen=True, slots=True)
class Store:
    """Where prepared patients lie: a folder that runs share, and what tells their variants apart."""

    folder: Path
    variant: str

    def place(self, patient_id: str) -> Path:
        """Return the folder of one patient's images."""
        return self.folder / patient_id / f"{IMAGES}-{self.variant}"


def variant(spacing: Vector3, registration: RegistrationSettings, labels: str) -> str:
    """Return a short key of how patients are prepared; `labels` as `labels_key` gives it."""
    return Recipe(settings=_settings(spacing, registration, labels), code=CODE).variant


def _settings(spacing: Vector3, registration: RegistrationSettings, labels: str) -> dict[str, JSON]:
    return {
        "spacing": list(spacing),
        "labels": labels,
        "registration": registration.model_dump(mode="json"),
    }


def labels_key(scheme: Scheme) -> str:
    """Return the name of a numbering, for a file of names the digest of what it says."""
    return digest_file(scheme) if isinstance(scheme, Path) else scheme


def prepared_patients(
    records: Sequence[PatientRecord], preparation: Preparation, *, jobs: int = 1
) -> Iterator[Outcome[PatientRecord, Path]]:
    """Prepare each patient, in turn or side by side; patients that are up to date cost nothing."""
    preparation.folder.mkdir(parents=True, exist_ok=True)
    return map_patients(partial(prepare_patient, preparation=preparation), records, jobs=jobs)


def prepare_patient(record: PatientRecord, preparation: Preparation) -> Path:
    """Read one patient, bring everything onto the working grid and commit it; return the folder of images.

    A patient who is there, from the same files, settings and code, costs a look at the files. One whose
    images are damaged is prepared again, with a warning.

    Raises:
        InputError: a file is refused, or the phases do not belong together; nothing is left behind.

    """
    place = preparation.store.place(record.patient_id)
    known = Known.beside(place, trusts=not preparation.rehash)
    recipe = _recipe(record, preparation, known)
    write = partial(_write_images, record=record, preparation=preparation)
    return made(place, recipe, write, known=known, patience=SHARED)


def _recipe(record: PatientRecord, preparation: Preparation, known: Known) -> Recipe:
    files = files_of(record) | _provenance(record)
    settings = preparation.settings
    if record.labelled is not None:  # a cell of the manifest that says what is in the file
        settings["labelled"] = [structure.label for structure in record.labelled]
    return Recipe(inputs=known.digests(files), settings=settings, code=CODE, files=files)


def is_prepared(record: PatientRecord, preparation: Preparation) -> bool:
    """Tell whether a patient's images are there, from these files, settings and code; nothing is made."""
    place = preparation.store.place(record.patient_id)
    if not (place / DONE_FILE).exists():  # no file is hashed for nothing
        return False
    try:
        return is_current(place, _recipe(record, preparation, Known.beside(place)).fingerprint())
    except InputError:  # a file is gone
        return False


def _provenance(record: PatientRecord) -> dict[str, Path]:
    found = None if record.structures is None else record_beside(record.structures)
    return {} if found is None else {"structure_sources": found}


def _write_images(folder: Path, *, record: PatientRecord, preparation: Preparation) -> None:
    patient = read_patient(record, labels=preparation.labels)
    aligned = align(patient.venous, patient.arterial, preparation.spacing, preparation.registration)
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


def load_alignment(images: Path) -> Mapping[str, Any]:
    """Return how the phases of a prepared patient were brought together: `registration` and `notices`."""
    record: Any = read_json(images / ALIGNMENT_FILE)  # written by `_alignment_record`
    return dict(record)


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
