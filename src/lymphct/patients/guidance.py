"""What guides the search for lymph nodes, kept beside a prepared patient: structures, tumor, attention."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from lymphct.attention.bands import Bands
from lymphct.attention.mapping import attention_map, guided_by, structures_present
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.alignment import normalized
from lymphct.cascade.examination import Given, find_structures, find_tumor, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.core.volume import Volume
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.volumes import GRID_FILE, load_volumes, save_volumes

logger = logging.getLogger(__name__)

ATTENTION: Final = "attention"
"""Beginning of the name of the folder that holds it, within the patient's own."""
GUIDANCE_FILE: Final = "guidance.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How the attention of a prepared patient is made.

    Attributes:
        bands: distance bands of the structures.
        attention: settings of the map.
        bundle: whose networks draw structures and tumor where nobody did; None leaves them out.
        device: on which they run.

    """

    bands: Bands
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


def guide_patient(patient: Stored, guidance: Guidance) -> Mapping[str, Any]:
    """Draw what nobody drew, map the attention and commit both; return what was used.

    Returns:
        `structures` and `tumor`: "drawn", "model" or None; `structures_used`: guiding ones that are present.

    Raises:
        InputError: the arterial phase is missing and the networks cannot do without.
        ModelError: the bundle is refused or lacks the network of structures.

    """
    stored: Any = read_json(_made_guidance(patient, guidance) / GUIDANCE_FILE)
    return dict(stored)


def guiding_volumes(patient: Stored, guidance: Guidance) -> dict[str, Volume]:
    """Return structures, tumor and attention by name, drawn and mapped first where they are not there yet.

    Empty without structures.

    Raises:
        InputError, ModelError: as `guide_patient`.

    """
    place = _made_guidance(patient, guidance)
    return load_volumes(place) if (place / GRID_FILE).exists() else {}


def _made_guidance(patient: Stored, guidance: Guidance) -> Path:
    models = None if guidance.bundle is None else models_in(guidance.bundle, guidance.device)
    digest = models.digest if models else ""
    recipe = Recipe(
        inputs={"images": patient.digest},
        settings={
            "images": patient.images.name,
            "bands": {s.label: [band.d_min, band.d_max] for s, band in guidance.bands.items()},
            "attention": guidance.attention.model_dump(mode="json"),
            "bundle": digest,
        },
        code=("patients.guidance",) if models else ("attention.mapping",),
        bundle=digest,
    )
    place = patient.images.parent / f"{ATTENTION}-{recipe.variant}"
    return made(place, recipe, partial(_write_guidance, patient=patient, guidance=guidance, models=models))


def _write_guidance(folder: Path, *, patient: Stored, guidance: Guidance, models: Models | None) -> None:
    volumes, record = guided(patient, guidance, models)
    if volumes:
        save_volumes(folder, volumes)
    write_json(folder / GUIDANCE_FILE, record)
    logger.info("%s: attention from %s structures", patient.patient_id, record["structures"] or "no")


def guided(
    patient: Prepared, guidance: Guidance, models: Models | None
) -> tuple[dict[str, Volume], dict[str, JSON]]:
    """Return structures, tumor and attention by name, and where they come from.

    Without structures there is nothing to map, and no volume at all.
    """
    drawn = Given(structures=patient.structures, tumor=patient.tumor)
    structures, tumor = patient.structures, patient.tumor
    if models is not None and (structures is None or tumor is None):
        require_phases(patient.patient_id, patient.ct.arterial, models)
        image = normalized(patient.ct, models.intensity)
        structures = find_structures(image, drawn, models)
        if tumor is None and models.tumor is not None:
            tumor = find_tumor(image, structures, drawn, models)
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
        "attention": attention_map(guiding, guidance.bands, guidance.attention),
    }
    if tumor is not None:
        volumes["tumor"] = tumor.with_array((tumor.array > 0).astype(np.uint8))
    return volumes, record


def _source(drawn: Volume | None, used: Volume | None) -> str | None:
    if used is None:
        return None
    return "model" if drawn is None else "drawn"
