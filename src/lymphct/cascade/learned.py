"""What is fitted on training patients before any network: intensities (decision 0037), bands (Tab. II)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from lymphct.attention.bands import PAPER_BANDS, Band, Bands
from lymphct.attention.fitting import fit_bands
from lymphct.attention.mapping import guided_by
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import FIXED, FOREGROUNDS, SEES_AS, Sight, fit_sights, intensity_of
from lymphct.core.leakage import NOBODY, Fitted, FittedOn
from lymphct.core.terms import GUIDING_STRUCTURES, STRUCTURES_BY_NAME, StageName
from lymphct.core.unjudged import unjudged_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the stages of a training know before they begin.

    Attributes:
        sights: how each network sees both phases.
        intensity: statistics of each phase for the networks that are not among `sights`, as in bundles made
            before decision 0037; empty elsewhere.
        bands: distance bands of the attention.
        fitted_on: the patients behind `intensity` and `bands`; none behind fixed values or Tab. II.

    """

    sights: Mapping[StageName, Sight] = field(default_factory=dict)
    intensity: Intensity = field(default_factory=dict)
    bands: Bands
    fitted_on: Mapping[str, FittedOn] = field(default_factory=dict)

    @classmethod
    def of_bundle(cls, info: BundleInfo) -> Self:
        """Return what the networks of a bundle know; they know no other values."""
        fitted_on = {
            what: FittedOn(hashes=frozenset(hashes), salt=info.salt)
            for what, hashes in info.fitted_on.items()
            if what != "calibration"  # of a score, which no network knows
        }
        bare = cls(
            intensity=intensity_of(info.intensity),
            bands={STRUCTURES_BY_NAME[n]: Band(b.d_min, b.d_max) for n, b in info.bands.items()}
            or PAPER_BANDS,
            fitted_on=fitted_on,
        )
        # A part without statistics of its own was trained with the common ones, whatever others have.
        sights = {
            name: bare.common if part.intensity is None else Sight.of_part(part.intensity, info.salt)
            for name, part in info.parts.items()
        }
        return replace(bare, sights=sights)

    @property
    def common(self) -> Sight:
        """How a network sees the phases that is not among `sights`."""
        if not self.intensity:
            return FIXED
        return Sight(
            phases=self.intensity, foreground="any", fitted_on=self.fitted_on.get("intensity", NOBODY)
        )

    def sight(self, stage: StageName) -> Sight:
        """Return how the network of a stage sees both phases.

        Stage 2 sees them as stage 1 does, whose weights it starts from; the status network as the tumor
        network does.
        """
        own = self.sights.get(stage)
        if own is None and stage in SEES_AS:
            own = self.sights.get(SEES_AS[stage])
        return self.common if own is None else own

    def with_parts(self, info: BundleInfo) -> Self:
        """Return the same, in which a stage sees as the part of the bundle does that it starts from."""
        there = Learned.of_bundle(info)
        taken = {stage: there.sight(other) for stage, other in SEES_AS.items() if other in info.parts}
        return replace(self, sights={**self.sights, **taken})


def fit_learned(patients: Mapping[str, Prepared], train: Sequence[str], config: Config) -> Learned:
    """Measure intensities and, where the settings say so, distance bands on training patients.

    Args:
        patients: by id; one after the other is looked at.
        train: ids of the training patients.
        config: whether to measure, or to take fixed values and Tab. II.

    Raises:
        InputError: masks were drawn, but none with voxels that vary.

    """
    bands = _fitted_bands(patients, train, config)
    return Learned(
        sights=fit_sights(patients, train)
        if config.cascade.fit_intensity
        else dict.fromkeys(FOREGROUNDS, FIXED),
        bands=bands.value,
        fitted_on={"bands": FittedOn.of(bands.patients)} if bands.patients else {},
    )


def _shows_bands(patient: Prepared) -> bool:
    """Tell whether distances to all guiding structures can be measured: beside one not drawn they mislead."""
    if patient.view("structures") is None or patient.view("nodes") is None:
        return False
    labelled = patient.labelled
    if labelled is not None and not set(GUIDING_STRUCTURES) <= set(labelled):
        return False
    unjudged = patient.unjudged
    return unjudged is None or not unjudged_in(unjudged.array, StageName.STRUCTURES).any()


def _fitted_bands(patients: Mapping[str, Prepared], train: Sequence[str], config: Config) -> Fitted[Bands]:
    if not config.cascade.fit_bands:
        return Fitted(PAPER_BANDS, frozenset())
    used = [name for name in train if _shows_bands(patients[name])]
    if not used:
        logger.warning("bands: nobody has nodes and all guiding structures drawn; Tab. II stands")
        return Fitted(PAPER_BANDS, frozenset())
    drawn = (
        (guided_by(patient.structures, patient.tumor), patient.nodes.instances)
        for patient in (patients[name] for name in used)
        if patient.structures is not None and patient.nodes is not None
    )
    return fit_bands(drawn, used, percentile=config.attention.band_percentile)
