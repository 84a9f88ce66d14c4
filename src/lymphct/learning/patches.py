"""Random training patches: with a share of foreground, and none without attention (Sec. III-A.1)."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lymphct.core.arrays import FloatArray, Index3, IntArray
from lymphct.core.errors import InputError
from lymphct.learning.augmentation import SpatialTransform, change_intensity, draw_spatial
from lymphct.learning.cases import TrainingCase
from lymphct.learning.centers import Centers, Voxels
from lymphct.learning.cutting import Cut
from lymphct.learning.losses import IGNORED
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.learning.tensors import reversed_axes


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches for one iteration.

    Attributes:
        image: (b, c, k, j, i) float32.
        labels: (b, k, j, i) uint8.
        attention: (b, 1, k, j, i) float32 in [0, 1]; None when the cases have none.

    """

    image: Tensor
    labels: Tensor
    attention: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        if device.type == "cpu":
            return self
        attention = None if self.attention is None else self.attention.to(device, non_blocking=True)
        return Batch(
            self.image.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), attention
        )


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

    def count_on(self, counts: Mapping[str, int]) -> None:
        """Go on from the counts of an interrupted training: `drawn` and `rejected`."""
        with self._lock:
            self.drawn, self.rejected = counts["drawn"], counts["rejected"]

    def batch(self, iteration: int) -> Batch:
        """Return the batch of one iteration; the last patches of it contain foreground."""
        size, foreground = self.sampling.batch_size, self.sampling.foreground_patches
        first = self.cases[0]
        image = np.empty((size, len(first.image), *self.patch_size), np.float32)
        labels = np.empty((size, *self.patch_size), np.uint8)
        attention = None if first.attention is None else np.empty((size, 1, *self.patch_size), np.float32)
        for slot in range(size):
            rng = np.random.default_rng((self.seed, iteration, slot))
            cut = self._cut(rng, wants_foreground=slot >= size - foreground)
            labels[slot] = cut.labels
            if attention is not None:
                attention[slot, 0] = cut.attention
            image[slot] = self._image(cut, rng)
        return Batch(
            torch.from_numpy(image),
            torch.from_numpy(labels),
            None if attention is None else torch.from_numpy(attention),
        )

    def _cut(self, rng: np.random.Generator, *, wants_foreground: bool) -> Cut:
        """Draw places until one counts."""
        wants_foreground = wants_foreground and bool(self._drawable)
        candidates = self._drawable if wants_foreground else self._usable
        for attempt in range(self.sampling.tries + 1):
            number = candidates[rng.integers(len(candidates))]
            last = attempt == self.sampling.tries
            center = None
            if wants_foreground:
                place = int(rng.integers(len(self._centers.classes[number])))
                center = self._voxel(number, self._centers.foreground(number, place), rng)
            elif last and self._is_informative:
                center = self._voxel(number, self._centers.attentive(number), rng)
            transform = SpatialTransform() if last else draw_spatial(self.augmentation, rng)
            case = self.cases[number]
            start = _start(case.labels.shape, self.patch_size, center, rng)
            cut = Cut(case, start, self.patch_size, transform)
            accepted = last or self._counts(cut, wants_foreground=wants_foreground)
            with self._lock:
                self.drawn += 1
                self.rejected += not accepted
            if accepted:
                break
        return cut

    def _voxel(self, number: int, voxels: Voxels | IntArray, rng: np.random.Generator) -> Index3:
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

    def _image(self, cut: Cut, rng: np.random.Generator) -> FloatArray:
        image = change_intensity(cut.image(), self.augmentation, rng)
        is_empty = [not seen for seen in cut.case.is_acquired]
        if len(image) > 1 and rng.random() < self.sampling.phase_dropout:
            is_empty[0] = True
        if any(is_empty):
            image = image.copy()
            image[is_empty] = 0.0  # the mean of a z-scored phase
        return image


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
