"""Patients as a student of structures learns from them: with labels merged from drawn and a teacher's masks.

Each step is made from a recipe and lies in the folder of the round: what the teacher says of a patient, then
the labels of the student (decision 0040).
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.anatomy.self_learning import (
    Drawn,
    TeacherMap,
    cleaned,
    combined,
    confident,
    student_labels,
    without,
)
from lymphct.anatomy.settings import SelfLearningSettings
from lymphct.cascade.prepared import ImageName, Prepared
from lymphct.core.arrays import IntArray
from lymphct.core.terms import STRUCTURES_BY_NAME, StageName, Structure
from lymphct.core.unjudged import UNJUDGED, unjudged_in
from lymphct.core.volume import StoredVolume, Volume
from lymphct.imaging.locations import class_locations
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.volumes import StoredImages, load_volumes, save_volumes
from lymphct.patients.prepared.dataset import PreparedCohort, StoredPatient
from lymphct.patients.prepared.seen import SeenPatient
from lymphct.patients.sources.teachers import MaskSource, as_bytes, as_confidence, maps_of

logger = logging.getLogger(__name__)

TEACHER: Final = "teacher"
LABELS: Final = "labels"
"""Folders of a round, with a folder per patient: the teacher's masks, and what the student learns from."""
TOLD_FILE: Final = "told.json"


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of self-learning.

    Attributes:
        folder: receives masks and labels.
        sources: the teacher, in an order of trust.
        settings: confidence, cleaning.
        records: lines of the manifest, by id.
        patients: the prepared patients.

    """

    folder: Path
    sources: tuple[MaskSource, ...]
    settings: SelfLearningSettings
    records: Mapping[str, PatientRecord]
    patients: PreparedCohort

    def teacher(self, patient_id: str) -> Path:
        """Return the folder of the teacher's masks of a patient, made first where they are not there.

        Raises:
            InputError: a mask of the teacher cannot be used.

        """
        keys = {source.name: source.key(self.records[patient_id]) for source in self.sources}
        recipe = Recipe(
            inputs={"images": self.patients[patient_id].digest, **keys},
            settings={
                "sources": [source.name for source in self.sources],
                "component_share": self.settings.component_share,
                "plausible_only": self.settings.plausible_only,
            },
            code=("patients.sources.teachers", "anatomy.self_learning"),
        )
        place = self.folder / TEACHER / patient_id
        return made(place, recipe, partial(self._write_teacher, patient_id=patient_id))

    def _write_teacher(self, folder: Path, *, patient_id: str) -> None:
        patient = self.patients[patient_id]
        maps = maps_of(self.sources, self.records[patient_id], patient, patient.geometry)
        refused: dict[Structure, str] = {}
        record: dict[str, JSON] = {"structures": None, "from": {}, "refused": {}}
        if maps:
            teacher, refused = cleaned(combined(list(maps.values())), self.settings)
            volumes = {LABELS: teacher.labels}
            if teacher.confidence is not None:
                volumes["confidence"] = as_bytes(teacher.confidence)
            save_volumes(folder, volumes)
            origin: dict[str, JSON] = {}
            for name, one in maps.items():
                for structure in one.structures:
                    origin.setdefault(structure.label, name)
            record = {
                "structures": [structure.label for structure in teacher.structures],
                "from": origin,
                "refused": {structure.label: why for structure, why in refused.items()},
            }
        write_json(folder / TOLD_FILE, record)
        if refused:
            titles = ", ".join(structure.title for structure in sorted(refused))
            first = next(iter(refused.values()))
            logger.warning("%s: cannot be and teach nothing: %s; for example %s", patient_id, titles, first)

    def told(self, patient_id: str) -> TeacherMap | None:
        """Return what the teacher says of a patient, cleaned; None where it says nothing."""
        folder = self.teacher(patient_id)
        record = self.told_record(patient_id)
        if record["structures"] is None:
            return None
        volumes = load_volumes(folder)
        sure = volumes.get("confidence")
        return TeacherMap(
            labels=volumes[LABELS],
            structures=tuple(STRUCTURES_BY_NAME[name] for name in record["structures"]),
            confidence=None if sure is None else as_confidence(sure),
        )

    def told_record(self, patient_id: str) -> dict[str, Any]:
        """Return the structures that are told of a patient, from whom, and which were refused and why."""
        record: Any = read_json(self.folder / TEACHER / patient_id / TOLD_FILE)  # written by `_write_teacher`
        return dict(record)

    def labels(self, patient_id: str, untold: tuple[Structure, ...]) -> Path:
        """Return the folder of what the student learns from in a patient, made first where it is not there.

        Args:
            patient_id: whose.
            untold: structures that are learned from drawn masks alone.

        """
        recipe = Recipe(
            inputs={TEACHER: key_of(self.teacher(patient_id)), "images": self.patients[patient_id].digest},
            settings={
                "confidence": self.settings.confidence,
                "untold": [structure.label for structure in untold],
            },
            code=("anatomy.self_learning", "patients.sources.taught"),
        )
        write = partial(self._write_labels, patient_id=patient_id, untold=untold)
        return made(self.folder / LABELS / patient_id, recipe, write)

    def _write_labels(self, folder: Path, *, patient_id: str, untold: tuple[Structure, ...]) -> None:
        told = self.told(patient_id)
        sure = None if told is None else confident(told, self.settings.confidence)
        teacher = None if sure is None else without(sure, untold)
        labels = student_labels(drawn_in(self.patients[patient_id]), teacher)
        unsure = 0.0
        if sure is not None and told is not None:
            unsure = float(np.mean((sure.labels.array == UNJUDGED) & (told.labels.array != UNJUDGED)))
        record: dict[str, JSON] = {"structures": [], "unsure_share": unsure}
        if labels is not None:
            known = tuple(Structure) if labels.structures is None else labels.structures
            record["structures"] = [structure.label for structure in known]
            found = class_locations(labels.labels.array)
            found.pop(UNJUDGED, None)
            save_volumes(folder, {"structures": labels.labels}, locations={"structures": found})
        write_json(folder / TOLD_FILE, record)


def drawn_in(patient: StoredPatient) -> Drawn | None:
    """Return what somebody drew in a patient; None where nobody did."""
    labels, unjudged = patient.structures, patient.unjudged
    if labels is None:
        return None
    nobody = None if unjudged is None else unjudged_in(unjudged.array, StageName.STRUCTURES)
    return Drawn(labels=labels, structures=patient.labelled, unjudged=nobody)


class TaughtPatient(SeenPatient):
    """A prepared patient with the labels of a student as structures; everything else stays as it is."""

    def __init__(self, stored: StoredPatient, labels: Path) -> None:
        """Remember where the labels lie."""
        super().__init__(stored)
        self._labels = labels

    @property
    def tumor(self) -> Volume | None:
        """Mask of the drawn tumor."""
        return self.stored.tumor

    @property
    def unjudged(self) -> Volume | None:
        """None: where nothing is known the labels are 255."""
        return None

    @cached_property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that are labelled; None for all."""
        record: Any = read_json(self._labels / TOLD_FILE)  # written by `_write_labels`
        known = tuple(STRUCTURES_BY_NAME[name] for name in record["structures"])
        return None if len(known) == len(Structure) else known

    @cached_property
    def _images(self) -> StoredImages:
        return StoredImages(self._labels, self.patient_id)

    @property
    def structures(self) -> Volume | None:
        """The labels."""
        return self._images["structures"].whole() if self.is_taught else None

    @property
    def is_taught(self) -> bool:
        """Whether any structure is labelled."""
        return self.labelled is None or bool(self.labelled)

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of."""
        if name == "structures":
            return self._images["structures"] if self.is_taught else None
        return None if name == "unjudged" else self.stored.view(name)

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class."""
        if name == "structures":
            return (self._images.locations(name) or {}) if self.is_taught else {}
        return self.stored.locations(name)


class TaughtCohort(Mapping[str, Prepared]):
    """The patients of a store, some of them as `TaughtPatient`."""

    def __init__(self, patients: PreparedCohort, labels: Mapping[str, Path]) -> None:
        """Name the patients who have labels, and where."""
        self.patients, self.labels = patients, dict(labels)

    def __getitem__(self, patient_id: str) -> Prepared:
        """Return a patient."""
        stored = self.patients[patient_id]
        return TaughtPatient(stored, self.labels[patient_id]) if patient_id in self.labels else stored

    def __iter__(self) -> Iterator[str]:
        return iter(self.patients)

    def __len__(self) -> int:
        return len(self.patients)
