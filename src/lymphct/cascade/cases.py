"""What each stage is shown of a patient: views of which a network reads the boxes it looks at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from lymphct.cascade.learned import Learned
from lymphct.cascade.prepared import ImageName, Prepared
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import CHANNELS
from lymphct.core.arrays import AnyArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.terms import Phase, Phases, StageName, sees
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import StoredVolume, Volume
from lymphct.imaging.locations import alike, some_of
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, IntensityStatistics, normalized_values
from lymphct.learning.cases import TrainingCase
from lymphct.learning.lazy_array import LazyArray
from lymphct.learning.losses import IGNORED
from lymphct.learning.tensors import to_network
from lymphct.learning.windows import Box

DRAWN: Final[Mapping[StageName, ImageName]] = {
    StageName.STRUCTURES: "structures",
    StageName.TUMOR: "tumor",
    StageName.NODES: "nodes",
}
"""The drawn image a segmentation network learns from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Patients as a training may see them.

    Attributes:
        patients: by id; opened anew whenever a case is looked at, so that none has to stay in memory.
        learned: statistics that normalise them, bands or an atlas that guide.
        config: settings.

    """

    patients: Mapping[str, Prepared]
    learned: Learned
    config: Config

    def attention(self, patient_id: str) -> Volume | None:
        """Return the attention map of the structures a patient brings; None without them (Eq. 1, Eq. 2)."""
        return self.patients[patient_id].attention(self.learned.prior, self.config.attention)

    def intensity(self, patient_id: str, stage: StageName) -> tuple[IntensityStatistics | None, ...]:
        """Return how a stage sees each channel; None for a phase the patient has not or the stage ignores."""
        patient, phases = self.patients[patient_id], self.learned.sight(stage).phases
        seen = seen_phases(self.config, stage)
        return tuple(
            None
            if not sees(seen, phase) or patient.view(phase.value) is None
            else phases.get(phase, DEFAULT_INTENSITY)
            for phase in CHANNELS
        )


def seen_phases(config: Config, stage: StageName) -> Phases:
    """Return the phases that the network of a stage sees."""
    chosen = {StageName.STRUCTURES: config.structures.phases, StageName.TUMOR: config.tumor.phases}
    return chosen.get(stage, "both")


def segmentation_cases(material: Material, ids: Sequence[str], stage: StageName) -> list[TrainingCase]:
    """Return the patients who have what a segmentation network learns, in the order of `ids`.

    Lymph nodes become 0 and 1 whatever their class, and bring their attention map (Sec. III-A.1); patients
    without structures cannot have one and are left out there. So are patients without arterial phase where
    the network sees no other. No image is read here.
    """
    cases = []
    seen = seen_phases(material.config, stage)
    for name in ids:
        is_guided = stage is StageName.NODES
        patient = material.patients[name]
        if seen == Phase.ARTERIAL.value and patient.view(seen) is None:
            continue
        if patient.view(DRAWN[stage]) is None or (is_guided and patient.view("structures") is None):
            continue
        cases.append(
            TrainingCase(
                patient=name,
                image=lazy_image(material, name, seen),
                labels=_lazy_labels(material, name, stage),
                attention=_lazy_attention(material, name) if is_guided else None,
                intensity=material.intensity(name, stage),
                foreground=partial(_foreground, material, name, stage),
                attentive=partial(_attentive, material, name) if is_guided else None,
                labelled=material.patients[name].labelled if stage is StageName.STRUCTURES else None,
            )
        )
    return cases


def lazy_image(material: Material, patient_id: str, phases: Phases = "both") -> LazyArray:
    """Return both phases (c, k, j, i), HU as stored; a phase that is missing or not to be seen is 0."""

    def channels() -> list[StoredVolume | None]:
        patient = material.patients[patient_id]
        return [patient.view(phase.value) if sees(phases, phase) else None for phase in CHANNELS]

    there = [view for view in channels() if view is not None]

    def read(box: Box) -> AnyArray:
        found = channels()
        values = [None if view is None else view.read(box) for view in found]
        some = next(value for value in values if value is not None)
        # Stacked in the order in which they lie, i fastest, so that nothing is copied twice.
        early, late = (to_network(np.zeros_like(some) if value is None else value) for value in values)
        return np.stack([early, late]).swapaxes(-1, -3)

    return LazyArray(read, (len(CHANNELS), *there[0].geometry.shape[::-1]), there[0].dtype)


def normalized_view(image: LazyArray, intensity: Sequence[IntensityStatistics | None]) -> LazyArray:
    """Return a view of HU that is normalised where it is read; a phase that was not acquired is 0."""

    def read(box: Box) -> AnyArray:
        values = image.read(box)
        result = np.zeros_like(values, dtype=np.float32)
        for channel, hu, statistics in zip(result, values, intensity, strict=True):
            if statistics is not None:
                channel[...] = normalized_values(hu, statistics)
        return result

    return LazyArray(read, image.shape, np.dtype(np.float32))


def _lazy_labels(material: Material, patient_id: str, stage: StageName) -> LazyArray:
    def find() -> StoredVolume | None:
        return material.patients[patient_id].view(DRAWN[stage])

    labels = lazy_view(find, as_stored if stage is StageName.STRUCTURES else _inside)
    if material.patients[patient_id].view("unjudged") is None:
        return labels
    unjudged = lazy_view(
        lambda: material.patients[patient_id].view("unjudged"), partial(unjudged_in, stage=stage)
    )

    def read(box: Box) -> AnyArray:
        return np.where(unjudged.read(box), labels.dtype.type(IGNORED), labels.read(box))

    return LazyArray(read, labels.shape, labels.dtype)


def _lazy_attention(material: Material, patient_id: str) -> LazyArray:
    shape = require_view(material.patients[patient_id].view("structures")).geometry.shape

    def read(box: Box) -> AnyArray:
        learned, settings = material.learned, material.config.attention
        return require_view(material.patients[patient_id].attention_view(learned.prior, settings)).read(box)

    return LazyArray(read, shape[::-1], np.dtype(np.uint8))


def _foreground(material: Material, patient_id: str, stage: StageName) -> Mapping[int, IntArray]:
    """Return where patches may be centred: voxels of each class; all nodes, or values of a mask, are one."""
    found = material.patients[patient_id].locations(DRAWN[stage])
    if stage is StageName.STRUCTURES or not found:
        return found
    if stage is StageName.NODES and material.config.nodes.center_on == "nodes":
        return {1: alike(found.values())}
    return {1: some_of(np.sort(np.concatenate(list(found.values()))))}


def _attentive(material: Material, patient_id: str) -> IntArray:
    patient = material.patients[patient_id]
    return patient.attention_locations(material.learned.prior, material.config.attention)


def lazy_view(find: Callable[[], StoredVolume | None], values: Callable[[AnyArray], AnyArray]) -> LazyArray:
    """Return a view on an image that is there, as the caller knows: what `values` makes of what is stored."""

    def read(box: Box) -> AnyArray:
        return values(require_view(find()).read(box))

    first = require_view(find())
    return LazyArray(read, first.geometry.shape[::-1], values(np.zeros(1, first.dtype)).dtype)


def require_view(view: StoredVolume | None) -> StoredVolume:
    """Return an image that was there when the patient was prepared.

    Raises:
        InputError: it is gone.

    """
    if view is None:
        msg = "a prepared image is gone"
        raise InputError(msg, code="E_DAMAGED", cure="prepare the patient again")
    return view


def as_stored(values: AnyArray) -> AnyArray:
    """Return values as they are."""
    return values


def _inside(values: AnyArray) -> AnyArray:
    return (values > 0).astype(np.uint8)
