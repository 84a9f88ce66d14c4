"""The viewer of a patient's page: images, masks and the program that shows them, all inside the page.

Everything travels compressed as inert text and is unpacked when a reader asks for it (decision 0066).
"""

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node
from lymphct.core.terms import Structure
from lymphct.imaging.body import body_mask
from lymphct.report.colors import (
    STRUCTURE_COLORS,
    TUMOR_COLOR,
    hex_color,
    probability_color,
)
from lymphct.report.figures import HEAT_LEVELS, Scene, heat_palette
from lymphct.report.offline import template_text
from lymphct.report.reduction import Box, Cells, box_around, levels
from lymphct.report.wording import called, number

NIIVUE: Final = "niivue.umd.js"
NIIVUE_VERSION: Final = "0.69.0"
NIIVUE_SHA256: Final = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""Of the file as npm's package holds it (decision 0066)."""

MOST_BYTES: Final = 8_000_000
"""Of the compressed images of both phases; text in a page takes a third more."""
MOST_VOXELS: Final = 12_000_000
"""Of each image; a browser holds several copies of them."""
SIZES: Final = (0.0, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0)
"""mm; edges of voxels that are tried until the images fit, as acquired first."""
MARGIN: Final = 20.0
"""mm around everything that was found."""

DARKEST: Final = -200.0
HU_STEP: Final = 4.0
HU_LEVELS: Final = 226
"""−200 to 700 HU: every window and arteries in the arterial phase; finer steps would be noise."""
WINDOWS: Final = (
    ("abdomen", "a", -160.0, 240.0),
    ("pancreas", "p", -30.0, 220.0),
    ("liver", "l", 15.0, 165.0),
)
"""Name, key, HU shown black and white."""

VESSELS: Final = frozenset(
    {
        Structure.AORTA,
        Structure.SUPERIOR_MESENTERIC_ARTERY,
        Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
        Structure.LEFT_GASTRIC_ARTERY,
        Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
        Structure.INFERIOR_VENA_CAVA,
        Structure.PORTAL_AND_SPLENIC_VEIN,
        Structure.SUPERIOR_MESENTERIC_VEIN,
    }
)
"""Solid in three dimensions; organs are glass around them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """What the viewer needs.

    Attributes:
        facts: grid, windows, colours and nodes, for the program.
        blocks: compressed images and NiiVue as text, by name.
        reduced: what was made smaller, for readers.

    """

    facts: Mapping[str, object]
    blocks: Mapping[str, str]
    reduced: str


def viewer_of(scene: Scene, nodes: Sequence[Node]) -> Viewer:
    """Pack the images of a patient; `nodes` in the order of the page's table."""
    geometry = scene.venous.geometry
    cells, packed = _fitting(scene)
    grid = cells.grid(geometry)
    rows = {node.label: row for row, node in enumerate(nodes, start=1)}
    seen = np.unique(scene.structures.array)
    images = packed | _masks(scene, cells, rows)
    facts: dict[str, object] = {
        "shape": grid.shape,
        "spacing": grid.spacing,
        "affine": _as_nifti(grid),
        "hu": {"low": DARKEST, "step": HU_STEP},
        "windows": [{"name": name, "key": key, "low": low, "high": high} for name, key, low, high in WINDOWS],
        "attention": {"levels": HEAT_LEVELS, "palette": heat_palette().tolist()},
        "structures": [
            {"value": int(s), "name": s.title, "color": STRUCTURE_COLORS[s], "tube": s in VESSELS}
            for s in Structure
            if s in seen
        ],
        "tumor": {"color": TUMOR_COLOR, "found": bool(scene.tumor.array.any())},
        "nodes": [_node_facts(node) for node in nodes],
        "ramp": [hex_color(probability_color(share / 4)) for share in range(5)],
        "uint16": len(nodes) > np.iinfo(np.uint8).max,
    }
    blocks = {name: _text(content) for name, content in images.items()}
    return Viewer(facts=facts, blocks=blocks | {"niivue": _program()}, reduced=_reduced(scene, grid))


def niivue_script() -> str:
    """Return NiiVue as it is shipped.

    >>> import hashlib
    >>> hashlib.sha256(niivue_script().encode()).hexdigest() == NIIVUE_SHA256
    True
    """
    return template_text(NIIVUE)


