"""One patient's files, read and checked against one another before any work."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from lymphct.anatomy.plausibility import (
    Shape,
    judged,
    looks_like_ours,
    looks_like_totalsegmentator,
    looks_mirrored,
    measured,
)
from lymphct.core.arrays import BoolArray
from lymphct.core.errors import InputError, LymphctError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import NodeMap, Notice, PatientInput
from lymphct.core.terms import Phase, StageName, Structure
from lymphct.core.unjudged import BITS, packed, unjudged_in
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source, name_of
from lymphct.io.images.enhancement import looks_unenhanced
from lymphct.io.images.label_names import dataset_file
from lymphct.io.images.labels import numbers_present, some_structures
from lymphct.io.images.node_masks import sidecar
from lymphct.io.images.reading import (
    Scheme,
    check_pair,
    phases_look_swapped,
    read_ct,
    read_partial_labels,
    read_partial_mask,
    read_partial_nodes,
)
from lymphct.io.labelled_structures import LABELLED_COLUMN
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
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None leaves it to what the label map says of itself."""

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
    drawn = _read_masks(record, labels, grid)
    aorta = _aorta(drawn.structures)
    seen = [looks_unenhanced(venous.volume, aorta)]
    if arterial is not None:
        seen.append(phases_look_swapped(venous.volume, arterial.volume, aorta))
    notices += [notice for notice in seen if notice is not None]
    notices += _about_unjudged(drawn.unjudged)
    return PatientInput(
        patient_id=record.patient_id,
        venous=venous.volume,
        arterial=None if arterial is None else arterial.volume,
        structures=drawn.structures,
        tumor=drawn.tumor,
        nodes=drawn.nodes,
        notices=tuple(notices),
        unjudged=drawn.unjudged,
        labelled=drawn.labelled,
    )


class _Drawn(NamedTuple):
    structures: Volume | None = None
    tumor: Volume | None = None
    nodes: NodeMap | None = None
    unjudged: Volume | None = None
    labelled: tuple[Structure, ...] | None = None


def _read_masks(record: Sources, labels: Scheme, grid: Geometry) -> _Drawn:
    structures, tumor, nodes, labelled = None, None, None, None
    unjudged: dict[StageName, BoolArray | None] = {}
    if record.structures is not None:
        found = read_partial_labels(record.structures, scheme=labels, grid=grid)
        structures, unjudged[StageName.STRUCTURES] = found.volume, found.unjudged
        file = name_of(record.structures, "structures")
        require_plausible(structures, labels, file, found.unjudged)
        labelled = found.labelled if record.labelled is None else some_structures(record.labelled)
        _require_listed(structures, labelled, file)
    if record.tumor is not None:
        tumor, unjudged[StageName.TUMOR] = read_partial_mask(record.tumor, grid, name="tumor mask")
    if record.nodes is not None:
        nodes, unjudged[StageName.NODES] = read_partial_nodes(record.nodes, grid)
    return _Drawn(structures, tumor, nodes, packed(unjudged, grid), labelled)


def _require_listed(structures: Volume, labelled: tuple[Structure, ...] | None, file: str) -> None:
    """Refuse a label map that holds what is not said to be drawn: one of the two is wrong."""
    if labelled is None:
        return
    others = [s for s in numbers_present(structures) if s and s not in labelled]
    if others:
        msg = f"the label map holds the {Structure(others[0]).title}, which {LABELLED_COLUMN} does not list"
        cure = "list it there, or take it out of the map if it is not drawn as a whole"
        raise InputError(msg, code="E_LABELLED", cure=cure).at(file=file)


def _about_unjudged(unjudged: Volume | None) -> Iterator[Notice]:
    """Say of which masks some voxels were looked at by nobody."""
    for stage in () if unjudged is None else BITS:
        share = float(unjudged_in(unjudged.array, stage).mean()) if unjudged is not None else 0.0
        if share:
            text = (
                f"nobody looked at {100 * share:.2g} % of the voxels of the {stage} mask: they teach nothing "
                "and count as empty in a prediction"
            )
            yield Notice(code=f"unjudged_{stage}", text=text, value=share)


def _aorta(structures: Volume | None) -> Volume | None:
    return None if structures is None else structures.with_array(structures.array == Structure.AORTA)


def require_plausible(
    structures: Volume, labels: Scheme, file: str, unjudged: BoolArray | None = None
) -> None:
    """Refuse a label map that cannot be what it says, with a guess at what is wrong with it.

    Args:
        structures: the label map.
        labels: how it was read.
        file: for messages.
        unjudged: where nobody looked; then no structure has to be whole.

    Raises:
        InputError: `E_IMPLAUSIBLE`, with what was measured.

    """
    shapes = measured(structures)
    if unjudged is not None and unjudged.any():  # sizes are those of what was looked at
        shapes = {structure: replace(shape, is_cut=True) for structure, shape in shapes.items()}
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
