"""Fig. 1: structures that guide attention, tumor and drawn nodes of one patient, seen from the front."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from matplotlib.patches import Patch

from lymphct.core.patient import NodeMap
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.report.colors import CLASS_COLORS, STRUCTURE_COLORS, TUMOR_COLOR, UNCALLED_COLOR, Color
from lymphct.report.studies.pictures import Drawing, drawing
from lymphct.report.studies.surfaces import Surface, rendered_surfaces

_ARTERIES: Final = frozenset(
    {
        Structure.AORTA,
        Structure.SUPERIOR_MESENTERIC_ARTERY,
        Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
        Structure.LEFT_GASTRIC_ARTERY,
        Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
    }
)
_GLASS: Final = 0.35
"""Opacity of organs, behind which arteries and nodes are seen."""


def anatomy_drawing(structures: Volume, tumor: Volume | None, nodes: NodeMap | None) -> Drawing:
    """Draw a patient in three dimensions.

    Args:
        structures: label map, axes i → left, j → posterior, k → cranial.
        tumor: mask on the same grid; None where it was not drawn.
        nodes: drawn nodes with their classes; likewise.

    """
    parts = dict(_parts(structures, tumor, nodes))
    picture = rendered_surfaces(structures, [surface for surface, _ in parts.values()])
    rows, columns = picture.shape[:2]

    def paint(axes: Any) -> None:  # noqa: ANN401 - matplotlib has no types to speak of
        axes.imshow(picture, interpolation="nearest")
        axes.set_axis_off()
        patches = [Patch(color=_share(color), label=title) for title, (_, color) in parts.items()]
        axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=8.5)

    height = 4.6
    caption = "Structures, tumor and drawn lymph nodes of a patient, from the front"
    return drawing("figure_1", caption, paint, (height * columns / rows + 3.2, height))


def _parts(
    structures: Volume, tumor: Volume | None, nodes: NodeMap | None
) -> Iterator[tuple[str, tuple[Surface, Color]]]:
    for structure in GUIDING_STRUCTURES:
        mask = structures.array == structure
        if mask.any():
            color = STRUCTURE_COLORS[structure]
            opacity = 1.0 if structure in _ARTERIES else _GLASS
            yield structure.title, (Surface(mask=mask, color=_share(color), opacity=opacity), color)
    if tumor is not None and np.any(tumor.array):
        yield "tumor", (Surface(mask=tumor.array > 0, color=_share(TUMOR_COLOR)), TUMOR_COLOR)
    if nodes is None:
        return
    by_class: list[tuple[NodeClass | None, Color]] = [*CLASS_COLORS.items(), (None, UNCALLED_COLOR)]
    for node_class, color in by_class:
        labels = [node.label for node in nodes.nodes if node.node_class is node_class]
        if labels:
            mask = np.isin(nodes.instances.array, labels)
            title = "lymph node" if node_class is None else f"{node_class.label} lymph node"
            yield title, (Surface(mask=mask, color=_share(color)), color)


def _share(color: Color) -> tuple[float, float, float]:
    return (color[0] / 255, color[1] / 255, color[2] / 255)
