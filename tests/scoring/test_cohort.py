"""A predicted cohort against its manifest: figures by hand, groups of patients, files."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lymphct.core.errors import UsageError
from lymphct.core.terms import Structure
from lymphct.report.curves import roc_png
from lymphct.scoring import cohort_page
from lymphct.scoring.cohort import PAGE_FILE, PredictedCohort, evaluate_cohort
from lymphct.scoring.cohort_cases import CohortRequest
from lymphct.scoring.status import UNKNOWN_CENTER

WriteCohort = Callable[..., Any]
QUICK = CohortRequest(resamples=30)


def evaluated(there: Any, out: Path, request: CohortRequest = QUICK) -> Any:
    return evaluate_cohort(PredictedCohort(manifest=there.manifest, results=there.results), request, out)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_masks_nodes_and_status_by_hand(write_cohort: WriteCohort, tmp_path: Path, patients: Any) -> None:
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert record == json.loads((tmp_path / "E" / "cohort.json").read_text())
    assert record["schema"] == "lymphct-cohort-evaluation-1"
    assert record["patients"] == {
        "in_manifest": 4, "evaluated": 4, "excluded": 0, "without_result": 0, "seen_in_training": 0,
    }  # fmt: skip
    # Three quarters of a box of 64 voxels overlap: Dice 48 * 2 / 128; the liver is exact.
    assert record["structures"]["aorta"]["mean"]["dice"]["mean"] == pytest.approx(0.75)
    assert record["structures"]["liver"]["mean"]["dice"]["mean"] == 1.0
    assert record["tumor"]["pooled"]["dice"] == pytest.approx(0.75)
    assert record["tumor"]["mean"]["hd"]["mean"] == pytest.approx(0.68)
    found = record["nodes"]["found"]
    kinds = ("true_positives", "false_positives", "false_negatives")
    assert [found["pooled"][kind] for kind in kinds] == [4, 4, 4]
    assert found["mean"]["recall"] == 0.5
    # Positive: two drawn and found; four spurious ones are called positive.
    positive = record["nodes"]["positive"]["pooled"]
    assert (positive["true_positives"], positive["false_positives"], positive["false_negatives"]) == (2, 4, 0)
    negative = record["nodes"]["negative"]["pooled"]
    assert (negative["true_positives"], negative["false_positives"], negative["false_negatives"]) == (2, 0, 4)
    assert record["nodes"]["identification"] == {
        "nodes": 4, "positives": 2, "auc": 1.0, "accuracy": 1.0, "balanced_accuracy": 1.0,
        "sensitivity": 1.0, "specificity": 1.0,
    }  # fmt: skip
    # Two of each class are found and called right; four negative ones are missed, four found where none is.
    assert record["nodes"]["confusion"] == {
        "positive": {"positive": 2, "negative": 0, "none": 0},
        "negative": {"positive": 0, "negative": 2, "none": 4},
        "none": {"positive": 4, "negative": 0, "none": 0},
    }
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "Every node once" in page
    # Dice of 48 common voxels among 64 + 64 and 27 + 27 of the nodes that missed each other.
    assert record["nodes"]["found"]["voxels"]["mean_dice"] == pytest.approx(96 / (91 + 91))
    status = record["status"]["all"]
    assert status["auc"]["estimate"] == 1.0
    assert status["classification"]["specificity"]["estimate"] == 0.5
    assert sorted(record["status"]["centers"]) == ["A", "B"]


def test_a_row_per_patient_says_what_became_of_each(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any, new_patient: Any
) -> None:
    patients[3].probability = None
    patients += [
        new_patient("left", columns={"exclude_reason": "no consent"}),
        new_patient("lost"),
        new_patient("seen", notices=["seen_in_training"]),
    ]
    there = write_cohort(patients, unpredicted=["lost"])
    (there.results / "failures.jsonl").write_text(
        json.dumps({"patient_id": "lost", "code": "E_TRUNCATED", "cause": "gzip stream ends early"}) + "\n"
    )
    record = evaluated(there, tmp_path / "E")
    assert record["patients"] == {
        "in_manifest": 7, "evaluated": 4, "excluded": 1, "without_result": 1, "seen_in_training": 1,
    }  # fmt: skip
    assert record["excluded"] == {"left": "no consent"}
    assert record["without_result"] == {"lost": "gzip stream ends early"}
    assert record["seen_in_training"] == ["seen"]
    assert record["status"]["without_score"] == ["p3"]
    assert record["stamps"] == []
    rows = {row["patient_id"]: row for row in table(tmp_path / "E" / "results.csv")}
    assert {name: row["state"] for name, row in rows.items()} == {
        **dict.fromkeys(("p0", "p1", "p2", "p3"), "evaluated"),
        "left": "excluded", "lost": "without_result", "seen": "seen_in_training",
    }  # fmt: skip
    one = rows["p1"]
    assert (one["center"], one["n_status"], one["probability"], one["call"]) == ("A", "1", "0.8", "1")
    assert [one[f"found_{count}"] for count in ("tp", "fp", "fn")] == ["1", "1", "1"]
    assert (one["nodes_drawn"], one["nodes_predicted"], one["nodes_predicted_positive"]) == ("2", "2", "2")
    assert float(one["tumor_dice"]) == pytest.approx(0.75)
    assert float(one["guiding_structures_dice"]) == pytest.approx(0.75)
    assert float(one["other_structures_dice"]) == 1.0
    assert (rows["p3"]["probability"], rows["p3"]["call"]) == ("", "")
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "excluded: no consent" in page
    assert "no result: gzip stream ends early" in page


def test_what_is_not_drawn_is_blank(write_cohort: WriteCohort, tmp_path: Path, patients: Any) -> None:
    for patient in patients:
        patient.columns = {"structures": "", "nodes": ""}
    patients[0].columns["tumor"] = ""
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert (record["structures"], record["nodes"]) == (None, None)
    assert record["tumor"]["cases"] == 3
    rows = table(tmp_path / "E" / "results.csv")
    assert {row["guiding_structures_dice"] for row in rows} == {""}
    assert [row["tumor_dice"] for row in rows].count("") == 1
    assert [row["found_tp"] for row in rows] == [""] * 4
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "<h2>Lymph nodes</h2>" not in page
    assert "<h2>Tumor</h2>" in page


def test_patients_the_models_were_fitted_on_count_only_on_request_and_stamped(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[1].notices = ["seen_in_training"]
    there = write_cohort(patients)
    assert evaluated(there, tmp_path / "E")["patients"]["evaluated"] == 3
    record = evaluated(there, tmp_path / "E", replace(QUICK, allow_seen=True))
    stamp = "includes 1 patient the models were fitted on"
    assert record["stamps"] == [stamp]
    assert record["patients"]["evaluated"] == 4
    tables = sorted((tmp_path / "E").glob("*.csv"))
    assert len(tables) == 8
    for path in tables:
        assert path.read_text().splitlines()[0].endswith(",stamp"), path.name
        assert all(row["stamp"] == stamp for row in table(path)), path.name
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert page.count(stamp) == 1 + page.count("<caption>")


def test_given_stages_may_be_left_out_and_then_the_scores_say_on_what_they_rest(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[2].sources = {"structures": "network", "tumor": "network", "nodes": "given"}
    record = evaluated(write_cohort(patients), tmp_path / "E", replace(QUICK, without=frozenset({"nodes"})))
    assert record["nodes"] is None
    assert record["tumor"]["cases"] == 4
    assert record["stamps"] == ["nodes of 1 patient were given, not predicted: scores rest on them"]


def test_traced_and_absent_masks_are_predictions(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[0].sources = {"structures": "trace", "tumor": "network", "nodes": "none"}
    patients[0].found = {}
    patients[0].result = {"nodes_search": "not searched", "probability": None, "predicted_n_status": None}
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert record["structures"]["aorta"]["cases"] == 4
    row = table(tmp_path / "E" / "results.csv")[0]
    # Nothing was searched: the drawn nodes are missed, and nobody says that none were found.
    assert (row["found_fn"], row["nodes_predicted"]) == ("2", "")


def test_nodes_drawn_without_a_class_are_found_but_not_called(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[0].drawn[1] = (patients[0].drawn[1][0], "")
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert record["nodes"]["found"]["mean"]["cases"] == 4
    assert record["nodes"]["positive"]["mean"]["cases"] == 3
    assert record["nodes"]["identification"]["nodes"] == 3
    confusion = record["nodes"]["confusion"]
    assert sum(confusion["unknown"].values()) == 1
    assert sum(number for row in confusion.values() for number in row.values()) == 12
    row = table(tmp_path / "E" / "results.csv")[0]
    assert (row["found_tp"], row["positive_tp"]) == ("1", "")


def test_a_line_per_node_says_whether_it_was_found_and_how_it_was_called(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    evaluated(write_cohort(patients), tmp_path / "E")
    lines = [row for row in table(tmp_path / "E" / "nodes.csv") if row["patient_id"] == "p1"]
    assert [(row["outcome"], row["prediction"], row["truth"]) for row in lines] == [
        ("matched", "1", "1"), ("missed", "", "2"), ("spurious", "2", ""),
    ]  # fmt: skip
    assert float(lines[0]["iou"]) == pytest.approx(0.6)
    assert (lines[0]["predicted_class"], lines[0]["probability"], lines[0]["true_class"]) == (
        "positive", "0.9", "positive",
    )  # fmt: skip
    assert float(lines[1]["truth_mm3"]) == pytest.approx(27 * 0.68 * 0.7 * 0.8, abs=1e-3)


def test_positive_nodes_are_traced_by_their_probability(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    record = evaluated(write_cohort(patients), tmp_path / "E")["nodes"]["positive_froc"]
    # In p1 and p3 a positive node at 0.9, in p0 and p2 a negative one at 0.2; in all a spurious one at 0.6.
    assert (record["patients"], record["average_precision"]) == (4, 1.0)
    assert set(record["sensitivity_at_false_positives"].values()) == {1.0}
    at = record["intervals"]["sensitivity_at_false_positives"]["0.5"]
    assert (at["estimate"], at["low"], at["high"]) == (1.0, 1.0, 1.0)
    rows = table(tmp_path / "E" / "nodes_positive_froc.csv")
    assert [(float(row["threshold"]), float(row["false_positives_per_case"])) for row in rows] == [
        (0.9, 0.0), (0.6, 1.0), (0.2, 1.5),
    ]  # fmt: skip
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "Positive nodes by their probability" in page
    assert "<td>1.000 [1.000, 1.000]</td>" in page


def test_a_node_taken_for_positive_at_the_place_of_a_negative_one_is_false(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[0].found[1] = (patients[0].found[1][0], "positive", 0.95)  # drawn negative, surest of all
    record = evaluated(write_cohort(patients), tmp_path / "E")["nodes"]["positive_froc"]
    assert record["average_precision"] == pytest.approx(2 / 3)
    assert record["sensitivity_at_false_positives"]["0.125"] == 0.0
    assert record["sensitivity_at_false_positives"]["0.25"] == 1.0


def test_without_probabilities_or_positive_nodes_there_is_no_curve_of_them(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[1].drawn[1] = (patients[1].drawn[1][0], "negative")
    patients[2].found = {}  # a patient without predicted nodes stays among those who are counted
    there = write_cohort(patients)
    (there.results / "p3" / "nodes.csv").write_text("node,class,probability\n1,positive,\n2,positive,0.5\n")
    record = evaluated(there, tmp_path / "E")["nodes"]["positive_froc"]
    assert (record["patients"], record["average_precision"], record["intervals"]) == (3, None, None)
    assert not (tmp_path / "E" / "nodes_positive_froc.csv").exists()
    assert "Positive nodes by" not in (tmp_path / "E" / PAGE_FILE).read_text()


def test_the_demanded_overlap_decides_what_is_a_match(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    record = evaluated(there, tmp_path / "E", replace(QUICK, iou=0.7))
    assert record["nodes"]["found"]["pooled"]["true_positives"] == 0
    assert record["nodes"]["identification"]["auc"] is None
    with pytest.raises(UsageError, match=r"an IoU of 1\.5 cannot be demanded"):
        evaluated(there, tmp_path / "F", replace(QUICK, iou=1.5))


@pytest.mark.parametrize("status", [None, 1])
def test_status_needs_both_classes_and_masks_do_not(
    write_cohort: WriteCohort, tmp_path: Path, status: int | None, patients: Any
) -> None:
    for patient in patients:
        patient.n_status = status
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert record["status"] is None
    assert record["tumor"]["cases"] == 4
    assert not (tmp_path / "E" / "status.csv").exists()
    assert "N status is not measured" in (tmp_path / "E" / PAGE_FILE).read_text()


def test_predictions_of_two_bundles_are_stamped(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    patients[0].result = {"bundle": {"name": "other", "sha256": "def", "is_phantom": True, "notice": ""}}
    record = evaluated(write_cohort(patients), tmp_path / "E")
    assert record["stamps"] == ["predictions of 2 different bundles"]
    assert record["bundles"] == {"abc": "test", "def": "other"}
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "trained on synthetic phantoms" in page
    assert page.index("trained on synthetic phantoms") < page.index("predictions of 2 different bundles")


def test_the_notices_of_all_bundles_stand_on_the_page_each_once(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    for patient, name in zip(patients, ("a", "a", "b", "b"), strict=True):
        bundle = {"name": name, "sha256": name, "is_phantom": False, "notice": f"learned from few: {name}"}
        patient.result = {"bundle": bundle}
    evaluated(write_cohort(patients), tmp_path / "E")
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert [page.count(f"<p>learned from few: {name}</p>") for name in "ab"] == [1, 1]


def test_a_node_that_cannot_be_one_counts_nowhere(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    for name in ("p0", "p1"):  # the spurious positive one of each; of p1 its only true one too
        table_of = there.results / name / "nodes.csv"
        flags = {"1": "cut implausible" if name == "p1" else "", "2": "implausible"}
        head, *lines = table_of.read_text().splitlines()
        lines = [f"{line},{flags[line[0]]}" for line in lines]
        table_of.write_text("\n".join([f"{head},flags", *lines]) + "\n")
    record = evaluated(there, tmp_path / "E")
    found = record["nodes"]["found"]["pooled"]
    assert [found[kind] for kind in ("true_positives", "false_positives", "false_negatives")] == [3, 2, 5]
    positive = record["nodes"]["positive"]["pooled"]
    assert [positive[kind] for kind in ("true_positives", "false_positives", "false_negatives")] == [1, 2, 1]
    assert record["nodes"]["identification"]["nodes"] == 3
    rows = {row["patient_id"]: row for row in table(tmp_path / "E" / "results.csv")}
    counts = ("nodes_predicted", "nodes_predicted_positive", "found_tp", "found_fp", "found_fn")
    assert [rows["p0"][name] for name in counts] == ["1", "0", "1", "0", "1"]
    assert [rows["p1"][name] for name in counts] == ["0", "0", "0", "0", "2"]
    nodes = [row for row in table(tmp_path / "E" / "nodes.csv") if row["patient_id"] == "p1"]
    assert [row["outcome"] for row in nodes] == ["missed", "missed"]


def test_nodes_that_were_found_and_not_called_are_not_counted_by_class(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    (there.results / "p0" / "nodes.csv").write_text("node,class,probability\n1,,\n2,,\n")
    record = evaluated(there, tmp_path / "E")
    assert record["nodes"]["found"]["mean"]["cases"] == 4
    assert [record["nodes"][group]["mean"]["cases"] for group in ("positive", "negative")] == [3, 3]
    assert record["nodes"]["identification"]["nodes"] == 3
    row = table(tmp_path / "E" / "results.csv")[0]
    assert (row["found_tp"], row["found_fp"], row["positive_tp"], row["negative_fn"]) == ("1", "1", "", "")


def test_patients_without_a_center_are_a_group_of_their_own(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def noted(curves: Any) -> bytes:
        drawn.append([*curves])
        return roc_png(curves)

    monkeypatch.setattr(cohort_page, "roc_png", noted)
    for patient, center in zip(patients, ("", "", "all", "all"), strict=True):
        patient.center = center
    record = evaluated(write_cohort(patients), tmp_path / "E")
    centers = record["status"]["centers"]
    assert {name: found["patients"] for name, found in centers.items()} == {"all": 2, UNKNOWN_CENTER: 2}
    # A center may bear any name, also that of everybody.
    assert drawn == [["all", "center all", f"center {UNKNOWN_CENTER}"]]


def test_who_is_not_evaluated_keeps_center_and_status(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any, new_patient: Any
) -> None:
    others = [
        new_patient("left", n_status=1, center="C", columns={"exclude_reason": "no consent"}),
        new_patient("lost", n_status=0, center="D"),
        new_patient("seen", n_status=None, center="", notices=["seen_in_training"]),
    ]
    evaluated(write_cohort([*patients, *others], unpredicted=["lost"]), tmp_path / "E")
    rows = {row["patient_id"]: row for row in table(tmp_path / "E" / "results.csv")}
    facts = {name: (rows[name]["center"], rows[name]["n_status"]) for name in ("left", "lost", "seen")}
    assert facts == {"left": ("C", "1"), "lost": ("D", "0"), "seen": ("", "")}


def test_a_patient_whose_last_prediction_failed_has_no_result_though_an_older_one_lies_there(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    (there.results / "failures.jsonl").write_text('{"patient_id": "p2", "cause": "gzip stream ends early"}\n')
    record = evaluated(there, tmp_path / "E")
    assert record["without_result"] == {"p2": "gzip stream ends early"}
    assert record["patients"]["evaluated"] == 3


def test_names_of_labels_beside_drawn_structures_are_an_input(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    names = {"background": 0, "liver": int(Structure.LIVER), "aorta": int(Structure.AORTA)}
    beside = there.manifest.parent / "p0" / "dataset.json"
    beside.write_text(json.dumps({"labels": names}))
    assert "aorta" in evaluated(there, tmp_path / "E")["structures"]
    beside.write_text(json.dumps({"labels": names | {"aorta": names["liver"], "liver": names["aorta"]}}))
    changed = evaluated(there, tmp_path / "E")
    assert changed["structures"]["aorta"]["mean"]["dice"]["mean"] == pytest.approx(0.75 * 3 / 4)


def test_the_same_evaluation_is_kept_and_gives_the_same_bytes(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients)
    evaluated(there, tmp_path / "E")
    before = (tmp_path / "E" / "cohort.json").stat().st_mtime_ns
    evaluated(there, tmp_path / "E")
    assert (tmp_path / "E" / "cohort.json").stat().st_mtime_ns == before
    evaluated(there, tmp_path / "F")
    for path in sorted((tmp_path / "E").iterdir()):
        assert path.read_bytes() == (tmp_path / "F" / path.name).read_bytes(), path.name
    result = there.results / "p0" / "result.json"
    result.write_text(result.read_text().replace("0.1", "0.9"))
    assert evaluated(there, tmp_path / "E")["status"]["all"]["auc"]["estimate"] < 1.0


def test_worker_processes_measure_the_same(write_cohort: WriteCohort, tmp_path: Path, patients: Any) -> None:
    there = write_cohort(patients)
    predicted = PredictedCohort(manifest=there.manifest, results=there.results)
    told: list[str] = []
    record = evaluate_cohort(predicted, QUICK, tmp_path / "E", jobs=2, progress=told.append)
    assert told == ["p0", "p1", "p2", "p3"]
    assert record == evaluated(there, tmp_path / "F")


def test_patients_whose_status_is_not_known_are_listed(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any, new_patient: Any
) -> None:
    record = evaluated(write_cohort([*patients, new_patient("dark", n_status=None)]), tmp_path / "E")
    assert record["without_n_status"] == ["dark"]
    assert (record["patients"]["evaluated"], record["status"]["all"]["patients"]) == (5, 4)
    page = (tmp_path / "E" / PAGE_FILE).read_text()
    assert "N status is not known of 1 evaluated patient: dark." in page
