"""A patient's masks in the loop: as they were handed out, as a reader saved them, as they are kept."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import NodeMap
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import CT
from lymphct.io.images.labels import read_labels
from lymphct.io.images.masks import read_mask
from lymphct.io.images.node_masks import read_nodes, sidecar, write_nodes
from lymphct.io.images.reading import write_volume
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import read_json
from lymphct.io.segmentations.segments import Segmentation
from lymphct.io.segmentations.slicer_reading import read_segmentation
from lymphct.patients.annotation.corrected import (
    corrected_nodes,
    corrected_structures,
    corrected_tumor,
    shown_thing,
)
from lymphct.patients.annotation.exporting import RECORD_FILE, SEGMENTATIONS
from lymphct.patients.reading import require_plausible

FILES: Final[Mapping[str, str]] = {name: f"{name}.nii.gz" for name in SEGMENTATIONS}
"""Column of the manifest → file of a patient in the corrected cohort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Masks on the grid of the CT; None where nobody corrected one."""

    nodes: NodeMap | None = None
    structures: Volume | None = None
    tumor: Volume | None = None

    @property
    def present(self) -> tuple[str, ...]:
        """Return the names of those that are there."""
        return tuple(name for name in FILES if getattr(self, name) is not None)

    def over(self, others: "Masks") -> "Masks":
        """Return these, and of others what is not there."""
        return Masks(
            nodes=self.nodes or others.nodes,
            structures=self.structures or others.structures,
            tumor=self.tumor or others.tumor,
        )

    def named(self, name: str, drawn: "NodeMap | Volume") -> "Masks":
        """Return these with one more."""
        if isinstance(drawn, NodeMap):
            return Masks(nodes=drawn).over(self)
        return (Masks(structures=drawn) if name == "structures" else Masks(tumor=drawn)).over(self)


def read_corrections(files: Mapping[str, Path], ct: CT, exported: Path) -> tuple[Masks, tuple[str, ...]]:
    """Read and check what a reader saved.

    Args:
        files: column of the manifest, or name of a DICOM file → file.
        ct: on which it was drawn.
        exported: the patient's folder of what was handed out.

    Returns:
        The masks, and what must be known of them, each a sentence.

    Raises:
        InputError: a file is refused, or a mask was saved in two of them; the error names the file.

    """
    masks, notices, origin = Masks(), list[str](), dict[str, str]()
    stations = _stations(exported)
    for role, path in files.items():
        try:
            name, drawn = _drawn(role, path, ct)
            _require_once(name, path, origin)
            if name == "nodes":
                found = corrected_nodes(drawn, ct.volume, stations, shows_station=role in SEGMENTATIONS)
                notices += found.notices
                masks = masks.named(name, found.nodes)
            else:
                masks = masks.named(name, _checked(name, drawn))
        except InputError as error:
            raise error.at(file=path.name) from None
    if masks.tumor is not None and not masks.tumor.array.any():
        notices.append("no tumor is drawn: the column stays blank")
    return masks, tuple(notices)


def _drawn(role: str, path: Path, ct: CT) -> tuple[str, Segmentation]:
    if role in SEGMENTATIONS:
        return role, read_segmentation(path, ct.volume.geometry)
    from lymphct.io.segmentations.dicom_reading import read_dicom_segmentation  # noqa: PLC0415 - pydicom takes 0.2 s

    drawn = read_dicom_segmentation(path, ct)
    return shown_thing(drawn), drawn


def _require_once(name: str, path: Path, origin: dict[str, str]) -> None:
    if name in origin:
        msg = f"the {name} were saved in {origin[name]} as well"
        raise InputError(msg, code="E_SEGMENT", cure="move one of the two files away")
    origin[name] = path.name


def _checked(name: str, drawn: Segmentation) -> Volume:
    if name == "tumor":
        return corrected_tumor(drawn)
    structures = corrected_structures(drawn)
    require_plausible(structures, "lymphct", SEGMENTATIONS[name])
    return structures


def read_handed_out(exported: Path, names: Collection[str], ct: CT) -> Masks:
    """Read masks as they were handed out.

    Raises:
        InputError: damaged.

    """
    masks = Masks()
    for name in names:
        drawn = read_segmentation(exported / SEGMENTATIONS[name], ct.volume.geometry)
        if name == "nodes":
            found = corrected_nodes(drawn, ct.volume, _stations(exported), shows_station=True)
            masks = masks.named(name, found.nodes)
        else:
            masks = masks.named(name, (corrected_tumor if name == "tumor" else corrected_structures)(drawn))
    return masks


def _stations(exported: Path) -> dict[int, str]:
    record: Any = read_json(exported / RECORD_FILE)
    return {int(number): str(station) for number, station in record["stations"].items()}


def read_kept(place: Path, names: Collection[str], grid: Geometry) -> Masks:
    """Read the masks of a patient in the corrected cohort.

    Raises:
        InputError: damaged.

    """
    return Masks(
        nodes=read_nodes(place / FILES["nodes"], grid) if "nodes" in names else None,
        structures=read_labels(place / FILES["structures"], scheme="lymphct", grid=grid)
        if "structures" in names
        else None,
        tumor=read_mask(place / FILES["tumor"], grid, name="tumor mask") if "tumor" in names else None,
    )


def write_kept(folder: Path, masks: Masks) -> dict[str, str]:
    """Write masks as a manifest takes them; return the digest of each file, `nodes_json` among them."""
    if masks.nodes is not None:
        write_nodes(folder / FILES["nodes"], masks.nodes)
    for name, volume in (("structures", masks.structures), ("tumor", masks.tumor)):
        if volume is not None:
            write_volume(folder / FILES[name], volume)
    digests = {name: digest_file(folder / FILES[name]) for name in masks.present}
    if masks.nodes is not None:
        digests["nodes_json"] = digest_file(sidecar(folder / FILES["nodes"]))
    return digests
