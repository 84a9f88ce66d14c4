"""Can a label map be what it says? Volumes, places and shapes that no adult abdomen has (no torch).

A map whose numbers are read by the wrong table, or whose left and right are exchanged, gives an attention
map and a score that look right. The limits here are wide: they are there to find maps that are wrong, not
patients who are ill. What is cut off by the border of the image is not judged by its lower limit (decision
0030).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, Structure
from lymphct.core.volume import Volume


class VolumeRange(NamedTuple):
    """Smallest and largest volume, ml, of the structure; the smallest counts for whole ones only."""

    low: float
    high: float


PLAUSIBLE_VOLUMES: Final[Mapping[Structure, VolumeRange]] = {
    Structure.SPLEEN: VolumeRange(10, 5000),
    Structure.ESOPHAGUS: VolumeRange(0.5, 250),
    Structure.STOMACH: VolumeRange(10, 6000),
    Structure.AORTA: VolumeRange(3, 1500),
    Structure.PANCREAS: VolumeRange(3, 500),
    Structure.DUODENUM: VolumeRange(3, 600),
    Structure.SUPERIOR_MESENTERIC_ARTERY: VolumeRange(0, 80),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: VolumeRange(0, 80),
    Structure.LEFT_GASTRIC_ARTERY: VolumeRange(0, 30),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: VolumeRange(0, 40),
    Structure.LIVER: VolumeRange(200, 10_000),
    Structure.RIGHT_KIDNEY: VolumeRange(10, 4000),
    Structure.LEFT_KIDNEY: VolumeRange(10, 4000),
    Structure.GALLBLADDER: VolumeRange(0.2, 1000),
    Structure.INFERIOR_VENA_CAVA: VolumeRange(2, 500),
    Structure.PORTAL_AND_SPLENIC_VEIN: VolumeRange(0.5, 250),
    Structure.SUPERIOR_MESENTERIC_VEIN: VolumeRange(0, 120),
    Structure.RIGHT_ADRENAL: VolumeRange(0.1, 500),
    Structure.LEFT_ADRENAL: VolumeRange(0.1, 500),
}
"""Volumes in ml. Means of adults on CT: liver 1411 (women) and 1710 (men), spleen 180 and 238, pancreas 64
and 87, kidney 157 and 193, adrenal from 4.4 on (Geraghty et al. 2004); spleen 198 ± 88 (Caglar et al. 2014);
pancreas 72 ± 26 (Saisho et al. 2007), 19 to 140 (Kipp et al. 2019); adrenal 2.6 to 6.6 (Wang et al. 2012);
gallbladder 28 ± 12, in obese women 43 ± 18 (Sari et al. 2003). The limits leave room for remnants after
surgery and for enlarged organs; those of vessels and gut are our choice (decision 0030)."""

AORTA_DIAMETER: Final = (5.0, 120.0)
"""Median diameter of the aorta across its slices, mm; 19.0 ± 2.3 above the renal arteries in men (Jasper et
al. 2014), beyond 55 an aneurysm is operated on. Our choice (decision 0030)."""
AORTA_ELONGATION: Final = 1.5
"""A whole aorta is at least so many diameters long. Our choice (decision 0030)."""


class Side(Enum):
    """Directions of the patient: axis of LPS+ space and sign of the way there."""

    RIGHT = (0, -1)
    BEHIND = (1, 1)
    ABOVE = (2, 1)

    @property
    def phrase(self) -> str:
        """Return the words between two structures."""
        return {Side.RIGHT: "to the right of", Side.BEHIND: "behind", Side.ABOVE: "above"}[self]


class Place(NamedTuple):
    """One structure lies on that side of another: its center does, or misses it by less than `slack` mm."""

    one: Structure
    side: Side
    other: Structure
    slack: float = 0.0


_RIGHT_OF_SPLEEN: Final = (
    Structure.LIVER,
    Structure.GALLBLADDER,
    Structure.INFERIOR_VENA_CAVA,
    Structure.DUODENUM,
    Structure.PANCREAS,
    Structure.AORTA,
)

PLACES: Final = (
    *(Place(one, Side.RIGHT, Structure.SPLEEN) for one in _RIGHT_OF_SPLEEN),
    Place(Structure.RIGHT_KIDNEY, Side.RIGHT, Structure.LEFT_KIDNEY),
    Place(Structure.RIGHT_ADRENAL, Side.RIGHT, Structure.LEFT_ADRENAL),
    Place(Structure.LIVER, Side.RIGHT, Structure.STOMACH),
    Place(Structure.RIGHT_KIDNEY, Side.RIGHT, Structure.AORTA, slack=20.0),
    Place(Structure.AORTA, Side.RIGHT, Structure.LEFT_KIDNEY, slack=20.0),
    Place(Structure.RIGHT_KIDNEY, Side.BEHIND, Structure.GALLBLADDER),
    Place(Structure.RIGHT_KIDNEY, Side.BEHIND, Structure.PANCREAS, slack=20.0),
    Place(Structure.LEFT_KIDNEY, Side.BEHIND, Structure.PANCREAS, slack=20.0),
    Place(Structure.AORTA, Side.BEHIND, Structure.PANCREAS, slack=20.0),
    Place(Structure.ESOPHAGUS, Side.ABOVE, Structure.DUODENUM),
    Place(Structure.ESOPHAGUS, Side.ABOVE, Structure.PANCREAS),
    Place(Structure.RIGHT_ADRENAL, Side.ABOVE, Structure.RIGHT_KIDNEY, slack=20.0),
    Place(Structure.LEFT_ADRENAL, Side.ABOVE, Structure.LEFT_KIDNEY, slack=20.0),
)
"""Where structures lie towards one another; the slack lets parts of organs at the border of an image pass.
Mirrored organs are found in 1 of 10,000 people (Eitler et al. 2022) and look like a mirrored image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is measured of one structure.

    Attributes:
        volume: ml.
        center: LPS+ position of the centroid, mm.
        is_cut: it reaches the border of the image.
        length: extent along the axis closest to the body's, mm.
        diameter: median over its slices of the diameter of a circle of equal area, mm.

    """

    volume: float
    center: Vector3
    is_cut: bool
    length: float
    diameter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that cannot be.

    Attributes:
        structures: whom it concerns.
        text: what was measured and what is expected.

    """

    structures: tuple[Structure, ...]
    text: str


