"""Checks are read verdict first, in words and with units."""

from typing import Any

import pytest

from lymphct.report.checks import check_rows, counted_verdicts

REGISTRATION: dict[str, Any] = {
    "method": "deeds",
    "overlap": 0.97,
    "distance_before": 9.8963,
    "distance_after": 6.8312,
    "consistency_mean_mm": 0.0337,
    "consistency_p95_mm": 0.1095,
    "folding_percent": 0.004,
    "min_jacobian": 0.5939,
    "sd_log_jacobian": 0.0873,
    "flags": [],
}


def check(name: str, passed: Any, value: Any = None) -> dict[str, Any]:
    return {"name": name, "passed": passed, "value": value, "text": ""}


def measured(value: Any) -> tuple[str, ...]:
    (row,) = check_rows([check("c", passed=True, value=value)])
    return row.measured


def test_failed_checks_come_first_then_those_not_done() -> None:
    verdicts = {"a": True, "b": None, "c": False, "d": True, "e": False}
    rows = check_rows([check(name, passed) for name, passed in verdicts.items()])
    assert [(row.verdict, row.name) for row in rows] == [
        ("failed", "c"), ("failed", "e"), ("not done", "b"), ("passed", "a"), ("passed", "d"),
    ]  # fmt: skip
    assert counted_verdicts(rows) == [("failed", 2), ("not done", 1), ("passed", 2)]
    assert counted_verdicts(rows[3:]) == [("passed", 2)]
    assert check_rows([]) == []


def test_a_registration_is_told_in_words_with_units() -> None:
    lines = measured(REGISTRATION)
    assert lines == (
        "method: DEEDS",
        "difference of the phases: 9.9 before, 6.8 after (0 to 60, 0 is equal)",
        "error there and back: 0.03 mm on average, 95 % below 0.11 mm",
        "folding: 0.004 % of the body",
        "strongest local shrinking: to 59 % of the volume",
        "spread of local volume change: 0.09 (SD of its logarithm)",
        "shared field of view: 97 % of the body",
    )
    assert not set('{}"_') & set("".join(lines))


def test_what_was_not_measured_of_a_registration_is_left_out() -> None:
    nothing = dict.fromkeys(REGISTRATION)
    assert measured({**nothing, "method": "none"}) == ("method: none, the phases share coordinates",)
    assert measured({"method": "of tomorrow", "overlap": True}) == ("method: of tomorrow",)
    turned = measured({"method": "deeds", "min_jacobian": -0.25})
    assert turned[1] == "strongest local shrinking: to −25 % of the volume"


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (None, ()),
        ("", ()),
        (12.54321, ("12.54",)),
        (-1003.0, ("−1003",)),
        (7, ("7",)),
        (["a", 0.5], ("a", "0.5")),
        ({"largest_gap": 2.0, "where": "z"}, ("largest gap: 2", "where: z")),
        ({}, ()),
    ],
)
def test_any_other_value_is_a_line_each(value: Any, lines: tuple[str, ...]) -> None:
    assert measured(value) == lines


def test_a_verdict_that_is_no_boolean_counts_as_not_done() -> None:
    (row,) = check_rows([{"name": "x", "passed": "yes"}])
    assert (row.verdict, row.text) == ("not done", "–")
