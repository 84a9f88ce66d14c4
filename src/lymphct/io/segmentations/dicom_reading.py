"""Read a DICOM segmentation (SEG), as OHIF and other viewers save it, onto the grid of its CT."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.acquired import CT
from lymphct.io.images.dicom.elements import SYNTAX, walked_file
from lymphct.io.images.dicom.values import element_text, keyed_hash, quiet_pydicom, refuse_damaged
from lymphct.io.images.limits import DicomLimits, SafetyLimits, check_voxel_count
from lymphct.io.regular_file import open_regular
from lymphct.io.segmentations.segments import Code, Segment, Segmentation, Terminology

LARGEST: Final = 500_000_000
"""Bytes of a file; a segment that fills 300 slices of 512×512 has 10 million."""

_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation and label map segmentation."""
_SYNTAXES: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5")
"""Uncompressed, and RLE."""
_BITS: Final = {"BINARY": (1,), "LABELMAP": (8, 16)}
_TOLERANCE: Final = 0.01
"""Voxels by which a pixel may miss its voxel."""
_MOST: Final = 10_000
_CURE: Final = "save the segmentation in the viewer again, on the CT it was shown with"


def read_dicom_segmentation(path: Path, ct: CT) -> Segmentation:
    """Read a SEG onto the grid of the CT, by moving pixels alone.

    Args:
        path: the file; types BINARY and LABELMAP, uncompressed or RLE.
        ct: the venous phase; from DICOM it must be of the same patient and frame of reference.

    Returns:
        Segments on the grid of the CT; layers hold what overlaps.

    Raises:
        InputError: no SEG, damaged, of fractions, or of another patient.
        GeometryMismatchError: other voxels than those of the CT.

    """
    try:
        with quiet_pydicom():
            dataset = _dataset(path)
            _require_its_patient(dataset, ct)
            segments = _segments(dataset)
            places = _places(dataset, _frames(dataset), ct.volume.geometry, segments)
        return _layered(places, segments, ct.volume.geometry)
    except InputError as error:
        raise error.at(file=path.name) from None


def _dataset(path: Path) -> Dataset:
    limits = DicomLimits()
    with open_regular(path, limit=LARGEST) as (file, size):
        if file.read(132)[128:] != b"DICM":
            _refuse("not a DICOM file", "E_DICOM")
        found = walked_file(file, size, (SYNTAX,), most=limits.elements, longest=LARGEST)
        syntax = found.values.get(SYNTAX, b"").rstrip(b"\0 ").decode("ascii", "replace")
        if syntax not in _SYNTAXES:
            _refuse("the compression of the pixels (transfer syntax) is not supported", "E_SYNTAX")
        file.seek(0)
        content = file.read()
    try:
        dataset: Dataset = dcmread(BytesIO(content))
    except (Exception, RecursionError):  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
        refuse_damaged("the DICOM header cannot be parsed")
    if element_text(dataset, "SOPClassUID") not in _CLASSES:
        _refuse("the DICOM file is no segmentation (SEG)", "E_DICOM")
    kind = element_text(dataset, "SegmentationType")
    if kind not in _BITS:
        _refuse("the segmentation is one of fractions, not of whole voxels", "E_LABELS")
    if int(dataset.get("BitsAllocated", 0)) not in _BITS[kind]:
        refuse_damaged(f"a segmentation {kind} of {dataset.get('BitsAllocated')} bits")
    return dataset


def _require_its_patient(dataset: Dataset, ct: CT) -> None:
    """Refuse the segmentation of somebody else: a CT of the same size is not the same CT."""
    if ct.patient_key and ct.patient_key != keyed_hash(element_text(dataset, "PatientID")):
        _refuse("the segmentation is that of another patient than the CT (PatientID)", "E_PATIENT")
    if ct.frame_key and ct.frame_key != keyed_hash(element_text(dataset, "FrameOfReferenceUID")):
        _refuse("the segmentation was drawn on another image (FrameOfReferenceUID)", "E_SERIES")


def _segments(dataset: Dataset) -> tuple[Segment, ...]:
    try:
        # A label map may list its background, as segment 0.
        return tuple(_segment(item) for item in dataset.SegmentSequence if int(item.SegmentNumber) != 0)
    except Exception:  # noqa: BLE001 - pydicom raises many types
        refuse_damaged("its segments cannot be read")


def _segment(item: Dataset) -> Segment:
    category, kind = (_code(item, f"SegmentedProperty{name}CodeSequence") for name in ("Category", "Type"))
    return Segment(
        identifier="",
        name=str(item.get("SegmentLabel", "")).strip(),
        value=int(item.SegmentNumber),
        terminology=None if category is None or kind is None else Terminology(category=category, kind=kind),
    )


