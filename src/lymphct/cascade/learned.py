"""What is fitted on training patients before any network: intensities (decision 0017), bands (Tab. II)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from lymphct.attention.bands import PAPER_BANDS, Band, Bands
from lymphct.attention.fitting import fit_bands
from lymphct.attention.mapping import guided_by
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.settings import Config
from lymphct.core.leakage import Fitted, FittedOn
from lymphct.core.terms import STRUCTURES_BY_NAME, Phase
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, IntensityStatistics, fit_intensity


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What every stage of a training shares.

    Attributes:
        intensity: statistics of each phase, by which networks see it.
        bands: distance bands of the attention.
        fitted_on: the patients behind each, by `intensity` and `bands`; none behind fixed values or Tab. II.

    """

    intensity: Intensity
    bands: Bands
    fitted_on: Mapping[str, FittedOn] = field(default_factory=dict)

    @classmethod
    def of_bundle(cls, info: BundleInfo) -> Self:
        """Return what the networks of a bundle know; they know no other values."""
        return cls(
            intensity={
                Phase(name): IntensityStatistics(s.low, s.high, s.mean, s.sd)
                for name, s in info.intensity.items()
            },
            bands={STRUCTURES_BY_NAME[n]: Band(b.d_min, b.d_max) for n, b in info.bands.items()}
            or PAPER_BANDS,
            fitted_on={
                what: FittedOn(hashes=frozenset(hashes), salt=info.salt)
                for what, hashes in info.fitted_on.items()
            },
        )

    @property
    def fill(self) -> float:
        """Normalised intensity outside the image: the lower clip value of the venous phase."""
        return self.intensity.get(Phase.VENOUS, DEFAULT_INTENSITY).fill


def fit_learned(patients: Mapping[str, Prepared], train: Sequence[str], config: Config) -> Learned:
    """Measure intensities and, where the settings say so, distance bands on training patients.

    Args:
        patients: by id; one after the other is looked at.
        train: ids of the training patients.
        config: whether to measure, or to take fixed values and Tab. II.

    Raises:
        InputError: there is no foreground in any of them.

    """
    intensity = {phase: _fitted_intensity(patients, train, phase, config) for phase in Phase}
    bands = _fitted_bands(patients, train, config)
    behind = {
        "intensity": frozenset().union(*(fitted.patients for fitted in intensity.values())),
        "bands": bands.patients,
    }
    return Learned(
        intensity={phase: fitted.value for phase, fitted in intensity.items()},
        bands=bands.value,
        fitted_on={what: FittedOn.of(names) for what, names in behind.items() if names},
    )


def _fitted_intensity(
    patients: Mapping[str, Prepared], train: Sequence[str], phase: Phase, config: Config
) -> Fitted[IntensityStatistics]:
    def pair(name: str) -> tuple[Volume, Volume] | None:
        patient = patients[name]
        volume = patient.ct.venous if phase is Phase.VENOUS else patient.ct.arterial
        foreground = patient.structures or patient.tumor
        return None if volume is None or foreground is None else (volume, foreground)

    # One patient's files are open at a time: a cohort has more of them than a process may hold.
    used = [name for name in train if pair(name) is not None] if config.cascade.fit_intensity else []
    if not used:
        return Fitted(DEFAULT_INTENSITY, frozenset())
    return fit_intensity((found for name in used if (found := pair(name)) is not None), used)


def _fitted_bands(patients: Mapping[str, Prepared], train: Sequence[str], config: Config) -> Fitted[Bands]:
    if not config.cascade.fit_bands:
        return Fitted(PAPER_BANDS, frozenset())
    used = [
        name for name in train if patients[name].structures is not None and patients[name].nodes is not None
    ]
    drawn = (
        (guided_by(patient.structures, patient.tumor), patient.nodes.instances)
        for patient in (patients[name] for name in used)
        if patient.structures is not None and patient.nodes is not None
    )
    return fit_bands(drawn, used, percentile=config.attention.band_percentile)
