"""Patients of a store with structures or tumor as the networks of a bundle draw them (decision 0039)."""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.attention.mapping import guiding_attention
from lymphct.attention.prior import Prior, prior_key
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.examination import Given, find_structures, find_tumor, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import ImageName, Prepared
from lymphct.core.arrays import IntArray
from lymphct.core.terms import StageName, Structure
from lymphct.core.volume import StoredVolume, Volume
from lymphct.imaging.locations import class_locations
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.known import Known
from lymphct.io.results.made import SHARED, Recipe, key_of, made
from lymphct.io.results.volumes import StoredImages, save_volumes
from lymphct.patients.prepared.dataset import OPEN_PATIENTS, PreparedCohort, StoredPatient
from lymphct.patients.prepared.guidance import Guidance, StoredGuidance, guiding_volumes, stored_guidance
from lymphct.patients.prepared.seen import SeenPatient

logger = logging.getLogger(__name__)

MASKS: Final = "masks"
"""Beginning of the name of the folder that holds them, within the patient's own."""
SOURCES_FILE: Final = "sources.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Which masks are drawn by networks, whether or not somebody drew them.

    Attributes:
        bundle: whose networks.
        stages: of structures and tumor those that are drawn.
        networks: what the masks depend on of the bundle, as `network_key` says.
        device: on which they run.
        prepared: how `prepare --bundle` drew patients with the same networks, whose masks are taken where
            they are what is wanted; None where no such store can be there.

    """

    bundle: Path
    stages: tuple[StageName, ...]
    networks: JSON
    device: str = "auto"
    prepared: Guidance | None = None


def network_key(info: BundleInfo, stages: tuple[StageName, ...]) -> JSON:
    """Return what the masks of some stages depend on of a bundle; parts added later change nothing."""
    fields = info.model_dump(mode="json")
    # The tumor is looked for at the pancreas of the structures: both networks count wherever both draw.
    parts = {stage.value: fields["parts"].get(stage) for stage in stages}
    return {"parts": parts, **{name: fields[name] for name in ("spacing", "intensity")}}


class GuidedPatient(SeenPatient):
    """A prepared patient who is seen with the masks of the networks; everything else stays as it is."""

    def __init__(self, stored: StoredPatient, drawing: Drawing) -> None:
        """Remember the patient; nothing is drawn yet."""
        super().__init__(stored)
        self.drawing = drawing
        self._guidance: dict[object, StoredGuidance] = {}

    @property
    def unjudged(self) -> Volume | None:
        """Where nobody looked, a bit per mask."""
        return self.stored.unjudged

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""
        return self.stored.labelled

    @cached_property
    def images(self) -> Path:
        """Folder of the masks; they are drawn first where they are not there."""
        return drawn_masks(self.stored, self.drawing)

    @property
    def digest(self) -> str:
        """Key of the masks: it covers the patient's images and the networks."""
        return key_of(self.images)

    @cached_property
    def _masks(self) -> StoredImages:
        return StoredImages(self.images, self.patient_id)

    @property
    def structures(self) -> Volume | None:
        """Label map of the structures."""
        return _whole(self.view("structures"))

    @property
    def tumor(self) -> Volume | None:
        """Mask of the tumor."""
        return _whole(self.view("tumor"))

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return the exact attention map of these structures, computed anew (Eq. 1, Eq. 2)."""
        structures = self.structures
        return None if structures is None else guiding_attention(structures, self.tumor, prior, settings)

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of."""
        return self._masks.get(name) if self._is_drawn(name) else self.stored.view(name)

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class."""
        return self._masks.locations(name) or {} if self._is_drawn(name) else self.stored.locations(name)

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return the attention map of these structures as bytes, kept in the store."""
        return self._guided(prior, settings).attention

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return voxels with attention."""
        return self._guided(prior, settings).attention_locations

    def _is_drawn(self, name: ImageName) -> bool:
        return any(stage.value == name for stage in self.drawing.stages)

    def _guided(self, prior: Prior, settings: AttentionSettings) -> StoredGuidance:
        key = (prior_key(prior), settings)
        if key not in self._guidance:
            self._guidance[key] = stored_guidance(self, Guidance(prior=prior, attention=settings))
        return self._guidance[key]


def _whole(view: StoredVolume | None) -> Volume | None:
    return None if view is None else view.whole()


class GuidedCohort(Mapping[str, Prepared]):
    """The patients of a store, each as `GuidedPatient`."""

    def __init__(self, patients: PreparedCohort, drawing: Drawing) -> None:
        """Name the patients; nothing is drawn yet."""
        self.patients, self.drawing = patients, drawing
        self._open: OrderedDict[str, GuidedPatient] = OrderedDict()

    def __getitem__(self, patient_id: str) -> GuidedPatient:
        """Return a patient; the files of the one that was not used for longest are let go."""
        if patient_id not in self._open:
            self._open[patient_id] = GuidedPatient(self.patients[patient_id], self.drawing)
        self._open.move_to_end(patient_id)
        while len(self._open) > OPEN_PATIENTS:
            self._open.popitem(last=False)
        return self._open[patient_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.patients)

    def __len__(self) -> int:
        return len(self.patients)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without open files."""
        return {**self.__dict__, "_open": OrderedDict()}

    def sources(self, patient_id: str) -> dict[str, str]:
        """Draw a patient unless that was done; return where each mask comes from.

        Returns:
            `structures` and `tumor`, those that are drawn: "network"; "drawn" where the network found no
            tumor and somebody had drawn one; "none" where nobody had.

        Raises:
            InputError: the arterial phase is missing and the networks cannot do without.
            ModelError: the bundle lacks a network.

        """
        stored: Any = read_json(self[patient_id].images / SOURCES_FILE)  # written by `_write_masks`
        return dict(stored)


