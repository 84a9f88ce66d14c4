"""What `bundle.json` says: how each network is rebuilt, on whom it was fitted, which values go with it."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, NonNegativeInt, field_validator, model_validator

from lymphct.attention.atlas import Atlas
from lymphct.attention.trapezia import Trapezia
from lymphct.core.errors import InputError
from lymphct.core.leakage import FittedOn, hash_patient
from lymphct.core.origin import Origin
from lymphct.core.settings import Settings, Spacing
from lymphct.core.terms import STRUCTURES_BY_NAME, RegistrationMethod, StageName
from lymphct.evaluation.calibration_record import calibration_of

PhaseName = Literal["arterial", "venous"]
Foreground = Literal["structures", "tumor", "nodes", "fixed", "any"]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
PatientHash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]

HU = Annotated[float, Field(ge=-32768, le=32767)]
Millimetres = Annotated[float, Field(ge=-500, le=500)]

DEFAULT_PATIENT_THRESHOLD: Final = 0.5
"""Probability from which a patient is called N+ where no validation patients chose one."""


# Lone surrogates cannot be encoded, control characters drive a terminal.
_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

LARGEST_VOLUME: Final = 1e9
"""mm³; a body has a tenth of it. A network that learned nothing may find lymph nodes of litres."""


class PhaseIntensity(Settings):
    """Intensity statistics of one phase, fitted on training patients (decision 0017)."""

    low: HU
    """Lower clip value, HU: the 0.5th percentile of the foreground. Not stated in the paper but in the
    authors' code."""
    high: HU
    """Upper clip value, HU: the 99.5th percentile of the foreground. Not stated in the paper but in the
    authors' code."""
    mean: float
    """Mean of the clipped foreground, HU. Not stated in the paper; as nnU-Net does."""
    sd: Annotated[float, Field(ge=0.1)]
    """Standard deviation of the clipped foreground, HU. Not stated in the paper; as nnU-Net does."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.low < self.high:
            msg = f"low is {self.low:g} HU, not below high, {self.high:g} HU"
            raise ValueError(msg)
        # No values between low and high have another mean, or deviate from it by more than half their range.
        if not self.low <= self.mean <= self.high or self.sd > 0.5001 * (self.high - self.low):
            msg = (
                f"no values from {self.low:g} to {self.high:g} HU have mean {self.mean:g} and SD {self.sd:g}"
            )
            raise ValueError(msg)
        return self


class NetworkIntensity(Settings):
    """How one network sees both phases (decision 0037)."""

    phases: dict[PhaseName, PhaseIntensity]
    """Statistics per phase; a phase that is not named has fixed values. Not stated in the paper but in the
    authors' code."""
    foreground: Foreground
    """Voxels they were measured on: what the network learns to find, or what stood in for it. `fixed` was not
    measured; `any` is the one set of all networks that bundles had before (decision 0017). Not stated in the
    paper; recorded."""
    patients: tuple[PatientHash, ...] = ()
    """Hashed ids of the patients they were measured in. Not stated in the paper (decision 0006)."""


class DistanceBand(Settings):
    """Where lymph nodes lie around one structure, signed distance in mm (Tab. II)."""

    d_min: Millimetres
    """Lower end, mm; negative inside the structure (Tab. II)."""
    d_max: Millimetres
    """Upper end, mm (Tab. II)."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if not self.d_min < self.d_max:
            msg = f"d_min is {self.d_min:g} mm, not below d_max, {self.d_max:g} mm"
            raise ValueError(msg)
        return self


class ThresholdChoice(Settings):
    """How one decision threshold came about."""

    by: Literal["validation", "default"]
    """Chosen on validation patients, or the value of the settings. Not stated in the paper; recorded."""
    patients: NonNegativeInt = 0
    """Validation patients who chose it; 0 for a default. Not stated in the paper; counted."""
    at_edge: bool = False
    """Whether it is the first or last candidate: a better one may lie beyond. Not stated in the paper."""
    why: str = ""
    """Why the default stands, or what validation patients could not reach; else empty. Not stated in the
    paper; recorded."""


class PartInfo(Settings):
    """One trained network of a bundle."""

    file: Annotated[str, Field(pattern=r"^([a-z]+\.safetensors)?$")] = ""
    """Name of the weight file. Not stated in the paper; filled in when the bundle is written."""
    sha256: Digest = ""
    """Digest of the weight file. Not stated in the paper; filled in when the bundle is written."""
    architecture: dict[str, JsonValue]
    """Settings to rebuild the network from. Not stated in the paper; those of the room that trained it."""
    patients: dict[Literal["train", "validation"], tuple[PatientHash, ...]]
    """Hashed ids of the patients it was fitted on. Not stated in the paper (decision 0006)."""
    intensity: NetworkIntensity | None = None
    """How the network sees both phases (decision 0037); none in bundles that have one set for all networks.
    Not stated in the paper but in the authors' code."""
    scores: dict[str, float] = Field(default_factory=dict)
    """What it reached on validation patients. Not stated in the paper; measured."""
    chosen: dict[str, ThresholdChoice] = Field(default_factory=dict)
    """How each decision threshold came about, by its name. Not stated in the paper; recorded. A bundle that
    does not say was made before this was recorded."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further facts of the training: `pretrained`, the digest of the start weights, or "none". Not stated in
    the paper; written by the room that trained it."""

    @property
    def seen(self) -> frozenset[str]:
        """Hashes of everybody from whom its weights, its choices or its statistics were learned."""
        measured = () if self.intensity is None else self.intensity.patients
        return frozenset().union(*self.patients.values(), measured)


