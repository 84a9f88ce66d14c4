"""What is known of a file of an export, and of what it shares with the others of its series."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from lymphct.io.images.dicom.kinds import CT_IMAGE, ENHANCED


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTags:
    """What the files of a series share.

    Attributes:
        person: pseudonymous hash of the patient's id, else of name and date of birth, else of the study.
        person_by: which of them: "id", "name" or "study".
        details: hash of name and date of birth; empty when both are missing.
        study, series, frame: hashes.
        modality, sop_class, image_type, kernel, syntax: as the file says, the first in capital letters.
        description: of the series, without what names the patient, at most 40 characters of ASCII.
        number: of the series; 0 when unknown.
        orientation: two unit vectors; empty when unknown.
        shape: columns, rows.
        spacing: mm between columns, between rows; empty when unknown.
        frames: in each file.
        bolus: time of day at which the injection began, seconds; NaN when unknown.
        agent: phase of the contrast agent by the frames' own word; empty when unknown.
        object_key: hash of the multi-frame object, or of the concatenation it is a part of; else empty.
        stack: which frames of it are meant, in our words.

    """

    person: str
    person_by: str
    details: str
    study: str
    series: str
    frame: str
    modality: str
    sop_class: str
    image_type: tuple[str, ...]
    kernel: str
    syntax: str
    description: str
    number: int
    orientation: tuple[float, ...]
    shape: tuple[int, int]
    spacing: tuple[float, ...]
    frames: int
    bolus: float = field(compare=False)
    agent: str = ""
    object_key: str = ""
    stack: str = ""

    @property
    def is_localizer(self) -> bool:
        """Tell whether it is an overview image on which the examination was planned."""
        return "LOCALIZER" in self.image_type

    @property
    def is_ct_image(self) -> bool:
        """Tell whether it holds slices of CT: one or many in a file."""
        return self.modality == "CT" and (self.sop_class in {"", CT_IMAGE} or self.is_enhanced)

    @property
    def is_enhanced(self) -> bool:
        """Tell whether one file may hold many slices."""
        return self.sop_class in ENHANCED


@dataclass(frozen=True, slots=True, kw_only=True)
class StackHead:
    """Frames of one multi-frame file that form a volume, or a part of it.

    Attributes:
        tags: of the series, with what the frames say of themselves.
        slices: how many frames.
        acquisition, time: as of a file, the first of the frames.

    """

    tags: SeriesTags
    slices: int
    acquisition: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHead:
    """One file of an export.

    Attributes:
        path: the file.
        stamp: size, and time of its last change, ns.
        tags: what it shares with its series; None for what is no readable DICOM file.
        problem: why there are none: "empty", "no DICOM", or a sentence of ours; with tags, what is missing of
            the pixels.
        is_named: whether the path holds what names the patient.
        instance: hash of its SOPInstanceUID; empty when it has none.
        position: LPS+ mm; empty when unknown.
        acquisition: its number; 0 when unknown.
        time: of the acquisition, seconds since some day of the past; NaN when unknown.
        slices: slices in it that belong to the series of its tags.
        stacks: of a multi-frame file, one for each volume in it.
        part: number among the parts of a concatenation, from 1, and how many these are; 0 when unknown.
        is_shared: whether slices in it belong to other series.

    """

    path: Path
    stamp: tuple[int, int]
    tags: SeriesTags | None = None
    problem: str = ""
    is_named: bool = False
    instance: str = ""
    position: tuple[float, ...] = ()
    acquisition: int = 0
    time: float = math.nan
    slices: int = 1
    stacks: tuple[StackHead, ...] = ()
    part: tuple[int, int] = (0, 0)
    is_shared: bool = False