def _code(item: Dataset, keyword: str) -> Code | None:
    sequence = item.get(keyword)
    if not sequence:
        return None
    told = sequence[0]
    return tuple(str(told.get(name, "")) for name in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning"))  # type: ignore[return-value]


def _frames(dataset: Dataset) -> AnyArray:
    """Return the pixels [frame, row, column], once their number is what the header declares."""
    count, rows, columns = (int(dataset.get(name, 0) or 0) for name in ("NumberOfFrames", "Rows", "Columns"))
    if min(count, rows, columns) < 1:
        refuse_damaged("the DICOM header gives no number of frames, rows and columns")
    check_voxel_count((count, rows, columns), SafetyLimits())
    try:
        if not dataset.file_meta.TransferSyntaxUID.is_compressed:
            expected = (count * rows * columns * int(dataset.BitsAllocated) + 7) // 8
            if len(dataset.PixelData) < expected:
                refuse_damaged(f"the pixels are truncated (expected {expected} bytes)")
        pixels = np.asarray(dataset.pixel_array).reshape(count, rows, columns)
    except (InputError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - decoders raise many types
        refuse_damaged("the pixels cannot be decoded (truncated?)")
    return pixels


def _places(
    dataset: Dataset, frames: AnyArray, grid: Geometry, segments: tuple[Segment, ...]
) -> dict[int, list[AnyArray]]:
    """Return the voxels (n, 3) of each segment, by its number."""
    numbers = {segment.value for segment in segments}
    if len(numbers) != len(segments) or min(numbers, default=1) < 1 or max(numbers, default=1) > _MOST:
        refuse_damaged("its segments are not numbered")
    places: dict[int, list[AnyArray]] = {number: [] for number in numbers}
    is_binary = element_text(dataset, "SegmentationType") == "BINARY"
    for place, frame in enumerate(frames):
        pixels = np.argwhere(frame)
        if not len(pixels):
            continue
        voxels = _voxels(pixels, _placement(dataset, place), grid)
        values = frame[tuple(pixels.T)]
        told = np.full(len(pixels), _number_of(dataset, place)) if is_binary else values
        for number in np.unique(told).tolist():
            if number not in places:
                refuse_damaged(f"a frame belongs to the segment {number}, which is not listed")
            places[number].append(voxels[told == number])
    return places


def _group(dataset: Dataset, place: int, keyword: str) -> Any:  # noqa: ANN401 - an item of DICOM
    """Return what a frame says of itself, or all frames in common."""
    own = dataset.PerFrameFunctionalGroupsSequence[place]
    return (own if keyword in own else dataset.SharedFunctionalGroupsSequence[0])[keyword].value[0]


def _number_of(dataset: Dataset, place: int) -> int:
    try:
        return int(_group(dataset, place, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    except Exception:  # noqa: BLE001 - pydicom raises many types
        refuse_damaged("a frame does not say which segment it belongs to")


def _placement(dataset: Dataset, place: int) -> DoubleArray:
    """Return position, step to the next row and step to the next column of a frame, LPS+ mm, as rows."""
    try:
        position = _group(dataset, place, "PlanePositionSequence").ImagePositionPatient
        axes = _group(dataset, place, "PlaneOrientationSequence").ImageOrientationPatient
        rows, columns = _group(dataset, place, "PixelMeasuresSequence").PixelSpacing
        along, down = np.asarray(axes, dtype=np.float64).reshape(2, 3)
        told = np.stack([np.asarray(position, dtype=np.float64), down * float(rows), along * float(columns)])
    except Exception:  # noqa: BLE001 - pydicom raises many types
        refuse_damaged("a frame does not say where it lies")
    if told.shape != (3, 3) or not np.isfinite(told).all():
        refuse_damaged("a frame does not say where it lies")
    return told


def _voxels(pixels: AnyArray, placement: DoubleArray, grid: Geometry) -> AnyArray:
    """Return the voxels of pixels (row, column); each must be one."""
    world = placement[0] + pixels @ placement[1:]
    exact = grid.index(world)
    voxels = np.rint(exact).astype(np.int64)
    # The corners of the frame as well: a grid that drifts must not pass where little is drawn.
    apart = float(np.abs(exact - voxels).max())
    if apart > _TOLERANCE or voxels.min() < 0 or (voxels >= grid.shape).any():
        msg = (
            f"the segments do not lie on the voxels of the CT ({apart:.2g} voxels beside them, or beyond it)"
        )
        raise GeometryMismatchError(msg, cure=_CURE)
    return voxels


def _layered(
    places: dict[int, list[AnyArray]], segments: tuple[Segment, ...], grid: Geometry
) -> Segmentation:
    """Return segments in as few layers as their overlaps need."""
    layers = [np.zeros(grid.shape, dtype=np.uint16)]
    found = []
    for segment in segments:
        parts = places[segment.value]
        voxels = tuple(np.concatenate(parts).T) if parts else (np.zeros(0, dtype=np.int64),) * 3
        free = next((n for n, layer in enumerate(layers) if not layer[voxels].any()), len(layers))
        if free == len(layers):
            layers.append(np.zeros(grid.shape, dtype=np.uint16))
        layers[free][voxels] = segment.value
        found.append(
            Segment(
                identifier="",
                name=segment.name,
                value=segment.value,
                layer=free,
                terminology=segment.terminology,
            )
        )
    return Segmentation(geometry=grid, layers=np.stack(layers), segments=tuple(found))


def _refuse(cause: str, code: str) -> NoReturn:
    raise InputError(cause, code=code, cure=_CURE)
