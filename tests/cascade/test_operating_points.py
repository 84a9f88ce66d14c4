"""Operating points a user moved act, and every result says so."""

from dataclasses import replace
from typing import Any

import pytest

from lymphct.cascade.models import Models
from lymphct.cascade.operating_points import (
    OPERATING_POINTS,
    moved,
    moved_points,
    operating_point,
    operating_point_notices,
)
from lymphct.core.errors import ModelError, UsageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "nodes.threshold=0.4",
            "there is no operating point 'nodes.threshold' .* - one of node_voxel, node_min_",
        ),
        ("node_voxel", "node_voxel is '', no number from 0 to 1"),
        ("node_voxel=high", "node_voxel is 'high', no number"),
        ("node_voxel=nan", "node_voxel is 'nan', no number"),
        ("patient=1.01", r"patient is '1\.01', no number from 0 to 1"),
        ("node_min_volume_mm3=-3", "node_min_volume_mm3 is '-3', no number from 0 to 1e"),
    ],
)
def test_what_is_no_operating_point_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        operating_point(text)


def test_points_reach_the_networks_and_are_said(answering: Models) -> None:
    points = {"node_voxel": 0.125, "node_min_volume_mm3": 80.0, "node_positive": 0.75, "patient": 0.375}
    assert set(points) == set(OPERATING_POINTS)
    models = moved(answering, points)
    assert models.nodes is not None
    assert models.identification is not None
    assert (models.nodes.settings.threshold, models.nodes.settings.min_volume) == (0.125, 80.0)
    assert models.identification.settings.threshold == 0.75
    assert models.info.thresholds["patient"] == 0.375
    assert moved_points(models) == points
    assert models.moved_from == {
        "node_voxel": 0.5, "node_min_volume_mm3": 30.0, "node_positive": 0.5, "patient": 0.25,
    }  # fmt: skip
    notices = operating_point_notices(models)
    assert {notice.code for notice in notices} == {"operating_point_changed"}
    assert notices[0].text == "operating point node_voxel: 0.125 instead of the bundle's 0.5"
    assert answering.nodes is not None
    assert answering.nodes.settings.threshold == 0.5


def test_the_bundle_s_own_value_moves_nothing(answering: Models) -> None:
    assert moved(answering, {"patient": 0.25, "node_voxel": 0.5}) is answering
    assert operating_point_notices(answering) == []


def test_a_point_of_a_network_that_is_missing_is_refused(answering: Models) -> None:
    without: Any = replace(answering, metastasis=None)
    with pytest.raises(ModelError, match="patient has no effect: the bundle has no metastasis network"):
        moved(without, {"patient": 0.3})
