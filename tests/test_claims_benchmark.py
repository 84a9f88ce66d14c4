"""The benchmark of the claims compares the same patients, and says of each claim whether it is shown."""

import csv
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import claims_judged as claims
from benchmarks.claims import methods_table
from benchmarks.claims_measured import Seen, at_equal_recall, best_precision, gap, gap_removed
from benchmarks.quality.tables import around_marks

from lymphct.evaluation.statistics import Interval
from lymphct.scoring.comparing import CompareRequest
from lymphct.study.nested.plan import COHORT
from lymphct.study.nested.predictions import COMPARED

PAGE = Path(__file__).parents[1] / "docs" / "claims.md"
RESAMPLES = 200
"""The limits these tests ask about are far from 0; the thousands of the page only cost time."""


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.quality.tables.RESAMPLES", RESAMPLES)
    for module in ("claims", "claims_judged"):
        monkeypatch.setattr(
            f"benchmarks.{module}.CompareRequest", partial(CompareRequest, resamples=RESAMPLES)
        )


def counts(false: Sequence[int], patients: int = 12) -> dict[str, Any]:
    """Four of five nodes found with few false ones, all with many: two operating points, every patient."""
    return {
        f"p{number}": np.array([[4, false[0] + number % 2, 1], [5, false[1] + number % 2, 0]], np.float64)
        for number in range(patients)
    }


def test_precision_is_compared_at_the_highest_recall_both_reach() -> None:
    found = at_equal_recall(counts((1, 5)), counts((3, 15)))
    assert found.recall == 0.9
    assert found.first.estimate == pytest.approx(5 / 10.5)
    assert found.second.estimate == pytest.approx(5 / 20.5)
    assert found.difference.low <= found.difference.estimate <= found.difference.high
    assert found.difference.low > 0


def test_an_arm_that_finds_little_sets_the_recall() -> None:
    weak = {name: np.array([[2, 0, 3], [3, 9, 2]], np.float64) for name in counts((1, 5))}
    found = at_equal_recall(counts((1, 5)), weak)
    assert found.recall == 0.6
    assert found.second.estimate == pytest.approx(3 / 12)
    assert found.first.estimate == pytest.approx(4 / 5.5)


def test_no_point_reaches_a_recall() -> None:
    assert np.isnan(best_precision(np.array([[[1, 0, 3]]]), [0], 0.5))


def views(told_in_training: float, told_in_test: float, patients: int = 60) -> list[Seen]:
    """Volumes that tell the status in a share of the patients, and nothing in the others."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(patients):
        for part, told in (("train", told_in_training), ("test", told_in_test)):
            status = number % 2
            is_told = rng.random() < told
            volume = 500.0 * status if is_told else float(rng.uniform(0, 500))
            found.append(
                Seen(patient=f"p{number}", fold=1 + number % 3, part=part, n_status=status, volume=volume)  # type: ignore[arg-type]
            )
    return found


def test_the_gap_is_that_of_training_and_test() -> None:
    leaking, honest = views(0.9, 0.3), views(0.4, 0.4)
    assert gap(leaking).low > 0
    assert abs(gap(honest).estimate) < 0.2
    removed = gap_removed(leaking, honest)
    assert removed.estimate == pytest.approx(gap(leaking).estimate - gap(honest).estimate)
    assert removed.low > 0
    with pytest.raises(ValueError, match="different patients"):
        gap_removed(leaking, views(0.4, 0.4, patients=40))


@pytest.mark.parametrize(("after", "halves", "harms"), [(0.3, "yes", "yes"), (0.8, "**no**", "yes")])
def test_registration_is_judged_by_patients(after: float, halves: str, harms: str) -> None:
    records = [
        {"before": {"body": {"mean": 4.0 + n / 10}}, "after": {"body": {"mean": after * (4 + n / 10)}}}
        for n in range(20)
    ]
    rows = [claim.row for claim in claims.registration(records)]
    assert [row[2] for row in rows] == [halves, harms]
    records[3]["after"]["body"]["mean"] = 9.0
    assert claims.registration(records)[1].row[2] == "**no**"


def test_a_claim_is_shown_where_the_whole_interval_is_on_its_side() -> None:
    good, bad = counts((1, 5)), counts((3, 15))
    assert claims.precise("nothing", good, bad).is_shown
    assert not claims.precise("nothing", bad, good).is_shown
    assert not claims.precise("nothing", good, good).is_shown


def test_the_page_has_a_place_for_the_tables() -> None:
    before, after = around_marks(PAGE)
    assert "benchmarks/claims.py" in before
    assert "How each is measured" in after


@pytest.fixture
def judged(tmp_path: Path) -> Any:
    """A study whose methods were judged: of growing worth, the last one worth nothing."""
    rng = np.random.default_rng(2)
    status = np.arange(80) % 2
    folder = tmp_path / COMPARED / COHORT
    folder.mkdir(parents=True)
    noise = {"nodes": 1.5, "tumor": 1.2, "combined": 0.6, "permuted_labels": None}
    for name, sd in noise.items():
        scores = rng.random(80) if sd is None else status + sd * rng.normal(size=80)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["patient_id", "label", "score", "call", "fold"])
            lines.writerows(
                [f"p{n}", status[n], scores[n], int(scores[n] > 0.5), 1 + n // 16] for n in range(80)
            )
    return SimpleNamespace(
        run=tmp_path, plan=SimpleNamespace(methods=(*noise,), titles={name: name for name in noise})
    )


@pytest.mark.slow
def test_methods_are_compared_over_the_folds_of_a_study(judged: Any) -> None:
    better = claims.paired(judged, "combined", "nodes")
    assert better.is_shown
    assert better.text == "Tumor and nodes together beat nodes alone"
    assert not claims.paired(judged, "nodes", "combined").is_shown
    assert claims.permuted(judged).is_shown
    rows = {str(row[0]): row[1] for row in methods_table(judged).rows}
    assert isinstance(rows["combined"], Interval)
    assert isinstance(rows["nodes"], Interval)
    assert 0.5 < rows["nodes"].estimate < rows["combined"].estimate < 1.0
