"""What guides the search for lymph nodes, beside a prepared patient: attention, and what a network drew."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import numpy as np

from lymphct.attention.atlas import Atlas
from lymphct.attention.mapping import guided_by, prior_map, structures_present
from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.attention.trapezia import Trapezia
from lymphct.cascade.examination import Given, find_structures, find_tumor, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.core.arrays import IntArray
from lymphct.core.volume import StoredVolume, Volume
from lymphct.imaging.locations import class_locations, lit_locations
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.known import Known
from lymphct.io.results.made import SHARED, Recipe, made
from lymphct.io.results.store import read_done
from lymphct.io.results.volumes import GRID_FILE, StoredImages, save_volumes

logger = logging.getLogger(__name__)

ATTENTION: Final = "attention"
"""Beginning of the name of the folder that holds it, within the patient's own."""
GUIDANCE_FILE: Final = "guidance.json"
CODE: Final = ("attention.mapping", "attention.storing", "imaging.locations", "io.results.volumes")
"""Whose code the stored attention depends on where no network draws."""
LIT: Final = 1
"""Number under which voxels with attention are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How the attention of a prepared patient is made.

    Attributes:
        prior: distance bands of the structures, or what was fitted in their place.
        attention: settings of the map.
        bundle: whose networks draw structures and tumor where nobody did; None leaves them out.
        device: on which they run.

    """

    prior: Prior
    attention: AttentionSettings
    bundle: Path | None = None
    device: str = "auto"


class Stored(Prepared, Protocol):
    """A prepared patient whose images lie in a folder."""

    @property
    def images(self) -> Path:
        """That folder."""

    @property
    def digest(self) -> str:
        """Key of what it holds."""


GuideName = Literal["structures", "tumor"]
"""What guides the search: a label map and a mask."""


class StoredGuidance:
    """What guides the search in one patient, read in boxes; by `stored_guidance` or `guidances`."""

    def __init__(self, folder: Path, patient: Stored) -> None:
        """Read what there is.

        Args:
            folder: of the guidance.
            patient: whom it is of.

        Raises:
            InputError: `E_DAMAGED`.

        """
        self._patient, self.folder = patient, folder
        self._images = StoredImages(folder, patient.patient_id) if (folder / GRID_FILE).exists() else None

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """`structures` and `tumor`: "drawn", "model" or None; `structures_used`: those that are present."""
        stored: Any = read_json(self.folder / GUIDANCE_FILE)  # written by `_write_guidance`
        return dict(stored)

    @property
    def bundle(self) -> str:
        """Digest of the bundle whose networks drew what nobody drew; empty when none was asked."""
        done = read_done(self.folder)
        return "" if done is None else str(done["fingerprint"]["bundle"])

    def view(self, name: GuideName) -> StoredVolume | None:
        """Return structures or tumor as they guide: drawn, else by the network; None where there are none."""
        source = self.record[name]
        if source == "model" and self._images is not None:
            return self._images[name]
        return None if source is None else self._patient.view(name)

    def locations(self, name: GuideName) -> Mapping[int, IntArray]:
        """Return voxels of each class of structures or tumor, as `Prepared.locations`."""
        if self.record[name] == "model" and self._images is not None:
            return self._images.locations(name) or {}
        return self._patient.locations(name)

    @property
    def attention(self) -> StoredVolume | None:
        """The attention map as bytes, see `attention.storing`; None without structures."""
        return None if self._images is None else self._images[ATTENTION]

    @property
    def attention_locations(self) -> IntArray:
        """Voxels with attention, see `imaging.locations.lit_locations`; none without structures."""
        found = None if self._images is None else self._images.locations(ATTENTION)
        return (found or {}).get(LIT, np.zeros(0, np.int64))


def guide_patient(patient: Stored, guidance: Guidance, *, rehash: bool = False) -> Mapping[str, Any]:
    """Draw what nobody drew, map the attention and commit both; return what was used.

    Args:
        patient: prepared.
        guidance: how.
        rehash: compare what is there with its digests, even where its files look untouched.

    Returns:
        `structures` and `tumor`: "drawn", "model" or None; `structures_used`: guiding ones that are present.

    Raises:
        InputError: the arterial phase is missing and the networks cannot do without.
        ModelError: the bundle is refused or lacks the network of structures.

    """
    return StoredGuidance(_made_guidance(patient, guidance, rehash=rehash), patient).record


def stored_guidance(patient: Stored, guidance: Guidance) -> StoredGuidance:
    """Return what guides the search, drawn and mapped first where it is not there yet.

    Raises:
        InputError, ModelError: as `guide_patient`.

    """
    return StoredGuidance(_made_guidance(patient, guidance), patient)


