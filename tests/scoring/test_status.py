"""Tables of scores, measured: what is written, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lymphct.core.errors import InputError, OutputInUseError
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc
from lymphct.scoring.score_table import read_scores, values_or_nan
from lymphct.scoring.status import StatusRequest, evaluate_status, measure_status

HEADING = "patient_id,label,score,call,center\n"
QUICK = StatusRequest(resamples=40)


def rows(n: int = 40) -> list[tuple[str, int, float, int, str]]:
    rng = np.random.default_rng(2)
    labels = (np.arange(n) % 2).astype(int)
    risks = 1 / (1 + np.exp(-(rng.normal(size=n) + labels - 0.5)))
    return [
        (f"p{row:02d}", int(labels[row]), float(risks[row]), int(risks[row] > 0.5), "AB"[row // (n // 2)])
        for row in range(n)
    ]


def write(folder: Path, lines: list[Any], heading: str = HEADING) -> Path:
    path = folder / "scores.csv"
    path.write_text(heading + "".join(",".join(map(str, line)) + "\n" for line in lines))
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_all_and_each_center_are_measured_and_written(tmp_path: Path) -> None:
    path = write(tmp_path, rows())
    record: Any = evaluate_status(path, QUICK, tmp_path / "out")
    assert record == json.loads((tmp_path / "out" / "status.json").read_text())
    assert record["schema"] == "lymphct-status-1"
    labels, scores = [row[1] for row in rows()], [row[2] for row in rows()]
    assert record["all"]["auc"]["estimate"] == pytest.approx(roc_auc_score(labels, scores))
    assert list(record["centers"]) == ["A", "B"]
    assert record["centers"]["B"]["auc"]["estimate"] == pytest.approx(roc_auc_score(labels[20:], scores[20:]))
    assert "improper" in record["classification_note"]
    groups = table(tmp_path / "out" / "status.csv")
    assert [(row["group"], row["center"], row["patients"]) for row in groups] == [
        ("all", "", "40"), ("center", "A", "20"), ("center", "B", "20"),
    ]  # fmt: skip
    assert float(groups[0]["auc"]) == record["all"]["auc"]["estimate"]
    assert float(groups[0]["brier"]) == record["all"]["calibration"]["brier"]
    assert len(table(tmp_path / "out" / "status_net_benefit.csv")) == 3 * 99
    curve = [row for row in table(tmp_path / "out" / "status_calibration.csv") if row["group"] == "all"]
    assert len(curve) == 51
    assert float(curve[0]["predicted"]) == pytest.approx(min(scores))
    risk = table(tmp_path / "out" / "status_risk.csv")
    counts = [row for row in risk if row["kind"] == "bin" and row["group"] == "all"]
    assert sum(int(row["value"]) for row in counts) == 40


def test_blank_scores_and_calls_are_counted_and_listed(tmp_path: Path) -> None:
    lines: list[Any] = [list(line) for line in rows()]
    lines[3][2], lines[3][3], lines[7][3] = "", "", ""
    record: Any = evaluate_status(write(tmp_path, lines), QUICK, tmp_path / "out")
    assert record["without_score"] == ["p03"]
    assert record["without_call"] == ["p03", "p07"]
    counted = record["all"]
    assert (counted["patients"], counted["scored"], counted["called"]) == (40, 39, 38)


def test_scores_that_are_no_probabilities_have_no_calibration(tmp_path: Path) -> None:
    lines = [(name, label, 100 * score, call) for name, label, score, call, _ in rows()]
    path = write(tmp_path, lines, "patient_id,label,score,call\n")
    record: Any = evaluate_status(path, QUICK, tmp_path / "out")
    assert record["centers"] == {}
    assert record["scores_are_probabilities"] is False
    assert (record["all"]["calibration"], record["all"]["net_benefit"]) == (None, None)
    edges = record["all"]["risk"]["N+"]["bin_edges"]
    assert (edges[0], edges[-1]) == (min(row[2] for row in lines), max(row[2] for row in lines))
    assert table(tmp_path / "out" / "status_calibration.csv") == []


def test_a_column_of_calls_alone_is_judged_by_its_calls(tmp_path: Path) -> None:
    lines = [(name, label, "", call, "") for name, label, _, call, _ in rows()]
    record: Any = evaluate_status(write(tmp_path, lines), QUICK, tmp_path / "out")
    assert record["all"]["auc"] is None
    assert record["all"]["classification"]["accuracy"]["estimate"] == pytest.approx(
        np.mean([row[1] == row[3] for row in rows()])
    )


def test_patients_without_a_center_are_a_group_of_their_own(tmp_path: Path) -> None:
    lines: list[Any] = [list(line) for line in rows()]
    for line in lines[:4]:
        line[4] = ""
    record: Any = evaluate_status(write(tmp_path, lines), QUICK, tmp_path / "out")
    assert {name: group["patients"] for name, group in record["centers"].items()} == {
        "A": 16, "B": 20, "unknown": 4,
    }  # fmt: skip


def test_the_seed_decides_the_intervals_and_nothing_else(tmp_path: Path) -> None:
    scores = read_scores(write(tmp_path, rows()))
    one, again, other = (
        measure_status(scores, StatusRequest(resamples=60, seed=seed)).record()["all"] for seed in (1, 1, 2)
    )
    assert one == again
    first: Any = one
    second: Any = other
    assert first["auc"]["estimate"] == second["auc"]["estimate"]
    assert first["auc"]["bootstrap"] != second["auc"]["bootstrap"]


def test_the_same_table_again_is_kept_and_another_measured(tmp_path: Path) -> None:
    path = write(tmp_path, rows())
    evaluate_status(path, QUICK, tmp_path / "out")
    before = (tmp_path / "out" / "status.json").stat().st_mtime_ns
    evaluate_status(path, QUICK, tmp_path / "out")
    assert (tmp_path / "out" / "status.json").stat().st_mtime_ns == before
    record: Any = evaluate_status(write(tmp_path, rows()[:-2]), QUICK, tmp_path / "out")
    assert record["all"]["patients"] == 38


GOOD = ("b", 1, 0.7, 1, "")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "scores.csv: it has no patients"),
        ([("a", 2, 0.5, 1, ""), GOOD], "a: scores.csv: line 2: the label is '2'"),
        ([("a", "", 0.5, 1, ""), GOOD], "a: scores.csv: line 2: the label is blank"),
        ([("a", 0, "nan", 1, ""), GOOD], "a: scores.csv: line 2: the score is 'nan'"),
        ([("a", 0, "inf", 1, ""), GOOD], "the score is 'inf'"),
        ([("a", 0, "1_0", 1, ""), GOOD], "the score is '1_0'"),
        ([("a", 0, "high", 1, ""), GOOD], "the score is 'high'"),
        ([("a", 0, 0.5, "N+", ""), GOOD], "the call is 'N+'"),
        ([("a", 0, 0.5, 1, ""), GOOD, ("a", 1, 0.5, 1, "")], "a: scores.csv: line 4: the patient stands in"),
        ([("", 0, 0.5, 1, ""), GOOD], "line 2: the patient_id is blank"),
        ([("a" * 201, 0, 0.5, 1, ""), GOOD], "line 2: the patient_id is too long"),
        ([("a", 0, "", "", ""), ("b", 1, "", "", "")], "none of 2 patients has a score or a call"),
        ([("a", 1, 0.5, 1, ""), GOOD], "scores.csv: all 2 patients have the label 1: both classes"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, lines: list[Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        evaluate_status(write(tmp_path, lines), QUICK, tmp_path / "out")
    assert words in str(refused.value)
    assert refused.value.exit_code == 3
    assert not (tmp_path / "out").exists()


def test_scores_said_to_be_probabilities_must_be_some(tmp_path: Path) -> None:
    lines = [("a", 0, 3.5, 1, ""), GOOD]
    with pytest.raises(InputError, match=r"^scores\.csv: scores from 0\.7 to 3\.5 are no probabilities"):
        evaluate_status(write(tmp_path, lines), StatusRequest(scale="probability"), tmp_path / "out")


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(OutputInUseError):
        evaluate_status(write(tmp_path, rows()), QUICK, tmp_path / "out")


def test_missing_values_are_nan() -> None:
    assert np.isnan(values_or_nan([None, 1])).tolist() == [True, False]


def test_with_folds_the_auc_is_averaged_over_them_too(tmp_path: Path) -> None:
    lines = [(*row, place // 2 % 4) for place, row in enumerate(rows())]
    record: Any = evaluate_status(
        write(tmp_path, lines, HEADING.replace("center", "center,fold")), QUICK, tmp_path / "o"
    )
    labels, scores, folds = (np.array([line[column] for line in lines]) for column in (1, 2, 5))
    expected = crossvalidated_auc(OutOfFold(labels, folds, scores))
    assert record["folds"]["patients"] == {"0": 10, "1": 10, "2": 10, "3": 10}
    assert record["crossvalidated"]["estimate"] == pytest.approx(expected.mean)
    assert record["crossvalidated"]["high"] == pytest.approx(expected.interval[1])
    plain: Any = evaluate_status(write(tmp_path, rows()), QUICK, tmp_path / "plain")
    assert plain["folds"] is plain["crossvalidated"] is None
    assert {**record, "folds": None, "crossvalidated": None, "inputs": None} == {**plain, "inputs": None}
