"""May a path be the artery it is meant to be? Lengths, directions and blood; the limits are anatomy's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.anatomy.tracing.outcome import Artery
from lymphct.anatomy.tracing.routes import DIM
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.vessels import Centreline
from lymphct.core.arrays import DoubleArray
from lymphct.core.terms import Structure

Direction = Callable[[DoubleArray], bool]


@dataclass(frozen=True, slots=True)
class Expected:
    """What an artery must be like.

    Attributes:
        shortest: mm; not asked of one that is cut by the border of the image or followed in part.
        longest: mm.
        direction: whether the way from first to last point, LPS+ mm, leads where it must.
        heading: the same in words.

    """

    shortest: float
    longest: float
    direction: Direction
    heading: str


EXPECTED: Final[Mapping[Structure, Expected]] = {
    Structure.SUPERIOR_MESENTERIC_ARTERY: Expected(30, 260, lambda way: way[2] < 0, "down"),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: Expected(50, 350, lambda way: way[0] > 20, "to the left"),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: Expected(20, 160, lambda way: way[0] < -5, "to the right"),
    Structure.LEFT_GASTRIC_ARTERY: Expected(20, 160, lambda way: way[1] < 10, "forward"),
}
"""Coeliac trunk 10 to 40 mm, splenic artery 80 to 250, hepatic artery 40 to 80; an SMA is followed as far as
it is seen. The limits are wide: they find wrong paths, not rare patients."""


def judged(
    line: Centreline, structure: Structure, settings: TracingSettings, *, is_whole: bool = True
) -> Artery:
    """Return the artery with its confidence, or the reason why the path cannot be it.

    Confidence is √(share of the path that shows blood × its mean brightness), less up to a half for its
    longest gap, and half of that where the artery is known in part.

    Args:
        line: centre line.
        structure: what it is meant to be.
        settings: limits.
        is_whole: it was followed to the organ it leads to.

    """
    expected = EXPECTED[structure]
    length = line.length
    if length > expected.longest or (is_whole and length < expected.shortest):
        limits = f"{expected.shortest:g} to {expected.longest:g} mm expected"
        return Artery(note=f"the path is {length:.0f} mm long ({limits})")
    if is_whole and not expected.direction(line.points[-1] - line.points[0]):
        return Artery(note=f"the path does not lead {expected.heading}")
    seen = line.brightness >= DIM
    gap = longest_run(~seen) * length / max(len(seen) - 1, 1)
    if gap > settings.largest_gap:
        return Artery(
            note=f"no blood shows along {gap:.0f} mm of the path ({settings.largest_gap:g} allowed)"
        )
    trust = float(np.sqrt(seen.mean() * line.brightness.mean()))
    trust *= 1.0 - 0.5 * gap / max(settings.largest_gap, 1e-6)
    confidence = round(trust * (1.0 if is_whole else 0.5), 2)
    if confidence < settings.least_confidence:
        return Artery(note=f"confidence {confidence:g} ({settings.least_confidence:g} wanted)")
    return Artery(line=line, confidence=confidence)


def longest_run(flags: np.typing.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True.

    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    padded = np.concatenate(([0], flags.astype(np.int8), [0]))
    edges = np.flatnonzero(np.diff(padded))
    return int((edges[1::2] - edges[::2]).max(initial=0))
