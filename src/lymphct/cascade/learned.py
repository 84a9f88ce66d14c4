"""What is fitted on training patients before any network: intensities (decision 0037), what guides them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from lymphct.attention.atlas import Atlas
from lymphct.attention.atlas_fitting import fit_atlas
from lymphct.attention.bands import PAPER_BANDS, Band, Bands, bands_of
from lymphct.attention.fitting import fit_bands
from lymphct.attention.mapping import guided_by
from lymphct.attention.prior import FittedPrior, Prior
from lymphct.attention.trapezia import Trapezia
from lymphct.attention.trapezia_fitting import fit_trapezia
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import FIXED, FOREGROUNDS, SEES_AS, Sight, fit_sights, intensity_of
from lymphct.core.errors import InputError
from lymphct.core.leakage import NOBODY, Fitted, FittedOn
from lymphct.core.terms import GUIDING_STRUCTURES, STRUCTURES_BY_NAME, StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the stages of a training know before they begin.

    Attributes:
        sights: how each network sees both phases.
        intensity: statistics of each phase for the networks that are not among `sights`, as in bundles made
            before decision 0037; empty elsewhere.
        bands: distance bands of the attention.
        atlas: what makes the attention in their place; None where it does not.
        trapezia: the same; at most one of both is there.
        suppress_other_organs: whether a part was trained without attention inside the other organs, whatever
            the settings say.
        fitted_on: the patients behind `intensity`, `bands`, `atlas` and `trapezia`; none behind fixed values
            or Tab. II.

    """

    sights: Mapping[StageName, Sight] = field(default_factory=dict)
    intensity: Intensity = field(default_factory=dict)
    bands: Bands
    atlas: Atlas | None = None
    trapezia: Trapezia | None = None
    suppress_other_organs: bool = False
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
            atlas=info.atlas,
            trapezia=info.trapezia,
            suppress_other_organs=info.suppress_other_organs,
            fitted_on=fitted_on,
        )
        # A part without statistics of its own was trained with the common ones, whatever others have.
        sights = {
            name: bare.common if part.intensity is None else Sight.of_part(part.intensity, info.salt)
            for name, part in info.parts.items()
        }
        return replace(bare, sights=sights)

    @property
    def prior(self) -> Prior:
        """What makes the attention map."""
        return self.bands if self.fitted_prior is None else self.fitted_prior

    @property
    def fitted_prior(self) -> FittedPrior | None:
        """What makes it in the place of the bands; None where they do."""
        return self.trapezia if self.atlas is None else self.atlas

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

    def beside(self, info: BundleInfo) -> "Learned":
        """Return what holds in a training that goes on from a bundle: all it knows, seen the own way.

        A stage 1 that is taken over knows no other bands. Own bands, an own atlas, or own trapezia, count
        where the bundle has no stage 1, which would know none, and neither of both.
        """
        there = Learned.of_bundle(info)
        own, theirs = self.fitted_prior, there.fitted_prior
        is_bound = StageName.NODES in info.parts or theirs is not None
        suppresses = there.suppress_other_organs and StageName.NODES in info.parts
        kept = replace(there, sights=self.sights, suppress_other_organs=suppresses)
        if self.bands not in (PAPER_BANDS, there.bands):
            if is_bound:
                logger.warning(
                    "attention: the bands of the bundle it starts from stand, not those of its own"
                )
            else:
                whose = {what: who for what, who in there.fitted_on.items() if what != "bands"}
                if "bands" in self.fitted_on:
                    whose["bands"] = self.fitted_on["bands"]
                kept = replace(kept, bands=self.bands, fitted_on=whose)
        if own is None or is_bound:
            if own is not None and own != theirs:
                logger.warning("attention: that of the bundle it starts from stands, not one of its own")
            return kept
        name = "trapezia" if self.atlas is None else "atlas"
        fitted_on = {**kept.fitted_on, name: self.fitted_on[name]}
        return replace(kept, atlas=self.atlas, trapezia=self.trapezia, fitted_on=fitted_on)


def fit_learned(patients: Mapping[str, Prepared], train: Sequence[str], config: Config) -> Learned:
    """Measure intensities and, where the settings say so, bands or what replaces them on training patients.

    Args:
        patients: by id; one after the other is looked at.
        train: ids of the training patients.
        config: whether to measure, or to take fixed values and Tab. II.

    Raises:
        InputError: masks were drawn, but none with voxels that vary; or an atlas or trapezia are asked for
            and nobody has lymph nodes near guiding structures.

    """
    bands = _fitted_bands(patients, train, config)
    atlas, trapezia = _fitted_atlas(patients, train, config), _fitted_trapezia(patients, train, config)
    fitted = {"bands": bands, "atlas": atlas, "trapezia": trapezia}
    return Learned(
        sights=fit_sights(patients, train)
        if config.cascade.fit_intensity
        else dict.fromkeys(FOREGROUNDS, FIXED),
        bands=bands.value,
        atlas=None if atlas is None else atlas.value,
        trapezia=None if trapezia is None else trapezia.value,
        fitted_on={
            what: FittedOn.of(f.patients) for what, f in fitted.items() if f is not None and f.patients
        },
    )


def _measurable(patients: Mapping[str, Prepared], train: Sequence[str]) -> list[str]:
    return [name for name in train if _shows_distances(patients[name])]


def _shows_distances(patient: Prepared) -> bool:
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
        return Fitted(bands_of(config.attention), frozenset())
    used = _measurable(patients, train)
    if not used:
        logger.warning("bands: nobody has nodes and all guiding structures drawn; Tab. II stands")
        return Fitted(PAPER_BANDS, frozenset())
    drawn = (
        (guided_by(patient.structures, patient.tumor), patient.nodes.instances)
        for patient in (patients[name] for name in used)
        if patient.structures is not None and patient.nodes is not None
    )
    return fit_bands(drawn, used, percentile=config.attention.band_percentile)


def _fitted_atlas(
    patients: Mapping[str, Prepared], train: Sequence[str], config: Config
) -> Fitted[Atlas] | None:
    settings = config.attention
    if settings.prior != "atlas":
        return None
    used = _measurable(patients, train)
    drawn = (_drawn(patients[name]) for name in used)
    return fit_atlas(drawn, used, outside=settings.atlas_outside, faint=settings.atlas_faint)


def _fitted_trapezia(
    patients: Mapping[str, Prepared], train: Sequence[str], config: Config
) -> Fitted[Trapezia] | None:
    if config.attention.prior != "trapezia":
        return None
    used = _measurable(patients, train)
    return fit_trapezia((_drawn(patients[name]) for name in used), used)


def _drawn(patient: Prepared) -> tuple[Volume, Volume | None, Volume]:
    """Return what guides, the tumor, and the lymph nodes, -1 where nobody looked for them."""
    structures, tumor, nodes, unjudged = (
        patient.structures,
        patient.tumor,
        patient.instances,
        patient.unjudged,
    )
    if structures is None or nodes is None:  # not of those whose distances show anything
        msg = f"patient {patient.patient_id}: nobody drew structures and lymph nodes"
        raise InputError(msg, code="E_PRIOR", cure="leave the patient out")
    if unjudged is not None:
        blank = unjudged_in(unjudged.array, StageName.NODES) & (nodes.array == 0)
        nodes = nodes.with_array(np.where(blank, -1, nodes.array.astype(np.int32)))
    return guided_by(structures, tumor), tumor, nodes
