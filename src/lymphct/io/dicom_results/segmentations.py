"""Masks as DICOM segmentations on the frames of the CT: a segment per lymph node, label maps of the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept

from lymphct.core.arrays import AnyArray
from lymphct.core.patient import Node
from lymphct.core.terms import NodeClass, Source, Structure
from lymphct.core.volume import Volume
from lymphct.io.dicom_results.concepts import (
    ABNORMAL_STRUCTURE,
    ANATOMICAL_STRUCTURE,
    LYMPH_NODE,
    NEOPLASM,
    PANCREAS,
    structure,
)
from lymphct.io.dicom_results.identity import USE, Identity

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_LABEL: Final = 16
"""Characters of a content label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of the page, so that a PACS shows the same.

    Attributes:
        structures: by structure.
        tumor: of the tumor.
        node: by the class of a node; None before it is called.

    """

    structures: dict[Structure, Color]
    tumor: Color
    node: Callable[[NodeClass | None], Color]


def node_segmentation(
    instances: Volume, nodes: Sequence[Node], identity: Identity, palette: Palette, source: str
) -> Segmentation:
    """Return the lymph nodes: BINARY, since viewers read it everywhere; segment n is the n-th of `nodes`.

    Args:
        instances: node numbers on the grid of the series.
        nodes: those that have voxels, at least one.
        identity: of the result.
        palette: colours.
        source: where they come from.

    """
    segment_of = np.zeros(int(instances.array.max()) + 1, dtype=np.uint16)
    for segment, node in enumerate(nodes, start=1):
        segment_of[node.label] = segment
    descriptions = [
        _description(
            segment,
            node_title(node),
            (ANATOMICAL_STRUCTURE, LYMPH_NODE),
            palette.node(node.node_class),
            identity.drawn_by(source),
            tracking=(tracking_uid(identity, node), node_title(node)),
        )
        for segment, node in enumerate(nodes, start=1)
    ]
    stack = segment_of[_frames(instances)]
    return _segmentation("lymph nodes", stack, descriptions, identity, SegmentationTypeValues.BINARY, 1)


def structure_segmentation(
    structures: Volume, identity: Identity, palette: Palette, sources: Mapping[str, str]
) -> Segmentation:
    """Return the label map of structures: LABELMAP, each segment numbered as in our files.

    `sources` tells by the names of structures where each comes from; `network` where it tells nothing.
    """
    present = [Structure(number) for number in np.unique(structures.array).tolist() if number]
    descriptions = [
        _description(
            int(which),
            which.title,
            (ANATOMICAL_STRUCTURE, structure(which)),
            palette.structures[which],
            identity.drawn_by(sources.get(which.label, Source.NETWORK.value)),
        )
        for which in present
    ]
    stack = _frames(structures).astype(np.uint8)
    return _segmentation("structures", stack, descriptions, identity, SegmentationTypeValues.LABELMAP, 2)


def tumor_segmentation(tumor: Volume, identity: Identity, palette: Palette, source: str) -> Segmentation:
    """Return the mask of the tumor, of its own: it overlaps the pancreas."""
    types = (ABNORMAL_STRUCTURE, NEOPLASM)
    description = _description(
        1, "tumor", types, palette.tumor, identity.drawn_by(source), regions=[PANCREAS]
    )
    stack = (_frames(tumor) != 0).astype(np.uint8)
    return _segmentation("tumor", stack, [description], identity, SegmentationTypeValues.LABELMAP, 3)


def node_title(node: Node) -> str:
    """Return what a viewer lists: the number of a node as in our tables, and its class."""
    said = "" if node.node_class is None else f", {_said(node)} {node.node_class.label}"
    return f"Lymph node {node.label}{said}"


def tracking_uid(identity: Identity, node: Node) -> str:
    """Return what a segment and the measurements of the same node are known by."""
    return identity.uid(f"node {node.label}")


def _said(node: Node) -> str:
    return "drawn" if node.class_source.is_drawn else "predicted"


def _frames(volume: Volume) -> AnyArray:
    """Return an array [k, j, i]: frames, rows, columns."""
    return np.ascontiguousarray(volume.array.transpose(2, 1, 0))


def _description(  # noqa: PLR0913 - what a segment says of itself
    number: int,
    label: str,
    types: tuple[CodedConcept, CodedConcept],
    color: Color,
    drawn_by: Mapping[str, object],
    *,
    tracking: tuple[str, str] | None = None,
    regions: list[CodedConcept] | None = None,
) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=types[0],
        segmented_property_type=types[1],
        tracking_uid=None if tracking is None else tracking[0],
        tracking_id=None if tracking is None else tracking[1],
        anatomic_regions=regions,
        display_color=CIELabColor.from_rgb(*color),
        **drawn_by,
    )


def _segmentation(  # noqa: PLR0913, PLR0917 - its parts
    what: str,
    stack: AnyArray,
    descriptions: list[SegmentDescription],
    identity: Identity,
    kind: SegmentationTypeValues,
    number: int,
) -> Segmentation:
    made = Segmentation(
        source_images=identity.source.images(),
        pixel_array=stack,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        content_label=what.upper().replace(" ", "_")[:_LABEL],
        content_description=f"{what}: {USE}",
        series_description=f"{what} ({USE})",
        omit_empty_frames=True,
        **identity.instance(what, number),
    )
    identity.settle(made, what)
    return made
