"""The benchmark of stations measures what it says, on nodes worked out by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import stations
from benchmarks.stations import APART, TOGETHER, WIDTHS, Judged, Shares

from lymphct.evaluation.statistics import Interval
from lymphct.nodes.station_shares import UNCERTAINTY


def judged(truth: str, guess: str, shares: Shares) -> Judged:
    every = {(way, width): shares for way in (APART, TOGETHER) for width in WIDTHS}
    return Judged(truth=truth, guess=guess, shares=every)


RIGHT = judged("13", "13", {"13": 0.75, "17": 0.25})
SECOND = judged("17", "13", {"13": 0.5, "17": 0.375, "12": 0.125})
UNTHOUGHT = judged("9", "11", {"11": 1.0})


def test_accuracy_and_calibration_are_those_of_the_nodes() -> None:
    table = stations.whole_table([[RIGHT, SECOND], [], [UNTHOUGHT]])
    rows = {str(row[0]): row[1] for row in table.rows}
    assert (rows["patients"], rows["nodes"]) == (3, 3)
    figures = {name: cell.estimate for name, cell in rows.items() if isinstance(cell, Interval)}
    assert figures["station right"] == pytest.approx(1 / 3)
    assert figures["true station among the two most probable"] == pytest.approx(2 / 3)
    assert figures["mean probability of the station"] == pytest.approx(2.25 / 3)
    # Errors of the three bins: 0.75 and right, 0.5 and wrong, 1 and wrong.
    assert figures["expected calibration error of the station"] == pytest.approx((0.25 + 0.5 + 1.0) / 3)
    assert figures["Brier score of all stations"] == pytest.approx((0.125 + 0.65625 + 2.0) / 3)
    worst = -np.log(stations.LEAST)
    assert figures["log loss"] == pytest.approx((-np.log(0.75) - np.log(0.375) + worst) / 3)


def test_each_station_says_what_it_was_taken_for() -> None:
    assert stations.station_table([RIGHT, SECOND, UNTHOUGHT]).rows == (
        ("9", 1, 0.0, 0.0, "11 (1)"),
        ("13", 1, 1.0, 1.0, None),
        ("17", 1, 0.0, 1.0, "13 (1)"),
    )


def test_a_probability_falls_into_one_range() -> None:
    rows = {row[0]: row[1:] for row in stations.calibration_table([RIGHT, SECOND, UNTHOUGHT]).rows}
    assert rows["above 0.4 to 0.6"] == (1, 0.5, 0.0)
    assert rows["above 0.6 to 0.8"] == (1, 0.75, 1.0)
    assert rows["above 0.8 to 1.0"] == (1, 1.0, 0.0)
    assert rows["above 0.0 to 0.4"][0] == 0


def test_every_way_to_vary_has_its_row() -> None:
    table = stations.width_table([RIGHT])
    assert [row[0] for row in table.rows][:3] == [f"{APART}, {width:g} mm" for width in WIDTHS[:3]]
    assert len(table.rows) == 2 * len(WIDTHS)
    assert f"{UNCERTAINTY:g} mm" in table.note
