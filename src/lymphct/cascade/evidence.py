"""From what the cascade sees in a patient to the evidence a head judges (Sec. III-B)."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from lymphct.attention.settings import AttentionSettings
from lymphct.baselines.method import Need
from lymphct.baselines.radiomics.features import TOO_SMALL, radiomics_features
from lymphct.baselines.settings import RadiomicsSettings, TumorBoxSettings
from lymphct.baselines.tumor_box import tumor_box
from lymphct.cascade.alignment import Intensity, normalized
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import CHANNELS
from lymphct.core.arrays import FloatArray
from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence
from lymphct.core.patient import UNKNOWN, Multiphase
from lymphct.core.terms import Phase, StageName
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.channels import network_channels
from lymphct.metastasis.settings import PatchSettings
from lymphct.metastasis.slices import tumor_patches
from lymphct.nodes.features import node_features

logger = logging.getLogger(__name__)

RadiomicsOf = Callable[[Multiphase, Volume, RadiomicsSettings], dict[str, float]]
"""CT, tumor mask and settings → features by name, as `radiomics_features`."""
NOTHING: Final = Given()
"""As for a new patient of whom there are images alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """How a patient is examined and the tumor cut out.

    Attributes:
        attention: of the map that guides stage 1.
        patches: around the tumor.
        radiomics: features of the tumor; None where no method needs them.
        box: around the tumor in three dimensions; None likewise.

    """

    attention: AttentionSettings = field(default_factory=AttentionSettings)
    patches: PatchSettings = field(default_factory=PatchSettings)
    radiomics: RadiomicsSettings | None = None
    box: TumorBoxSettings | None = None

    @classmethod
    def of(cls, config: Config, needs: Iterable[Need] = ()) -> "EvidenceSettings":
        """Return those of a cascade, with what methods of these `StatusMethod.needs` ask for beside."""
        asked = frozenset(needs)
        return cls(
            attention=config.attention,
            patches=config.metastasis.patches,
            radiomics=config.baselines.radiomics if "radiomics" in asked else None,
            box=config.baselines.box if "crop" in asked else None,
        )


def examined(
    patient: Prepared, models: Models, settings: EvidenceSettings, given: Given = NOTHING
) -> Evidence:
    """Let the models examine a patient; nothing that was drawn is used but what is given.

    Args:
        patient: who.
        models: by whom.
        settings: how.
        given: masks that stand for those of the networks; a new patient must bring them, too.

    Raises:
        InputError: the arterial phase is missing and the networks cannot do without, as for a new patient.
        ModelError: a network that examines is missing.

    """
    return evidence_from(patient, look_at(patient, models, settings, given), models, settings)


def look_at(
    patient: Prepared, models: Models, settings: EvidenceSettings, given: Given = NOTHING
) -> Findings:
    """Return what the models see in a patient.

    Raises:
        InputError, ModelError: as `examined`.

    """
    require_phases(patient.patient_id, patient.ct.arterial, models)
    return examine(patient.ct, given, models, settings.attention, Stopwatch())


def evidence_from(
    patient: Prepared,
    found: Findings,
    models: Models,
    settings: EvidenceSettings,
    radiomics: RadiomicsOf | None = None,
) -> Evidence:
    """Return what the patient level may judge by, out of what was seen in a patient.

    Args:
        patient: who.
        found: by the models.
        models: by whom.
        settings: how.
        radiomics: measures the tumor; one that remembers saves doing so for every cascade. None measures.

    """
    evidence = replace(
        evidence_of(found, models, settings.patches), patient=patient.patient_id, clinical=patient.clinical
    )
    if evidence.patches is None:
        return evidence
    return replace(
        evidence,
        radiomics=None
        if settings.radiomics is None
        else _measured(radiomics, found, settings.radiomics, patient),
        crop=None if settings.box is None else status_box(found, settings.box, models),
    )


def evidence_of(found: Findings, models: Models, patches: PatchSettings) -> Evidence:
    """Return everything the patient level may judge by; patient and clinical facts are left blank.

    Nodes that cannot be lymph nodes are left out.
    """
    has_tumor = bool(np.any(found.tumor.array))
    counted = [row for row, node in enumerate(found.nodes.nodes) if node.is_plausible]
    return Evidence(
        patient="",
        patches=status_patches(found, patches, models.intensity(StageName.METASTASIS)) if has_tumor else None,
        tumor_volume=float(np.count_nonzero(found.tumor.array)) * found.tumor.geometry.voxel_volume,
        nodes=tuple(found.nodes.nodes[row] for row in counted),
        features=node_features(found.nodes, found.ct)[counted],
        clinical=UNKNOWN,
        fitted_on=models.fitted_on,
        is_searched=found.searched,
    )


def status_patches(found: Findings, settings: PatchSettings, intensity: Intensity) -> FloatArray:
    """Cut the nine tumor patches out of both phases, seen as the status network sees them (Sec. III-B)."""
    image = normalized(found.ct, intensity)
    return tumor_patches(network_channels(image), found.tumor, settings, fill=_fill(found, intensity))


def status_box(found: Findings, settings: TumorBoxSettings, models: Models) -> FloatArray:
    """Cut a box around the tumor out of both phases, in the intensities of the patches (Sec. IV-E)."""
    intensity = models.intensity(StageName.METASTASIS)
    image = normalized(found.ct, intensity)
    return tumor_box(network_channels(image), found.tumor, settings, fill=_fill(found, intensity))


def _fill(found: Findings, intensity: Intensity) -> list[float]:
    """Return what lies outside the image in each channel."""
    return [
        0.0
        if phase is Phase.ARTERIAL and found.ct.arterial is None
        else intensity.get(phase, DEFAULT_INTENSITY).fill
        for phase in CHANNELS
    ]


def _measured(
    radiomics: RadiomicsOf | None, found: Findings, settings: RadiomicsSettings, patient: Prepared
) -> dict[str, float] | None:
    if found.ct.arterial is None:
        logger.info("%s: no arterial phase, no radiomics", patient.patient_id)
        return None
    try:
        return (radiomics or radiomics_features)(found.ct, found.tumor, settings)
    except InputError as error:
        if error.code != TOO_SMALL:
            raise
        logger.info("no radiomics: %s", error.at(patient=patient.patient_id))
        return None
