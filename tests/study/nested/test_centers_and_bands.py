"""Results within centers, and bands that cascades fitted, as the tables of a study print them."""

from pathlib import Path

import numpy as np
from tests.study.nested.cohorts import write_cohort
from tests.study.nested.test_crossval import lymphct

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.core.terms import Structure
from lymphct.evaluation.status import StatusColumns
from lymphct.scoring.score_table import ScoreTable
from lymphct.scoring.status import StatusEvaluation, StatusRequest, measure_status
from lymphct.study.nested.bands import bands_table
from lymphct.study.nested.centers import center_table

SCORES = (0.1, 0.4, 0.35, 0.8, 0.2, 0.3)
LABELS = (0, 0, 1, 1, 0, 0)


def evaluation(*centers: str) -> StatusEvaluation:
    table = ScoreTable(
        name="nodes",
        patients=tuple(f"case{place}" for place in range(6)),
        columns=StatusColumns(np.array(LABELS), np.array(SCORES), np.array([0.0, 0, 0, 1, 0, 0])),
        centers=centers,
    )
    return measure_status(table, StatusRequest(resamples=20))


def test_a_center_has_its_patients_and_its_auc_and_one_class_has_none() -> None:
    found = center_table({"nodes": evaluation(*"AAAABB")}, {"nodes": "ClsbyLNSeg"}, "cohort")
    assert found is not None
    first, second = found.rows
    assert first[:4] == ["A", "ClsbyLNSeg", "4 of 4", "2"]
    assert first[4].startswith("0.750 [")  # three of four pairs are in order
    assert second == ["B", "ClsbyLNSeg", "2 of 2", "0", "–"]
    assert found.name == "centers"


def test_patients_without_a_center_stand_last_and_methods_side_by_side() -> None:
    both = {"nodes": evaluation("Z", "", "Z", "", "Z", ""), "tumor": evaluation("Z", "", "Z", "", "Z", "")}
    found = center_table(both, {"nodes": "n", "tumor": "t"}, "external1")
    assert found is not None
    assert [row[:2] for row in found.rows] == [["Z", "n"], ["Z", "t"], ["unknown", "n"], ["unknown", "t"]]
    assert found.name == "centers_external1"


def test_of_one_center_there_is_nothing_to_tell_apart() -> None:
    assert center_table({"nodes": evaluation(*"AAAAAA")}, {"nodes": "n"}, "cohort") is None
    assert center_table({"nodes": evaluation()}, {"nodes": "n"}, "cohort") is None


def test_bands_have_the_median_and_the_range_of_the_cascades_beside_the_papers() -> None:
    fitted = [
        {Structure.PANCREAS: Band(low, high)} for low, high in ((-6.0, 18.0), (-4.0, 25.5), (-5.5, 20.0))
    ]
    rows = {row[0]: row[1:] for row in bands_table(fitted).rows}
    assert len(rows) == len(PAPER_BANDS)
    assert rows["pancreas"] == ["−5 to 20", "−5.5 [−6.0 to −4.0]", "20.0 [18.0 to 25.5]", "3"]
    assert rows["spleen"] == ["0 to 16", "–", "–", "0"]


def test_a_study_of_two_centers_tells_them_apart_on_its_page_and_in_a_table(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", 40, change=lambda number: {"center": "AB"[number % 5 == 0]})
    run = tmp_path / "run"
    assert lymphct("crossval", cohort.path, "--out", run, "--methods", "ct_reported") == 0
    table = (run / "tables" / "centers.md").read_text()
    assert "| A | CT-reported LN status | 32 of 32 | 16 |" in table
    assert "| B | CT-reported LN status | 8 of 8 | 4 |" in table
    page = (run / "report.html").read_text()
    assert "N status within each center, cohort" in page
    assert 'class="gallery"' not in page  # nobody's images were looked at
