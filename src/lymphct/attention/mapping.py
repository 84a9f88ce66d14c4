"""From structures to the attention map: Eq. 1 and Eq. 2 of the whole label map (Sec. III-A.1)."""

from typing import TYPE_CHECKING, Final

import numpy as np

from lymphct.attention.atlas import Atlas
from lymphct.attention.atlas_mapping import atlas_map
from lymphct.attention.bands import PAPER_BANDS, Bands, Shapes, Trapezium
from lymphct.attention.canvas import Canvas
from lymphct.attention.labels import StoredLabels
from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.trapezia import Trapezia
from lymphct.core.terms import GUIDING_STRUCTURES, OTHER_STRUCTURES, Structure
from lymphct.core.volume import Volume

if TYPE_CHECKING:
    from lymphct.core.arrays import AnyArray

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
    stored = StoredLabels.of(structures)
    return tuple(structure for structure in GUIDING_STRUCTURES if stored.has(structure))


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
    shapes = {structure: Trapezium(*band, settings.border) for structure, band in bands.items()}
    return shaped_map(structures, shapes, suppress=settings.suppress_other_organs)


def shaped_map(structures: Volume, shapes: Shapes, *, suppress: bool = False) -> Volume:
    """Return the attention map (Eq. 1, Eq. 2) of bands whose ramps may differ, as `attention_map`."""
    stored = StoredLabels.of(structures)
    stored.require_known()
    canvas = Canvas(
        labels=stored.labels,
        spacing=stored.spacing,
        boxes=stored.boxes,
        attention=np.zeros(stored.labels.shape, dtype=np.float32),
    )
    present = {structure: shape for structure, shape in shapes.items() if stored.has(structure)}
    simple = {structure: shape for structure, shape in present.items() if canvas.is_simple(shape)}
    canvas.paint_outside(simple)
    canvas.paint_inside(simple)
    canvas.paint_in_full(
        {s: shape for s, shape in present.items() if s not in simple}, guiding=tuple(present)
    )
    if suppress:
        canvas.clear(OTHER_STRUCTURES)
    return structures.with_array(stored.back(canvas.attention))


def prior_map(
    guiding: Volume,
    tumor: Volume | None,
    prior: Prior,
    settings: AttentionSettings = DEFAULT_SETTINGS,
) -> Volume:
    """Return the attention map of bands (Eq. 1, Eq. 2), or of what was fitted in their place.

    Args:
        guiding: label map as `guided_by` makes it, in which the tumor counts as pancreas.
        tumor: its mask, which an atlas measures distances to; None where there is none.
        prior: bands, atlas (decision 0057) or trapezia (decision 0062).
        settings: as `attention_map`.

    Raises:
        InputError, GeometryMismatchError: as `attention_map` and `guided_by`.

    """
    if isinstance(prior, Atlas):
        return atlas_map(guiding, tumor, prior, suppress=settings.suppress_other_organs)
    if isinstance(prior, Trapezia):
        return shaped_map(guiding, prior.shapes, suppress=settings.suppress_other_organs)
    return attention_map(guiding, prior, settings)


def guiding_attention(
    structures: Volume,
    tumor: Volume | None,
    prior: Prior = PAPER_BANDS,
    settings: AttentionSettings = DEFAULT_SETTINGS,
) -> Volume:
    """Return the attention map of structures and tumor together, see `guided_by` and `prior_map`."""
    return prior_map(guided_by(structures, tumor), tumor, prior, settings)
