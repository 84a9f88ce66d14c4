"""Both phases at one place: a curtain between them, and checkerboards that show how they lie together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lymphct.core.arrays import AnyArray
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample
from lymphct.report.figures import Layer, Overlays, Picture, Scene, ct_layer, draw
from lymphct.report.planes import Frame, Patch, patch_of, slice_picture

AIR: Final = -1024.0
"""HU outside the field of view of the arterial phase."""
FIELDS_ACROSS: Final = 12
"""Fields of a checkerboard side by side, about: organs span several, and each shows an edge or two."""
FIELD_STEP: Final = 5.0
"""mm; fields have whole multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """A slice of the overview in both phases, all in mm of the slice.

    Attributes:
        picture: the slice as the overview shows it, venous.
        arterial: the phase as the networks saw it.
        before: the phase at the scanner's coordinates, before registration; None where it was not moved.
        field: side of a field of the checkerboard, mm.
        fields: SVG path data of the arterial fields; the upper left one is venous.

    """

    picture: Picture
    arterial: Layer
    before: Layer | None
    field: float
    fields: str

    @property
    def title(self) -> str:
        """Return plane and place of the slice."""
        return self.picture.title.rpartition(":")[0]


def phases_of(scene: Scene, slices: Sequence[Picture], as_acquired: Volume | None) -> tuple[Phases, ...]:
    """Show slices in both phases; nothing without an arterial phase.

    Args:
        scene: the patient, the arterial phase as the networks saw it.
        slices: pictures of the venous phase.
        as_acquired: the arterial phase on its own grid, where it was moved by a registration.

    """
    if scene.arterial is None:
        return ()
    shown = []
    for picture in slices:
        frame = picture.frame
        arterial = draw(scene, frame, Overlays(findings=False, arterial=True), "").ct
        if arterial is None:
            continue
        field = field_side(frame)
        before = None if as_acquired is None else _before(scene, frame, as_acquired)
        shown.append(
            Phases(
                picture=picture,
                arterial=arterial,
                before=before,
                field=field,
                fields=checkerboard(frame, field),
            )
        )
    return tuple(shown)


def field_side(frame: Frame) -> float:
    """Return the side of the fields of a frame's checkerboard, mm.

    >>> from lymphct.report.planes import Frame, Plane
    >>> field_side(Frame(plane=Plane.AXIAL, index=0, left=0.0, top=0.0, width=372.0, height=250.0))
    30.0
    """
    steps = round(frame.width / FIELDS_ACROSS / FIELD_STEP)
    return FIELD_STEP * max(steps, 1)


def checkerboard(frame: Frame, side: float) -> str:
    """Return every other field of a frame as SVG path data, mm; the upper left one is left out.

    >>> from lymphct.report.planes import Frame, Plane
    >>> checkerboard(Frame(plane=Plane.AXIAL, index=0, left=1.0, top=2.0, width=20.0, height=11.0), 10.0)
    'M11 2h10v10h-10zM1 12h10v10h-10z'
    """
    rows, columns = (int(-(-size // side)) for size in (frame.height, frame.width))
    return "".join(
        f"M{frame.left + side * column:.6g} {frame.top + side * row:.6g}h{side:.6g}v{side:.6g}h-{side:.6g}z"
        for row in range(rows)
        for column in range(columns)
        if (row + column) % 2
    )


def _before(scene: Scene, frame: Frame, acquired: Volume) -> Layer:
    """Draw the arterial phase where the scanner put it: one slice is read, not the volume."""
    patch = patch_of(scene.venous.geometry, frame)
    return ct_layer(_slice_of(acquired, scene, frame, patch), patch)


def _slice_of(volume: Volume, scene: Scene, frame: Frame, patch: Patch) -> AnyArray:
    """Read a volume at the pixels of a slice of the venous phase: (rows, columns)."""
    geometry, plane = scene.venous.geometry, frame.plane
    first, last = patch.rows
    if plane.is_upward:
        first, last = geometry.shape[plane.down] - last, geometry.shape[plane.down] - first
    start, size = [0, 0, 0], [1, 1, 1]
    start[plane.normal] = frame.index
    start[plane.down], size[plane.down] = first, last - first
    start[plane.across], size[plane.across] = patch.columns[0], patch.columns[1] - patch.columns[0]
    grid = geometry.cropped((start[0], start[1], start[2]), (size[0], size[1], size[2]))
    return slice_picture(resample(volume, grid, fill=AIR).array, plane, 0)
