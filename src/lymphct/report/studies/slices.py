"""Parts of axial slices with outlines, as papers print them: in rows, or each by itself (Fig. 4)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.volume import Volume
from lymphct.report.colors import CLASS_COLORS, TUMOR_COLOR, UNCALLED_COLOR, Color, hex_color
from lymphct.report.figures import WINDOW
from lymphct.report.planes import Frame, Patch, Plane, patch_of, slice_picture
from lymphct.report.studies.pictures import Drawing, figure_drawing

Look = Literal["solid", "dashed", "dotted"]
ATTENTION_COLOR: Final[Color] = (255, 214, 64)
"""Of the line around what the attention lights up."""
SIDE: Final = 2.3
"""Inches of a slice."""
BAR: Final = 20.0
"""mm of the scale bar."""
_FOCUS_MARGIN: Final = 4.0
"""mm between a lymph node and the corners around it."""
_DASHES: Final[dict[Look, tuple[float, Sequence[float]]]] = {
    "solid": (0, ()),
    "dashed": (0, (1.8, 0.9)),
    "dotted": (0, (1, 1.4)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Outlines of some labels of an image in one colour.

    Attributes:
        image: labels or a mask; its voxels may be larger than those of the CT, with the same voxel (0, 0, 0).
        labels: those outlined, each by itself.
        color: of the lines.
        look: solid lines are drawn by people, dashed ones found by networks.
        width: points.
        opacity: of the colour inside.

    """

    image: Volume
    labels: Sequence[int]
    color: Color
    look: Look = "solid"
    width: float = 1.3
    opacity: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """A part of an axial slice.

    Attributes:
        venous: HU, axes i → left, j → posterior, k → cranial.
        frame: what is shown of it.
        lines: drawn in their order.
        title: above it; may be empty.
        note: below it; likewise.
        row: what stands left of it; likewise.
        focus: image and label of the node between corners; None for none.

    """

    venous: Volume
    frame: Frame
    lines: Sequence[Lines]
    title: str = ""
    note: str = ""
    row: str = ""
    focus: tuple[Volume, int] | None = None


KEY: Final[tuple[tuple[str, Color, Look], ...]] = (
    *((f"{kind.label} lymph node", color, "solid") for kind, color in CLASS_COLORS.items()),
    ("drawn", UNCALLED_COLOR, "solid"),
    ("found", UNCALLED_COLOR, "dashed"),
    ("attention 0.5", ATTENTION_COLOR, "dotted"),
    ("tumor", TUMOR_COLOR, "solid"),
)
"""What colours and lines mean: text, colour, look."""


def axial_frame(volume: Volume, center: Index3, side: float) -> Frame:
    """Return a square of `side` mm around a voxel, moved into the slice where it fits."""
    geometry = volume.geometry
    middle = [(center[axis] + 0.5) * geometry.spacing[axis] for axis in (0, 1)]
    left, top = (
        min(max(place - side / 2, 0.0), max(geometry.size[axis] - side, 0.0))
        if geometry.size[axis] > side
        else (geometry.size[axis] - side) / 2
        for axis, place in enumerate(middle)
    )
    return Frame(plane=Plane.AXIAL, index=center[2], left=left, top=top, width=side, height=side)


def slices_drawing(name: str, caption: str, rows: Sequence[Sequence[Slice]]) -> Drawing:
    """Draw slices in rows of equal length, with the meaning of colours and lines beneath (Fig. 4).

    Args:
        name: of the files.
        caption: what they show.
        rows: of slices.

    """
    columns = max(map(len, rows))

    def paint(figure: Any) -> None:  # noqa: ANN401 - matplotlib has no types to speak of
        every = figure.subplots(len(rows), columns, squeeze=False)
        for line, axes_of_line in zip(rows, every, strict=True):
            for shown, axes in zip(line, axes_of_line, strict=True):
                _paint(axes, shown)
        handles = [
            Line2D([], [], color=_on_white(color), linestyle=_DASHES[look], lw=1.8, label=text)
            for text, color, look in KEY
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=8)

    size = (SIDE * columns + 0.4, (SIDE + 0.36) * len(rows) + 0.4)
    return figure_drawing(name, caption, paint, size, layout="constrained")


def slice_drawing(name: str, caption: str, shown: Slice) -> Drawing:
    """Draw one slice to its edges.

    Args:
        name: of the files.
        caption: what it shows.
        shown: the slice.

    """

    def paint(figure: Any) -> None:  # noqa: ANN401 - as above
        _paint(figure.add_axes((0, 0, 1, 1)), shown)

    return figure_drawing(name, caption, paint, (SIDE, SIDE), layout=None)


