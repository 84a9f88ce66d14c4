"""Training batches of the status network: half N+, half N-, one patch of each patient drawn (Sec. III-B)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from lymphct.core.errors import InputError
from lymphct.core.evidence import Patches
from lymphct.learning.settings import AugmentationSettings
from lymphct.metastasis.augmentation import augment
from lymphct.metastasis.settings import StatusSamplingSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatusCase:
    """What the status network learns from one patient.

    Attributes:
        patient: pseudonymous identifier.
        patches: (n, 3, h, w) of `slices.tumor_patches`: arterial, venous, tumor mask.
        volume: of the positive lymph nodes, mm³, 0 without one (Eq. 7), or the number that stands for it.
            For honest results it comes from networks that never saw the patient (decisions 0006, 0060).
        n_status: 1 for N+, 0 for N-.
        largest: volume of the largest positive lymph node, mm³, whatever kind `volume` is; None where that is
            the same.

    Raises:
        InputError: one of them has another shape or range.

    """

    patient: str
    patches: Patches
    volume: float
    n_status: int
    largest: float | None = None

    def __post_init__(self) -> None:
        if self.patches.ndim != 4 or self.patches.shape[1] != 3 or not len(self.patches):
            msg = f"patches of shape {self.patches.shape}; arterial, venous and mask (n, 3, h, w) are needed"
            raise InputError(msg, code="E_PATCHES").at(patient=self.patient)
        if not (np.isfinite(self.volume) and self.volume >= 0):
            msg = f"the volume of positive lymph nodes is {self.volume} mm³"
            raise InputError(msg, code="E_VOLUME", cure="give 0 where no node is positive").at(
                patient=self.patient
            )
        if self.n_status not in (0, 1):
            msg = f"n_status is {self.n_status}; it is 0 (N-) or 1 (N+)"
            raise InputError(msg, code="E_N_STATUS").at(patient=self.patient)

    @property
    def largest_volume(self) -> float:
        """Return the volume of the largest positive lymph node, mm³ (ClsbyLNSeg, Sec. IV-E)."""
        return self.volume if self.largest is None else self.largest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatusBatch:
    """Patches (b, 3, h, w), volumes (b,) in mm³, and statuses (b,), 0 or 1."""

    patches: Tensor
    volume: Tensor
    n_status: Tensor

    def to(self, device: torch.device) -> "StatusBatch":
        """Return the batch on a device."""
        return StatusBatch(
            patches=self.patches.to(device, non_blocking=True),
            volume=self.volume.to(device, non_blocking=True),
            n_status=self.n_status.to(device, non_blocking=True),
        )


class StatusSampler:
    """Draws batches; batch n depends on the seed and n alone, so training resumes exactly.

    Raises:
        InputError: the cases are not of both classes.

    """

    def __init__(
        self,
        cases: Sequence[StatusCase],
        sampling: StatusSamplingSettings,
        augmentation: AugmentationSettings,
        seed: int,
    ) -> None:
        self._by_status = by_status(cases)
        self._sampling = sampling
        self._augmentation = augmentation
        self._seed = seed

    def batch(self, iteration: int) -> StatusBatch:
        """Draw half the batch from each class, one random patch per patient, and augment it."""
        rng = np.random.default_rng((self._seed, iteration))
        half = self._sampling.batch_size // 2
        cases = drawn(self._by_status, half, rng)
        chosen = np.stack([case.patches[int(rng.integers(len(case.patches)))] for case in cases])
        patches = augment(torch.from_numpy(chosen.astype(np.float32)), self._augmentation, rng)
        patches[torch.from_numpy(rng.random(len(cases)) < self._sampling.phase_dropout), 0] = 0.0
        return StatusBatch(
            patches=patches,
            volume=torch.tensor([case.volume for case in cases], dtype=torch.float32),
            n_status=torch.tensor([case.n_status for case in cases]),
        )


class HasStatus(Protocol):
    """A training case of a patient."""

    @property
    def n_status(self) -> int:
        """1 for N+, 0 for N-."""


Case = TypeVar("Case", bound=HasStatus)


def by_status(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the N- and the N+ cases.

    Raises:
        InputError: the cases are not of both classes.

    """
    negative, positive = ([case for case in cases if case.n_status == status] for status in (0, 1))
    if not (negative and positive):
        msg = (
            f"training the status network needs N+ and N- patients, got "
            f"{len(positive)} N+ and {len(negative)} N-"
        )
        raise InputError(msg, code="E_ONE_CLASS", cure="add patients of the missing class")
    return negative, positive


def drawn(groups: Sequence[Sequence[Case]], each: int, rng: np.random.Generator) -> list[Case]:
    """Draw as many cases from each group; one is drawn twice only where the group has fewer."""
    cases: list[Case] = []
    for group in groups:
        cases += [group[n] for n in rng.choice(len(group), size=each, replace=len(group) < each)]
    return cases
