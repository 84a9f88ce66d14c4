"""From what the cascade sees in a patient to the evidence a head judges (Sec. III-B)."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.alignment import Intensity, normalized
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import CHANNELS
from lymphct.core.arrays import FloatArray
from lymphct.core.evidence import Evidence
from lymphct.core.patient import UNKNOWN
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.channels import network_channels
from lymphct.metastasis.settings import PatchSettings
from lymphct.metastasis.slices import tumor_patches
from lymphct.nodes.features import node_features

NOTHING: Final = Given()
"""As for a new patient of whom there are images alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """How a patient is examined and the tumor cut out.

    Attributes:
        attention: of the map that guides stage 1.
        patches: around the tumor.

    """

    attention: AttentionSettings = field(default_factory=AttentionSettings)
    patches: PatchSettings = field(default_factory=PatchSettings)

    @classmethod
    def of(cls, config: Config) -> "EvidenceSettings":
        """Return those of a cascade."""
        return cls(attention=config.attention, patches=config.metastasis.patches)


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
    require_phases(patient.patient_id, patient.ct.arterial, models)
    found = examine(patient.ct, given, models, settings.attention, Stopwatch())
    evidence = evidence_of(found, models, settings.patches)
    return replace(evidence, patient=patient.patient_id, clinical=patient.clinical)


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
    fill = [
        0.0
        if phase is Phase.ARTERIAL and found.ct.arterial is None
        else intensity.get(phase, DEFAULT_INTENSITY).fill
        for phase in CHANNELS
    ]
    image = normalized(found.ct, intensity)
    return tumor_patches(network_channels(image), found.tumor, settings, fill=fill)
