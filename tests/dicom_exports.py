"""CT series as a scanner exports them, with the tags of a patient, and finished results on their grid."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap, Prediction, SearchState
from lymphct.core.terms import NodeClass, Source, StageName, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume
from lymphct.io.results.fingerprints import digest_input, fingerprint
from lymphct.io.results.store import committed_folder
from lymphct.nodes.instances import class_map
from lymphct.nodes.measurement import measure_nodes
from lymphct.report.context import ReportContext
from lymphct.report.tables import write_nodes, write_result

Edit = Callable[[Dataset, int], None]
SPACING = (4.0, 4.5, 5.0)
CANARY = "CANARY"
"""Begins what only the patient's tags hold."""


def ct_volume(shape: tuple[int, int, int] = (48, 40, 24), axes: AnyArray | None = None) -> Volume:
    """Return a CT on a right-handed grid: a body in air, a spine, a bowel with gas; HU."""
    rng = np.random.default_rng(5)
    i, j, _ = np.indices(shape)
    a, b, _ = shape
    inside = ((i - a / 2) / (a / 2.4)) ** 2 + ((j - b / 2) / (b / 2.4)) ** 2 < 1
    values = np.where(inside, 40, -1000) + rng.normal(0, 10, shape)
    values[(i - a / 2) ** 2 + (j - 0.78 * b) ** 2 < 9] = 500
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if axes is None else axes) * SPACING
    affine[:3, 3] = -90.0, 11.0, -300.0
    return Volume(array=np.rint(values).astype(np.int16), geometry=Geometry.from_affine(affine, shape))


def write_series(folder: Path, ct: Volume, *, edit: Edit | None = None) -> list[str]:
    """Write a CT as a DICOM series under names that say nothing; return what its slices are called, by k."""
    folder.mkdir(parents=True)
    study, series, frame = (generate_uid() for _ in range(3))
    names = np.random.default_rng(3).permutation(ct.array.shape[2])
    instances = []
    for k in range(ct.array.shape[2]):
        made = _slice(ct.array[:, :, k])
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, series, frame
        direction = np.asarray(ct.geometry.direction)
        made.PixelSpacing = [f"{ct.geometry.spacing[1]:.6f}", f"{ct.geometry.spacing[0]:.6f}"]
        made.ImageOrientationPatient = [f"{v:.9f}" for v in direction[:, :2].T.reshape(-1)]
        made.ImagePositionPatient = [f"{v:.6f}" for v in ct.geometry.world((0, 0, k))]
        made.InstanceNumber = ct.array.shape[2] - k  # counted against the order of positions
        if edit is not None:
            edit(made, k)
        made.save_as(folder / f"IM{names[k]:04d}", enforce_file_format=True)
        instances.append(str(made.SOPInstanceUID))
    return instances


def _slice(values: AnyArray) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = CTImageStorage, generate_uid(), "CT"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.PatientID, made.PatientName = f"{CANARY}-7", f"{CANARY}^Jörg"
    made.PatientBirthDate, made.PatientSex, made.PatientAge = "19500102", "M", "070Y"
    made.StudyDate, made.StudyTime, made.StudyID = "20200101", "101010", "1"
    made.AccessionNumber, made.ReferringPhysicianName = f"{CANARY}-A", f"{CANARY}^Ref"
    made.AcquisitionDate, made.AcquisitionTime = "20200101", "101112.5"
    made.Manufacturer, made.ManufacturerModelName = "Acme", "Scanner 3"
    made.SeriesNumber = 4
    made.Rows, made.Columns = values.shape[1], values.shape[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.PixelRepresentation = 1
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = "1", "-1024", "HU"
    made.PixelData = (values.astype(np.int16) + 1024).T.astype("<i2").tobytes()
    return made


FRAME_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
}
"""Functional groups that are made of elements of single slices."""


def slices_in(folder: Path) -> list[Dataset]:
    """Return the single slices of a folder by the names of their files, which say nothing of their places."""
    return [dcmread(path) for path in sorted(folder.iterdir())]


def as_enhanced(
    slices: Sequence[Dataset],
    *,
    shared: Sequence[str] = (),
    contents: Sequence[dict[str, object]] = (),
    dimensions: Sequence[int] = (),
    edit: Edit | None = None,
    open_lengths: bool = False,
) -> Dataset:
    """Return one Enhanced CT of single slices, whose frames are in their order.

    Args:
        slices: with pixels that are not compressed.
        shared: functional groups that stand once for all frames, from the first slice.
        contents: of the frame content of each frame.
        dimensions: tags that the dimension indices point to.
        edit: called with the functional groups of each frame and its number.
        open_lengths: whether sequences end with marks instead of having lengths.

    """
    first = slices[0]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    left_out = {keyword for keywords in FRAME_GROUPS.values() for keyword in keywords} | {"PixelData"}
    for element in first:
        if element.keyword not in left_out:
            made[element.tag] = element
    made.SOPClassUID, made.SOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    made.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.NumberOfFrames = len(slices)
    made.SharedFunctionalGroupsSequence = [_groups(first, shared)]
    frames = [_groups(part, [name for name in FRAME_GROUPS if name not in shared]) for part in slices]
    for number, frame in enumerate(frames):
        content = Dataset()
        for keyword, value in (contents[number] if contents else {}).items():
            setattr(content, keyword, value)
        frame.FrameContentSequence = [content]
        if edit is not None:
            edit(frame, number)
    made.PerFrameFunctionalGroupsSequence = frames
    if dimensions:
        made.DimensionIndexSequence = [_pointer(tag) for tag in dimensions]
    made.PixelData = b"".join(part.PixelData for part in slices)
    if open_lengths:
        _open(made)
    return made


