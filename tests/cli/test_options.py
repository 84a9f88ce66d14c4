"""Options that several commands share say the same everywhere."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from lymphct.cli import attention, cohort, evaluate, predict, prepare, system, train
from lymphct.cli.options import AsJson, CohortFile, Labels, Registration


def declared(command: Callable[..., Any], name: str) -> object:
    return inspect.signature(command).parameters[name].annotation


@pytest.mark.parametrize(
    ("name", "shared", "commands"),
    [
        ("labels", Labels, (predict.predict, prepare.prepare, cohort.check, train.train)),
        ("cohort", CohortFile, (prepare.prepare, cohort.check)),
        (
            "as_json",
            AsJson,
            (
                predict.predict,
                prepare.prepare,
                cohort.check,
                attention.attention,
                system.doctor,
                system.verify,
            ),
        ),
        ("as_json", evaluate.AsJson, (evaluate.segmentation, evaluate.instances)),
    ],
)
def test_an_option_is_declared_once(
    name: str, shared: object, commands: tuple[Callable[..., Any], ...]
) -> None:
    assert all(declared(command, name) is shared for command in commands)


def test_the_ways_to_register_are_those_of_the_settings() -> None:
    assert {way.value for way in Registration} == {"deeds", "none"}
