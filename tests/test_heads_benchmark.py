"""The table of heads turns every comparison the right way round."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import heads
from benchmarks.quality.tables import around_marks

from lymphct.evaluation.statistics import Interval
from lymphct.scoring.comparing import CompareRequest, compare_files

PAGE = Path(__file__).parents[1] / "docs" / "heads.md"


def written(folder: Path, *, folds: bool) -> list[Path]:
    """Heads of growing worth: the status, with less and less noise."""
    rng = np.random.default_rng(2)
    status = np.arange(80) % 2
    places = []
    for number, name in enumerate((heads.LARGEST, *heads.HEADS)):
        scores = status + (2.0 - 0.35 * number) * rng.normal(size=len(status))
        places.append(folder / f"{name}.csv")
        with places[-1].open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["patient_id", "label", "score", "call", *(["fold"] if folds else [])])
            for patient, (label, score) in enumerate(zip(status, scores, strict=True)):
                lines.writerow(
                    [f"p{patient}", label, score, int(score > 0.5), *([1 + patient // 16] if folds else [])]
                )
    return places


@pytest.mark.parametrize("folds", [True, False])
def test_a_better_head_gains_over_the_largest_volume(
    folds: bool,  # noqa: FBT001 - pytest passes by name
    tmp_path: Path,
) -> None:
    record: Any = compare_files(written(tmp_path, folds=folds), CompareRequest(resamples=50))
    rows = heads.table(record, {name: name for name in (heads.LARGEST, *heads.HEADS)}).rows
    assert [row[0] for row in rows] == [heads.LARGEST, *heads.HEADS]
    assert rows[0][2:] == (None, None)
    first, last, gain = rows[0][1], rows[-1][1], rows[-1][2]
    assert isinstance(first, Interval)
    assert isinstance(last, Interval)
    assert isinstance(gain, Interval)
    assert gain.estimate == pytest.approx(last.estimate - first.estimate)
    assert 0.0 < gain.low < gain.estimate < gain.high
    assert float(str(rows[-1][3])) < 0.05


def test_the_page_has_a_place_for_the_table() -> None:
    around_marks(PAGE)
