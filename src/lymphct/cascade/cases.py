"""Prepared patients as the networks take them: normalised, in network order, with one kind of label."""

from typing import Literal

import numpy as np

from lymphct.cascade.alignment import normalized
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.cases import TrainingCase, training_case
from lymphct.learning.channels import network_channels
from lymphct.nodes.crops import IdentificationCase, identification_case
from lymphct.patients.preparation import PreparedPatient
from lymphct.study.plan import Part, Run

LabelName = Literal["structures", "tumor", "nodes"]


def normalized_ct(run: Run, patient: PreparedPatient) -> Multiphase:
    """Return the phases of a patient, normalised with the run's statistics."""
    return normalized(patient.ct, run.plan.intensity_by_phase())


def segmentation_cases(run: Run, part: Part, label: LabelName) -> list[TrainingCase]:
    """Return the patients of a part that have this label, for training a segmentation network.

    Lymph nodes become 0 and 1 whatever their class, and bring their attention map (Sec. III-A.1); patients
    without structures cannot have one and are left out there.
    """
    cases = []
    for patient in run.patients(part):
        target = _target(patient, label)
        attention = None
        if label == "nodes":
            attention = patient.attention(run.plan.distance_bands(), run.plan.config.attention)
            if attention is None:
                continue
        if target is not None:
            channels = network_channels(normalized_ct(run, patient))
            cases.append(training_case(patient.patient_id, channels, target, attention, padding(run)))
    return cases


def _target(patient: PreparedPatient, label: LabelName) -> Volume | None:
    if label == "structures":
        return patient.structures
    instances = None if patient.nodes is None else patient.nodes.instances
    mask = patient.tumor if label == "tumor" else instances
    return None if mask is None else mask.with_array((mask.array > 0).astype(np.uint8))


def padding(run: Run) -> float:
    """Return the normalised intensity outside the image: the lower clip value of the venous phase."""
    return run.plan.intensity_by_phase().get(Phase.VENOUS, DEFAULT_INTENSITY).fill


def identification_cases(run: Run, part: Part) -> list[IdentificationCase]:
    """Return the drawn lymph nodes with a class of the patients of a part (Sec. III-A.2)."""
    cases = []
    for patient in run.patients(part):
        if patient.nodes is not None and patient.nodes.nodes:
            image = normalized_ct(run, patient)
            cases.append(
                identification_case(
                    patient.patient_id,
                    network_channels(image),
                    patient.nodes,
                    patient.ct,
                    fill=padding(run),
                )
            )
    return cases