class BundleInfo(Settings):
    """The description of a bundle, `bundle.json`."""

    schema_version: Literal[1] = 1
    """Version of this layout. Not stated in the paper; ours."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """Name of the bundle. Not stated in the paper; ours."""
    salt: Annotated[str, Field(min_length=8)]
    """Key of the hashes of patient ids. Not stated in the paper; chosen per bundle."""
    spacing: tuple[Spacing, Spacing, Spacing]
    """Voxel spacing of the networks along i, j, k, mm (Sec. IV-A.2; coarser in small bundles)."""
    registration: RegistrationMethod = "none"
    """How the arterial phases of the training patients were registered (Sec. IV-A.2); a bundle that does not
    say was trained without registration."""
    intensity: dict[PhaseName, PhaseIntensity] = Field(default_factory=dict)
    """Intensity statistics per phase for every network that has none of its own, as in bundles made before
    decision 0037. Not stated in the paper but in the authors' code (decision 0017)."""
    bands: dict[str, DistanceBand] = Field(default_factory=dict)
    """Distance bands by name of the structure (Tab. II, or fitted on training patients)."""
    atlas: Atlas | None = None
    """What makes the attention map in the place of the bands. Not stated in the paper; none unless fitted on
    training patients (decision 0057)."""
    trapezia: Trapezia | None = None
    """The same, as bands with ramps of their own. Not stated in the paper; none unless fitted on training
    patients (decision 0062)."""
    suppress_other_organs: bool = False
    """Whether the attention was 0 inside the other organs in training, and therefore is in prediction. Not
    stated in the paper; recorded. False in bundles that do not say."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Decision thresholds. Not stated in the paper; chosen on validation patients."""
    calibration: dict[str, JsonValue] | None = None
    """What the score of the status network is worth. Not stated in the paper; none unless fitted (decision
    0052)."""
    fitted_on: dict[str, tuple[PatientHash, ...]] = Field(default_factory=dict)
    """Hashed ids behind intensity, bands, atlas, trapezia, thresholds, calibration. Not stated in the paper
    (decision 0006)."""
    structures_source: Literal["given", "network"] | None = None
    """Whose structures guided stage 1 in training. Not stated in the paper; recorded (decision 0039). None in
    bundles made before, or without stage 1."""
    tumor_source: Literal["given", "network"] | None = None
    """Whose tumor masks did. Not stated in the paper; recorded (decision 0039)."""
    origins: tuple[Origin, ...] = ()
    """Data sets that patients of its parts come from, with their licences. Not stated in the paper; recorded
    by the import of a cohort, and kept by whatever starts from the bundle."""
    phase_dropout: bool = False
    """Whether the networks were trained to work without the arterial phase. Not stated in the paper; ours."""
    is_phantom: bool
    """Whether the training patients were synthetic. Not stated in the paper; ours."""
    notice: str = ""
    """What a reader of any result of this bundle is told first. Not stated in the paper; ours."""
    code_version: str
    """Version of the code that trained it. Not stated in the paper; recorded."""
    parts: dict[StageName, PartInfo] = Field(default_factory=dict)
    """The trained networks, any of the five (Sec. III)."""

    @field_validator("bands")
    @classmethod
    def _known_structures(cls, bands: dict[str, DistanceBand]) -> dict[str, DistanceBand]:
        unknown = sorted(set(bands) - set(STRUCTURES_BY_NAME))
        if unknown:
            msg = f"unknown structures: {', '.join(unknown)}"
            raise ValueError(msg)
        return bands

    @field_validator("thresholds")
    @classmethod
    def _in_range(cls, thresholds: dict[str, float]) -> dict[str, float]:
        for name, value in thresholds.items():
            most = LARGEST_VOLUME if name.endswith("_mm3") else 1.0
            if not 0.0 <= value <= most:
                msg = f"{name} is {value:g}, outside 0 to {most:g}"
                raise ValueError(msg)
        return thresholds

    @field_validator("calibration")
    @classmethod
    def _calibrates(cls, calibration: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        try:
            calibration_of(calibration or {})
        except InputError as error:
            raise ValueError(error.cause) from error
        return calibration

    @model_validator(mode="before")
    @classmethod
    def _can_be_written(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        odd = next((text for text in _texts(values) if _UNWRITABLE.search(text)), None)
        if odd is not None:
            msg = f"the text {ascii(odd)[:60]} holds characters that cannot be written or shown"
            raise ValueError(msg)
        return values

    @model_validator(mode="after")
    def _one_prior(self) -> Self:
        if self.atlas is not None and self.trapezia is not None:
            msg = "it has an atlas and trapezia, of which one alone can make the attention"
            raise ValueError(msg)
        return self

    @property
    def fitted_on_anybody(self) -> FittedOn:
        """Return everybody from whom any part or fitted value of the bundle was learned."""
        groups = [part.seen for part in self.parts.values()]
        everybody = frozenset().union(*groups, *self.fitted_on.values())
        return FittedOn(hashes=everybody, salt=self.salt)

    @property
    def needs_arterial(self) -> bool:
        """Whether a patient without arterial phase cannot be examined (decision 0012).

        Networks that see the venous phase alone do without.
        """
        venous_alone = [part.architecture.get("phases") == "venous" for part in self.parts.values()]
        return not self.phase_dropout and not (venous_alone and all(venous_alone))

    def parts_that_saw(self, patient_id: str) -> tuple[str, ...]:
        """Return the parts and fitted values that were learned from a patient, by name."""
        hashed = hash_patient(patient_id, self.salt)
        parts = [name for name, part in self.parts.items() if hashed in part.seen]
        values = [name for name, hashes in self.fitted_on.items() if hashed in hashes]
        return (*parts, *values)


def _texts(value: object) -> Iterator[str]:
    """Yield every text in what a JSON file holds, names of fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
