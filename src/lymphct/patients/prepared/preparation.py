"""A patient on the working grid: read, checked, registered and resampled once, then kept in chunks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lymphct.core.arrays import Vector3
from lymphct.core.errors import InputError
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.processes import Outcome, map_patients
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.io.results.known import Known
from lymphct.io.results.made import SHARED, Recipe, made
from lymphct.io.results.store import DONE_FILE, is_current
from lymphct.io.structure_sources import record_beside
from lymphct.patients.prepared.files import ALIGNMENT_FILE
from lymphct.patients.reading import files_of
from lymphct.registration.settings import RegistrationSettings

CODE: Final = ("patients.prepared.preparation",)
"""Whose code the images depend on."""
IMAGES: Final = "images"
"""Beginning of the name of the folder that holds a prepared patient's images, within the patient's own."""


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
    from lymphct.patients.prepared.preparing import write_images  # noqa: PLC0415 - loads torch; who looks needs none

    place = preparation.store.place(record.patient_id)
    known = Known.beside(place, trusts=not preparation.rehash)
    recipe = _recipe(record, preparation, known)
    how = {name: getattr(preparation, name) for name in ("spacing", "registration", "labels")}
    write = partial(write_images, record=record, **how)
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


def load_alignment(images: Path) -> Mapping[str, Any]:
    """Return how the phases of a prepared patient were brought together: `registration` and `notices`."""
    record: Any = read_json(images / ALIGNMENT_FILE)  # written by `_alignment_record`
    return dict(record)