def _groups(part: Dataset, names: Sequence[str]) -> Dataset:
    made = Dataset()
    for name in names:
        item = Dataset()
        for keyword in FRAME_GROUPS[name]:
            if keyword in part:
                item[keyword] = part[keyword]
        setattr(made, name, Items([item]))
    return made


def _pointer(tag: int) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.DimensionOrganizationUID = tag, "1.2.3"
    return item


def _open(dataset: Dataset) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _open(item)


def write_enhanced(path: Path, made: Dataset, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """Write a multi-frame object in a transfer syntax; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if UID(syntax).is_compressed:
        made.compress(syntax)
        made.save_as(path, enforce_file_format=True)
        return path
    made.file_meta.TransferSyntaxUID = syntax
    made.save_as(path, implicit_vr=UID(syntax).is_implicit_VR, little_endian=True, enforce_file_format=True)
    return path


def some_nodes(grid: Geometry, count: int, seed: int = 1) -> Volume:
    """Return that many boxes of three to five voxels a side, numbered with gaps, apart from one another."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(grid.shape, dtype=np.uint16)
    cells = np.array([n // 7 for n in grid.shape])
    for number, cell in enumerate(rng.permutation(int(cells.prod()))[:count], start=1):
        corner = 7 * np.array(np.unravel_index(cell, cells))
        size = rng.integers(3, 6, 3)
        part = tuple(slice(int(c), int(c + s)) for c, s in zip(corner, size, strict=True))
        instances[part] = 2 * number
    return Volume(array=instances, geometry=grid)


def write_made_result(
    folder: Path,
    ct: Volume,
    nodes: Volume,
    *,
    venous: Path | None = None,
    searched: bool = True,
    structures: Volume | None = None,
) -> Path:
    """Write a result with these lymph nodes, on the grid of the CT, as a prediction from `venous` does."""
    grid = nodes.geometry
    i, j, k = np.indices(grid.shape)
    near = ((i - 20) ** 2 + (j - 18) ** 2 + (k - 12) ** 2) < 60
    labels = np.where(near, Structure.AORTA, 0).astype(np.uint8)
    labels[:10, :12, 3:9] = Structure.LIVER
    if structures is not None:
        labels = structures.array
    if not searched:
        labels = np.zeros_like(labels)
    attention = np.where(near, 1 / (1 + np.abs(i - 19.7)), 0).astype(np.float32)
    records = tuple(
        Node(
            label=int(label),
            volume=0.0,
            center=(0.0, 0.0, 0.0),
            node_class=NodeClass.POSITIVE if label % 4 else NodeClass.NEGATIVE,
            probability=round(float(label) / 1000, 6),
            class_source=Source.NETWORK,
        )
        for label in np.unique(nodes.array)
        if label
    )
    found = measure_nodes(
        NodeMap(instances=nodes, nodes=records), Multiphase(venous=ct), nodes.with_array(labels)
    )
    prediction = Prediction(
        probability=0.31 if searched else None,
        threshold=0.5,
        nodes=found,
        search=SearchState.SEARCHED if searched else SearchState.NOT_SEARCHED,
        structures=nodes.with_array(labels),
        tumor=nodes.with_array((labels == Structure.AORTA).astype(np.uint8)),
        attention=nodes.with_array(attention if searched else np.zeros_like(attention)),
        structures_used=(),
        notices=(),
        seconds={},
        sources=dict.fromkeys((StageName.STRUCTURES, StageName.TUMOR, StageName.NODES), Source.NETWORK),
    )
    context = ReportContext(
        patient_id="case7",
        bundle={"name": "phantom_tiny", "sha256": "ab" * 32, "is_phantom": True, "notice": ""},
        versions={"lymphct": "0.1.0"},
    )
    inputs = {"venous": digest_input(venous)} if venous is not None else {"venous": "0" * 64}
    with committed_folder(folder, fingerprint(inputs, {}, "code")) as staging:
        seg = staging / "seg"
        seg.mkdir()
        for name, volume in (
            ("structures", prediction.structures),
            ("tumor", prediction.tumor),
            ("nodes", class_map(prediction.nodes)),
            ("node_instances", prediction.nodes.instances),
            ("attention", prediction.attention),
        ):
            write_volume(seg / f"{name}.nii.gz", volume)
        write_result(staging, prediction, context)
        write_nodes(staging, prediction)
    return folder
