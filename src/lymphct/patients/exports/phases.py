"""Which phase a series is: what its tags say, and, decisively, what contrast agent did in it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lymphct.io.images.dicom.choice import phase_by_words
from lymphct.io.images.enhancement import LEAST_AORTA
from lymphct.io.images.vessels import Contrast
from lymphct.patients.exports.grouping import Series

ARTERIAL_AORTA: Final = 180.0
"""HU of the aorta in an arterial phase, at least."""
ARTERIAL_GAIN: Final = 110.0
"""HU by which the aorta is brighter than the liver in an arterial phase, at least; between it and
`VENOUS_GAIN` nothing is said."""
VENOUS_GAIN: Final = 90.0
"""The same in a venous phase, at most."""
VENOUS_LIVER: Final = 80.0
"""HU of the liver in a venous phase, at least; without contrast agent it has 40 to 65."""
CLEARLY_ARTERIAL: Final = 250.0
"""HU of the aorta that no venous phase has, where the liver was not found."""

_DELAYS: Final = (
    (0.0, 8.0, "native"),
    (15.0, 50.0, "arterial"),
    (55.0, 110.0, "venous"),
    (150.0, 1800.0, "late"),
)
"""Seconds from the beginning of the injection to the scan, and the phase; between them nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A series and what is thought of it.

    Attributes:
        series: the series.
        reason: why it cannot be used; empty when it can.
        is_lost: whether it might be a phase, if it could be read.
        look: what the process that looked at it returned; None when nobody looked.
        by_tags: the phase its tags name: arterial, venous, late, native, or none.
        by_contrast: the phase its HU show: arterial, venous, native, or none.
        phase: what both give together; without HU that say so it is only a proposal.
        doubts: why it is no more than a proposal.

    """

    series: Series
    reason: str = ""
    is_lost: bool = False
    look: Mapping[str, Any] | None = None
    by_tags: str = ""
    by_contrast: str = ""
    phase: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def contrast(self) -> Contrast:
        """Return the HU that were measured."""
        if self.look is None:
            return Contrast(aorta=None, liver=None, kidney=None, slices=0)
        return Contrast(**self.look["contrast"])

    @property
    def step(self) -> float:
        """Return the distance of its slices, mm; infinite when nobody looked."""
        return math.inf if self.look is None else float(self.look["spacing"][2])

    @property
    def reach(self) -> tuple[float, float]:
        """Return its lowest and highest place along the body, mm."""
        if self.look is None:
            return 0.0, 0.0
        low, high = self.look["range"]
        return float(low), float(high)


def judged(series: Series, look: Mapping[str, Any]) -> Judged:
    """Say which phase a series is, and what makes that doubtful."""
    contrast = Contrast(**look["contrast"])
    by_words, by_delay = phase_by_words(series.tags.description), phase_by_delay(series.delay)
    by_agent = phase_by_words(series.tags.agent)
    by_tags, by_contrast = by_words or by_agent or by_delay, phase_by_contrast(contrast)
    doubts = list(series.doubts)
    if by_words and by_agent and by_words != by_agent:
        doubts.append(f"its description says {by_words}, its frames {by_agent}")
    phase = by_contrast or by_tags
    if by_contrast == "venous" and by_tags == "late":
        phase = "late"  # HU do not tell the two apart; whoever planned the scan does
    elif by_contrast and by_tags and by_contrast != by_tags:
        doubts.append(f"its tags say {by_tags}, its HU {by_contrast} ({shown(contrast)})")
    elif not by_contrast:
        doubts.append(f"its HU show no phase clearly ({shown(contrast)})")
    if by_words and by_delay and by_words not in {by_delay, by_contrast}:
        doubts.append(f"its description says {by_words}, its time after the injection {by_delay}")
    return Judged(
        series=series,
        look=look,
        by_tags=by_tags,
        by_contrast=by_contrast,
        phase=phase,
        doubts=tuple(doubts),
    )


def refused(series: Series, reason: str, *, is_lost: bool) -> Judged:
    """Return a series that cannot be used, with what its tags say; `is_lost`: it may be a phase."""
    by_words = phase_by_words(series.tags.description) or phase_by_words(series.tags.agent)
    return Judged(
        series=series, reason=reason, is_lost=is_lost, by_tags=by_words or phase_by_delay(series.delay)
    )


def phase_by_delay(seconds: float) -> str:
    """Return the phase that a time after the beginning of the injection means; none between two.

    >>> phase_by_delay(35.0), phase_by_delay(70.0), phase_by_delay(52.0)
    ('arterial', 'venous', '')
    """
    return next((phase for low, high, phase in _DELAYS if low <= seconds <= high), "")


def phase_by_contrast(contrast: Contrast) -> str:
    """Return the phase that HU show: arterial, venous (or later), native; none when they are between.

    >>> phase_by_contrast(Contrast(aorta=310, liver=70, kidney=150, slices=20))
    'arterial'
    >>> phase_by_contrast(Contrast(aorta=160, liver=110, kidney=180, slices=20))
    'venous'
    """
    aorta, liver = contrast.aorta, contrast.liver
    if aorta is None:
        return ""
    if aorta < LEAST_AORTA:
        # Kidneys keep contrast agent longest: bright ones say that something else was taken for the aorta.
        return "" if (contrast.kidney or 0) > 2 * LEAST_AORTA else "native"
    if liver is None:
        return "arterial" if aorta >= CLEARLY_ARTERIAL else ""
    if aorta >= ARTERIAL_AORTA and aorta - liver >= ARTERIAL_GAIN:
        return "arterial"
    return "venous" if liver >= VENOUS_LIVER and aorta - liver <= VENOUS_GAIN else ""


def shown(contrast: Contrast) -> str:
    """Return HU for a table.

    >>> shown(Contrast(aorta=310, liver=70, kidney=None, slices=20))
    'aorta 310, liver 70, kidney not found'
    """
    named = (("aorta", contrast.aorta), ("liver", contrast.liver), ("kidney", contrast.kidney))
    return ", ".join(f"{name} {'not found' if value is None else f'{value:g}'}" for name, value in named)
