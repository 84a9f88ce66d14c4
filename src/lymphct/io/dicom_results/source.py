"""The CT series a result goes with: its frames, its patient and its study, for DICOM objects alone."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds, validate_value

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.dicom.files import read_elements
from lymphct.io.images.dicom.reading import ordered_slices
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import element_text, element_value, quiet_pydicom
from lymphct.io.images.limits import DicomLimits
from lymphct.io.images.sources import holds_series
from lymphct.io.regular_file import combined_digest

_CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_UNICODE: Final = "ISO_IR 192"

_IDENTIFIERS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
"""Without them no object can say which images it belongs to."""
_WHOSE: Final = ("PatientID", "PatientName")
"""Whose the images are: copied as they are, or refused."""
_EXPECTED: Final = (
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
    "AccessionNumber", "PositionReferenceIndicator",
)  # fmt: skip
"""Stand in every object, empty where the series has none, or none that is valid."""
_OPTIONAL: Final = (
    "IssuerOfPatientID", "PatientAge", "PatientSize", "PatientWeight", "StudyDescription",
    "PatientIdentityRemoved", "DeidentificationMethod", "Manufacturer", "ManufacturerModelName",
    "SoftwareVersions", "DeviceSerialNumber", "StationName", "InstitutionName", "SliceThickness",
    "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
)  # fmt: skip
_FRAME: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_KEYWORDS: Final = (
    "SpecificCharacterSet", "SOPClassUID", *_IDENTIFIERS, *_WHOSE, *_EXPECTED, *_OPTIONAL, *_FRAME,
)  # fmt: skip
_SHARED_GROUPS: Final = {
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
}
_FRAME_GROUPS: Final = {"PlanePositionSequence": ("ImagePositionPatient",)}
_SEXES: Final = ("M", "F", "O")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSeries:
    """A CT series as objects that are derived from it need it.

    Attributes:
        geometry: its grid: i along rows, j along columns, k along the normal.
        digest: sha256 of the set of its files, as of a series that is read.
        slices: by k; what is copied from each slice, text in Unicode. They name the patient.
        frames: by k, the number of each slice among the frames of its multi-frame file, from 1; empty when
            each slice is a file.

    """

    geometry: Geometry
    digest: str
    slices: tuple[Dataset, ...] = field(repr=False)
    frames: tuple[int, ...] = ()

    def images(self, part: slice = slice(None)) -> list[Dataset]:
        """Return what highdicom is told of some slices: each, or one multi-frame image with these in order.

        Of the latter, what is made of it counts frames within `part`: to be mended by `renumber`.
        """
        slices = self.slices[part]
        return [_as_multiframe(slices)] if self.frames else list(slices)

    def renumber(self, made: Dataset, part: slice = slice(None)) -> None:
        """Let the frames of an object refer to those of the file, which may have others in another order."""
        numbers, mended = self.frames[part], set()
        for groups in made.get("PerFrameFunctionalGroupsSequence", ()) if self.frames else ():
            for derivation in groups.get("DerivationImageSequence", ()):
                for image in derivation.SourceImageSequence:
                    # Segments on one frame may share an item, which is to be renumbered once.
                    if id(image) not in mended:
                        mended.add(id(image))
                        image.ReferencedFrameNumber = numbers[int(image.ReferencedFrameNumber) - 1]

    @property
    def moment(self) -> tuple[str, str]:
        """Return date and time of the last of its images that tells them; 1900 where none does."""
        pairs = [("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime")]
        pairs += [("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime")]
        for date, time in pairs:
            known = [
                (str(part.get(date)), str(part.get(time) or "000000"))
                for part in self.slices
                if part.get(date)
            ]
            if known:
                return max(known)
        return "19000101", "000000"


def require_series(path: Path) -> None:
    """Refuse what is no DICOM series: results can only be DICOM objects on the frames of one.

    Raises:
        InputError: `E_NO_DICOM`.

    """
    if holds_series(path):
        return
    msg = "the venous phase is no DICOM series: DICOM objects need its frames and its patient to refer to"
    cure = "give the DICOM series it was made from: lymphct dicom RESULT --venous FOLDER"
    raise InputError(msg, code="E_NO_DICOM", cure=cure).at(file=path.name)


def read_source(path: Path, *, limits: DicomLimits | None = None) -> SourceSeries:
    """Read what objects that are derived from a CT series copy from it; no pixels are read.

    Raises:
        InputError: as `read_dicom`, no DICOM, or a series that lacks what every object must name.

    """
    require_series(path)
    limits = limits or DicomLimits()
    with ordered_slices(path, dicom_limits=limits) as (headers, geometry), quiet_pydicom():
        _require_one_file(headers)
        elements = cache(lambda path: read_elements(path, _KEYWORDS, limits))
        slices = tuple(_copied(header, elements(header.path), geometry) for header in headers)
        if len({part.StudyInstanceUID for part in slices}) > 1:
            _refuse("the slices of the series belong to different studies", "E_SERIES")
        digest = combined_digest([header.mark for header in headers])
    frames = tuple(header.frame + 1 for header in headers) if headers[0].object_key else ()
    return SourceSeries(geometry=geometry, digest=digest, slices=slices, frames=frames)


def _require_one_file(headers: Sequence[SliceHeader]) -> None:
    files = {header.digest for header in headers}
    if headers[0].object_key and len(files) > 1:
        msg = f"the series is cut into {len(files)} multi-frame files: DICOM objects lie on the frames of one"
        cure = "join its parts, or export one file per slice"
        raise InputError(msg, code="E_CONCATENATION", cure=cure)


def _as_multiframe(slices: Sequence[Dataset]) -> Dataset:
    """Return slices as the frames of one image, without pixels."""
    made = deepcopy(slices[0])
    made.NumberOfFrames = len(slices)
    made.SharedFunctionalGroupsSequence = [_groups(slices[0], _SHARED_GROUPS)]
    made.PerFrameFunctionalGroupsSequence = [_groups(part, _FRAME_GROUPS) for part in slices]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        made.pop(keyword, None)
    return made


def _groups(part: Dataset, named: Mapping[str, Sequence[str]]) -> Dataset:
    made = Dataset()
    for name, keywords in named.items():
        item = Dataset()
        for keyword in keywords:
            item[keyword] = part[keyword]
        setattr(made, name, [item])
    return made


def _copied(header: SliceHeader, found: Dataset, geometry: Geometry) -> Dataset:
    """Return a slice without pixels that every constructor takes: all that is expected, nothing invalid.

    `found` are the elements of its file.
    """
    copy = Dataset()
    copy.SpecificCharacterSet = _UNICODE
    copy.SOPClassUID = element_text(found, "SOPClassUID") or _CT_IMAGE
    copy.Modality = "CT"
    for keyword in (*_IDENTIFIERS, *_WHOSE, *_EXPECTED, *_OPTIONAL):
        _copy(found, copy, keyword)
    _require_whose(found, copy)
    for keyword in (*_WHOSE, *_EXPECTED):
        if keyword not in copy:
            setattr(copy, keyword, None)
    if copy.PatientSex not in _SEXES:
        copy.PatientSex = None
    if copy.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in copy:
        copy.DeidentificationMethod = "not stated in the source images"
    if header.object_key:
        copy.Columns, copy.Rows = header.shape
        copy.ImagePositionPatient = [format_number_as_ds(value) for value in header.position]
        copy.ImageOrientationPatient = [format_number_as_ds(value) for value in header.orientation]
        copy.PixelSpacing = [format_number_as_ds(value) for value in header.spacing[::-1]]
    else:
        for keyword in _FRAME:
            copy[keyword] = found[keyword]
    if "SliceThickness" not in copy:
        copy.SliceThickness = f"{geometry.spacing[2]:.6g}"
    copy.SpacingBetweenSlices = f"{geometry.spacing[2]:.6g}"
    return copy


def _require_whose(found: Dataset, copy: Dataset) -> None:
    """Refuse a slice that does not say which images and which patient it belongs to."""
    for keyword in (*_IDENTIFIERS, *_WHOSE):
        is_needed = keyword in _IDENTIFIERS or bool(element_text(found, keyword))
        if is_needed and keyword not in copy:
            _refuse(f"the series has no valid {keyword}, and DICOM objects must name it")


def _copy(found: Dataset, copy: Dataset, keyword: str) -> None:
    """Copy an element if it is there and its value is what its type allows."""
    value = element_value(found, keyword)
    if value is None or value == "":
        return
    text = value if isinstance(value, str) else str(value)
    many = not isinstance(value, str) and hasattr(value, "__len__") and dictionary_VR(keyword) != "PN"
    try:
        for part in value if many else [text]:
            validate_value(dictionary_VR(keyword), str(part), RAISE)
        setattr(copy, keyword, [str(part) for part in value] if many else text)
    except Exception:  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
        copy.pop(keyword, None)


def _refuse(cause: str, code: str = "E_DICOM") -> NoReturn:
    raise InputError(cause, code=code, cure="export the original CT series again") from None
