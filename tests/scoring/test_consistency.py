"""Printed tables as files: the paper's own, refusals, and what is read."""

from pathlib import Path
from typing import Any

import pytest

from lymphct.core.errors import InputError
from lymphct.evaluation.printed import Printed
from lymphct.scoring.consistency import check_tables, read_printed


def write(folder: Path, text: str) -> Path:
    (folder / "table.csv").write_text(text)
    return folder / "table.csv"


def test_the_papers_tables_do_not_add_up() -> None:
    record: Any = check_tables([])
    assert record["schema"] == "lymphct-consistency-1"
    assert [(table["table"], table["rows"]) for table in record["tables"]] == [
        ("table_6", 10),
        ("table_7", 16),
    ]
    assert record["findings"] == sum(len(table["findings"]) for table in record["tables"])
    told = {
        (finding["cohort"], finding["method"], finding["check"]): finding["text"]
        for table in record["tables"]
        for finding in table["findings"]
    }
    # Sensitivity and specificity make an accuracy of 0.552; 0.566 is printed.
    assert "make 0.5520" in told["discovery", "ClsbyLNSeg w/o Attn", "accuracy"]
    # Three rows are on one N- less than stated, two on far fewer patients: they are not on the same ones.
    for method in ("ResNet3D", "ResNet2D", "DeepTEN"):
        assert "fits 39 N+ and 92 N-" in told["external 1", method, "counts"]
    assert "fits 26 N+ and 14 N-" in told["external 2", "ResNet2D", "counts"]
    assert "fits 33 N+ and 17 N-" in told["external 2", "DeepTEN", "counts"]
    for cohort in ("external 1", "external 2"):
        assert "no number of patients fits every row" in told[cohort, "", "same_patients"]
    # What is printed as mean of both rates is one everywhere.
    assert not [key for key in told if key[2] in ("balanced_accuracy", "interval")]


def test_a_table_that_is_right_has_no_findings(tmp_path: Path) -> None:
    # 21 of 40, 42 of 60.
    path = write(
        tmp_path,
        "method,positives,negatives,balanced_accuracy,auc,accuracy,sensitivity,specificity,specificity_low,"
        "specificity_high\nours,40,60,0.612,0.650,0.630,0.525,0.700,0.583,0.817\n",
    )
    record: Any = check_tables([path])
    assert (record["findings"], record["certain"], record["tables"][0]["findings"]) == (0, 0, [])
    assert record["inputs"]
    [row] = read_printed(path)
    assert (row.method, row.cohort, row.positives, row.negatives, row.rounding) == (
        "ours",
        "",
        40,
        60,
        0.0005,
    )
    assert row.figures["specificity"] == Printed(0.7, (0.583, 0.817))
    assert row.figures["auc"].interval is None


def test_the_longest_cell_tells_the_rounding(tmp_path: Path) -> None:
    path = write(tmp_path, "method;auc;accuracy\na;0.6;0.55\nb;0.65;\n")
    assert [row.rounding for row in read_printed(path)] == pytest.approx([0.005, 0.005])
    assert "accuracy" not in read_printed(path)[1].figures


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("method\na\n", "it holds no figures"),
        ("method,auc\n", "it holds no figures"),
        ("method,auc\na,62.1\n", "line 2: auc is '62.1'"),
        ("method,auc\na,good\n", "line 2: auc is 'good'"),
        ("method,auc\na,nan\n", "line 2: auc is 'nan'"),
        ("method,auc,auc_low\na,0.6,0.5\n", "line 2: auc has half an interval"),
        ("method,auc,positives\na,0.6,3.5\n", "line 2: positives is '3.5'"),
        ("method,auc,negatives\na,0.6,0\n", "line 2: negatives is '0'"),
        ("method,auc,negatives\na,0.6,99999999\n", "at most 2000"),
        ("method,auc\n,0.6\n", "line 2: the method is blank"),
        ("method,auc\na,0.6\na,0.7\n", "the method 'a' stands twice in the cohort ''"),
        ("name,auc\na,0.6\n", "the column 'method' is missing"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(InputError) as refused:
        read_printed(write(tmp_path, text))
    assert cause in str(refused.value)
    assert "table.csv" in str(refused.value)