def drawn_masks(patient: StoredPatient, drawing: Drawing) -> Path:
    """Let the networks draw a patient unless that was done; return the folder of the masks."""
    recipe = Recipe(
        inputs={"images": patient.digest},
        settings={
            "images": patient.images.name,
            "stages": [stage.value for stage in drawing.stages],
            "networks": drawing.networks,
        },
        code=("patients.prepared.guided",),
    )
    place = patient.images.parent / f"{MASKS}-{recipe.variant}"
    write = partial(_write_masks, patient=patient, drawing=drawing)
    return made(place, recipe, write, known=Known.beside(place), patience=SHARED)


def _write_masks(folder: Path, *, patient: StoredPatient, drawing: Drawing) -> None:
    volumes = _as_prepared(patient, drawing) or network_masks(
        patient, models_in(drawing.bundle, drawing.device), drawing.stages
    )
    sources = {stage.value: "network" for stage in drawing.stages}
    if StageName.TUMOR in drawing.stages and not np.any(volumes["tumor"].array):
        is_drawn = patient.tumor is not None and bool(np.any(patient.tumor.array))
        sources["tumor"] = "drawn" if is_drawn else "none"
        if patient.tumor is not None and is_drawn:
            volumes["tumor"] = patient.tumor
    found = {name: class_locations(volume.array) for name, volume in volumes.items()}
    save_volumes(folder, volumes, locations=found)
    write_json(folder / SOURCES_FILE, dict(sources))
    logger.info("%s: drawn by the networks (%s)", patient.patient_id, ", ".join(sources))


def _as_prepared(patient: StoredPatient, drawing: Drawing) -> dict[str, Volume]:
    """Return what `prepare --bundle` drew of a patient: there networks draw only what nobody drew."""
    has_own = patient.structures is not None or (
        StageName.TUMOR in drawing.stages and patient.tumor is not None
    )
    if drawing.prepared is None or has_own or StageName.STRUCTURES not in drawing.stages:
        return {}
    found = guiding_volumes(patient, drawing.prepared)
    wanted = {stage.value: found.get(stage.value) for stage in drawing.stages}
    there = {name: volume for name, volume in wanted.items() if volume is not None}
    return there if len(there) == len(wanted) else {}


def network_masks(patient: Prepared, models: Models, stages: tuple[StageName, ...]) -> dict[str, Volume]:
    """Return structures and tumor as the networks draw them, whatever was drawn; by name.

    Raises:
        InputError: the arterial phase is missing and the networks cannot do without.
        ModelError: a network is missing.

    """
    require_phases(patient.patient_id, patient.ct.arterial, models)
    volumes: dict[str, Volume] = {}
    structures = patient.structures
    if StageName.STRUCTURES in stages:
        structures = volumes["structures"] = find_structures(patient.ct, Given(), models)
    if StageName.TUMOR in stages:
        volumes["tumor"] = find_tumor(patient.ct, structures, Given(), models)
    return volumes
