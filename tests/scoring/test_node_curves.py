"""FROC curves over all nodes and the positive ones: figures by hand, laws, older results."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.scoring.cohort import PredictedCohort, evaluate_cohort
from lymphct.scoring.cohort_cases import CohortRequest
from lymphct.scoring.cohort_patient import NodeMeasures, PredictedNode, measure_nodes
from lymphct.scoring.detection_curve import FALSE_POSITIVES
from lymphct.scoring.node_curves import curves_record, curves_table, node_curves, whole_curve

QUICK = CohortRequest(resamples=60)
POSITIVE, NEGATIVE = NodeClass.POSITIVE, NodeClass.NEGATIVE
WriteCohort = Callable[..., Any]


def patient(
    truth: list[int], found: list[int], sure: Mapping[int, PredictedNode], positive: tuple[int, ...] = (1,)
) -> NodeMeasures:
    """Measure a patient of one row of voxels."""
    geometry = Geometry(shape=(1, 1, len(truth)), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    nodes = tuple(
        Node(label=n, volume=1.0, center=(0, 0, 0), node_class=POSITIVE if n in positive else NEGATIVE)
        for n in sorted(set(truth) - {0})
    )
    drawn = NodeMap(instances=Volume(array=np.array([[truth]], np.uint8), geometry=geometry), nodes=nodes)
    return measure_nodes(np.array([[found]], np.uint8), sure, drawn, 0.3)


def sure(peak: float, mean: float, probability: float = 0.5, node: float | None = None) -> PredictedNode:
    return PredictedNode(
        probability >= 0.5, probability, detection=peak, detection_mean=mean, node_probability=node
    )


def read(patients: Mapping[str, NodeMeasures], request: CohortRequest = QUICK) -> Any:
    return curves_record(node_curves(patients), request)


def three_patients(node: float | None = None) -> dict[str, NodeMeasures]:
    """Return one with a node found, one missed, one false; one with a false one alone; one with neither."""
    false = 0.1 if node is not None else None
    of_a = {1: sure(0.9, 0.8, 0.6, node), 3: sure(0.9, 0.5, 0.5, false)}
    return {
        "a": patient([1, 1, 0, 2, 2, 0, 0, 0], [1, 1, 0, 0, 0, 0, 3, 3], of_a),
        "b": patient([0, 0, 0, 0], [1, 0, 0, 0], {1: sure(0.6, 0.9, 0.1, node)}),
        "c": patient([0, 0, 0, 0], [0, 0, 0, 0], {}),
    }


def test_the_curves_are_those_worked_out_by_hand() -> None:
    curves = node_curves(three_patients())
    found = curves["all"]["mean"]
    assert found.patients == 3
    assert found.candidates is not None
    curve = whole_curve(found.candidates)
    # 0.9 is the false one of b, 0.8 the true one of a, 0.5 its false one; two true nodes, three patients.
    np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.5])
    np.testing.assert_allclose(curve.sensitivity, [0, 1 / 2, 1 / 2])
    np.testing.assert_allclose(curve.false_positives, [1 / 3, 1 / 3, 2 / 3])
    by_peak = curves["all"]["peak"].candidates
    assert by_peak is not None
    # Both of a are equally sure: one point for the two.
    np.testing.assert_allclose(whole_curve(by_peak).false_positives, [1 / 3, 2 / 3])
    np.testing.assert_allclose(whole_curve(by_peak).sensitivity, [1 / 2, 1 / 2])


def test_sensitivity_is_read_where_the_curve_goes_and_nowhere_else() -> None:
    record = read(three_patients())["all"]
    at = record["mean"]["sensitivity_at_false_positives"]
    assert [*at] == ["0.125", "0.25", "0.5", "1", "2", "4", "8"]
    assert [None if one is None else one["estimate"] for one in at.values()] == [0, 0, 0.5, *[None] * 4]
    assert record["mean"]["end"]["false_positives"] == pytest.approx(2 / 3)
    assert record["mean"]["end"]["sensitivity"]["estimate"] == 0.5
    assert (record["mean"]["patients"], record["mean"]["true_nodes"], record["mean"]["candidates"]) == (
        3,
        2,
        3,
    )
    # Only resamples with a count; every one of them finds one of its two nodes in the end.
    assert record["mean"]["end"]["sensitivity"]["undefined"] > 0
    assert [record["mean"]["end"]["sensitivity"][limit] for limit in ("low", "high")] == [0.5, 0.5]
    assert record["combined"] is None


def test_where_all_are_found_nothing_is_left_to_find() -> None:
    perfect = {"a": patient([1, 1], [1, 1], {1: sure(0.9, 0.8)})}
    record = read(perfect)["all"]["mean"]
    at = record["sensitivity_at_false_positives"].values()
    assert [one["estimate"] for one in at] == [1.0] * len(FALSE_POSITIVES)
    assert record["end"]["false_positives"] == 0.0


def test_positive_nodes_are_told_from_negative_ones() -> None:
    one = patient(
        [1, 1, 0, 2, 2, 0],
        [1, 1, 0, 2, 2, 0],
        {1: sure(0.9, 0.6, 0.9), 2: sure(1.0, 0.8, 0.2)},
        positive=(1,),
    )
    curves = node_curves({"a": one})
    by_mean, combined = curves["positive"]["mean"].candidates, curves["positive"]["combined"].candidates
    assert by_mean is not None
    assert combined is not None
    np.testing.assert_allclose(whole_curve(by_mean).precision, [0, 1 / 2])
    np.testing.assert_allclose(whole_curve(combined).thresholds, [0.6 * 0.9, 0.8 * 0.2])
    np.testing.assert_allclose(whole_curve(combined).precision, [1, 1 / 2])


def test_what_stage_2_takes_for_no_lymph_node_comes_last() -> None:
    curves = node_curves(three_patients(node=0.9))
    everything, positive = curves["all"]["combined"].candidates, curves["positive"]["combined"].candidates
    assert everything is not None
    assert positive is not None
    np.testing.assert_allclose(whole_curve(everything).thresholds, [0.81, 0.72, 0.05])
    np.testing.assert_allclose(whole_curve(positive).thresholds, [0.8 * 0.9 * 0.6, 0.9 * 0.9 * 0.1, 0.025])
    np.testing.assert_allclose(whole_curve(positive).sensitivity, [1, 1, 1])


def test_a_drawn_node_without_class_leaves_its_patient_out_of_the_positive_ones() -> None:
    patients = three_patients()
    patients["a"] = replace(patients["a"], true_classes={1: None, 2: NEGATIVE})
    curves = node_curves(patients)
    assert curves["all"]["mean"].patients == 3
    assert curves["positive"]["mean"].patients == 2
    assert curves["positive"]["mean"].candidates is None


def test_older_results_have_no_curve_and_leave_the_others_theirs() -> None:
    old = patient([1, 1], [1, 1], {1: PredictedNode(is_positive=True, probability=0.9)})
    empty = patient([1, 1], [0, 0], {})
    curves = node_curves({"old": old, "empty": empty})
    assert all(found.candidates is None for scores in curves.values() for found in scores.values())
    assert curves_table(curves) is None
    assert read({"old": old, "empty": empty})["all"] == {"mean": None, "peak": None, "combined": None}
    mixed = node_curves({"old": old, **three_patients()})["all"]["mean"]
    assert mixed.patients == 3
    assert mixed.candidates is not None


def test_a_cohort_in_which_nothing_was_found_has_a_curve_of_nothing() -> None:
    record = read({"a": patient([1, 1], [0, 0], {})})["all"]["mean"]
    assert record["end"] == {
        "false_positives": 0.0,
        "sensitivity": {"estimate": 0.0, "low": 0.0, "high": 0.0, "undefined": 0},
    }
    assert set(record["sensitivity_at_false_positives"].values()) == {None}


def test_the_intervals_hang_on_the_seed_alone() -> None:
    many = {
        f"p{n}": patient(
            [1, 1, 0, 2, 0, 0], [1 * (n % 3 > 0), 1 * (n % 3 > 0), 0, 0, 0, 3],
            {label: sure(0.9, 0.3 + 0.05 * n + 0.01 * label) for label in ((1, 3) if n % 3 else (3,))},
        )
        for n in range(9)
    }  # fmt: skip
    once = read(many)
    assert read(many) == once
    assert read(many, replace(QUICK, seed=5)) != once


@settings(max_examples=40)
@given(
    scores=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    added=st.integers(0, 20),
    rate=st.sampled_from([0.0, *FALSE_POSITIVES]),
)
def test_one_more_false_positive_never_raises_the_curve(scores: list[int], added: int, rate: float) -> None:
    truth = [n if n % 2 else 0 for n in range(1, len(scores) + 1)]
    found = [*range(1, len(scores) + 1)]
    known = {n: sure(1.0, score / 20) for n, score in zip(found, scores, strict=True)}
    number = len(scores) + 1
    plain = {"a": patient([*truth, 0], [*found, 0], known)}
    more = {"a": patient([*truth, 0], [*found, number], known | {number: sure(1.0, added / 20)})}
    before, after = (node_curves(one)["all"]["mean"].candidates for one in (plain, more))
    assert before is not None
    assert after is not None
    assert whole_curve(after).sensitivity_at(rate) <= whole_curve(before).sensitivity_at(rate)
    assert whole_curve(after).average_precision <= whole_curve(before).average_precision + 1e-12
    for low, high in pairwise(whole_curve(after).sensitivity.tolist()):
        assert low <= high


def evaluated(there: Any, out: Path) -> Any:
    predicted = PredictedCohort(manifest=there.manifest, results=there.results)
    return evaluate_cohort(predicted, QUICK, out)


def test_the_curves_are_written_and_drawn_where_results_carry_what_they_need(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    for one in patients:
        one.sure = {1: "0.99,0.8,0.9", 2: "0.97,0.7,0.2"}
    record = evaluated(write_cohort(patients), tmp_path / "E")["nodes"]["froc"]
    # One node of each is found and surer than the false one, the other is missed.
    assert record["all"]["mean"]["sensitivity_at_false_positives"]["0.125"]["estimate"] == 0.5
    assert record["all"]["mean"]["end"]["false_positives"] == 1.0
    with (tmp_path / "E" / "nodes_froc.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["score"] == "combined"]
    assert [row["nodes"] for row in rows][:2] == ["all", "all"]
    np.testing.assert_allclose([float(row["threshold"]) for row in rows][:2], [0.8 * 0.9, 0.7 * 0.2])
    page = (tmp_path / "E" / "report.html").read_text()
    assert "Lymph nodes: FROC" in page
    assert page.count(">FROC curve, ") == 2
    assert "all nodes, stages 1 and 2</th>" in page
    with (tmp_path / "E" / "nodes.csv").open() as file:
        first = next(csv.DictReader(file))
    assert [first[name] for name in ("detection", "detection_mean", "node_probability")] == [
        "0.99",
        "0.8",
        "0.9",
    ]


def test_older_results_are_evaluated_without_the_curves(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    record = evaluated(write_cohort(patients), tmp_path / "E")["nodes"]["froc"]
    assert {curve for scores in record.values() for curve in scores.values()} == {None}
    assert not (tmp_path / "E" / "nodes_froc.csv").exists()
    assert "Lymph nodes: FROC" not in (tmp_path / "E" / "report.html").read_text()


@pytest.mark.parametrize("cell", ["1.5", "-0.1", "nan", "sure"])
def test_a_certainty_that_is_none_is_refused(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any, cell: str
) -> None:
    patients[0].sure = {1: f"{cell},0.8,", 2: "0.9,0.8,"}
    with pytest.raises(InputError, match="line 2 is not a lymph node of ours"):
        evaluated(write_cohort(patients), tmp_path / "E")
