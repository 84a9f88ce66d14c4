"""A finished result as it lies on disk: what it says, its lymph nodes and its masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import reordered_like
from lymphct.core.patient import Node
from lymphct.core.terms import STRUCTURES_BY_NAME, NodeClass, Source, StageName
from lymphct.core.volume import Volume
from lymphct.io.images.nifti import read_nifti
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.store import is_current, read_done
from lymphct.io.table import Row, read_table

RESULT_FILE: Final = "result.json"
NODES_FILE: Final = "nodes.csv"
_NODE_COLUMNS: Final = (
    "node", "class", "probability", "volume_mm3", "short_axis_mm", "station", "hu_venous", "x_mm", "y_mm",
    "z_mm", "class_source", "flags",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """One predicted patient on disk.

    Attributes:
        folder: where it lies.
        record: its `result.json`.
        nodes: found or drawn lymph nodes, by number.
        inputs: digests of what it was made from, by role.

    """

    folder: Path
    record: Mapping[str, Any]
    nodes: tuple[Node, ...]
    inputs: Mapping[str, Any]

    @property
    def was_searched(self) -> bool:
        """Tell whether lymph nodes were looked for."""
        return bool(self.record["nodes_search"] == "searched")

    @property
    def bundle(self) -> Mapping[str, Any]:
        """Return what it says of its models."""
        return dict(self.record["bundle"])

    @property
    def structure_sources(self) -> Mapping[str, str]:
        """Return where each structure comes from, by its name; those of one file or network alike."""
        told = self.record.get("structure_sources")
        if told:
            return dict(told)
        return dict.fromkeys(STRUCTURES_BY_NAME, self.source_of(StageName.STRUCTURES))

    def source_of(self, what: str) -> str:
        """Return where a mask comes from, such as `network`."""
        return str(self.record["sources"].get(what, Source.NETWORK.value))

    def is_drawn(self, what: str) -> bool:
        """Tell whether somebody drew a mask, wholly or in part."""
        return Source(self.source_of(what)).is_drawn

    def image(self, name: str, grid: Geometry) -> Volume | None:
        """Return an image of the result on a grid of the same lattice, by moving voxels; None if absent.

        Raises:
            InputError: damaged.
            GeometryMismatchError: the result lies on another lattice.

        """
        path = self.folder / "seg" / f"{name}.nii.gz"
        if not path.is_file():
            return None
        return reordered_like(
            read_nifti(path).volume, grid, name=f"{name} of the result", reference_name="series"
        )


def read_stored(folder: Path) -> StoredResult:
    """Read a result that `lymphct predict` made for one patient, whole and as it was committed.

    Raises:
        InputError: there is none, it is damaged, or it holds masks alone.

    """
    done = read_done(folder)
    if done is None:
        _refuse("no result of lymphct predict for one patient", folder)
    if not is_current(folder, verify=True):
        _refuse("the result is damaged: a file is not as it was written", folder)
    if not (folder / "seg" / "nodes.nii.gz").is_file():
        _refuse("the result holds masks alone (--only), nobody called its lymph nodes", folder)
    record = read_json(folder / RESULT_FILE)
    wanted = ("nodes_search", "sources", "bundle", "versions", "research_use", "probability", "threshold")
    if not isinstance(record, dict) or any(key not in record for key in wanted):
        _refuse(f"its {RESULT_FILE} is of an older version", folder)
    rows = read_table(folder / NODES_FILE, _NODE_COLUMNS)
    inputs = done["fingerprint"].get("inputs")
    return StoredResult(
        folder=folder,
        record=record,
        nodes=tuple(_node(row) for row in rows),
        inputs=inputs if isinstance(inputs, dict) else {},
    )


def _node(row: Row) -> Node:
    cells = row.cells
    x, y, z = (float(cells[f"{axis}_mm"]) for axis in "xyz")
    return Node(
        label=int(cells["node"]),
        volume=float(cells["volume_mm3"]),
        center=(x, y, z),
        node_class=NodeClass[cells["class"].upper()] if cells["class"] else None,
        probability=_number(cells["probability"]),
        short_axis=_number(cells["short_axis_mm"]),
        hu_venous=_number(cells["hu_venous"]),
        station=cells["station"],
        class_source=Source.GIVEN if cells["class_source"] == "drawn" else Source.NETWORK,
        flags=tuple(cells["flags"].split()),
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _refuse(cause: str, folder: Path) -> NoReturn:
    cure = "give the folder of one patient that lymphct predict made"
    raise InputError(cause, code="E_RESULT", cure=cure).at(file=folder.name)
