"""What networks draw of tumors, step by step: on the arterial phase, moved to the venous one, to be scored.

The masks of each step are made from a recipe and lie in a folder per patient, as images to read boxes of and
as `tumor.nii.gz` to look at: 1 tumor, 0 none, 255 where nothing is taught (Sec. IV-B, decision 0041).
"""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.anatomy.harvest import harvested
from lymphct.anatomy.settings import TumorHarvestSettings, TumorSettings
from lymphct.anatomy.tumor import segment_tumor, tumor_probability
from lymphct.cascade.models import Models, Trained
from lymphct.core.errors import ModelError
from lymphct.core.terms import StageName
from lymphct.core.unjudged import BITS, UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations
from lymphct.io.images.reading import write_volume
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.results.fingerprints import fingerprint_key
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.volumes import load_volumes, save_volumes
from lymphct.learning.unet import SegmentationNetwork
from lymphct.patients.harvest.arterial_patient import ArterialPatient
from lymphct.patients.harvest.arterial_phase import MASK_FILE, ArterialPhases, drawn_pancreas
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.guided import network_key

logger = logging.getLogger(__name__)

HARVEST_FILE: Final = "harvest.json"

TumorNetwork = Trained[SegmentationNetwork, TumorSettings]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A network of the arterial phase draws the tumor of patients.

    Attributes:
        folder: receives a folder per patient.
        bundle: holds the network.
        phases: what it sees.
        settings: what of it may teach.
        device: on which it runs.

    """

    folder: Path
    bundle: Path
    phases: ArterialPhases
    settings: TumorHarvestSettings
    device: str = "auto"

    def place(self, patient_id: str) -> Path:
        """Return the folder of a patient's mask, made first where it is not there."""
        settings = {
            name: getattr(self.settings, name) for name in ("confidence", "least_volume", "largest_volume")
        }
        recipe = Recipe(
            inputs={"phase": self.phases.key(patient_id), "network": tumor_key(self.bundle)},
            settings=settings,
            code=("patients.harvest.steps",),
        )
        return made(self.folder / patient_id, recipe, partial(self._write, patient_id=patient_id))

    def _write(self, folder: Path, *, patient_id: str) -> None:
        models = models_in(self.bundle, self.device)
        trained = tumor_network(models)
        patient = ArterialPatient(patient_id, self.phases.place(patient_id))
        image = models.view(patient.ct, StageName.TUMOR)
        probability = tumor_probability(trained.network, image, trained.settings)
        found = harvested(probability, trained.settings, self.settings, patient.pancreas)
        write_mask(folder, found.labels)
        record: dict[str, JSON] = {
            "volume_mm3": found.volume,
            "confidence": found.confidence,
            "refused": found.refused,
        }
        write_json(folder / HARVEST_FILE, record)
        if found.refused:
            logger.warning("%s: teaches nothing: %s", patient_id, found.refused)

    def record(self, patient_id: str) -> dict[str, Any]:
        """Return volume and confidence of a mask that was made, and why it is not used; "" where it is."""
        found: Any = read_json(self.folder / patient_id / HARVEST_FILE)  # written by `_write`
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class Warping:
    """Brings the masks of a drawing onto the prepared venous phase, nearest neighbour.

    Attributes:
        folder: receives a folder per patient.
        drawing: of the arterial phase.

    """

    folder: Path
    drawing: Drawing

    def place(self, patient_id: str) -> Path:
        """Return the folder of a patient's mask, made first where it is not there."""
        recipe = Recipe(
            inputs={
                "phase": self.drawing.phases.key(patient_id),
                "mask": key_of(self.drawing.place(patient_id)),
            },
            settings={},
            code=("patients.harvest.steps",),
        )
        return made(self.folder / patient_id, recipe, partial(self._write, patient_id=patient_id))

    def _write(self, folder: Path, *, patient_id: str) -> None:
        labels = labels_in(self.drawing.place(patient_id))
        write_mask(folder, self.drawing.phases.to_venous(labels, patient_id))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A network finds the tumor of patients as `predict` does, on the venous phase.

    Attributes:
        folder: receives a folder per patient.
        bundle: holds the network.
        patients: prepared.
        phases: given for a network that sees the arterial phase as acquired: its mask is brought over.
        at_pancreas: look at the drawn pancreas only; otherwise as if no structure were known.
        device: on which it runs.

    """

    folder: Path
    bundle: Path
    patients: PreparedCohort
    phases: ArterialPhases | None = None
    at_pancreas: bool = False
    device: str = "auto"

    def place(self, patient_id: str) -> Path:
        """Return the folder of a patient's mask, made first where it is not there."""
        inputs = {"images": self.patients[patient_id].digest, "network": tumor_key(self.bundle)}
        if self.phases is not None:
            inputs["phase"] = self.phases.key(patient_id)
        recipe = Recipe(
            inputs=inputs, settings={"at_pancreas": self.at_pancreas}, code=("patients.harvest.steps",)
        )
        return made(self.folder / patient_id, recipe, partial(self._write, patient_id=patient_id))

    def _write(self, folder: Path, *, patient_id: str) -> None:
        models = models_in(self.bundle, self.device)
        trained = tumor_network(models)
        if self.phases is None:
            stored = self.patients[patient_id]
            image = models.view(stored.ct, StageName.TUMOR)
            near = drawn_pancreas(stored) if self.at_pancreas else None
            write_volume(folder / MASK_FILE, segment_tumor(trained.network, image, trained.settings, near))
            return
        patient = ArterialPatient(patient_id, self.phases.place(patient_id))
        near = patient.pancreas if self.at_pancreas else None
        image = models.view(patient.ct, StageName.TUMOR)
        mask = segment_tumor(trained.network, image, trained.settings, near)
        moved = self.phases.to_venous(mask, patient_id)
        # Where the arterial phase was not imaged nothing was found.
        write_volume(folder / MASK_FILE, moved.with_array((moved.array == 1).astype(np.uint8)))


def tumor_key(bundle: Path) -> str:
    """Return a digest of the tumor network of a bundle."""
    return fingerprint_key({"networks": network_key(read_bundle(bundle).info, (StageName.TUMOR,))})


def tumor_network(models: Models) -> TumorNetwork:
    """Return the tumor network of a bundle.

    Raises:
        ModelError: it has none.

    """
    if models.tumor is None:
        msg = f"the bundle {models.info.name} has no tumor network"
        raise ModelError(msg, code="E_PART", cure="begin a new run")
    return models.tumor


def write_mask(folder: Path, labels: Volume) -> None:
    """Write a mask (0, 1, 255) as images that a training reads, and as a file to look at."""
    inside = labels.with_array((labels.array == 1).astype(np.uint8))
    bits = np.where(labels.array == UNJUDGED, np.uint8(BITS[StageName.TUMOR]), np.uint8(0))
    volumes = {"tumor": inside, "unjudged": labels.with_array(bits)}
    save_volumes(folder, volumes, locations={"tumor": class_locations(inside.array)})
    write_volume(folder / MASK_FILE, labels)


def labels_in(folder: Path) -> Volume:
    """Read what `write_mask` wrote: 0, 1, 255."""
    volumes = load_volumes(folder)
    unsaid = volumes["unjudged"].array > 0
    return volumes["tumor"].with_array(np.where(unsaid, np.uint8(UNJUDGED), volumes["tumor"].array))
