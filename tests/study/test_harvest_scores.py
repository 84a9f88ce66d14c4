"""Scores of a harvest: medians over patients, and what counts where nothing is found."""

from dataclasses import replace

import pytest

from lymphct.evaluation.segmentation import SegmentationScores
from lymphct.study.harvest_scores import summary
from lymphct.study.harvest_table import score_rows

FOUND = SegmentationScores(
    dice=0.8,
    recall=0.7,
    precision=0.9,
    volume_truth_mm3=1000.0,
    volume_prediction_mm3=900.0,
    asd=1.0,
    asd_from_truth=1.0,
    assd=1.0,
    hd=6.0,
    hd95=4.0,
    nsd=0.9,
)
MISSED = replace(FOUND, dice=0.0, asd=float("nan"), hd=float("inf"))


def test_where_nothing_is_found_dice_is_0_and_distances_do_not_count() -> None:
    told = summary([FOUND, replace(FOUND, dice=0.6, asd=2.0, hd=10.0), MISSED])
    assert (told["patients"], told["found"]) == (3, 2)
    assert told["dice"] == pytest.approx({"median": 0.6, "q1": 0.3, "q3": 0.7, "patients": 3})
    assert told["asd"] == pytest.approx({"median": 1.5, "q1": 1.25, "q3": 1.75, "patients": 2})
    assert told["hd"] == pytest.approx({"median": 8.0, "q1": 7.0, "q3": 9.0, "patients": 2})


def test_a_network_that_finds_nothing_in_anybody_has_no_distances() -> None:
    told = summary([MISSED, MISSED])
    assert told["hd"] == {"median": None, "q1": None, "q3": None, "patients": 0}
    (row,) = score_rows({"final": told})
    assert row == ["final", "2", "0", "0.000 (0.000 to 0.000)", "-", "-"]


def test_networks_stand_in_the_order_they_were_trained() -> None:
    told = summary([FOUND])
    names = ["final", "final_at_pancreas", "teacher", "teacher_at_pancreas", "tuned"]
    assert [row[0] for row in score_rows(dict.fromkeys(names, told))] == [
        "teacher",
        "tuned",
        "final",
        "teacher_at_pancreas",
        "final_at_pancreas",
    ]
