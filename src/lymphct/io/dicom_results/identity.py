"""Who made an object, and which identifiers it has: those of its result, not of the clock or of chance."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final
from uuid import UUID, uuid5

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.sr import (
    DeviceObserverIdentifyingAttributes,
    ObservationContext,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from lymphct.core.terms import Source
from lymphct.io.dicom_results.source import SourceSeries
from lymphct.io.dicom_results.stored import StoredResult

MAKER: Final = "lymphct"
USE: Final = "predicted, research use"
_NAMESPACE: Final = UUID("4b6f2f0e-7c1d-4d5c-9c55-0d9f6a1f6c3e")
"""Under it names become identifiers; drawn once."""
_LONGEST: Final = 64
_HANDS: Final = (Source.GIVEN.value, "files")
"""Sources that are files of the user: nobody told who drew them."""
_OURS: Final = (Source.NETWORK.value, Source.TRACE.value, "bundle")
_FIRST_SERIES: Final = 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the objects of one result say of themselves.

    Attributes:
        key: digest of the result, of the series it goes with, and of the code that writes them.
        source: the series.
        model: name of the bundle.
        serial: digest of the bundle; it stands where a device has its serial number.
        software: version of the program that predicted.

    """

    key: str
    source: SourceSeries
    model: str
    serial: str
    software: str

    @classmethod
    def of(cls, result: StoredResult, source: SourceSeries, key: str) -> "Identity":
        """Return the identity of a result."""
        bundle = result.bundle
        return cls(
            key=key,
            source=source,
            model=f"{MAKER} {bundle.get('name', '')}".strip()[:_LONGEST],
            serial=str(bundle.get("sha256") or "none")[:_LONGEST],
            software=str(dict(result.record["versions"]).get(MAKER, version(MAKER)))[:_LONGEST],
        )

    def uid(self, role: str) -> str:
        """Return the identifier of one thing of this result (PS3.5 B.2: a UUID as a number)."""
        return identifier(f"{self.key} {role}")

    def instance(self, role: str, number: int) -> dict[str, object]:
        """Return what highdicom's constructors are told of an object that is a series of its own."""
        date, time = self.source.moment
        return {
            "series_instance_uid": self.uid(f"{role} series"),
            "series_number": _FIRST_SERIES + number,
            "sop_instance_uid": self.uid(role),
            "instance_number": 1,
            "manufacturer": MAKER,
            "manufacturer_model_name": self.model,
            "software_versions": self.software,
            "device_serial_number": self.serial,
            "content_date": date,
            "content_time": time,
            "contributing_equipment": [self.equipment()],
        }

    def equipment(self) -> ContributingEquipment:
        """Return the item that says which program and models made an object."""
        return ContributingEquipment(
            manufacturer=MAKER,
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=self.model,
            software_versions=self.software,
            device_serial_number=self.serial,
            contribution_description=f"Lymph node analysis: {USE} only, not a medical device",
        )

    def drawn_by(self, source: str) -> dict[str, object]:
        """Return what a segment says of who drew it: nobody must take for found what somebody drew.

        Args:
            source: `given`, `network`, or the name of a source of structures.

        """
        if source in _HANDS:
            return {"algorithm_type": "MANUAL"}
        is_ours = source in _OURS
        algorithm = AlgorithmIdentificationSequence(
            name=MAKER if is_ours else source[:_LONGEST],
            family=codes.DCM.ArtificialIntelligence,
            version=self.software if is_ours else "unknown",
            parameters={"bundle": self.model, "sha256": self.serial} if is_ours else None,
        )
        return {"algorithm_type": "AUTOMATIC", "algorithm_identification": algorithm}

    def observer(self) -> ObservationContext:
        """Return who observed: a device, which is this program with these models."""
        device = DeviceObserverIdentifyingAttributes(
            uid=identifier(f"device {self.serial} {self.software}"),
            name=f"{MAKER} ({USE})",
            manufacturer_name=MAKER,
            model_name=f"{self.model}, software {self.software}",
            serial_number=self.serial,
        )
        return ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=device
            )
        )

    def settle(self, made: Dataset, role: str, part: slice = slice(None)) -> None:
        """Take the clock and chance out of an object: the same result has the same bytes.

        `part` are the slices it was made of; its frames refer to those of the source afterwards.
        """
        self.source.renumber(made, part)
        for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
            made.pop(keyword, None)
        for equipment in made.get("ContributingEquipmentSequence", ()):
            equipment.pop("ContributionDateTime", None)
        for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
            for item in made.get(sequence, ()):
                item.DimensionOrganizationUID = self.uid(f"{role} dimensions")


def identifier(name: str) -> str:
    """Return a unique identifier for a name, always the same one.

    >>> identifier("lymph node 1") == identifier("lymph node 1") != identifier("lymph node 2")
    True
    """
    return f"2.25.{uuid5(_NAMESPACE, name).int}"
