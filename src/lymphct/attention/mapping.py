"""From structures to the attention map: Eq. 1 and Eq. 2 of the whole label map (Sec. III-A.1)."""

from typing import Final

import numpy as np

from lymphct.attention.bands import PAPER_BANDS, Bands
from lymphct.attention.canvas import Canvas
from lymphct.attention.kernel import find_boxes
from lymphct.attention.settings import AttentionSettings
from lymphct.core.arrays import AnyArray, LabelArray
from lymphct.core.errors import InputError
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume

DEFAULT_SETTINGS: Final = AttentionSettings()


def guided_by(structures: Volume, tumor: Volume | None) -> Volume:
    """Return the label map that guides the search for lymph nodes (Sec. III-A.1).

    The tumor counts as pancreas where it lies outside every structure, as in the authors' code (the paper is
    silent). Without a tumor mask the structures guide alone.

    Raises:
        GeometryMismatchError: the mask does not lie on the grid of the structures.

    """
    if tumor is None:
        return structures
    tumor.require_same_grid(structures, name="tumor mask", reference="structures")
    outside = (tumor.array != 0) & (structures.array == 0)
    labels: AnyArray = np.where(outside, structures.array.dtype.type(Structure.PANCREAS), structures.array)
    return structures.with_array(labels)


def structures_present(structures: Volume) -> tuple[Structure, ...]:
    """List the guiding structures that the label map holds."""
    boxes = find_boxes(_as_stored(structures)[0])
    return tuple(structure for structure in GUIDING_STRUCTURES if boxes[structure, 1])


def attention_map(
    structures: Volume, bands: Bands = PAPER_BANDS, settings: AttentionSettings = DEFAULT_SETTINGS
) -> Volume:
    """Say for every voxel how likely lymph nodes are there, by its distance from structures (Eq. 1, Eq. 2).

    An absent structure adds nothing. A structure without a band counts as background. Distances follow the
    convention of `lymphct.imaging.distance`.

    Args:
        structures: label map, numbers of `Structure`.
        bands: distance band of each structure that guides.
        settings: ramp width and what happens inside other organs.

    Returns:
        float32 in [0, 1] on the grid of the label map.

    Raises:
        InputError: the label map holds numbers that name no structure.

    """
    labels, axes = _as_stored(structures)
    boxes = find_boxes(labels)
    unknown = [number for number in range(len(Structure) + 1, 256) if boxes[number, 1]]
    if unknown:
        msg = f"the label map holds numbers that name no structure: {unknown}"
        raise InputError(msg, code="E_LABELS", cure="say how it is numbered, e.g. --labels totalsegmentator")
    spacing = structures.geometry.spacing
    canvas = Canvas(
        labels=labels,
        spacing=(spacing[axes[0]], spacing[axes[1]], spacing[axes[2]]),
        boxes=boxes,
        border=settings.border,
        attention=np.zeros(labels.shape, dtype=np.float32),
    )
    present = {structure: band for structure, band in bands.items() if boxes[structure, 1]}
    simple = {structure: band for structure, band in present.items() if canvas.is_simple(band)}
    canvas.paint_outside(simple)
    canvas.paint_inside(simple)
    canvas.paint_in_full({s: band for s, band in present.items() if s not in simple}, guiding=tuple(present))
    if settings.suppress_other_organs:
        canvas.clear([s for s in Structure if s not in GUIDING_STRUCTURES])
    return structures.with_array(canvas.attention.transpose(np.argsort(axes)))


def guiding_attention(
    structures: Volume,
    tumor: Volume | None,
    bands: Bands = PAPER_BANDS,
    settings: AttentionSettings = DEFAULT_SETTINGS,
) -> Volume:
    """Return the attention map (Eq. 1, Eq. 2) of structures and tumor together, see `guided_by`."""
    return attention_map(guided_by(structures, tumor), bands, settings)


def _as_stored(structures: Volume) -> tuple[LabelArray, tuple[int, ...]]:
    """Return uint8 labels with axes ordered as they lie in memory, and that order; copies only if it must."""
    labels = structures.array
    if labels.dtype != np.uint8:
        if labels.size and not (labels.min() >= 0 and labels.max() <= 255 and labels.dtype.kind in "iub"):
            msg = "a label map holds whole numbers from 0 to 19"
            raise InputError(msg, code="E_LABELS", cure="give a label map, not an image or a probability")
        labels = labels.astype(np.uint8)
    axes = tuple(int(axis) for axis in np.argsort([-stride for stride in labels.strides], kind="stable"))
    stored = np.ascontiguousarray(labels.transpose(axes))
    stored.flags.writeable = False  # one type for the compiler, whoever owns the array
    return stored, axes
