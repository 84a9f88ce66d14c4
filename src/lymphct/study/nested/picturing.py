"""The failures of a study in pictures: parts of venous slices with what is drawn and what was found.

Everything comes from what the first cascade of a test patient's fold kept (`study.nested.seen`) and from the
prepared images; no network runs again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import Index3
from lymphct.core.volume import Volume
from lymphct.report.studies.pictures import Drawing
from lymphct.report.studies.slices import Lines, Slice, axial_frame, slice_drawing
from lymphct.study.nested.examples import lit_lines, node_lines, tumor_lines
from lymphct.study.nested.gallery import Failure
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.plan import cascades_of
from lymphct.study.nested.seen import Seen, seen_by

SIDE: Final = 70.0
"""mm; side of a picture."""


@dataclass(frozen=True, slots=True)
class Pictured:
    """A failure with its picture; None where the study kept nothing to draw."""

    failure: Failure
    drawing: Drawing | None


def pictured(materials: Materials, variant: str, found: Sequence[Failure]) -> list[Pictured]:
    """Draw failures, each patient's one after the other; the order stays.

    Args:
        materials: of the study.
        variant: cascade that is shown.
        found: failures.

    """
    drawings: dict[int, Drawing | None] = {}
    for name in sorted({failure.patient for failure in found}):
        own = {place: failure for place, failure in enumerate(found) if failure.patient == name}
        cascade = cascades_of(materials.plan, next(iter(own.values())).fold, variant)[0]
        seen = seen_by(materials.artefacts, cascade, name)
        paint = None if seen is None else _painter(materials, name, seen)
        for place, failure in own.items():
            rank = 1 + sum(other.kind == failure.kind for other in found[:place])
            file = f"failures/{failure.kind.name}_{rank}"
            drawings[place] = None if paint is None else paint(file, failure)
    return [Pictured(failure, drawings[place]) for place, failure in enumerate(found)]


def _painter(materials: Materials, name: str, seen: Seen) -> Callable[[str, Failure], Drawing | None]:
    """Return what draws failures of one patient, whose images are read once."""
    patient = materials.patients[name]
    venous, drawn, tumor = patient.ct.venous, patient.nodes, tumor_lines(patient)
    lines = [
        lit_lines(seen.lit),
        *tumor,
        *([] if drawn is None else node_lines(drawn)),
        *node_lines(seen.nodes, is_found=True),
    ]

    def paint(file: str, failure: Failure) -> Drawing | None:
        nodes = drawn if failure.is_drawn else seen.nodes
        focus = None if nodes is None or not failure.node else (nodes.instances, failure.node)
        center = _middle(focus, tumor)
        if center is None:
            return None
        frame = axial_frame(venous, center, SIDE)
        part = Slice(venous=venous, frame=frame, lines=lines, focus=focus)
        return slice_drawing(file, f"{failure.kind.title}: {failure.caption}", part)

    return paint


def _middle(focus: tuple[Volume, int] | None, tumor: Sequence[Lines]) -> Index3 | None:
    """Return the middle of the slice with most of a node, else of the tumor; None where neither is there."""
    places = [focus] if focus is not None else []
    places += [(lines.image, lines.labels[0]) for lines in tumor]
    for image, label in places:
        mask = image.array == label
        if mask.any():
            index = int(np.argmax(np.count_nonzero(mask, axis=(0, 1))))
            across, down = np.nonzero(mask[:, :, index])
            return (int(across.min() + across.max()) // 2, int(down.min() + down.max()) // 2, index)
    return None
