"""The colours of structures, tumor and lymph nodes: on the page and, as colour tables, in 3D Slicer."""

import colorsys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from lymphct.core.patient import NodeMap
from lymphct.core.terms import NodeClass, Structure

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

STRUCTURE_COLORS: Final[dict[Structure, Color]] = {
    Structure.SPLEEN: (170, 120, 200),
    Structure.ESOPHAGUS: (214, 196, 150),
    Structure.STOMACH: (240, 170, 140),
    Structure.AORTA: (214, 80, 80),
    Structure.PANCREAS: (245, 205, 75),
    Structure.DUODENUM: (205, 150, 85),
    Structure.SUPERIOR_MESENTERIC_ARTERY: (255, 128, 128),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: (255, 105, 170),
    Structure.LEFT_GASTRIC_ARTERY: (200, 70, 130),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: (235, 150, 215),
    Structure.LIVER: (160, 110, 80),
    Structure.RIGHT_KIDNEY: (150, 170, 90),
    Structure.LEFT_KIDNEY: (185, 205, 120),
    Structure.GALLBLADDER: (110, 160, 70),
    Structure.INFERIOR_VENA_CAVA: (80, 110, 200),
    Structure.PORTAL_AND_SPLENIC_VEIN: (120, 150, 225),
    Structure.SUPERIOR_MESENTERIC_VEIN: (95, 130, 165),
    Structure.RIGHT_ADRENAL: (90, 170, 150),
    Structure.LEFT_ADRENAL: (130, 200, 180),
}
"""Muted, so that tumor and nodes stand out: arteries red to pink, veins blue, gut warm, kidneys olive."""

TUMOR_COLOR: Final[Color] = (60, 230, 90)
CLASS_COLORS: Final[dict[NodeClass, Color]] = {
    NodeClass.POSITIVE: (255, 70, 40),
    NodeClass.NEGATIVE: (60, 195, 255),
}
"""Told apart by readers with any colour vision; the page also draws them solid and dashed."""
UNCALLED_COLOR: Final[Color] = (240, 240, 240)
"""A node without a class."""

UNCERTAIN_COLOR: Final[Color] = (255, 233, 160)
"""A node as probably positive as negative: between the colours of the classes, for any colour vision."""

_GOLDEN_RATIO: Final = 0.6180339887498949


def node_color(node_class: NodeClass | None) -> Color:
    """Return the colour of a node by its predicted class."""
    return UNCALLED_COLOR if node_class is None else CLASS_COLORS[node_class]


def probability_color(probability: float | None) -> Color:
    """Return a colour from that of negative (0) over `UNCERTAIN_COLOR` to that of positive (1).

    >>> probability_color(1.0) == CLASS_COLORS[NodeClass.POSITIVE]
    True
    """
    if probability is None:
        return UNCALLED_COLOR
    ends = CLASS_COLORS[NodeClass.NEGATIVE], UNCERTAIN_COLOR, CLASS_COLORS[NodeClass.POSITIVE]
    low, high = ends[:2] if probability < 0.5 else ends[1:]
    share = 2 * probability - (probability >= 0.5)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return (red, green, blue)


def instance_color(label: int) -> Color:
    """Return a colour for a node's number; steps of the golden ratio keep near numbers apart."""
    # Every other round of the hue circle is paler, so that far numbers differ as well.
    saturation = 0.85 if label % 2 else 0.55
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN_RATIO % 1.0, saturation, 0.95)
    return (round(255 * red), round(255 * green), round(255 * blue))


def hex_color(color: Color) -> str:
    """Return a colour as web pages write it.

    >>> hex_color((255, 70, 40))
    '#ff4628'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)


def write_color_tables(
    seg_folder: Path, nodes: NodeMap | None = None, *, only: Collection[str] | None = None
) -> list[Path]:
    """Write colour tables for 3D Slicer beside the masks: one `.ctbl` of the same name each.

    Each line holds number, name, red, green, blue, opacity. `node_instances.ctbl` lists the numbers of
    `nodes`; it is left out when these are not given. `only` names the masks that are there; None = all.
    """
    classes = [(int(c), f"predicted_{c.label}", CLASS_COLORS[c]) for c in NodeClass]
    tables: dict[str, list[tuple[int, str, Color]]] = {
        "structures": [(int(s), s.label, STRUCTURE_COLORS[s]) for s in Structure],
        "tumor": [(1, "tumor", TUMOR_COLOR)],
        "nodes": classes,
    }
    if nodes is not None:
        tables["node_instances"] = [
            (node.label, _instance_name(node.label, node.node_class), instance_color(node.label))
            for node in sorted(nodes.nodes, key=lambda node: node.label)
        ]
    paths = []
    for name, rows in tables.items():
        if only is not None and name not in only:
            continue
        path = seg_folder / f"{name}.ctbl"
        path.write_bytes(_color_table(rows).encode("ascii"))
        paths.append(path)
    return paths


def _instance_name(label: int, node_class: NodeClass | None) -> str:
    return f"node_{label}" if node_class is None else f"node_{label}_predicted_{node_class.label}"


def _color_table(rows: Sequence[tuple[int, str, Color]]) -> str:
    lines = ["# Color table of 3D Slicer: number name red green blue opacity", "0 background 0 0 0 0"]
    lines += [f"{number} {name} {red} {green} {blue} 255" for number, name, (red, green, blue) in rows]
    return "\n".join(lines) + "\n"
