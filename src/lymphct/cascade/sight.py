"""How each network sees both phases: intensities of what it learns to find (decision 0037)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import Foreground, NetworkIntensity, PhaseIntensity, PhaseName
from lymphct.cascade.prepared import Prepared
from lymphct.core.arrays import FloatArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import NOBODY, FittedOn
from lymphct.core.terms import Phase, StageName
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import (
    DEFAULT_INTENSITY,
    IntensityStatistics,
    foreground_values,
    statistics_of,
)
from lymphct.learning.losses import IGNORED

logger = logging.getLogger(__name__)

CHANNELS: Final = (Phase.ARTERIAL, Phase.VENOUS)
"""Which phase is which channel of an image."""

SEES_AS: Final[Mapping[StageName, StageName]] = {
    StageName.IDENTIFICATION: StageName.NODES,  # it starts from its weights
    StageName.METASTASIS: StageName.TUMOR,  # it looks at the same organ
}
"""Networks that see a patient as another one does."""

FOREGROUNDS: Final[Mapping[StageName, tuple[Foreground, ...]]] = {
    StageName.STRUCTURES: ("structures", "tumor", "nodes"),
    StageName.TUMOR: ("tumor", "structures", "nodes"),
    StageName.NODES: ("nodes", "structures", "tumor"),
}
"""What the statistics of a network are measured on: the first of these that somebody has drawn."""

LEAST: Final[Mapping[Foreground, float]] = {"nodes": -200.0}
"""HU below which a drawn voxel is gas beside it. Not stated in the paper; ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How one network sees both phases, and where that comes from.

    Attributes:
        phases: statistics; a phase that is not among them has the fixed values.
        foreground: on which voxels they were measured.
        fitted_on: in whom.

    """

    phases: Intensity
    foreground: Foreground = "fixed"
    fitted_on: FittedOn = NOBODY

    @classmethod
    def of_part(cls, info: NetworkIntensity, salt: str) -> Self:
        """Return what a bundle says of a part."""
        return cls(
            phases=intensity_of(info.phases),
            foreground=info.foreground,
            fitted_on=FittedOn(hashes=frozenset(info.patients), salt=salt),
        )

    def described(self, salt: str) -> NetworkIntensity:
        """Return what a bundle with this key says of it.

        Raises:
            ValidationError: intensities that no foreground has.

        """
        return NetworkIntensity(
            phases=described_phases(self.phases),
            foreground=self.foreground,
            patients=self.fitted_on.hashed(salt),
        )

    @property
    def fills(self) -> tuple[float, float]:
        """Normalised intensity outside the image by channel: the lower clip value of each phase."""
        arterial, venous = (self.phases.get(phase, DEFAULT_INTENSITY).fill for phase in CHANNELS)
        return arterial, venous


FIXED: Final = Sight(phases=dict.fromkeys(Phase, DEFAULT_INTENSITY))
"""Where nothing was measured."""


def intensity_of(phases: Mapping[PhaseName, PhaseIntensity]) -> Intensity:
    """Return the statistics a bundle names."""
    return {Phase(name): IntensityStatistics(s.low, s.high, s.mean, s.sd) for name, s in phases.items()}


def described_phases(intensity: Intensity) -> dict[str, PhaseIntensity]:
    """Return statistics as a bundle names them.

    Raises:
        ValidationError: intensities that no foreground has.

    """
    return {
        phase.value: PhaseIntensity(low=s.low, high=s.high, mean=s.mean, sd=s.sd)
        for phase, s in intensity.items()
    }


@dataclass(slots=True)
class _Contributions:
    """What training patients contribute to the statistics of one foreground, by phase and patient."""

    drawn: bool
    values: dict[Phase, dict[str, FloatArray]]


def fit_sights(patients: Mapping[str, Prepared], train: Sequence[str]) -> dict[StageName, Sight]:
    """Measure how the networks that learn to find something see both phases (decision 0037).

    Both phases of a network are measured on one foreground: the first of `FOREGROUNDS` that was drawn in a
    training patient and varies in the venous phase. A phase that nobody with it has keeps the fixed values,
    as does everything where nothing was drawn.

    Args:
        patients: by id; one after the other is looked at.
        train: ids of the training patients.

    Raises:
        InputError: masks were drawn, but none with voxels that vary.

    """
    found: dict[Foreground, _Contributions] = {
        name: _Contributions(drawn=False, values={phase: {} for phase in Phase})
        for name in FOREGROUNDS[StageName.NODES]
    }
    for name in train:
        _look(name, patients[name], found)
    if not any(contributions.drawn for contributions in found.values()):
        return dict.fromkeys(FOREGROUNDS, FIXED)
    return {stage: _sight(stage, order, found) for stage, order in FOREGROUNDS.items()}


def _look(name: str, patient: Prepared, found: Mapping[Foreground, _Contributions]) -> None:
    masks: dict[Foreground, Volume | None] = {
        "structures": _looked_at(patient.structures),
        "tumor": _looked_at(patient.tumor),
        "nodes": patient.instances,
    }
    phases = {Phase.VENOUS: patient.ct.venous, Phase.ARTERIAL: patient.ct.arterial}
    for foreground, mask in masks.items():
        if mask is None:
            continue
        found[foreground].drawn = True
        for phase, ct in phases.items():
            if ct is not None:
                values = foreground_values(ct, mask, least=LEAST.get(foreground))
                found[foreground].values[phase][name] = values


def _looked_at(mask: Volume | None) -> Volume | None:
    """Return a mask without the voxels of which nobody said what they are."""
    if mask is None or not mask.array.size or mask.array.max() < IGNORED:
        return mask
    return mask.with_array(np.where(mask.array == IGNORED, 0, mask.array))


def _sight(
    stage: StageName, order: Sequence[Foreground], found: Mapping[Foreground, _Contributions]
) -> Sight:
    refused: InputError | None = None
    for foreground in order:
        if not found[foreground].drawn:
            continue
        try:
            sight = _measured(foreground, found[foreground])
        except InputError as error:
            refused = refused or error
            logger.warning("%s: intensities cannot be measured on %s: %s", stage, foreground, error.cause)
            continue
        if foreground != order[0]:
            logger.info("%s: intensities are those of %s", stage, foreground)
        return sight
    if refused is None:
        return FIXED
    raise refused


def _measured(foreground: Foreground, found: _Contributions) -> Sight:
    phases = {
        phase: statistics_of(list(found.values[phase].values())) if found.values[phase] else DEFAULT_INTENSITY
        for phase in Phase
    }
    informed = {name for values in found.values.values() for name, sample in values.items() if sample.size}
    return Sight(phases=phases, foreground=foreground, fitted_on=FittedOn.of(informed))
