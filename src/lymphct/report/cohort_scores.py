"""How the scores of a cohort are distributed: bars over 0 to 1, and a tick for each patient."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lymphct.report.cohort_rows import Fate, page_link
from lymphct.report.wording import number, telling_decimals

BINS: Final = 20
"""Bars of the distribution of scores; each is 0.05 wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of the distribution: which scores, how many patients below and from their threshold upwards."""

    low: float
    high: float
    negative: int
    positive: int

    @property
    def patients(self) -> int:
        """Return how many patients have such a score."""
        return self.negative + self.positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A patient on the scale of scores: who, score as number and in words, called positive, page."""

    patient_id: str
    score: float
    words: str
    positive: bool
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a cohort.

    Attributes:
        bars: as `score_bars` counts them.
        ticks: one per patient with a score, in the order of the manifest.
        most: patients of the highest bar.
        summary: median, lowest and highest score, in words.
        threshold: from which patients are called positive; None unless all patients have the same.

    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    most: int
    summary: tuple[str, str, str]
    threshold: float | None


def cohort_scores(fates: Sequence[Fate]) -> Scores | None:
    """Return the scores of a cohort; None where nobody has one."""
    scored = [
        (fate, fate.result)
        for fate in fates
        if fate.result is not None and fate.result["probability"] is not None
    ]
    if not scored:
        return None
    results = [result for _, result in scored]
    values = [float(result["probability"]) for result in results]
    thresholds = {result["threshold"] for result in results}
    bars = score_bars(results)
    median, lowest, highest = (number(f(values), 2) for f in (statistics.median, min, max))
    return Scores(
        bars=tuple(bars),
        ticks=tuple(_tick(fate, result) for fate, result in scored),
        most=max(bar.patients for bar in bars),
        summary=(median, lowest, highest),
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
    )


def score_bars(results: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Count the scores of results in bars of equal width over 0 to 1; those without a score are left out."""
    counts: Counter[tuple[int, bool]] = Counter()
    for result in results:
        if result["probability"] is not None:
            place = min(int(float(result["probability"]) * BINS), BINS - 1)
            counts[place, result["predicted_n_status"] == 1] += 1
    return [
        Bar(
            low=place / BINS,
            high=(place + 1) / BINS,
            negative=counts[place, False],
            positive=counts[place, True],
        )
        for place in range(BINS)
    ]


def _tick(fate: Fate, result: Mapping[str, Any]) -> Tick:
    score = float(result["probability"])
    return Tick(
        patient_id=fate.patient_id,
        score=score,
        words=number(score, telling_decimals(score, result["threshold"])),
        positive=result["predicted_n_status"] == 1,
        link=page_link(fate),
    )
