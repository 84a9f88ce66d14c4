"""One patient's files, read and checked against one another before any work."""

from pathlib import Path
from typing import Final, Protocol

from lymphct.anatomy.plausibility import (
    Shape,
    judged,
    looks_like_ours,
    looks_like_totalsegmentator,
    looks_mirrored,
    measured,
)
from lymphct.core.errors import InputError, LymphctError
from lymphct.core.patient import PatientInput
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source, name_of
from lymphct.io.images.enhancement import looks_unenhanced
from lymphct.io.images.label_names import dataset_file
from lymphct.io.images.node_masks import sidecar
from lymphct.io.images.reading import (
    Scheme,
    check_pair,
    phases_look_swapped,
    read_ct,
    read_labels,
    read_mask,
    read_nodes,
)
from lymphct.io.manifest import PatientRecord

_LEAVE_OUT: Final = "check --labels, or leave the structures out and let the model draw them"


class Sources(Protocol):
    """Where the images of a patient come from; a line of a manifest is one."""

    @property
    def patient_id(self) -> str:
        """Pseudonymous id."""

    @property
    def venous(self) -> Source:
        """Venous phase."""

    @property
    def arterial(self) -> Source | None:
        """Arterial phase; None when it was not acquired."""

    @property
    def structures(self) -> Source | None:
        """Label map of organs and vessels, or a folder of masks; None when nothing was drawn."""

    @property
    def tumor(self) -> Source | None:
        """Mask of the tumor; None likewise."""

    @property
    def nodes(self) -> Source | None:
        """Lymph nodes; None likewise."""


def files_of(record: PatientRecord) -> dict[str, Path]:
    """Return the files a patient has, by role, with the JSON files that say what is in a mask."""
    files = dict(record.paths)
    if record.nodes is not None and sidecar(record.nodes).exists():
        files["nodes_json"] = sidecar(record.nodes)
    named = None if record.structures is None else dataset_file(record.structures)
    return files | ({} if named is None else {"structures_json": named})


def read_patient(record: Sources, *, labels: Scheme = "auto") -> PatientInput:
    """Read all images of one patient: those of a manifest, or others.

    Raises:
        InputError: a file is refused, two of them do not belong together, or the structures cannot be what
            they are said to be; the error names the patient.

    """
    try:
        return _read(record, labels)
    except LymphctError as error:
        raise error.at(patient=record.patient_id) from error.__cause__


def _read(record: Sources, labels: Scheme) -> PatientInput:
    venous = read_ct(record.venous, phase=Phase.VENOUS)
    notices = list(venous.notices)
    grid = venous.volume.geometry
    arterial = None
    if record.arterial is not None:
        arterial = read_ct(record.arterial, phase=Phase.ARTERIAL)
        notices += arterial.notices
        notices += check_pair(venous, arterial)
    structures = (
        None if record.structures is None else read_labels(record.structures, scheme=labels, grid=grid)
    )
    if record.structures is not None and structures is not None:
        require_plausible(structures, labels, name_of(record.structures, "structures"))
    tumor = None if record.tumor is None else read_mask(record.tumor, grid, name="tumor mask")
    nodes = None if record.nodes is None else read_nodes(record.nodes, grid)
    aorta = _aorta(structures)
    seen = [looks_unenhanced(venous.volume, aorta)]
    if arterial is not None:
        seen.append(phases_look_swapped(venous.volume, arterial.volume, aorta))
    notices += [notice for notice in seen if notice is not None]
    return PatientInput(
        patient_id=record.patient_id,
        venous=venous.volume,
        arterial=None if arterial is None else arterial.volume,
        structures=structures,
        tumor=tumor,
        nodes=nodes,
        notices=tuple(notices),
    )


def _aorta(structures: Volume | None) -> Volume | None:
    return None if structures is None else structures.with_array(structures.array == Structure.AORTA)


def require_plausible(structures: Volume, labels: Scheme, file: str) -> None:
    """Refuse a label map that cannot be what it says, with a guess at what is wrong with it.

    Raises:
        InputError: `E_IMPLAUSIBLE`, with what was measured.

    """
    shapes = measured(structures)
    found = judged(shapes)
    if not found:
        return
    more = f" (and {len(found) - 1} more such)" if len(found) > 1 else ""
    msg = f"the label map cannot be right: {found[0].text}{more}"
    raise InputError(msg, code="E_IMPLAUSIBLE", cure=_cure(shapes, labels)).at(file=file)


def _cure(shapes: dict[Structure, Shape], labels: Scheme) -> str:
    if labels in {"auto", "lymphct"} and looks_like_totalsegmentator(shapes):
        return "its numbers look like those of TotalSegmentator: --labels totalsegmentator"
    if labels == "totalsegmentator" and looks_like_ours(shapes):
        return "its numbers look like those of lymphct: --labels lymphct"
    if looks_mirrored(shapes):
        return "left and right look exchanged: correct the header or the names, or leave the structures out"
    return _LEAVE_OUT
