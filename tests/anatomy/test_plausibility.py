"""What no adult abdomen has is found, whatever the grid; phantoms and partial fields of view pass."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lymphct.anatomy.plausibility import (
    PLACES,
    PLAUSIBLE_VOLUMES,
    Place,
    Shape,
    Side,
    implausible,
    judged,
    looks_like_ours,
    looks_like_totalsegmentator,
    looks_mirrored,
    measured,
)
from lymphct.core.arrays import AnyArray, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

C, S = math.cos(0.3), math.sin(0.3)
GRID = Geometry(
    shape=(40, 50, 30),
    spacing=(2.0, 1.5, 4.0),
    origin=(12.0, -40.0, 7.0),
    direction=((C, -S, 0.0), (S, C, 0.0), (0.0, 0.0, 1.0)),
)


def empty() -> AnyArray:
    return np.zeros(GRID.shape, dtype=np.uint8)


def texts(labels: AnyArray, grid: Geometry = GRID) -> list[str]:
    return [finding.text for finding in implausible(Volume(array=labels, geometry=grid))]


def typical() -> dict[Structure, Shape]:
    """Shapes of an ordinary adult, mm from the celiac trunk, LPS+."""
    centers: dict[Structure, Vector3] = {
        Structure.SPLEEN: (105, 35, 30),
        Structure.ESOPHAGUS: (10, 10, 70),
        Structure.STOMACH: (45, -40, 20),
        Structure.AORTA: (10, 20, -20),
        Structure.PANCREAS: (20, -15, -15),
        Structure.DUODENUM: (-30, -15, -50),
        Structure.LIVER: (-75, -10, 30),
        Structure.RIGHT_KIDNEY: (-65, 45, -50),
        Structure.LEFT_KIDNEY: (65, 50, -40),
        Structure.GALLBLADDER: (-65, -45, -20),
        Structure.INFERIOR_VENA_CAVA: (-20, 10, -20),
        Structure.RIGHT_ADRENAL: (-30, 25, 15),
        Structure.LEFT_ADRENAL: (40, 25, 10),
    }
    volumes = {
        Structure.SPLEEN: 200, Structure.ESOPHAGUS: 15, Structure.STOMACH: 300, Structure.AORTA: 80,
        Structure.PANCREAS: 75, Structure.DUODENUM: 70, Structure.LIVER: 1500, Structure.RIGHT_KIDNEY: 170,
        Structure.LEFT_KIDNEY: 170, Structure.GALLBLADDER: 30, Structure.INFERIOR_VENA_CAVA: 60,
        Structure.RIGHT_ADRENAL: 4, Structure.LEFT_ADRENAL: 4,
    }  # fmt: skip
    return {
        structure: Shape(
            volume=float(volumes[structure]), center=center, is_cut=False, length=150.0, diameter=22.0
        )
        for structure, center in centers.items()
    }


def test_shapes_are_measured_in_the_space_of_the_patient() -> None:
    labels = empty()
    labels[10:20, 20:30, 5:15] = Structure.AORTA
    shape = measured(Volume(array=labels, geometry=GRID))[Structure.AORTA]
    assert shape.volume == pytest.approx(1000 * 12 / 1000)
    assert shape.center == pytest.approx(GRID.world((14.5, 24.5, 9.5)).tolist())
    assert shape.length == pytest.approx(40.0)
    assert shape.diameter == pytest.approx(2 * math.sqrt(20 * 15 / math.pi))
    assert not shape.is_cut


def test_the_axes_of_the_file_do_not_matter() -> None:
    labels = empty()
    labels[10:20, 20:30, 5:15] = Structure.AORTA
    turned = Geometry(
        shape=(30, 50, 40), spacing=(4.0, 1.5, 2.0), direction=((0, 0, 1), (0, 1, 0), (1, 0, 0))
    )
    one = measured(Volume(array=labels, geometry=GRID))[Structure.AORTA]
    other = measured(Volume(array=labels.transpose(2, 1, 0), geometry=turned))[Structure.AORTA]
    assert (other.length, other.diameter, other.volume) == pytest.approx(
        (one.length, one.diameter, one.volume)
    )


def test_a_map_without_structures_has_nothing_to_judge() -> None:
    assert texts(empty()) == []


def test_an_organ_too_small_or_too_large_is_found_with_its_volume() -> None:
    labels = empty()
    labels[5:20, 5:20, 5:20] = Structure.LIVER  # 3375 voxels of 12 mm³
    assert texts(labels) == ["the liver has 40 ml (200 to 10000 expected)"]
    labels = empty()
    labels[:, :, 1:29] = Structure.PANCREAS
    assert texts(labels) == ["the pancreas has 672 ml (3 to 500 expected)"]


def test_an_organ_cut_by_the_border_is_not_judged_by_its_lower_limit() -> None:
    labels = empty()
    labels[5:20, 5:20, 0:15] = Structure.LIVER
    assert texts(labels) == []
    cut = {Structure.PANCREAS: replace(typical()[Structure.PANCREAS], volume=900.0, is_cut=True)}
    assert [finding.text for finding in judged(cut)] == ["the pancreas has 900 ml (3 to 500 expected)"]


def test_an_aorta_that_is_no_tube_is_found() -> None:
    labels = empty()
    labels[10:30, 10:36, 10:20] = Structure.AORTA
    assert texts(labels) == ["the aorta is no tube: 40 mm long and 45 mm wide"]
    labels[...] = 0
    labels[10:30, 10:36, 20:30] = Structure.AORTA  # goes on beyond the image
    assert texts(labels) == []


@pytest.mark.parametrize(
    ("diameter", "is_cut", "expected"), [(3.0, False, 1), (3.0, True, 0), (130.0, True, 1)]
)
def test_an_aorta_too_thin_or_too_thick_is_found(diameter: float, is_cut: bool, expected: int) -> None:  # noqa: FBT001
    shape = replace(typical()[Structure.AORTA], diameter=diameter, length=500.0, is_cut=is_cut)
    found = judged({Structure.AORTA: shape})
    assert len(found) == expected
    assert all(f"the aorta is {diameter:.0f} mm wide" in finding.text for finding in found)


def test_an_ordinary_adult_passes() -> None:
    assert judged(typical()) == ()


@pytest.mark.parametrize("place", PLACES, ids=lambda p: f"{p.one.label}-{p.side.name}-{p.other.label}")
def test_every_place_is_judged(place: Place) -> None:
    axis, sign = place.side.value
    shapes = {structure: typical()[structure] for structure in (place.one, place.other)}
    assert judged(shapes) == ()

    def moved(beyond: float) -> dict[Structure, Shape]:
        center = np.array(shapes[place.other].center)
        center[axis] -= sign * (place.slack + beyond)
        x, y, z = center.tolist()
        return {**shapes, place.one: replace(shapes[place.one], center=(x, y, z))}

    (finding,) = judged(moved(1.0))
    assert finding.structures == (place.one, place.other)
    assert f"does not lie {place.side.phrase} the {place.other.title}" in finding.text
    assert judged(moved(-1.0)) == ()


def test_sides_have_words() -> None:
    assert {side.phrase for side in Side} == {"to the right of", "behind", "above"}


def test_every_structure_has_a_range() -> None:
    assert set(PLAUSIBLE_VOLUMES) == set(Structure)
    assert all(low < high for low, high in PLAUSIBLE_VOLUMES.values())


def test_left_and_right_exchanged_are_told_from_other_mistakes() -> None:
    mirrored = {s: replace(x, center=(-x.center[0], *x.center[1:])) for s, x in typical().items()}
    assert looks_mirrored(mirrored)
    assert not looks_mirrored(typical())
    assert not looks_mirrored({**mirrored, Structure.LIVER: replace(mirrored[Structure.LIVER], volume=40.0)})


def test_the_numbers_of_totalsegmentator_are_recognised_and_ours() -> None:
    theirs = {structure: number for number, structure in TOTALSEGMENTATOR_LABELS.items()}
    read_as_ours = {Structure(theirs[s]): x for s, x in typical().items() if theirs[s] <= len(Structure)}
    assert judged(read_as_ours)
    assert looks_like_totalsegmentator(read_as_ours)
    assert not looks_like_totalsegmentator(typical())
    read_as_theirs = {
        TOTALSEGMENTATOR_LABELS[int(s)]: x for s, x in typical().items() if int(s) in TOTALSEGMENTATOR_LABELS
    }
    assert judged(read_as_theirs)
    assert looks_like_ours(read_as_theirs)
    assert not looks_like_ours(typical())


@pytest.mark.parametrize(
    "size", ["nano", "tiny", *(pytest.param(size, marks=pytest.mark.slow) for size in ("tall", "small"))]
)
def test_phantoms_pass_and_do_not_when_mirrored(size: str) -> None:
    for index in range(4 if size == "nano" else 1):
        structures = generate_patient(PhantomSettings(size=size), seed=index, index=index).structures
        assert implausible(structures) == ()
        mirrored = structures.with_array(structures.array[::-1])
        assert looks_mirrored(measured(mirrored))
        for part in range(3):  # a field of view that ends within the organs
            slices = structures.geometry.shape[2] // 3
            shape = (*structures.geometry.shape[:2], slices)
            assert implausible(crop_volume(structures, (0, 0, part * slices), shape)) == ()