@cache
def _program() -> str:
    return _text(gzip.compress(niivue_script().encode(), 9, mtime=0))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _fitting(scene: Scene) -> tuple[Cells, dict[str, bytes]]:
    """Return the finest voxels with which the phases are small enough, and the phases compressed."""
    box = _worth_showing(scene)
    spacing = scene.venous.geometry.spacing
    most = float(MOST_VOXELS)
    for size in SIZES:
        cells = Cells.of(box, spacing, size)
        voxels = int(np.prod(cells.counts))
        if voxels > most and size != SIZES[-1]:
            continue
        packed = {name: _packed_ct(array, cells) for name, array in _phases(scene).items()}
        taken = sum(map(len, packed.values()))
        if taken <= MOST_BYTES:
            break
        most = voxels * MOST_BYTES / taken  # a coarser image is never larger per voxel by much
    return cells, packed


def _phases(scene: Scene) -> dict[str, AnyArray]:
    phases = {"venous": scene.venous.array}
    if scene.arterial is not None:
        phases["arterial"] = scene.arterial.array
    return phases


def _worth_showing(scene: Scene) -> Box:
    """Return the box around all that was found with a margin, or around the body where nothing was."""
    geometry = scene.venous.geometry
    i, j, k = (round(MARGIN / step) for step in geometry.spacing)
    found = (scene.structures.array > 0) | (scene.tumor.array > 0) | (scene.instances.array > 0)
    around = box_around(found, (i, j, k))
    if around is not None:
        return around
    whole: Index3 = (0, 0, 0)
    return box_around(body_mask(scene.venous.array), whole) or Box(start=whole, stop=geometry.shape)


def _packed_ct(hu: AnyArray, cells: Cells) -> bytes:
    return _packed(levels(cells.averaged(hu), DARKEST, HU_STEP, HU_LEVELS))


def _masks(scene: Scene, cells: Cells, rows: Mapping[int, int]) -> dict[str, bytes]:
    attention = levels(cells.averaged(scene.attention.array), 0.0, 1 / HEAT_LEVELS, HEAT_LEVELS + 1)
    return {
        "attention": _packed(attention),
        "structures": _packed(cells.sampled(scene.structures.array).astype(np.uint8)),
        "tumor": _packed((cells.averaged(scene.tumor.array > 0) >= 0.5).astype(np.uint8)),
        "nodes": _packed(_node_rows(scene, cells, rows)),
    }


def _node_rows(scene: Scene, cells: Cells, rows: Mapping[int, int]) -> AnyArray:
    """Return the row of the table that each voxel's node has; no node is lost, however small."""
    kind = np.uint8 if len(rows) <= np.iinfo(np.uint8).max else np.uint16
    instances = cells.sampled(scene.instances.array)
    last = max([int(instances.max()), *rows])
    row_of = np.zeros(last + 1, dtype=kind)
    for label, row in rows.items():
        row_of[label] = row
    numbered: AnyArray = row_of[instances]
    for label in set(rows) - set(np.unique(instances).tolist()):
        x, y, z = scene.venous.geometry.index(scene.nodes[label].center).tolist()
        numbered[cells.cell_of((x, y, z))] = rows[label]
    return numbered


def _packed(array: AnyArray) -> bytes:
    """Compress an image in the order of NIfTI, i fastest; no time stands in it."""
    return gzip.compress(array.tobytes(order="F"), 6, mtime=0)


def _as_nifti(grid: Geometry) -> list[list[float]]:
    """Return the matrix from voxels to mm as NIfTI wants it: x to the right, y to the front."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    return [[round(value, 6) for value in row] for row in affine.tolist()]


def _node_facts(node: Node) -> dict[str, object]:
    return {
        "label": node.label,
        "call": called(node),
        "probability": number(node.probability, 2),
        "color": probability_color(node.probability),
        "center": [round(value, 2) for value in node.center],
        "about": ", ".join(_about(node)),
    }


def _about(node: Node) -> Iterable[str]:
    if node.short_axis is not None:
        yield f"{number(node.short_axis, 1)} mm short axis"
    else:
        yield f"{number(node.volume, 0)} mm³"
    if node.station:
        yield f"station {node.station}"


def _reduced(scene: Scene, grid: Geometry) -> str:
    acquired = scene.venous.geometry
    shown = "as acquired" if grid.spacing == acquired.spacing else f"acquired {_times(acquired.spacing, 2)}"
    phases = "The venous phase is" if scene.arterial is None else "Both phases are"
    high = DARKEST + HU_STEP * (HU_LEVELS - 1)
    return (
        f"{phases} reduced for this page: "
        f"a box of {_times(grid.size, 0)} mm of {_times(acquired.size, 0)} mm, "
        f"voxels of {_times(grid.spacing, 2)} mm ({shown}), "
        f"densities from {number(DARKEST, 0)} to {number(high, 0)} HU in steps of {HU_STEP:.0f} HU. "
        "Masks are reduced likewise; the files beside the page are not. Not for diagnosis."
    )


def _times(values: Sequence[float], decimals: int) -> str:
    return " × ".join(f"{value:.{decimals}f}" for value in values)
