"""What guides the search for lymph nodes, kept beside a prepared patient: structures, tumor, attention."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.attention.mapping import AttentionSettings, Bands, attention_map, merge_tumor, structures_present
from lymphct.cascade.alignment import normalized
from lymphct.cascade.examination import Given, find_structures, find_tumor
from lymphct.cascade.models import Models, models_in
from lymphct.cascade.patient import require_phases
from lymphct.core.volume import Volume
from lymphct.io.results.fingerprints import code_version, digest_file, fingerprint
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.store import DONE_FILE, committed_folder, is_current
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.preparation import IMAGES, PreparedPatient, load_prepared

logger = logging.getLogger(__name__)

ATTENTION: Final = "attention"
"""Folder of it within the patient's own."""
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


def guide_patient(place: Path, guidance: Guidance) -> Mapping[str, Any]:
    """Draw what nobody drew, map the attention and commit both; return what was used.

    Args:
        place: folder of a patient whose images are prepared.
        guidance: how.

    Returns:
        `structures` and `tumor`: "drawn", "model" or None; `structures_used`: guiding ones that are present.

    Raises:
        InputError: the arterial phase is missing and the networks cannot do without.
        ModelError: the bundle is refused or lacks the network of structures.

    """
    models = None if guidance.bundle is None else models_in(guidance.bundle, guidance.device)
    target = place / ATTENTION
    rooms = ("core", "imaging", "attention") + (("learning", "anatomy") if models else ())
    origin = fingerprint(
        {IMAGES: digest_file(place / IMAGES / DONE_FILE)},
        {
            "bands": {s.label: [band.d_min, band.d_max] for s, band in guidance.bands.items()},
            "attention": guidance.attention.model_dump(mode="json"),
        },
        code_version(*rooms),
        models.digest if models else "",
    )
    if not is_current(target, origin):
        volumes, record = guided(load_prepared(place), guidance, models)
        with committed_folder(target, origin) as staging:
            if volumes:
                save_volumes(staging, volumes)
            write_json(staging / GUIDANCE_FILE, record)
        logger.info("%s: attention from %s structures", place.name, record["structures"] or "no")
    stored: Any = read_json(target / GUIDANCE_FILE)
    return dict(stored)


def guided(
    patient: PreparedPatient, guidance: Guidance, models: Models | None
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
    guiding = structures if tumor is None else merge_tumor(structures, tumor)
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
