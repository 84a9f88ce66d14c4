"""What one slice of a CT says of itself: a file, or a frame of one."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """What one axial slice says of itself.

    Attributes:
        path: its file.
        number: its place among the files of the folder by name, from 1; messages name it instead of the
            file, whose name may hold patient data.
        digest: sha256 of the file.
        syntax: one of the values of `SYNTAXES`.
        series, instance, patient_key, frame_key: keyed hashes, comparable within this process; empty when
            unknown.
        position, orientation: LPS+ mm and two unit vectors.
        shape: columns, rows.
        spacing: mm between columns, between rows.
        slope, intercept: HU = slope × stored + intercept.
        padding: stored value outside the field of view; None when there is none.
        bits: allocated and stored per pixel.
        is_signed: whether stored values may be negative.
        is_lossy, is_burned_in: compressed with loss; text drawn into the pixels.
        is_known_text: whether the character set of its text is one of DICOM's.
        series_number: by which series are listed; 0 when unknown.
        description: of the series; shown in the list of several series and nowhere else.
        frame, frames: place among the frames of its file, from 0, and how many these are.
        object_key: keyed hash of the multi-frame object, or of the concatenation it is a part of; empty for
            a file of one slice.
        stack: which frames of the object it forms a volume with, in our words.
        part: number among the parts of a concatenation, from 1, and how many these are; 0 when unknown.

    """

    path: Path
    number: int
    digest: str
    syntax: str
    series: str
    instance: str
    patient_key: str
    frame_key: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    slope: float
    intercept: float
    padding: int | None
    bits: tuple[int, int]
    is_signed: bool
    is_lossy: bool
    is_burned_in: bool
    is_known_text: bool = True
    series_number: int = 0
    description: str = field(default="", repr=False)
    frame: int = 0
    frames: int = 1
    object_key: str = ""
    stack: str = ""
    part: tuple[int, int] = (0, 0)

    @property
    def mark(self) -> str:
        """Return a sha256 of the slice: its file, or its frame of it."""
        if not self.object_key:
            return self.digest
        return hashlib.sha256(f"{self.digest} frame {self.frame}".encode("ascii")).hexdigest()
