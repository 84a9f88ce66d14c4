"""Random training patches: with a share of foreground, and none without attention (Sec. III-A.1)."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lymphct.core.arrays import Index3
from lymphct.core.errors import InputError
from lymphct.learning.augmentation import (
    PatchPlace,
    SpatialTransform,
    change_intensities,
    draw_intensities,
    draw_spatial,
)
from lymphct.learning.batches import Batch, PatchSource, RawBatch
from lymphct.learning.cases import TrainingCase
from lymphct.learning.centers import Centers, Voxels
from lymphct.learning.cutting import Cut, readings
from lymphct.learning.losses import IGNORED, labelled_classes
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.learning.tensors import reversed_axes


class PatchSampler:
    """Draws batches; `batch(n)` depends on the seed and n alone, so that training resumes exactly.

    Negatives are informative (Sec. III-A.1): patches without attention are drawn again. That is decided on
    the final patch, of which the image is read only once it counts.

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
        """Note where foreground and attention lie in each case.

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
        self._is_informative = bool(with_attention) and sampling.informative_negatives
        self._centers = Centers(self.cases, seed, attention=self._is_informative)
        self._drawable = [n for n, classes in enumerate(self._centers.classes) if classes]
        self._holders = _holders(self.cases, self._centers.classes)
        self._usable = list(range(len(self.cases)))
        if self._is_informative:
            self._usable = [n for n, is_lit in enumerate(self._centers.is_attentive) if is_lit]
            if not self._usable:
                msg = "no voxel of any training patient has attention, so no patch is informative"
                raise InputError(msg, cure="check the structure masks, or set informative_negatives to false")

    @property
    def rejected_share(self) -> float:
        """Share of the patches drawn so far that were drawn again."""
        return self.rejected / self.drawn if self.drawn else 0.0

    def count_on(self, counts: Mapping[str, object]) -> None:
        """Go on from what an interrupted training says of `drawn` and `rejected`, if it does."""
        drawn, rejected = counts.get("drawn"), counts.get("rejected")
        if isinstance(drawn, int) and isinstance(rejected, int):
            with self._lock:
                self.drawn, self.rejected = drawn, rejected

    def batch(self, iteration: int) -> Batch:
        """Return the batch of one iteration; the last patches of it contain foreground."""
        rngs, cuts = self._cuts(iteration)
        channels = len(self.cases[0].image)
        image = np.empty((len(cuts), channels, *self.patch_size), np.float32)
        for patch, cut, rng in zip(image, cuts, rngs, strict=True):
            cut.image(patch)
            change_intensities(patch, draw_intensities(self.augmentation, rng, channels))
            patch[self._is_empty(cut, rng)] = 0.0  # the mean of a z-scored phase
        return Batch(torch.from_numpy(image), *_stacked(cuts))

    def raw_batch(self, iteration: int) -> RawBatch:
        """Return the same batch with images as they were read, to be changed where the network is."""
        rngs, cuts = self._cuts(iteration)
        sources = []
        for cut, rng in zip(cuts, rngs, strict=True):
            box, place = cut.source()
            intensities = draw_intensities(self.augmentation, rng, len(box))
            is_empty = tuple(self._is_empty(cut, rng))
            image = torch.from_numpy(np.ascontiguousarray(box))
            sources.append(PatchSource(image, place, readings(cut.case), intensities, is_empty))
        return RawBatch(tuple(sources), *_stacked(cuts))

    def _cuts(self, iteration: int) -> tuple[list[np.random.Generator], list[Cut]]:
        size, foreground = self.sampling.batch_size, self.sampling.foreground_patches
        rngs = [np.random.default_rng((self.seed, iteration, slot)) for slot in range(size)]
        return rngs, [
            self._cut(rng, wants_foreground=slot >= size - foreground) for slot, rng in enumerate(rngs)
        ]

    def _cut(self, rng: np.random.Generator, *, wants_foreground: bool) -> Cut:
        """Draw places until one counts."""
        wants_foreground = wants_foreground and bool(self._drawable)
        candidates = self._drawable if wants_foreground else self._usable
        for attempt in range(self.sampling.tries + 1):
            number, voxels = self._drawn(candidates, rng, wants_foreground=wants_foreground)
            last = attempt == self.sampling.tries
            center = None
            if voxels is not None:
                center = self._voxel(number, voxels, rng)
            elif last and self._is_informative:
                center = self._voxel(number, self._centers.attentive(number), rng)
            transform = SpatialTransform() if last else draw_spatial(self.augmentation, rng)
            case = self.cases[number]
            first = _start(case.labels.shape, self.patch_size, center, rng)
            cut = Cut(case, _place(first, self.patch_size, transform))
            accepted = last or self._counts(cut, wants_foreground=wants_foreground)
            with self._lock:
                self.drawn += 1
                self.rejected += not accepted
            if accepted:
                break
        return cut

    def _drawn(
        self, candidates: Sequence[int], rng: np.random.Generator, *, wants_foreground: bool
    ) -> tuple[int, Voxels | None]:
        """Draw a patient and, where foreground is wanted, voxels of one of the classes in him.

        Where some patients show some classes only, the class is drawn first: those that few show would else
        be learned that much less often than if nobody else took part (decision 0038).
        """
        if self._holders:
            label, numbers = self._holders[rng.integers(len(self._holders))]
            number = numbers[int(rng.integers(len(numbers)))]
            if not wants_foreground:
                return number, None
            return number, self._centers.foreground(number, self._centers.classes[number].index(label))
        number = candidates[int(rng.integers(len(candidates)))]
        if not wants_foreground:
            return number, None
        place = int(rng.integers(len(self._centers.classes[number])))
        return number, self._centers.foreground(number, place)

    def _voxel(self, number: int, voxels: Voxels, rng: np.random.Generator) -> Index3:
        flat = voxels[rng.integers(len(voxels))]
        k, j, i = np.unravel_index(flat, self.cases[number].labels.shape)
        return int(k), int(j), int(i)

    def _counts(self, cut: Cut, *, wants_foreground: bool) -> bool:
        if wants_foreground and not np.any((cut.labels != 0) & (cut.labels != IGNORED)):
            return False
        if cut.attention is None or not self.sampling.informative_negatives:
            return True
        lit = np.count_nonzero(cut.attention)
        return bool(lit > self.sampling.min_attention_fraction * cut.attention.size)

    def _is_empty(self, cut: Cut, rng: np.random.Generator) -> list[bool]:
        """Return which channels show nothing: a phase that was not acquired, or that is dropped here."""
        is_empty = [not is_there for is_there in cut.case.is_acquired]
        if len(is_empty) > 1 and rng.random() < self.sampling.phase_dropout:
            is_empty[0] = True
        return is_empty


def _stacked(cuts: Sequence[Cut]) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return labels (b, k, j, i), attention (b, 1, k, j, i) and the classes drawn (b, 255) of a batch."""
    labels = torch.from_numpy(np.stack([cut.labels for cut in cuts]))
    attentions = [cut.attention for cut in cuts if cut.attention is not None]
    attention = torch.from_numpy(np.stack(attentions)[:, None]) if attentions else None
    return labels, attention, labelled_classes([cut.case.labelled for cut in cuts])


def _holders(cases: Sequence[TrainingCase], classes: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Return each class with those who have it; nothing when every class was drawn in every patient."""
    if all(case.labelled is None for case in cases):
        return []
    return [
        (label, [n for n, there in enumerate(classes) if label in there])
        for label in sorted(set().union(*classes))
    ]


def _place(first: Index3, patch_size: Index3, transform: SpatialTransform) -> PatchPlace:
    """Return the place of a patch whose voxels begin at `first` before they are turned about its centre."""
    size = transform.source_size(patch_size)
    k, j, i = (s - (wide - n) // 2 for s, wide, n in zip(first, size, patch_size, strict=True))
    return PatchPlace((k, j, i), patch_size, transform)


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
