"""Values, scores and calls read the same everywhere."""

from dataclasses import replace
from typing import Any

import pytest

from lymphct.core.patient import IMPLAUSIBLE, Node
from lymphct.core.terms import NodeClass, Source
from lymphct.report.wording import called, milliliters, number, plain, telling_decimals


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        (False, "no"),
        (3, "3"),
        ("a", "a"),
        ({"b": 1, "a": None}, '{"a": null, "b": 1}'),
    ],
)
def test_any_value_of_a_record_can_be_read(value: Any, text: str) -> None:
    assert plain(value) == text


def test_numbers_have_a_true_minus_and_no_signed_zero() -> None:
    assert [number(value, 1) for value in (-12.34, -0.04, None)] == ["−12.3", "0.0", "–"]


@pytest.mark.parametrize(
    ("volume", "text"),
    [(None, "–"), (48.0, "0.05"), (9_990.0, "9.99"), (99_400.0, "99.4"), (123_456.0, "123")],
)
def test_volumes_are_read_in_milliliters(volume: float | None, text: str) -> None:
    assert milliliters(volume) == text


def test_a_score_has_as_many_decimals_as_tell_it_from_the_threshold() -> None:
    assert telling_decimals(0.4696, 0.47) == 4
    assert telling_decimals(0.47, 0.47) == 2
    assert telling_decimals(None, 0.47) == telling_decimals(0.3, None) == 2
    assert telling_decimals(0.47, 0.47 + 1e-9) == 6


def test_a_node_is_called_by_who_said_so_and_whether_it_counts() -> None:
    node = Node(label=1, volume=1.0, center=(0, 0, 0))
    assert called(node) == "not called"
    positive = replace(node, node_class=NodeClass.POSITIVE, class_source=Source.NETWORK)
    assert called(positive) == "predicted positive"
    assert called(replace(positive, class_source=Source.GIVEN)) == "drawn positive"
    assert called(replace(positive, flags=(IMPLAUSIBLE,))) == "predicted positive, implausible: not counted"