def _on_white(color: Color) -> str:
    """Return a colour for a key on white, where light grey cannot be seen."""
    return "#6b7683" if color == UNCALLED_COLOR else hex_color(color)


def _paint(axes: Any, shown: Slice) -> None:  # noqa: ANN401 - as above
    frame, geometry = shown.frame, shown.venous.geometry
    patch = patch_of(geometry, frame)
    axes.set_facecolor("black")
    if not patch.is_empty:
        left, top = patch.corner
        pixels = _pixels(shown.venous, patch, frame.index)
        extent = (
            left,
            left + pixels.shape[1] * patch.spacing[1],
            top + pixels.shape[0] * patch.spacing[0],
            top,
        )
        low, high = WINDOW
        axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    for lines in shown.lines:
        _outline(axes, lines, shown)
    if shown.focus is not None:
        _corners(axes, *shown.focus, frame)
    axes.set(xlim=(frame.left, frame.left + frame.width), ylim=(frame.top + frame.height, frame.top))
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)
    _bar(axes, frame)
    axes.set_title("\n".join(textwrap.wrap(shown.title, 28)), fontsize=9.5, pad=4)
    axes.set_xlabel(shown.note, fontsize=8, labelpad=3)
    axes.set_ylabel("\n".join(textwrap.wrap(shown.row, 40)), fontsize=8.5)


def _pixels(volume: Volume, patch: Patch, index: int) -> AnyArray:
    return slice_picture(volume.array, Plane.AXIAL, index)[slice(*patch.rows), slice(*patch.columns)]


def _outline(axes: Any, lines: Lines, shown: Slice) -> None:  # noqa: ANN401 - as above
    """Outline labels half-way between voxels inside and outside."""
    image, fine = lines.image, shown.venous.geometry
    spacing = image.geometry.spacing
    index = min(round(shown.frame.index * fine.spacing[2] / spacing[2]), image.geometry.shape[2] - 1)
    patch = patch_of(image.geometry, shown.frame, margin=2)
    if patch.is_empty:
        return
    pixels = _pixels(image, patch, index)
    # Centres of the first voxels coincide, whatever their sizes.
    across = np.arange(*patch.columns) * spacing[0] + fine.spacing[0] / 2
    down = np.arange(*patch.rows) * spacing[1] + fine.spacing[1] / 2
    for label in lines.labels:
        mask = np.pad((pixels == label).astype(np.float64), 1)
        if not mask.any():
            continue
        x, y = _longer(across, spacing[0]), _longer(down, spacing[1])
        color = hex_color(lines.color)
        if lines.opacity:
            axes.contourf(x, y, mask, levels=[0.5, 2.0], colors=[color], alpha=lines.opacity)
        axes.contour(
            x, y, mask, levels=[0.5], colors=[color], linewidths=lines.width,
            linestyles=[_DASHES[lines.look]],
        )  # fmt: skip


def _longer(places: AnyArray, step: float) -> AnyArray:
    """Return places with one more at each end: an outline that reaches the edge is closed there."""
    longer: AnyArray = np.concatenate([[places[0] - step], places, [places[-1] + step]])
    return longer


def _corners(axes: Any, image: Volume, label: int, frame: Frame) -> None:  # noqa: ANN401 - as above
    """Draw the corners of a box around a node in the slice, if it is there."""
    rows, columns = np.nonzero(slice_picture(image.array, Plane.AXIAL, frame.index) == label)
    if not rows.size:
        return
    wide, high, _ = image.geometry.spacing
    left, right = columns.min() * wide - _FOCUS_MARGIN, (columns.max() + 1) * wide + _FOCUS_MARGIN
    top, bottom = rows.min() * high - _FOCUS_MARGIN, (rows.max() + 1) * high + _FOCUS_MARGIN
    arm = min(right - left, bottom - top) / 4
    for x, across in ((left, arm), (right, -arm)):
        for y, down in ((top, arm), (bottom, -arm)):
            axes.plot([x, x, x + across], [y + down, y, y], color="white", lw=1.0)


def _bar(axes: Any, frame: Frame) -> None:  # noqa: ANN401 - as above
    right, low = frame.left + 0.95 * frame.width, frame.top + 0.95 * frame.height
    dark = [withStroke(linewidth=2.2, foreground="black")]  # bone is as white as the bar
    axes.plot([right - BAR, right], [low, low], color="white", lw=1.6, path_effects=dark)
    axes.text(
        right - BAR / 2, low - 0.015 * frame.height, f"{BAR / 10:g} cm", color="white", fontsize=6.5,
        ha="center", va="bottom", path_effects=dark,
    )  # fmt: skip