def implausible(labels: Volume) -> tuple[Finding, ...]:
    """Return what cannot be in a label map (numbers of `Structure`); nothing when it may be right.

    >>> labels = np.zeros((60, 60, 60), dtype=np.uint8)
    >>> labels[20:40, 20:40, 20:30] = Structure.LIVER
    >>> geometry = Geometry(shape=(60, 60, 60), spacing=(2.0, 2.0, 2.5))
    >>> [finding.text for finding in implausible(Volume(array=labels, geometry=geometry))]
    ['the liver has 40 ml (200 to 10000 expected)']
    """
    return judged(measured(labels))


def measured(labels: Volume) -> dict[Structure, Shape]:
    """Measure every structure of a label map."""
    known = {int(structure): structure for structure in Structure}
    boxes = enumerate(ndimage.find_objects(labels.array, max_label=max(known)), start=1)
    return {
        known[number]: _shape(labels.array[box] == number, box, labels.geometry)
        for number, box in boxes
        if box is not None
    }


def _shape(mask: BoolArray, box: tuple[slice, ...], geometry: Geometry) -> Shape:
    profiles = [np.count_nonzero(mask, axis=_others(axis)) for axis in range(3)]
    voxels = int(profiles[0].sum())
    index = [
        part.start + float(np.dot(np.arange(len(profile)), profile)) / voxels
        for part, profile in zip(box, profiles, strict=True)
    ]
    x, y, z = geometry.world(index).tolist()
    along = int(np.argmax(np.abs(np.asarray(geometry.direction)[2])))
    slices = profiles[along][profiles[along] > 0]
    area = float(np.median(slices)) * geometry.voxel_volume / geometry.spacing[along]
    return Shape(
        volume=voxels * geometry.voxel_volume / 1000.0,
        center=(x, y, z),
        is_cut=any(p.start == 0 or p.stop == n for p, n in zip(box, geometry.shape, strict=True)),
        length=len(profiles[along]) * geometry.spacing[along],
        diameter=2.0 * float(np.sqrt(area / np.pi)),
    )


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def judged(shapes: Mapping[Structure, Shape]) -> tuple[Finding, ...]:
    """Return what cannot be, in the order: volumes, the shape of the aorta, places."""
    volumes = (_volume_finding(structure, shape) for structure, shape in shapes.items())
    places = (_place_finding(place, shapes) for place in PLACES)
    found: Iterable[Finding | None] = chain(volumes, (_aorta_finding(shapes),), places)
    return tuple(finding for finding in found if finding is not None)


