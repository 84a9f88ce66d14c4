"""What comes in through the door: an image, what was noticed while reading it, and its fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lymphct.core.patient import Notice
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume

Source = Path | Volume
"""Where an image comes from: a file, a folder, or memory."""


def name_of(source: Source, otherwise: str = "") -> str:
    """Return what an error calls a source: the name of its file, or what it shows."""
    return source.name if isinstance(source, Path) else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """An image as the file has it.

    Attributes:
        volume: values on the file's own axes, LPS+.
        digest: sha256 of the file, or of the set of slices of a DICOM series.
        notices: what a reader of results must know about the file.
        patient_key: keyed hash of the DICOM PatientID; empty when unknown.
        frame_key: keyed hash of the DICOM FrameOfReferenceUID; empty when unknown.
        extension: what a NIfTI file holds between its header and the voxels; may hold names of labels.
        segments: names of the segments by number; empty unless the file is a segmentation of 3D Slicer.

    The keys are comparable within one process only: the hash key is drawn at random and never stored.
    """

    volume: Volume
    digest: str
    notices: tuple[Notice, ...] = ()
    patient_key: str = ""
    frame_key: str = ""
    extension: bytes = b""
    segments: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CT:
    """One phase of a CT that passed the anatomical limits and the checks of its values, HU.

    Attributes:
        volume: HU, int16 where the values are whole numbers, else float32; nothing below -1024.
        phase: the phase it was given as.
        digest, notices, patient_key, frame_key: as in `ReadImage`.

    """

    volume: Volume
    phase: Phase
    digest: str
    notices: tuple[Notice, ...] = ()
    patient_key: str = ""
    frame_key: str = ""
