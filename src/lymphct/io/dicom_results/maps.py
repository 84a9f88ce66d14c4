"""Maps of numbers as DICOM parametric maps on the frames of the CT."""

from typing import Final

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept

from lymphct.core.volume import Volume
from lymphct.io.dicom_results.concepts import ATTENTION, NO_UNITS, NODE_MAP
from lymphct.io.dicom_results.identity import USE, Identity

MAPS: Final[dict[str, tuple[CodedConcept, int]]] = {
    "attention": (ATTENTION, 4),
    "node_probability": (NODE_MAP, 5),
}
"""Maps a result may hold: file name → what the numbers are, place among the series."""


def parametric_map(name: str, values: Volume, identity: Identity) -> ParametricMap | None:
    """Return a map of numbers from 0 to 1 as they are, float32; None where all are 0.

    Frames above the first and below the last that hold anything are left out: nothing stands there.
    """
    stack = np.ascontiguousarray(values.array.transpose(2, 1, 0), dtype=np.float32)
    filled = np.flatnonzero(stack.any(axis=(1, 2)))
    if filled.size == 0:
        return None
    part = slice(int(filled[0]), int(filled[-1]) + 1)
    concept, number = MAPS[name]
    title = name.replace("_", " ")
    made = ParametricMap(
        source_images=identity.source.images(part),
        pixel_array=stack[part],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label=name[:16].upper(),
                lut_explanation=f"{title}: {USE}",
                unit=NO_UNITS,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
                quantity_definition=concept,
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label=name[:16].upper(),
        content_description=f"{title}: {USE}",
        series_description=f"{title} ({USE})",
        **identity.instance(name, number),
    )
    made.BodyPartExamined = "ABDOMEN"  # no paired part: this object says nothing of a side
    identity.settle(made, name, part)
    return made
