"""The door for images: a CT, its masks, any other volume; in and out."""

from os import PathLike
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import CT, ReadImage, Source, name_of
from lymphct.io.images.hounsfield import checked_hounsfield
from lymphct.io.images.in_memory import read_in_memory
from lymphct.io.images.labels import PartialLabels, Scheme, read_labels, read_partial_labels
from lymphct.io.images.limits import AnatomicalLimits, SafetyLimits, check_anatomy
from lymphct.io.images.masks import read_mask, read_partial_mask
from lymphct.io.images.nifti import read_nifti, write_nifti
from lymphct.io.images.node_masks import read_nodes, read_partial_nodes, write_nodes
from lymphct.io.images.pairing import check_pair, phases_look_swapped
from lymphct.io.images.single_file import read_single_file
from lymphct.io.images.sources import holds_series

__all__ = [
    "CT",
    "AnatomicalLimits",
    "PartialLabels",
    "ReadImage",
    "SafetyLimits",
    "Scheme",
    "check_pair",
    "phases_look_swapped",
    "read_ct",
    "read_field",
    "read_image",
    "read_labels",
    "read_mask",
    "read_nodes",
    "read_partial_labels",
    "read_partial_mask",
    "read_partial_nodes",
    "read_volume",
    "write_nodes",
    "write_volume",
]

VECTOR_COMPONENTS: Final = 3


def read_volume(path: str | PathLike[str]) -> Volume:
    """Read an image of any kind: a NIfTI, NRRD or MetaImage file, or a CT series in DICOM.

    A series is a folder or a zip archive; `FOLDER#2` or `FOLDER#` with a SeriesInstanceUID chooses from
    several. Only the safety limits apply. Axes stay in the file's order, positions are LPS+; whole
    numbers keep their type, scaled and other values are float32.

    Raises:
        InputError: missing, damaged, too large, or without a valid 3D grid.

    """
    return read_image(Path(path)).volume


def read_image(path: Path) -> ReadImage:
    """Read an image as `read_volume` does, with its digest and what was noticed.

    Raises:
        InputError: as `read_volume`.

    """
    return _read_series(path) if holds_series(path) else read_single_file(path)


def _read_series(path: Path, anatomy: AnatomicalLimits | None = None) -> ReadImage:
    from lymphct.io.images.dicom.reading import read_dicom  # noqa: PLC0415 - pydicom takes 0.2 s to import

    return read_dicom(path, anatomy=anatomy)


def read_field(path: Path) -> Volume:
    """Read a displacement field (float32, mm, LPS, components last) as `write_volume` writes it.

    Raises:
        InputError: as `read_volume`, or not three components.

    """
    return read_nifti(path, components=VECTOR_COMPONENTS).volume


def read_ct(path: Source, *, phase: Phase, anatomy: AnatomicalLimits | None = None) -> CT:
    """Read one phase of an abdominal CT and make sure that it is one.

    Args:
        path: a NIfTI, NRRD or MetaImage file or an axial CT series in DICOM, as `read_volume` takes them, or
            an image in memory.
        phase: the phase the user says it is.
        anatomy: anatomical limits; None for the defaults.

    Returns:
        HU on the file's own axes, with notices and the digest of the file.

    Raises:
        InputError: missing or damaged, beyond the anatomical limits, or values that cannot be HU.

    """
    limits = anatomy or AnatomicalLimits()

    def check_grid(geometry: Geometry) -> None:
        check_anatomy(geometry, limits)

    if isinstance(path, Volume):
        image = read_in_memory(path, name=f"{phase.value} phase", check_grid=check_grid)
    elif holds_series(path):
        image = _read_series(path, limits)
    else:
        image = read_single_file(path, anatomy=limits, check_grid=check_grid)
    try:
        volume, notices = checked_hounsfield(image.volume)
    except InputError as error:
        raise error.at(file=name_of(path, f"{phase.value} phase")) from None
    return CT(
        volume=volume,
        phase=phase,
        digest=image.digest,
        notices=image.notices + notices,
        patient_key=image.patient_key,
        frame_key=image.frame_key,
    )


def write_volume(path: str | PathLike[str], volume: Volume) -> None:
    """Write an image, or a vector field with its components last (LPS, mm), as .nii.gz.

    Equal volumes give equal bytes on one installation; the number type is kept; the header holds no text and
    no time. A field is a 4-D file (i, j, k, 3), read back by `read_field`.

    Raises:
        EnvironmentProblemError: no space, no permission and the like; no part of the file is left.

    """
    write_nifti(Path(path), volume)
