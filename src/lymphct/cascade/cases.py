"""What each stage is shown of a patient: views that are read and normalised where a network looks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from lymphct.cascade.learned import Learned
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.terms import Phase, StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, normalized_values
from lymphct.learning.cases import TrainingCase
from lymphct.learning.lazy_array import LazyArray
from lymphct.learning.losses import IGNORED
from lymphct.learning.windows import Box
from lymphct.nodes.crops import IdentificationCase, case_of_nodes

CHANNELS: Final = (Phase.ARTERIAL, Phase.VENOUS)
"""Which phase is which channel of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Patients as a training may see them.

    Attributes:
        patients: by id; opened anew whenever a case is looked at, so that none has to stay in memory.
        learned: statistics that normalise them, bands that guide.
        config: settings.

    """

    patients: Mapping[str, Prepared]
    learned: Learned
    config: Config

    def attention(self, patient_id: str) -> Volume | None:
        """Return the attention map of a patient's drawn structures; None without them (Eq. 1, Eq. 2)."""
        return self.patients[patient_id].attention(self.learned.bands, self.config.attention)


def segmentation_cases(material: Material, ids: Sequence[str], stage: StageName) -> list[TrainingCase]:
    """Return the patients who have what a segmentation network learns, in the order of `ids`.

    Lymph nodes become 0 and 1 whatever their class, and bring their attention map (Sec. III-A.1); patients
    without structures cannot have one and are left out there.
    """
    cases = []
    for name in ids:
        is_guided = stage is StageName.NODES
        if _drawn(material.patients[name], stage) is None or (is_guided and material.attention(name) is None):
            continue
        cases.append(
            TrainingCase(
                patient=name,
                image=lazy_image(material, name),
                labels=_lazy_labels(material, name, stage),
                attention=_lazy_attention(material, name) if is_guided else None,
                fill=material.learned.fill,
                labelled=material.patients[name].labelled if stage is StageName.STRUCTURES else None,
            )
        )
    return cases


def _drawn(patient: Prepared, stage: StageName) -> Volume | None:
    if stage is StageName.STRUCTURES:
        return patient.structures
    return patient.tumor if stage is StageName.TUMOR else patient.instances


def lazy_image(material: Material, patient_id: str) -> LazyArray:
    """Return both phases (c, k, j, i), normalised where they are read; a missing phase is 0."""
    shape = material.patients[patient_id].ct.venous.geometry.shape

    def read(box: Box) -> AnyArray:
        ct = material.patients[patient_id].ct
        venous = _normalized(ct.venous, box, Phase.VENOUS, material.learned)
        if ct.arterial is None:  # 0 is the mean of a normalised phase and what phase dropout shows
            return np.stack([np.zeros_like(venous), venous])
        return np.stack([_normalized(ct.arterial, box, Phase.ARTERIAL, material.learned), venous])

    return LazyArray(read, (len(CHANNELS), *reversed(shape)), np.dtype(np.float32))


def _normalized(phase: Volume, box: Box, name: Phase, learned: Learned) -> AnyArray:
    return normalized_values(phase.array[box], learned.intensity.get(name, DEFAULT_INTENSITY))


def _lazy_labels(material: Material, patient_id: str, stage: StageName) -> LazyArray:
    def find() -> Volume | None:
        return _drawn(material.patients[patient_id], stage)

    labels = _view(find, _as_drawn if stage is StageName.STRUCTURES else _inside)
    if material.patients[patient_id].unjudged is None:
        return labels
    unjudged = _view(lambda: material.patients[patient_id].unjudged, partial(unjudged_in, stage=stage))

    def read(box: Box) -> AnyArray:
        return np.where(unjudged.read(box), labels.dtype.type(IGNORED), labels.read(box))

    return LazyArray(read, labels.shape, labels.dtype)


def _lazy_attention(material: Material, patient_id: str) -> LazyArray:
    return _view(lambda: material.attention(patient_id), _as_drawn)


def _view(find: Callable[[], Volume | None], values: Callable[[AnyArray], AnyArray]) -> LazyArray:
    """Return a view on an image that is there, as the caller knows."""

    def read(box: Box) -> AnyArray:
        volume = find()
        if volume is None:
            msg = "a prepared image is gone"
            raise InputError(msg, code="E_DAMAGED", cure="prepare the patient again")
        return values(volume.array[box])

    first = read((slice(0, 1),) * 3)
    volume = find()
    shape = (0, 0, 0) if volume is None else volume.geometry.shape
    return LazyArray(read, shape[::-1], first.dtype)


def _as_drawn(values: AnyArray) -> AnyArray:
    return values


def _inside(values: AnyArray) -> AnyArray:
    return (values > 0).astype(np.uint8)


def identification_cases(material: Material, ids: Sequence[str]) -> list[IdentificationCase]:
    """Return the drawn lymph nodes of the patients who have some, in the order of `ids` (Sec. III-A.2)."""
    cases = []
    for name in ids:
        patient = material.patients[name]
        if patient.nodes is not None and patient.nodes.nodes:
            image = lazy_image(material, name)
            case = case_of_nodes(name, image, patient.nodes, patient.ct, fill=material.learned.fill)
            cases.append(replace(case, instances=_view(partial(_instances, material, name), _as_drawn)))
    return cases


def _instances(material: Material, patient_id: str) -> Volume | None:
    return material.patients[patient_id].instances
