"""The arterial phase as it was acquired, and how points and masks get from one phase to the other.

A prepared patient holds the arterial phase on the venous one. Who draws on the arterial phase itself needs it
unmoved, and the field that was behind it: both are made once and lie in a folder per patient (decision 0041).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.cascade.alignment import AIR
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase, Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations
from lymphct.imaging.preprocess import resample, resample_labels, working_grid
from lymphct.io.images.reading import read_ct, write_volume
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.volumes import load_volumes, save_volumes
from lymphct.patients.prepared.dataset import PreparedCohort, StoredPatient
from lymphct.patients.prepared.preparation import Preparation, load_alignment
from lymphct.patients.prepared.preparing import cropped
from lymphct.registration.field import ControlField
from lymphct.registration.inversion import inverted
from lymphct.registration.registering import Resources, register_with
from lymphct.registration.result import Registration, RegistrationReport

logger = logging.getLogger(__name__)

MASK_FILE: Final = "tumor.nii.gz"
"""A mask to look at, in the coordinates of its phase."""
PANCREAS: Final = "pancreas"
"""Image of the pancreas, where the structures of a patient are known."""
FIELD: Final = "field"
"""Folder of the control points of the field; not there where the coordinates of the scanner are trusted."""
FIELD_FILE: Final = "field.json"
AXES: Final = ("u_i", "u_j", "u_k")
"""Names of the images of the field: displacement along each axis of its grid, voxels."""


@dataclass(frozen=True, kw_only=True)
class ArterialPhases:
    """Arterial phases of a cohort as acquired, on the working grid of their own.

    Attributes:
        folder: receives a folder per patient.
        preparation: how the patients were prepared: spacing, registration.
        records: lines of the manifest, by id.
        patients: the prepared patients.

    """

    folder: Path
    preparation: Preparation
    records: Mapping[str, PatientRecord]
    patients: PreparedCohort

    def place(self, patient_id: str) -> Path:
        """Return the folder of a patient's phase, field and drawn masks, made first where it is not there.

        Raises:
            InputError: the patient has no arterial phase, or an image cannot be read.

        """
        if self.records[patient_id].arterial is None:
            msg = "the patient has no arterial phase"
            raise InputError(msg, code="E_ARTERIAL", cure="give it, or leave the patient out").at(
                patient=patient_id
            )
        # The key of the images covers the files they were made from.
        recipe = Recipe(
            inputs={"images": self.patients[patient_id].digest},
            settings=self.preparation.settings,
            code=("patients.harvest.arterial_phase",),
        )
        write = partial(self._write, patient_id=patient_id)
        return made(self.folder / patient_id, recipe, write)

    def key(self, patient_id: str) -> str:
        """Return the key of what `place` holds."""
        return key_of(self.place(patient_id))

    def _write(self, folder: Path, *, patient_id: str) -> None:
        record, stored = self.records[patient_id], self.patients[patient_id]
        if record.arterial is None:
            raise InputError(patient_id, code="E_ARTERIAL")  # `place` has refused it before
        venous = read_ct(record.venous, phase=Phase.VENOUS).volume
        arterial = read_ct(record.arterial, phase=Phase.ARTERIAL).volume
        found = self._registered(stored, venous, arterial)
        grid = working_grid(arterial.geometry, self.preparation.spacing)
        early = resample(arterial, grid, fill=AIR)
        early = early.with_array(np.clip(np.rint(early.array), -1024, 32767).astype(np.int16))
        back = None if found is None else inverted(found)
        masks = {"tumor": stored.tumor, "unjudged": stored.unjudged, PANCREAS: drawn_pancreas(stored)}
        drawn = {name: carried(mask, back, grid) for name, mask in masks.items() if mask is not None}
        cut, crop = cropped({"venous": early, **drawn})  # by that name the body is found in it
        volumes = {"arterial": cut.pop("venous"), **cut}
        places = {name: class_locations(mask.array) for name, mask in cut.items() if name != PANCREAS}
        save_volumes(folder, volumes, crop=crop, locations=places)
        if "tumor" in cut:
            write_volume(folder / MASK_FILE, cut["tumor"])
        if found is not None:
            save_field(folder / FIELD, found)

    def _registered(self, stored: StoredPatient, venous: Volume, arterial: Volume) -> Registration | None:
        """Register again as the preparation did; None where it left the phases at their coordinates."""
        how = self.preparation.registration
        done = load_alignment(stored.images)["registration"]
        if done is None or (done["flags"] and how.fall_back):
            return None
        return register_with(venous, arterial, how, Resources())

    def to_venous(self, labels: Volume, patient_id: str) -> Volume:
        """Bring a mask of the arterial phase onto the prepared venous one, nearest neighbour.

        Args:
            labels: whole numbers below 255 on any grid of the arterial phase, 255 where nothing is said.
            patient_id: whose.

        Returns:
            The same numbers; 255 also where the arterial phase was not imaged.

        """
        place, grid = self.place(patient_id), self.patients[patient_id].geometry
        found = load_field(place / FIELD) if (place / FIELD).is_dir() else None
        # Counted from 1, so that what lies outside, 0, is told from what was looked at.
        counted = np.where(labels.array == UNJUDGED, UNJUDGED, labels.array + 1).astype(np.uint8)
        moved = carried(labels.with_array(counted), found, grid).array
        outside = (moved == 0) | (moved == UNJUDGED)
        return Volume(array=np.where(outside, UNJUDGED, moved - 1).astype(np.uint8), geometry=grid)


def drawn_pancreas(stored: StoredPatient) -> Volume | None:
    """Return the mask of the drawn pancreas on the prepared venous grid, uint8; None where nobody drew it."""
    structures = stored.structures
    if structures is None or not (stored.labelled is None or Structure.PANCREAS in stored.labelled):
        return None
    return structures.with_array((structures.array == Structure.PANCREAS).astype(np.uint8))


def carried(labels: Volume, registration: Registration | None, grid: Geometry) -> Volume:
    """Bring a label map from the moving phase onto a grid of the fixed one, nearest neighbour, 0 outside.

    Without a registration both phases share coordinates.
    """
    return resample_labels(labels, grid) if registration is None else registration.warp_labels(labels, grid)


def save_field(folder: Path, registration: Registration) -> None:
    """Write the control points of a registration, and what it is."""
    folder.mkdir()
    grid, displacement = registration.grid, registration.control.displacement
    nodes = displacement.shape[1:]
    ratios = [size / n for size, n in zip(grid.shape, nodes, strict=True)]
    i, j, k = (step * ratio for step, ratio in zip(grid.spacing, ratios, strict=True))
    control = replace(grid, shape=(nodes[0], nodes[1], nodes[2]), spacing=(i, j, k))
    axes = zip(AXES, displacement, strict=True)
    save_volumes(folder, {name: Volume(array=part, geometry=control) for name, part in axes})
    record: dict[str, JSON] = {
        "shape": list(grid.shape),
        "spacing": list(grid.spacing),
        "origin": list(grid.origin),
        "direction": [list(row) for row in grid.direction],
        "control_spacing": registration.control.spacing,
        "affine": registration.affine.tolist(),
        # Time and memory differ from run to run.
        "report": {**registration.report.record(), "seconds": 0.0, "peak_memory_mb": None},  # type: ignore[dict-item] # plain values
    }
    write_json(folder / FIELD_FILE, record)


def load_field(folder: Path) -> Registration:
    """Read what `save_field` wrote."""
    record: Any = read_json(folder / FIELD_FILE)
    places: Any = {name: tuple(record[name]) for name in ("shape", "spacing", "origin")}
    rows: Any = tuple(tuple(row) for row in record["direction"])
    grid = Geometry(**places, direction=rows)
    volumes = load_volumes(folder)
    control = ControlField(
        displacement=np.stack([volumes[name].array for name in AXES]).astype(np.float32),
        spacing=record["control_spacing"],
    )
    report = RegistrationReport(**{**record["report"], "flags": tuple(record["report"]["flags"])})
    return Registration(grid=grid, control=control, affine=np.array(record["affine"]), report=report)
