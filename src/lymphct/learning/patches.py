"""Random training patches: with a share of foreground, and none without attention (Sec. III-A.1)."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lymphct.core.arrays import FloatArray, Index3, LabelArray
from lymphct.core.errors import InputError
from lymphct.imaging.crop import crop
from lymphct.learning.augmentation import SpatialTransform, change_intensity, draw_spatial, move
from lymphct.learning.cases import TrainingCase
from lymphct.learning.losses import IGNORED, labelled_classes
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.learning.tensors import reversed_axes

LOCATIONS = 10_000
"""Voxels remembered per class and patient as centres of patches (nnU-Net's number)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches for one iteration.

    Attributes:
        image: (b, c, k, j, i) float32.
        labels: (b, k, j, i) int64.
        attention: (b, 1, k, j, i) float32 in [0, 1]; None when the cases have none.
        labelled: (b, 255) bool, the classes drawn in the patient of each patch; None when all are in all.

    """

    image: Tensor
    labels: Tensor
    attention: Tensor | None
    labelled: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        if device.type == "cpu":
            return self
        attention = None if self.attention is None else self.attention.to(device, non_blocking=True)
        labelled = None if self.labelled is None else self.labelled.to(device, non_blocking=True)
        image, labels = self.image.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)
        return Batch(image, labels, attention, labelled)


class _Patch(NamedTuple):
    image: FloatArray
    labels: LabelArray
    attention: FloatArray | None
    labelled: tuple[int, ...] | None


class PatchSampler:
    """Draws batches; `batch(n)` depends on the seed and n alone, so that training resumes exactly.

    Negatives are informative (Sec. III-A.1): patches without attention are drawn again.

    Attributes:
        drawn: patches cut so far.
        rejected: those of them that were not informative or missed their foreground.

    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        sampling: SamplingSettings,
        augmentation: AugmentationSettings,
        seed: int,
    ) -> None:
        """Remember where foreground and attention lie in each case.

        Raises:
            InputError: no case; some cases have attention and others none; informative patches are asked
                for, but no voxel of any case has attention.

        """
        self.cases, self.sampling, self.augmentation, self.seed = tuple(cases), sampling, augmentation, seed
        self.patch_size = reversed_axes(sampling.patch_size)
        self.drawn = self.rejected = 0
        self._lock = threading.Lock()
        with_attention = sum(case.attention is not None for case in self.cases)
        if not self.cases or with_attention not in {0, len(self.cases)}:
            msg = f"{with_attention} of {len(self.cases)} training patients have an attention map"
            raise InputError(msg, cure="give at least one patient, and attention to all patients or to none")
        self._foreground = [
            _class_locations(np.asarray(case.labels), (seed, n)) for n, case in enumerate(self.cases)
        ]
        self._drawable = [n for n, locations in enumerate(self._foreground) if locations]
        self._holders = _holders(self.cases, self._foreground)
        self._attentive: list[LabelArray] = []
        self._usable = list(range(len(self.cases)))
        if with_attention and sampling.informative_negatives:
            self._attentive = [
                _some_of(np.flatnonzero(np.asarray(case.attention)), (seed, n))
                for n, case in enumerate(self.cases)
            ]
            self._usable = [n for n, found in enumerate(self._attentive) if len(found)]
            if not self._usable:
                msg = "no voxel of any training patient has attention, so no patch is informative"
                raise InputError(msg, cure="check the structure masks, or set informative_negatives to false")

    @property
    def rejected_share(self) -> float:
        """Share of the patches drawn so far that were drawn again."""
        return self.rejected / self.drawn if self.drawn else 0.0

    def batch(self, iteration: int) -> Batch:
        """Return the batch of one iteration; the last patches of it contain foreground."""
        size, foreground = self.sampling.batch_size, self.sampling.foreground_patches
        patches = [
            self._patch(np.random.default_rng((self.seed, iteration, slot)), slot >= size - foreground)
            for slot in range(size)
        ]
        attentions = [patch.attention for patch in patches if patch.attention is not None]
        return Batch(
            torch.from_numpy(np.stack([patch.image for patch in patches])),
            torch.from_numpy(np.stack([patch.labels for patch in patches]).astype(np.int64)),
            torch.from_numpy(np.stack(attentions)[:, None]) if attentions else None,
            labelled_classes([patch.labelled for patch in patches]),
        )

    def _patch(self, rng: np.random.Generator, wants_foreground: bool) -> _Patch:  # noqa: FBT001 - private
        wants_foreground = wants_foreground and bool(self._drawable)
        candidates = self._drawable if wants_foreground else self._usable
        for attempt in range(self.sampling.tries + 1):
            number, locations = self._drawn(candidates, rng, wants_foreground=wants_foreground)
            last = attempt == self.sampling.tries
            center = None
            if locations is not None:
                center = self._voxel(number, locations, rng)
            elif last and self._attentive:
                center = self._voxel(number, self._attentive[number], rng)
            transform = SpatialTransform() if last else draw_spatial(self.augmentation, rng)
            patch = self._cut(number, center, transform, rng)
            accepted = last or self._counts(patch, wants_foreground=wants_foreground)
            with self._lock:
                self.drawn += 1
                self.rejected += not accepted
            if accepted:
                break
        image = change_intensity(patch.image, self.augmentation, rng)
        if len(image) > 1 and rng.random() < self.sampling.phase_dropout:
            image = image.copy()
            image[0] = 0.0  # the mean of a z-scored arterial phase
        return patch._replace(image=image)

    def _drawn(
        self, candidates: list[int], rng: np.random.Generator, *, wants_foreground: bool
    ) -> tuple[int, LabelArray | None]:
        """Draw a patient and, where foreground is wanted, one of the classes in him.

        Where some patients show some classes only, the class is drawn first: those that few show would else
        be learned that much less often than if nobody else took part (decision 0038).
        """
        if self._holders:
            numbers, places = self._holders[rng.integers(len(self._holders))]
            holder = rng.integers(len(numbers))
            return numbers[holder], places[holder] if wants_foreground else None
        chosen = candidates[rng.integers(len(candidates))]
        if not wants_foreground:
            return chosen, None
        per_class = list(self._foreground[chosen].values())
        return chosen, per_class[rng.integers(len(per_class))]

    def _voxel(self, number: int, locations: LabelArray, rng: np.random.Generator) -> Index3:
        flat = locations[rng.integers(len(locations))]
        k, j, i = np.unravel_index(flat, self.cases[number].labels.shape)
        return int(k), int(j), int(i)

    def _counts(self, patch: _Patch, *, wants_foreground: bool) -> bool:
        if wants_foreground and not np.any((patch.labels != 0) & (patch.labels != IGNORED)):
            return False
        if patch.attention is None or not self.sampling.informative_negatives:
            return True
        lit = np.count_nonzero(patch.attention)
        return bool(lit > self.sampling.min_attention_fraction * patch.attention.size)

    def _cut(
        self, number: int, center: Index3 | None, transform: SpatialTransform, rng: np.random.Generator
    ) -> _Patch:
        case = self.cases[number]
        first = _start(case.labels.shape, self.patch_size, center, rng)
        size = transform.source_size(self.patch_size)
        start = [s - (wide - n) // 2 for s, wide, n in zip(first, size, self.patch_size, strict=True)]
        smooth = crop(case.image, start, size, case.fill).astype(np.float32, copy=False)
        labels = crop(case.labels, start, size, 0)
        if case.attention is not None:
            smooth = np.concatenate([smooth, crop(case.attention, start, size, 0)[None]])
        smooth, labels = move(transform, self.patch_size, smooth, labels)
        if case.attention is None:
            return _Patch(smooth, labels, None, case.labelled)
        return _Patch(smooth[:-1], labels, smooth[-1], case.labelled)


def _holders(
    cases: Sequence[TrainingCase], foreground: Sequence[dict[int, LabelArray]]
) -> list[tuple[list[int], list[LabelArray]]]:
    """Return who has each class, and where; nothing when every class was drawn in every patient."""
    if all(case.labelled is None for case in cases):
        return []
    classes = sorted(set().union(*foreground))
    holders = {c: [n for n, locations in enumerate(foreground) if c in locations] for c in classes}
    return [(numbers, [foreground[n][c] for n in numbers]) for c, numbers in holders.items()]


def _class_locations(labels: LabelArray, seed: tuple[int, int]) -> dict[int, LabelArray]:
    """Return flat voxel indices of each foreground class that occurs."""
    flat = np.asarray(labels).reshape(-1)
    foreground = np.flatnonzero((flat != 0) & (flat != IGNORED))
    classes = flat[foreground]
    return {int(n): _some_of(foreground[classes == n], seed) for n in np.unique(classes)}


def _some_of(locations: LabelArray, seed: tuple[int, int]) -> LabelArray:
    if len(locations) <= LOCATIONS:
        return locations
    chosen = np.random.default_rng(seed).choice(len(locations), LOCATIONS, replace=False)
    return locations[np.sort(chosen)]


def _start(
    shape: tuple[int, ...], patch_size: Index3, center: Index3 | None, rng: np.random.Generator
) -> Index3:
    """Return the first voxel of a patch, within the image where it fits, around the image where not."""
    drawn = []
    for axis, (size, wanted) in enumerate(zip(shape, patch_size, strict=True)):
        low, high = min(0, (size - wanted) // 2), max(size - wanted, (size - wanted) // 2)
        if center is None:
            drawn.append(int(rng.integers(low, high + 1)))
        else:
            drawn.append(min(max(center[axis] - wanted // 2, low), high))
    k, j, i = drawn
    return k, j, i
