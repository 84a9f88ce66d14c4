"""Labels for a student out of a teacher's masks and drawn ones: arithmetic on label maps (Sec. III-A.1).

A teacher's map holds numbers of `Structure`; 255 where it does not say. Nothing here knows a file or a
network (decision 0040).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lymphct.anatomy.cleaning import keep_large_components
from lymphct.anatomy.plausibility import implausible
from lymphct.anatomy.settings import SelfLearningSettings
from lymphct.core.arrays import AnyArray, BoolArray, LabelArray
from lymphct.core.terms import Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume

_NUMBERS: Final = max(Structure) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherMap:
    """What a teacher says of one patient.

    Attributes:
        labels: uint8, numbers of `Structure`, 0 for none of `structures`, 255 where it does not say.
        structures: those it tells apart at all; where it found nothing of one, the patient has none.
        confidence: probability of each voxel's class, 0 to 1, on the same grid; None where it gives none.
        inside: structures of more trusted maps in which those of this one run: it has the voxels they share.

    """

    labels: Volume
    structures: tuple[Structure, ...]
    confidence: Volume | None = None
    inside: tuple[Structure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What somebody drew in one patient.

    Attributes:
        labels: uint8, numbers of `Structure`, 0 elsewhere.
        structures: those that were drawn; None for all.
        unjudged: where nobody looked; None where everything was looked at.

    """

    labels: Volume
    structures: tuple[Structure, ...] | None = None
    unjudged: BoolArray | None = None

    @property
    def known(self) -> tuple[Structure, ...]:
        """Structures that were drawn."""
        return tuple(Structure) if self.structures is None else self.structures


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentLabels:
    """What a student learns from in one patient.

    Attributes:
        labels: uint8, numbers of `Structure`, 0 for none of `structures`, 255 where nothing is learned.
        structures: those that are labelled; the loss counts them alone (decision 0038). None for all.

    """

    labels: Volume
    structures: tuple[Structure, ...] | None


def combined(maps: Sequence[TeacherMap]) -> TeacherMap:
    """Merge maps of one patient in an order of trust: each structure comes from the first that tells it.

    Where two claim a voxel for different structures, the one that comes first has it, but for structures in
    which the other's run (`inside`). Confidences are taken where every map gives them.

    Raises:
        GeometryMismatchError: a map lies on another grid than the first.

    >>> from lymphct.core.geometry import Geometry
    >>> grid = Geometry(shape=(1, 1, 4), spacing=(1.0, 1.0, 1.0))
    >>> def told(*structures, labels):
    ...     volume = Volume(array=np.array([[labels]], dtype=np.uint8), geometry=grid)
    ...     return TeacherMap(labels=volume, structures=structures)
    >>> one = told(Structure.SPLEEN, labels=[1, 0, 255, 0])
    >>> other = told(Structure.SPLEEN, Structure.AORTA, labels=[4, 4, 1, 1])
    >>> combined([one, other]).labels.array.tolist()
    [[[1, 4, 255, 0]]]
    """
    first = maps[0]
    if len(maps) == 1:
        return first
    labels = np.zeros_like(first.labels.array)
    confidence = np.ones(labels.shape, np.float32)
    unsaid = np.zeros(labels.shape, dtype=bool)
    told: list[Structure] = []
    for number, one in enumerate(maps):
        one.labels.require_same_grid(first.labels, name=f"mask of teacher {number + 1}", reference="first")
        new = [structure for structure in one.structures if structure not in told]
        if not new:
            continue
        free = np.isin(labels, [0, *one.inside])
        taken = free & np.isin(one.labels.array, new)
        labels[taken] = one.labels.array[taken]
        if one.confidence is not None:  # of nothing the least sure one speaks
            least = np.minimum(confidence, one.confidence.array)
            confidence = np.where(taken, one.confidence.array, np.where(labels == 0, least, confidence))
        unsaid |= one.labels.array == UNJUDGED
        told += new
    labels[unsaid & (labels == 0)] = UNJUDGED
    is_sure = all(one.confidence is not None for one in maps)
    return TeacherMap(
        labels=first.labels.with_array(labels),
        structures=tuple(sorted(told)),
        confidence=first.labels.with_array(confidence) if is_sure else None,
    )


def cleaned(teacher: TeacherMap, settings: SelfLearningSettings) -> tuple[TeacherMap, dict[Structure, str]]:
    """Take back what cannot be: small components, and structures that are no anatomy.

    Voxels of small components, and of structures of implausible volume, shape or place
    (`anatomy.plausibility`), become 255; such structures are no longer told.

    Returns:
        The map, and for each structure that was taken back as a whole what was wrong with it.

    """
    # What a teacher does not tell apart is none of what it does, whatever number it has there.
    told = (teacher.labels.array == UNJUDGED) | np.isin(teacher.labels.array, list(teacher.structures))
    labels = np.where(told, teacher.labels.array, 0).astype(np.uint8)
    known = np.where(labels == UNJUDGED, 0, labels)
    kept = keep_large_components(known, settings.component_share)
    labels[(known > 0) & (kept == 0)] = UNJUDGED
    refused: dict[Structure, str] = {}
    if settings.plausible_only:
        for finding in implausible(teacher.labels.with_array(kept)):
            for structure in finding.structures:
                refused.setdefault(structure, finding.text)
    held = replace(teacher, labels=teacher.labels.with_array(labels))
    return without(held, refused), refused


