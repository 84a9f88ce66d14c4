"""What `bundle.json` says: how each network is rebuilt, on whom it was fitted, which values go with it."""

import hashlib
import hmac
from typing import Annotated, Literal

from pydantic import Field, JsonValue, PositiveFloat, field_validator

from lymphct.core.settings import Settings
from lymphct.core.terms import STRUCTURES_BY_NAME

PartName = Literal["structures", "tumor", "nodes", "identification", "metastasis"]
PhaseName = Literal["arterial", "venous"]
RegistrationName = Literal["deeds", "none", "convexadam", "deeds-binary"]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
PatientHash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class PhaseIntensity(Settings):
    """Intensity statistics of one phase, fitted on training patients (Sec. IV-A.2)."""

    low: float
    """Lower clip value, HU. Not stated in the paper; the 0.5th percentile of the foreground."""
    high: float
    """Upper clip value, HU. Not stated in the paper; the 99.5th percentile of the foreground."""
    mean: float
    """Mean of the clipped foreground, HU. Not stated in the paper; as nnU-Net does."""
    sd: PositiveFloat
    """Standard deviation of the clipped foreground, HU. Not stated in the paper; as nnU-Net does."""


class DistanceBand(Settings):
    """Where lymph nodes lie around one structure, signed distance in mm (Tab. II)."""

    d_min: float
    """Lower end, mm; negative inside the structure (Tab. II)."""
    d_max: float
    """Upper end, mm (Tab. II)."""


class PartInfo(Settings):
    """One trained network of a bundle."""

    file: Annotated[str, Field(pattern=r"^([a-z]+\.safetensors)?$")] = ""
    """Name of the weight file. Not stated in the paper; filled in when the bundle is written."""
    sha256: Digest = ""
    """Digest of the weight file. Not stated in the paper; filled in when the bundle is written."""
    architecture: dict[str, JsonValue]
    """Settings to rebuild the network from. Not stated in the paper; those of the room that trained it."""
    patients: dict[Literal["train", "validation"], tuple[PatientHash, ...]]
    """Hashed ids of the patients it was fitted on. Not stated in the paper; METHOD §9."""
    scores: dict[str, float] = Field(default_factory=dict)
    """What it reached on validation patients. Not stated in the paper; measured."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further facts of the training. Not stated in the paper; written by the room that trained it."""


class BundleInfo(Settings):
    """The description of a bundle, `bundle.json`."""

    schema_version: Literal[1] = 1
    """Version of this layout. Not stated in the paper; ours."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """Name of the bundle. Not stated in the paper; ours."""
    salt: Annotated[str, Field(min_length=8)]
    """Key of the hashes of patient ids. Not stated in the paper; chosen per bundle."""
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Voxel spacing of the networks along i, j, k, mm (Sec. IV-A.2; coarser in small bundles)."""
    registration: RegistrationName = "none"
    """How the arterial phases of the training patients were registered (Sec. IV-A.2); a bundle that does not
    say was trained without registration."""
    intensity: dict[PhaseName, PhaseIntensity] = Field(default_factory=dict)
    """Intensity statistics per phase (Sec. IV-A.2)."""
    bands: dict[str, DistanceBand] = Field(default_factory=dict)
    """Distance bands by name of the structure (Tab. II, or fitted on training patients)."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Decision thresholds. Not stated in the paper; chosen on validation patients."""
    calibration: dict[str, JsonValue] | None = None
    """Calibration of the probability. Not stated in the paper; none unless fitted."""
    fitted_on: dict[str, tuple[PatientHash, ...]] = Field(default_factory=dict)
    """Hashed ids behind intensity, bands, thresholds, calibration. Not stated in the paper; METHOD §9."""
    phase_dropout: bool = False
    """Whether the networks were trained to work without the arterial phase. Not stated in the paper; ours."""
    is_phantom: bool
    """Whether the training patients were synthetic. Not stated in the paper; ours."""
    notice: str = ""
    """What a reader of any result of this bundle is told first. Not stated in the paper; ours."""
    code_version: str
    """Version of the code that trained it. Not stated in the paper; recorded."""
    parts: dict[PartName, PartInfo] = Field(default_factory=dict)
    """The trained networks, any of the five (Sec. III)."""

    @field_validator("bands")
    @classmethod
    def _known_structures(cls, bands: dict[str, DistanceBand]) -> dict[str, DistanceBand]:
        unknown = sorted(set(bands) - set(STRUCTURES_BY_NAME))
        if unknown:
            msg = f"unknown structures: {', '.join(unknown)}"
            raise ValueError(msg)
        return bands

    def has_seen(self, patient_id: str) -> bool:
        """Return whether any part or fitted value of the bundle was learned from this patient."""
        hashed = hash_patient(patient_id, self.salt)
        groups = [group for part in self.parts.values() for group in part.patients.values()]
        return any(hashed in group for group in [*groups, *self.fitted_on.values()])


def hash_patient(patient_id: str, salt: str) -> str:
    """Return a keyed hash of a patient id, 32 hexadecimal digits; the key is `BundleInfo.salt`.

    >>> hash_patient("case7", "kept in the bundle") == hash_patient("case8", "kept in the bundle")
    False
    """
    return hmac.new(salt.encode(), patient_id.encode(), hashlib.sha256).hexdigest()[:32]
