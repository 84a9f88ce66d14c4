"""The pictures of the patient's page: CT slices with outlines, numbers, attention, marks and a scale bar."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import matplotlib as mpl
import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.orientation import AxisOrder
from lymphct.core.patient import Multiphase, Node, Prediction
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.report.colors import STRUCTURE_COLORS, TUMOR_COLOR, hex_color, node_color
from lymphct.report.outlines import brackets_path, outline_path
from lymphct.report.planes import (
    Frame,
    Marks,
    Patch,
    as_displayed,
    display_order,
    edge_marks,
    patch_of,
    slice_picture,
)
from lymphct.report.png import Bytes, data_uri, encode_png
from lymphct.report.wording import called

WINDOW: Final = (-160.0, 240.0)
"""HU shown black and white: the usual soft-tissue window of abdominal CT."""
LARGEST_SIDE: Final = 640
"""Pixels; larger slices are averaged down, a page shows no more."""
HEAT_LEVELS: Final = 32
HEAT_OPACITY: Final = 0.5
"""Opacity of attention 1; it falls to nothing at attention 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All images of one patient with working axes, as views; `order` leads there from the axes of the file.

    Raises (by `Scene.of`):
        GeometryMismatchError: an image lies on another grid than the venous phase.

    """

    venous: Volume
    arterial: Volume | None
    structures: Volume
    tumor: Volume
    attention: Volume
    instances: Volume
    nodes: dict[int, Node]
    order: AxisOrder

    @classmethod
    def of(cls, prediction: Prediction, ct: Multiphase) -> "Scene":
        """Bring the images of a prediction into display axes."""
        images = {
            "structures": prediction.structures,
            "tumor": prediction.tumor,
            "attention": prediction.attention,
            "instances": prediction.nodes.instances,
        }
        for name, image in images.items():
            image.require_same_grid(ct.venous, name=name, reference="venous phase")
        return cls(
            venous=as_displayed(ct.venous),
            arterial=None if ct.arterial is None else as_displayed(ct.arterial),
            nodes={node.label: node for node in prediction.nodes.nodes},
            order=display_order(ct.venous.geometry),
            **{name: as_displayed(image) for name, image in images.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A picture within a picture: `data:` address and place in mm."""

    uri: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A contour: SVG path data in mm, colour, kind (structure, tumor, node) and name of what it surrounds."""

    path: str
    color: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The number of a node, at its place in mm."""

    text: str
    x: float
    y: float
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything the page draws for one slice, in mm of that slice."""

    frame: Frame
    title: str
    ct: Layer | None
    heat: Layer | None
    outlines: tuple[Outline, ...]
    labels: tuple[Label, ...]
    marks: Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlays:
    """What is drawn on the CT, and on which phase.

    Attributes:
        findings: outlines of tumor and nodes; without them brackets show where the node in focus is.
        structures: outlines of organs and vessels.
        attention: the map as a tint.
        arterial: the arterial phase instead of the venous one, where there is one.
        focus: number of the node a picture is about, 0 for none.

    """

    findings: bool = True
    structures: bool = False
    attention: bool = False
    arterial: bool = False
    focus: int = 0


def draw(scene: Scene, frame: Frame, overlays: Overlays, title: str) -> Picture:
    """Draw one slice or a part of it."""
    geometry = scene.venous.geometry
    patch = patch_of(geometry, frame)
    empty = patch.is_empty
    ct = scene.arterial if overlays.arterial and scene.arterial is not None else scene.venous
    outlines: list[Outline] = []
    labels: list[Label] = []
    if not empty:
        if overlays.structures:
            outlines += _structure_outlines(scene, frame, patch)
        if overlays.findings:
            outlines += _tumor_outline(scene, frame, patch)
            node_outlines, labels = _node_outlines(scene, frame, patch, overlays.focus)
            outlines += node_outlines
        elif overlays.focus:
            outlines += _brackets(scene, frame, patch, overlays.focus)
    return Picture(
        frame=frame,
        title=title,
        ct=None if empty else ct_layer(_pixels(ct, frame, patch), patch),
        heat=_heat_layer(scene, frame, patch) if overlays.attention and not empty else None,
        outlines=tuple(outlines),
        labels=tuple(labels),
        marks=edge_marks(geometry, frame.plane),
    )


def visible_structures(scene: Scene, frame: Frame) -> frozenset[Structure]:
    """Return the structures that a frame shows."""
    numbers = np.unique(_pixels(scene.structures, frame, patch_of(scene.structures.geometry, frame)))
    return frozenset(Structure(int(number)) for number in numbers if number)


def gray_png(hu: AnyArray) -> bytes:
    """Return a CT slice (HU) as grey picture, `WINDOW` from black to white."""
    low, high = WINDOW
    scaled = (np.clip(_averaged(hu), low, high) - low) * (255.0 / (high - low))
    return encode_png(np.round(scaled).astype(np.uint8))


def ct_layer(hu: AnyArray, patch: Patch) -> Layer:
    """Return the pixels of a patch, HU, as a grey picture in its place."""
    return _layer(gray_png(hu), patch)


def heat_png(attention: AnyArray) -> bytes:
    """Return attention (0 to 1) as a coloured, partly transparent picture."""
    levels = np.round(np.clip(_averaged(attention), 0.0, 1.0) * HEAT_LEVELS).astype(np.uint8)
    return encode_png(levels, heat_palette())


@cache
def heat_palette() -> Bytes:
    """Return the colours of attention 0 to 1: (levels + 1, 4), red, green, blue, opacity."""
    share = np.linspace(0.0, 1.0, HEAT_LEVELS + 1)
    # The ends of the scale are left out: black and pale yellow cannot be told from the CT.
    colors = np.asarray(mpl.colormaps["inferno"](0.25 + 0.6 * share))
    colors[:, 3] = HEAT_OPACITY * share
    return np.round(255 * colors).astype(np.uint8)


def _pixels(volume: Volume, frame: Frame, patch: Patch) -> AnyArray:
    picture = slice_picture(volume.array, frame.plane, frame.index)
    return picture[slice(*patch.rows), slice(*patch.columns)]


def _step(shape: tuple[int, ...]) -> int:
    """Return how many pixels along each side become one, so that no side is longer than `LARGEST_SIDE`."""
    return -(-max(shape) // LARGEST_SIDE)


def _averaged(picture: AnyArray) -> AnyArray:
    """Average blocks of pixels of a large picture; incomplete blocks are filled up from the edge."""
    step = _step(picture.shape)
    if step == 1:
        return picture.astype(np.float32)
    padded = np.pad(picture, [(0, -size % step) for size in picture.shape], mode="edge")
    rows, columns = padded.shape
    blocks = padded.reshape(rows // step, step, columns // step, step)
    average: AnyArray = blocks.mean(axis=(1, 3), dtype=np.float32)
    return average


def _layer(png: bytes, patch: Patch) -> Layer:
    """Place a picture; its last blocks may reach beyond the patch."""
    left, top = patch.corner
    rows, columns = (stop - start for start, stop in (patch.rows, patch.columns))
    step = _step((rows, columns))
    high, wide = patch.spacing
    width, height = -(-columns // step) * step * wide, -(-rows // step) * step * high
    return Layer(uri=data_uri(png), left=left, top=top, width=width, height=height)


def _heat_layer(scene: Scene, frame: Frame, patch: Patch) -> Layer | None:
    attention = _pixels(scene.attention, frame, patch)
    return _layer(heat_png(attention), patch) if np.any(attention > 0) else None


def _structure_outlines(scene: Scene, frame: Frame, patch: Patch) -> list[Outline]:
    pixels = _pixels(scene.structures, frame, patch)
    return [
        Outline(
            path=outline_path(pixels == structure, patch),
            color=hex_color(STRUCTURE_COLORS[structure]),
            kind="structure",
            name=structure.title,
        )
        for structure in Structure
        if np.any(pixels == structure)
    ]


def _tumor_outline(scene: Scene, frame: Frame, patch: Patch) -> list[Outline]:
    path = outline_path(_pixels(scene.tumor, frame, patch) > 0, patch)
    return [Outline(path=path, color=hex_color(TUMOR_COLOR), kind="tumor", name="tumor")] if path else []


def _node_outlines(scene: Scene, frame: Frame, patch: Patch, focus: int) -> tuple[list[Outline], list[Label]]:
    """Draw every node a frame shows; the one in focus, if any, is drawn last and strongest."""
    pixels = _pixels(scene.instances, frame, patch)
    present = sorted((int(n) for n in np.unique(pixels) if n), key=lambda label: (label == focus, label))
    outlines, labels = [], []
    for label in present:
        mask = pixels == label
        strength = "" if focus in {0, label} else " beside"
        outline = _node_outline(scene, label, outline_path(mask, patch), strength)
        outlines.append(outline)
        rows, columns = np.nonzero(mask)
        high, wide = patch.spacing
        x = (patch.columns[0] + columns.max() + 1) * wide
        y = (patch.rows[0] + rows.min()) * high
        labels.append(Label(text=str(label), x=float(x), y=float(y), color=outline.color))
    return outlines, labels


def _brackets(scene: Scene, frame: Frame, patch: Patch, focus: int) -> list[Outline]:
    """Show where a node is without covering it; nothing where the frame does not show it."""
    mask: BoolArray = _pixels(scene.instances, frame, patch) == focus
    return [_node_outline(scene, focus, brackets_path(mask, patch), " brackets")] if mask.any() else []


def _node_outline(scene: Scene, label: int, path: str, strength: str) -> Outline:
    node = scene.nodes.get(label)
    node_class = None if node is None else node.node_class
    kind = "uncalled" if node_class is None else node_class.label
    name = f"node {label}" if node is None else f"node {label}, {called(node)}"
    return Outline(
        path=path, color=hex_color(node_color(node_class)), kind=f"node {kind}{strength}", name=name
    )
