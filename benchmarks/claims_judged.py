"""Each of the paper's claims as a sentence, its figures, and whether they show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from benchmarks.claims_measured import at_equal_recall, gap, gap_removed, node_auc
from benchmarks.quality.tables import over_patients

from lymphct.core.arrays import DoubleArray
from lymphct.evaluation.statistics import Interval
from lymphct.scoring.comparing import CompareRequest, compare_files
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.plan import COHORT
from lymphct.study.nested.predictions import COMPARED

SEED: Final = 5303
"""Of phantoms and resamples."""
ATTENTION: Final = "attention"
"""The cascade as the paper has it."""
STANDARD_ERRORS: Final = 2.0
"""How far from 0.5 the AUC of permuted labels may lie."""
LARGEST_HARM: Final = 0.1
"""mm by which registration may move the mean error of a patient up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the paper claims, what was measured, and whether it is shown."""

    text: str
    figures: str
    is_shown: bool

    @property
    def row(self) -> tuple[str, str, str]:
        """Return the row of the table."""
        return self.text, self.figures, "yes" if self.is_shown else "**no**"


def precise(words: str, ours: Any, theirs: Any) -> Claim:  # noqa: ANN401 - counts
    found = at_equal_recall(ours, theirs)
    return Claim(
        text=f"Attention raises instance precision at equal recall, against {words}",
        figures=(
            f"at recall {found.recall:.1f}: {shown(found.first)} with, {shown(found.second)} without; "
            f"difference {shown(found.difference, signed=True)}; {found.patients} patients"
        ),
        is_shown=found.difference.low > 0,
    )


def node_claim(study: Materials) -> Claim:
    found, nodes, patients = node_auc(study, ATTENTION)
    return Claim(
        text="AUC of stage 2 on drawn nodes above 0.75",
        figures=f"{shown(found)}; {nodes} nodes of {patients} patients",
        is_shown=found.low > 0.75,
    )


def paired(study: Materials, first: str, second: str) -> Claim:
    places = [study.run / COMPARED / COHORT / f"{name}.csv" for name in (first, second)]
    record: Any = compare_files(places, CompareRequest(seed=SEED))
    pair = record["comparisons"][0]["scores"]
    test = pair["crossvalidated"] or pair
    difference = Interval(
        estimate=test["difference"], low=test["low"], high=test["high"], level=0.95, undefined=0
    )
    names = {"combined": "tumor and nodes together", "tumor": "the tumor alone", "nodes": "nodes alone"}
    return Claim(
        text=f"{names[first].capitalize()} beat {names[second]}",
        figures=(
            f"AUC {test['auc_first']:.3f} and {test['auc_second']:.3f}; difference "
            f"{shown(difference, signed=True)}; {record['compared_by_score']} patients"
        ),
        is_shown=difference.low > 0,
    )


def gaps(seen: Mapping[str, Any]) -> list[Claim]:
    inside, outside = (gap(seen[name]) for name in ("paper", "oof"))
    removed = gap_removed(seen["paper"], seen["oof"])
    patients = len({view.patient for view in seen["oof"]})
    return [
        Claim(
            text="In-sample, nodes tell the status better in training patients than in test patients",
            figures=f"difference of AUC {shown(inside, signed=True)}; {patients} patients",
            is_shown=inside.low > 0,
        ),
        Claim(
            text="Out of fold, that gap is gone",
            figures=(
                f"difference of AUC {shown(outside, signed=True)}; of the gap "
                f"{shown(removed, signed=True)} is removed; {patients} patients"
            ),
            is_shown=outside.low <= 0 <= outside.high and removed.low > 0,
        ),
    ]


def permuted(study: Materials) -> Claim:
    place = study.run / COMPARED / COHORT / "permuted_labels.csv"
    other = study.run / COMPARED / COHORT / "combined.csv"
    record: Any = compare_files([place, other], CompareRequest(seed=SEED))
    own = record["methods"]["permuted_labels"]
    value, half = own["auc"]["estimate"], (own["delong"]["high"] - own["delong"]["low"]) / (2 * 1.96)
    return Claim(
        text="Labels that were permuted teach nothing",
        figures=f"AUC {value:.3f}, standard error {half:.3f}; {record['compared_by_score']} patients",
        is_shown=abs(value - 0.5) <= STANDARD_ERRORS * half,
    )


def registration(records: Sequence[Mapping[str, Any]]) -> list[Claim]:
    before, after = (
        np.array([record[when]["body"]["mean"] for record in records], np.float64)
        for when in ("before", "after")
    )
    found = over_patients(lambda rows: float(1 - after[rows].sum() / before[rows].sum()), len(records))
    means = [mean_of(values) for values in (before, after)]
    worst = float((after - before).max())
    return [
        Claim(
            text="Registration halves the mean error",
            figures=(
                f"{shown(means[0])} mm before, {shown(means[1])} mm after; {shown(found)} of it is gone; "
                f"{len(records)} patients"
            ),
            is_shown=found.low >= 0.5,
        ),
        Claim(
            text="Registration never harms",
            figures=f"largest growth of a patient's mean error {worst:+.3f} mm; {len(records)} patients",
            is_shown=worst <= LARGEST_HARM,
        ),
    ]


def mean_of(values: DoubleArray) -> Interval:
    return over_patients(lambda rows: float(values[rows].mean()), len(values))


def shown(value: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value.estimate:{sign}.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"
