"""Structures and kinds of segmentations are known by name, identifier or code, or refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.segmentations.segments import Segment, Segmentation, Terminology
from lymphct.patients.annotation.changes import structure_changes
from lymphct.patients.annotation.corrected import corrected_structures, shown_thing
from lymphct.patients.annotation.naming import structure_segment, tumor_segment

GRID = Geometry(shape=(4, 3, 2), spacing=(0.68, 0.68, 0.8))
SPLEEN = Terminology(
    category=("SCT", "123037004", "Anatomical Structure"), kind=("SCT", "78961009", "Spleen")
)


def layers(*places: tuple[int, int, int, int]) -> AnyArray:
    """Return layers with one voxel per place: layer of the place, i, j, k; its value counts up."""
    array = np.zeros((2, *GRID.shape), dtype=np.uint8)
    for value, place in enumerate(places, start=1):
        array[place] = value
    return array


def segment(name: str, value: int, *, layer: int = 0, terms: Terminology | None = None) -> Segment:
    return Segment(identifier=f"Segment_{value}", name=name, value=value, layer=layer, terminology=terms)


def test_structures_are_known_by_name_identifier_and_code() -> None:
    renamed = Segment(identifier="liver", name="my liver", value=3)
    drawn = Segmentation(
        geometry=GRID,
        layers=layers((0, 0, 0, 0), (0, 1, 0, 0), (0, 2, 0, 0)),
        segments=(segment("Left kidney", 1), segment("Segment_2", 2, terms=SPLEEN), renamed),
    )
    expected = np.zeros(GRID.shape, dtype=np.uint8)
    expected[:3, 0, 0] = Structure.LEFT_KIDNEY, Structure.SPLEEN, Structure.LIVER
    assert_array_equal(corrected_structures(drawn).array, expected)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ((segment("my mass", 1),), "'my mass' is none of the structures"),
        ((segment("aorta", 1), segment("Aorta", 2)), "'Aorta' is the aorta a second time"),
        ((segment("aorta", 1), segment("liver", 3, layer=1)), "aorta and liver share voxels"),
    ],
)
def test_structures_that_cannot_be_are_refused(segments: tuple[Segment, ...], message: str) -> None:
    drawn = Segmentation(
        geometry=GRID, layers=layers((0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0)), segments=segments
    )
    with pytest.raises(InputError, match=message):
        corrected_structures(drawn)


def test_a_segmentation_says_by_its_segments_what_it_shows() -> None:
    def drawn(*segments: Segment) -> Segmentation:
        return Segmentation(geometry=GRID, layers=layers(), segments=segments)

    assert shown_thing(drawn()) == "nodes"
    assert shown_thing(drawn(segment("Lymph node 3, predicted positive", 1))) == "nodes"
    assert shown_thing(drawn(segment("x", 1, terms=SPLEEN), segment("aorta", 2))) == "structures"
    assert shown_thing(drawn(tumor_segment())) == "tumor"
    with pytest.raises(InputError, match="the file holds nodes and structures"):
        shown_thing(drawn(structure_segment(Structure.AORTA), segment("positive", 2)))


def test_changes_of_structures_are_counted_by_voxel() -> None:
    before, after = np.zeros((2, *GRID.shape), dtype=np.uint8)
    before[0, 0, 0], before[1, 0, 0] = Structure.AORTA, Structure.LIVER
    after[0, 0, 0], after[2, 0, 0], after[3] = Structure.AORTA, Structure.AORTA, Structure.SPLEEN
    told = structure_changes(Volume(array=before, geometry=GRID), Volume(array=after, geometry=GRID))
    assert told == [
        {"mask": "structures", "structure": "spleen", "change": "added", "voxels_added": 6},
        {
            "mask": "structures",
            "structure": "aorta",
            "change": "shape",
            "voxels_added": 1,
            "voxels_removed": 0,
        },
        {"mask": "structures", "structure": "liver", "change": "removed", "voxels_removed": 1},
    ]