def without(teacher: TeacherMap, structures: Collection[Structure]) -> TeacherMap:
    """Return the map of a teacher who says nothing of some structures; their voxels become 255."""
    if not structures:
        return teacher
    labels = np.where(np.isin(teacher.labels.array, list(structures)), UNJUDGED, teacher.labels.array)
    return replace(
        teacher,
        labels=teacher.labels.with_array(labels.astype(np.uint8)),
        structures=tuple(structure for structure in teacher.structures if structure not in structures),
    )


def confident(teacher: TeacherMap, least: float) -> TeacherMap:
    """Return the map without the voxels, of structures or none, whose confidence is below `least`: 255."""
    if teacher.confidence is None:
        return teacher
    labels = np.where(teacher.confidence.array < least, UNJUDGED, teacher.labels.array)
    return replace(teacher, labels=teacher.labels.with_array(labels.astype(np.uint8)))


def student_labels(drawn: Drawn | None, teacher: TeacherMap | None) -> StudentLabels | None:
    """Merge drawn labels and a teacher's: what was drawn wins, voxel by voxel.

    Where somebody looked, the drawn structures are as drawn, also where the teacher differs; the teacher adds
    those that were not drawn. Where nobody looked, and in patients without a drawn map, the teacher speaks
    alone. A voxel of which either does not know whether it is one of the labelled structures is 255.

    Returns:
        None where nobody drew and the teacher says nothing.

    Raises:
        GeometryMismatchError: the maps lie on different grids.

    """
    if drawn is None:
        if teacher is None or not teacher.structures:
            return None
        return _labelled(teacher.labels, teacher.labels.array, set(teacher.structures))
    if teacher is None:
        array = drawn.labels.array
        if drawn.unjudged is not None:
            array = np.where(drawn.unjudged, UNJUDGED, array)
        return _labelled(drawn.labels, array, set(drawn.known))
    teacher.labels.require_same_grid(drawn.labels, name="mask of the teacher", reference="drawn mask")
    by_hand, by_teacher = set(drawn.known), set(teacher.structures)
    added = by_teacher - by_hand
    said = teacher.labels.array
    # Only what the teacher adds may be where somebody looked and drew nothing.
    extra = np.where((said == UNJUDGED) & bool(added) | np.isin(said, list(added)), said, 0)
    array = np.where(drawn.labels.array > 0, drawn.labels.array, extra)
    if drawn.unjudged is not None:
        alone = np.where((said == 0) & bool(by_hand - by_teacher), UNJUDGED, said)
        array = np.where(drawn.unjudged, alone, array)
    return _labelled(drawn.labels, array, by_hand | by_teacher)


def _labelled(like: Volume, array: AnyArray, structures: set[Structure]) -> StudentLabels:
    labels: LabelArray = array.astype(np.uint8)
    everything = len(structures) == len(Structure)
    return StudentLabels(
        labels=like.with_array(labels), structures=None if everything else tuple(sorted(structures))
    )


def repeated(drawn: Sequence[str], others: Sequence[str], share: float) -> tuple[str, ...]:
    """Return ids to draw patches from, those of drawn patients as often as makes them this share, or once.

    >>> repeated(["a"], ["t", "u", "v"], 0.5)
    ('a', 'a', 'a', 't', 'u', 'v')
    >>> repeated(["a", "b"], ["t"], 0.5)
    ('a', 'b', 't')
    """
    times = math.ceil(share * len(others) / ((1 - share) * len(drawn))) if drawn else 0
    return (*drawn, *(name for _ in range(1, times) for name in drawn), *others)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Voxels of one structure: those both maps have, a teacher's or student's, and drawn ones."""

    both: int
    found: int
    drawn: int

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(self.both + other.both, self.found + other.found, self.drawn + other.drawn)

    @property
    def dice(self) -> float | None:
        """Dice; None where neither has a voxel."""
        mass = self.found + self.drawn
        return 2 * self.both / mass if mass else None

    @property
    def recall(self) -> float | None:
        """Share of the drawn voxels that were found; None where nothing was drawn."""
        return self.both / self.drawn if self.drawn else None


def overlaps(
    labels: Volume, drawn: Drawn, structures: Collection[Structure] | None = None
) -> dict[Structure, Overlap]:
    """Compare a map with what was drawn, where somebody looked, structure by structure.

    Args:
        labels: numbers of `Structure`; what does not say (255) found nothing.
        drawn: the truth; structures that were not drawn are left out.
        structures: to compare; None for all that were drawn.

    Raises:
        GeometryMismatchError: the maps lie on different grids.

    """
    labels.require_same_grid(drawn.labels, name="label map", reference="drawn mask")
    looked = slice(None) if drawn.unjudged is None else ~drawn.unjudged
    found, truth = labels.array[looked].reshape(-1), drawn.labels.array[looked].reshape(-1)
    found = np.where(found < _NUMBERS, found, 0)
    both = np.bincount(truth[found == truth], minlength=_NUMBERS)
    of_found, of_truth = (np.bincount(array, minlength=_NUMBERS) for array in (found, truth))
    return {
        s: Overlap(int(both[s]), int(of_found[s]), int(of_truth[s]))
        for s in drawn.known
        if structures is None or s in structures
    }


def incomplete(pooled: Mapping[Structure, Overlap], settings: SelfLearningSettings) -> dict[Structure, float]:
    """Return the structures a teacher draws too short, with the share of the drawn voxels that it finds.

    Args:
        pooled: of training patients in whom the structure was drawn, added up.
        settings: the least share.

    """
    recalls = {structure: overlap.recall for structure, overlap in pooled.items()}
    return {s: share for s, share in recalls.items() if share is not None and share < settings.least_recall}