def guidances(patient: Stored) -> tuple[StoredGuidance, ...]:
    """Return every guidance that lies beside the present images of a patient, of any bundle and prior."""
    folders = sorted(patient.images.parent.glob(f"{ATTENTION}-*"))
    return tuple(StoredGuidance(folder, patient) for folder in folders if _is_of(folder, patient))


def _is_of(folder: Path, patient: Stored) -> bool:
    done: Any = read_done(folder)
    return done is not None and done["fingerprint"].get("inputs") == {"images": patient.digest}


def guiding_volumes(patient: Stored, guidance: Guidance) -> dict[str, Volume]:
    """Return structures, tumor and the exact attention by name, drawn first where they are not there yet.

    Empty without structures.

    Raises:
        InputError, ModelError: as `guide_patient`.

    """
    found = stored_guidance(patient, guidance)
    views = {name: found.view(name) for name in get_args(GuideName)}
    volumes = {name: view.whole() for name, view in views.items() if view is not None}
    if "structures" not in volumes:
        return {}
    if "tumor" in volumes:
        volumes["tumor"] = _inside(volumes["tumor"])
    guiding = guided_by(volumes["structures"], volumes.get("tumor"))
    attention = prior_map(guiding, volumes.get("tumor"), guidance.prior, guidance.attention)
    return {**volumes, ATTENTION: attention}


def _made_guidance(patient: Stored, guidance: Guidance, *, rehash: bool = False) -> Path:
    models = None if guidance.bundle is None else models_in(guidance.bundle, guidance.device)
    digest = models.digest if models else ""
    recipe = Recipe(
        inputs={"images": patient.digest},
        settings={
            "images": patient.images.name,
            **_described(guidance.prior),
            "attention": guidance.attention.model_dump(mode="json"),
            "bundle": digest,
        },
        code=("patients.prepared.guidance",) if models else CODE,
        bundle=digest,
    )
    place = patient.images.parent / f"{ATTENTION}-{recipe.variant}"
    write = partial(_write_guidance, patient=patient, guidance=guidance, models=models)
    return made(place, recipe, write, known=Known.beside(place, trusts=not rehash), patience=SHARED)


def _described(prior: Prior) -> dict[str, JSON]:
    if isinstance(prior, Atlas):
        return {"atlas": prior.model_dump(mode="json")}
    if isinstance(prior, Trapezia):
        return {"trapezia": prior.model_dump(mode="json")}
    return {"bands": {s.label: [band.d_min, band.d_max] for s, band in prior.items()}}


def _write_guidance(folder: Path, *, patient: Stored, guidance: Guidance, models: Models | None) -> None:
    volumes, record = guided(patient, guidance, models)
    if volumes:
        attention = volumes[ATTENTION]
        kept = {name: volumes[name] for name in get_args(GuideName) if record[name] == "model"}
        found = {name: class_locations(volume.array) for name, volume in kept.items()}
        found[ATTENTION] = {LIT: lit} if len(lit := lit_locations(attention.array)) else {}
        kept[ATTENTION] = attention.with_array(as_bytes(attention.array))
        save_volumes(folder, kept, locations=found)
    write_json(folder / GUIDANCE_FILE, record)
    logger.info("%s: attention from %s structures", patient.patient_id, record["structures"] or "no")


def guided(
    patient: Prepared, guidance: Guidance, models: Models | None
) -> tuple[dict[str, Volume], dict[str, JSON]]:
    """Return structures, tumor and attention by name, and where they come from.

    "drawn" is what the patient brings, also where that is a mask of a run's networks (`guided`).
    Without structures there is nothing to map, and no volume at all.
    """
    drawn = Given(structures=patient.structures, tumor=patient.tumor)
    structures, tumor = patient.structures, patient.tumor
    if models is not None and (structures is None or tumor is None):
        require_phases(patient.patient_id, patient.ct.arterial, models)
        structures = find_structures(patient.ct, drawn, models)
        if tumor is None and models.tumor is not None:
            tumor = find_tumor(patient.ct, structures, drawn, models)
    record: dict[str, JSON] = {
        "structures": _source(patient.structures, structures),
        "tumor": _source(patient.tumor, tumor),
        "structures_used": [],
    }
    if structures is None:
        return {}, record
    guiding = guided_by(structures, tumor)
    record["structures_used"] = [structure.label for structure in structures_present(guiding)]
    volumes = {
        "structures": structures,
        "attention": prior_map(guiding, tumor, guidance.prior, guidance.attention),
    }
    if tumor is not None:
        volumes["tumor"] = _inside(tumor)
    return volumes, record


def _inside(tumor: Volume) -> Volume:
    return tumor.with_array((tumor.array > 0).astype(np.uint8))


def _source(drawn: Volume | None, used: Volume | None) -> str | None:
    if used is None:
        return None
    return "model" if drawn is None else "drawn"