def _volume_finding(structure: Structure, shape: Shape) -> Finding | None:
    low, high = PLAUSIBLE_VOLUMES[structure]
    if shape.volume <= high and (shape.volume >= low or shape.is_cut):
        return None
    measured_ml = f"{shape.volume:.0f}" if shape.volume >= 10 else f"{shape.volume:.2g}"
    text = f"the {structure.title} has {measured_ml} ml ({low:g} to {high:g} expected)"
    return Finding(structures=(structure,), text=text)


def _aorta_finding(shapes: Mapping[Structure, Shape]) -> Finding | None:
    shape = shapes.get(Structure.AORTA)
    if shape is None:
        return None
    thin, thick = AORTA_DIAMETER
    if not thin <= shape.diameter <= thick:
        if shape.is_cut and shape.diameter < thin:
            return None
        text = f"the aorta is {shape.diameter:.0f} mm wide ({thin:g} to {thick:g} expected)"
    elif not shape.is_cut and shape.length < AORTA_ELONGATION * shape.diameter:
        text = f"the aorta is no tube: {shape.length:.0f} mm long and {shape.diameter:.0f} mm wide"
    else:
        return None
    return Finding(structures=(Structure.AORTA,), text=text)


def _place_finding(place: Place, shapes: Mapping[Structure, Shape]) -> Finding | None:
    if place.one not in shapes or place.other not in shapes:
        return None
    axis, sign = place.side.value
    ahead = sign * (shapes[place.one].center[axis] - shapes[place.other].center[axis])
    if ahead >= -place.slack:
        return None
    text = f"the {place.one.title} does not lie {place.side.phrase} the {place.other.title}"
    return Finding(structures=(place.one, place.other), text=f"{text} ({-ahead:.0f} mm to the other side)")


def looks_mirrored(shapes: Mapping[Structure, Shape]) -> bool:
    """Tell whether a map that cannot be would do with left and right exchanged."""
    mirrored = {
        structure: Shape(
            volume=shape.volume,
            center=(-shape.center[0], shape.center[1], shape.center[2]),
            is_cut=shape.is_cut,
            length=shape.length,
            diameter=shape.diameter,
        )
        for structure, shape in shapes.items()
    }
    return bool(judged(shapes)) and not judged(mirrored)


def looks_like_totalsegmentator(shapes: Mapping[Structure, Shape]) -> bool:
    """Tell whether a map read by our numbers cannot be, and can be by those of TotalSegmentator."""
    return _would_do(shapes, TOTALSEGMENTATOR_LABELS)


def looks_like_ours(shapes: Mapping[Structure, Shape]) -> bool:
    """Tell whether a map read by TotalSegmentator's numbers cannot be, and can be by ours."""
    numbers = {structure: number for number, structure in TOTALSEGMENTATOR_LABELS.items()}
    known = {int(structure): structure for structure in Structure}
    return _would_do(shapes, {int(s): known[n] for s, n in numbers.items() if n in known})


def _would_do(shapes: Mapping[Structure, Shape], meaning: Mapping[int, Structure]) -> bool:
    """Tell whether the shapes cannot be as they are named, and can be by another meaning of their numbers."""
    renamed = {meaning[int(number)]: shape for number, shape in shapes.items() if int(number) in meaning}
    return bool(judged(shapes)) and bool(renamed) and not judged(renamed)
