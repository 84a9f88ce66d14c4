"""The two series of each patient: proposed where all signs agree, left to the user where one does not."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lymphct.core.terms import counted
from lymphct.io.images.pairing import EXPECTED_AORTA_GAIN, EXPECTED_OVERLAP
from lymphct.patients.exports.phases import Judged

_TOGETHER: Final = 15.0
"""Seconds between the beginnings of two reconstructions of one scan, at most."""
_COVERAGE: Final = 20.0
"""Differences in coverage along the body that do not count, mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Which series a patient's phases are.

    Attributes:
        patient_id: pseudonym.
        venous, arterial: the series; None when there is none.
        doubts: why a user must decide; none when all signs agree.
        is_named: whether the user named the series.

    """

    patient_id: str
    venous: Judged | None = None
    arterial: Judged | None = None
    doubts: tuple[str, ...] = ()
    is_named: bool = False

    @property
    def is_sure(self) -> bool:
        """Tell whether nobody needs to decide."""
        return self.venous is not None and (self.is_named or not self.doubts)

    @property
    def phases(self) -> dict[str, Judged]:
        """Return the series by the column of the manifest."""
        named = {"venous": self.venous, "arterial": self.arterial}
        return {column: series for column, series in named.items() if series is not None}


def proposed(patient_id: str, series: Sequence[Judged]) -> Proposal:
    """Choose a patient's venous and arterial series, and say what is doubtful about it.

    Args:
        patient_id: pseudonym.
        series: all of the patient's, also those that can be no phase.

    """
    doubts = list(_about_person(series))
    candidates = [one for one in series if not one.reason]
    studies = {one.series.tags.study for one in candidates if one.phase == "venous"}
    if len(studies) > 1:
        doubts.append(f"{len(studies)} studies have a venous phase: which examination is meant?")
    study = _first_study(candidates, studies)
    here = [one for one in candidates if one.series.tags.study == study]
    venous, more = _best([one for one in here if one.phase == "venous"], "venous")
    doubts += more
    arterial, more = _best([one for one in here if one.phase == "arterial"], "arterial")
    doubts += more
    if venous is None:
        doubts.append("no series is a venous phase")
    else:
        doubts += _about_pair(venous, arterial)
    lost = [one for one in series if one.series.tags.study == study or venous is None]
    doubts += _about_lost(lost, venous, arterial)
    unique = tuple(dict.fromkeys(doubts))
    return Proposal(patient_id=patient_id, venous=venous, arterial=arterial, doubts=unique)


def _about_person(series: Sequence[Judged]) -> Iterable[str]:
    """Doubt that all files are of one person."""
    if any(one.series.tags.person_by == "study" for one in series):
        yield "the files name no patient: each study counts as one"
    elif any(one.series.tags.person_by == "name" for one in series):
        yield "the files have no patient id: name and date of birth count as one"
    if len({one.series.tags.details for one in series} - {""}) > 1:
        yield "name or date of birth differ between files with one patient id"


def _first_study(candidates: Sequence[Judged], venous: set[str]) -> str:
    """Return the first study that has a venous phase, one with an arterial phase before others."""

    def order(one: Judged) -> tuple[bool, float]:
        study = one.series.tags.study
        has_both = any(other.series.tags.study == study and other.phase == "arterial" for other in candidates)
        time = one.series.time
        return not has_both, time if math.isfinite(time) else math.inf

    among = [one for one in candidates if one.series.tags.study in venous]
    return min(among, key=order).series.tags.study if among else ""


def _best(series: Sequence[Judged], phase: str) -> tuple[Judged | None, list[str]]:
    """Return the best reconstruction of the one scan of a phase, and what is doubtful about it."""
    if not series:
        return None, []
    scans = _scans(series)
    best = sorted(scans[0], key=_rank)
    doubts = [f"{phase} {best[0].series.key}: {doubt}" for doubt in best[0].doubts]
    if len(scans) > 1:
        doubts.append(f"{counted(len(scans), 'scan')} look {phase}: {_keys(scan[0] for scan in scans)}")
    equal = [one for one in best if _rank(one) == _rank(best[0])]
    if len(equal) > 1:
        doubts.append(f"{phase}: reconstructions {_keys(equal)} are equally good")
    return best[0], doubts


def _scans(series: Sequence[Judged]) -> list[list[Judged]]:
    """Sort series into scans, by time: reconstructions of one scan begin together."""

    def begun(one: Judged) -> float:
        return one.series.time if math.isfinite(one.series.time) else math.inf

    scans: list[list[Judged]] = []
    for one in sorted(series, key=begun):
        if scans and _is_same_scan(one, scans[-1][0]):
            scans[-1].append(one)
        else:
            scans.append([one])
    return scans


def _is_same_scan(one: Judged, first: Judged) -> bool:
    """Tell whether two series show one scan: same coordinates, same place, same time, else its number."""
    if one.series.tags.frame != first.series.tags.frame or _overlap(one, first) <= 0:
        return False
    apart = abs(one.series.time - first.series.time)
    if math.isfinite(apart):
        return apart <= _TOGETHER
    number = one.series.heads[0].acquisition
    return number > 0 and number == first.series.heads[0].acquisition


def _rank(one: Judged) -> tuple[bool, bool, int, float]:
    """Order reconstructions: soft before sharp, original before derived, wider, then thinner slices."""
    low, high = one.reach
    covered = -round((high - low) / _COVERAGE)
    return one.series.is_sharp, one.series.is_derived, covered, round(one.step, 2)


def _about_pair(venous: Judged, arterial: Judged | None) -> Iterable[str]:
    if arterial is None:
        return
    begun = arterial.series.time, venous.series.time
    if math.isfinite(begun[0]) and math.isfinite(begun[1]) and begun[0] >= begun[1]:
        yield f"the arterial phase began {begun[0] - begun[1]:.0f} s after the venous one"
    early, late = arterial.contrast.aorta, venous.contrast.aorta
    if early is not None and late is not None and early - late < EXPECTED_AORTA_GAIN:
        yield f"the aorta is only {early - late:g} HU brighter in the arterial phase (50 expected)"
    overlap = _overlap(arterial, venous)
    if overlap < EXPECTED_OVERLAP:
        yield f"the phases overlap by {100 * overlap:.0f} % of the shorter one only"


def _overlap(one: Judged, other: Judged) -> float:
    """Return the share, 0 to 1, of the shorter series along the body that the other covers."""
    shared = min(one.reach[1], other.reach[1]) - max(one.reach[0], other.reach[0])
    shorter = min(one.reach[1] - one.reach[0], other.reach[1] - other.reach[0])
    return max(0.0, shared / shorter) if shorter > 0 else 0.0


def _about_lost(series: Sequence[Judged], venous: Judged | None, arterial: Judged | None) -> Iterable[str]:
    """Tell of series that may be the missing phase, but were refused or show no phase clearly."""
    missing = {"venous"} if venous is None else set()
    missing |= {"arterial"} if arterial is None else set()
    for one, phase in itertools.product(series, sorted(missing)):
        if one is venous or one is arterial or one.by_tags not in {"", phase}:
            continue
        if one.is_lost:
            yield f"{one.series.key} may be the {phase} phase and is left out: {one.reason}"
        elif one.look is not None and (not one.by_contrast or one.by_tags == phase):
            yield f"{one.series.key} may be the {phase} phase: {'; '.join(one.doubts)}"


def _keys(series: Iterable[Judged]) -> str:
    return ", ".join(one.series.key for one in series)
