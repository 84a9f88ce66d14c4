"""A prediction is shown in one line, and is saved by whoever knows the images it came from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import UsageError
from lymphct.core.patient import Node, NodeMap, Notice, Prediction, SearchState
from lymphct.core.terms import NodeClass, Structure
from lymphct.core.volume import Volume

EMPTY = Volume.from_array(np.zeros((4, 5, 6), np.uint8), (0.68, 0.68, 0.8))
NODES = tuple(
    Node(label=label, volume=100.0, center=(0.0, 0.0, 0.0), node_class=node_class)
    for label, node_class in ((1, NodeClass.POSITIVE), (2, NodeClass.NEGATIVE), (3, None))
)
PREDICTION = Prediction(
    probability=0.6204,
    threshold=0.476,
    nodes=NodeMap(instances=EMPTY, nodes=NODES),
    search=SearchState.SEARCHED,
    structures=EMPTY,
    tumor=EMPTY,
    attention=EMPTY,
    structures_used=(Structure.AORTA, Structure.SPLEEN),
    notices=(Notice(code="bundle", text="phantoms"), Notice(code="no_arterial", text="venous alone")),
    seconds={},
)


def test_a_prediction_is_shown_in_one_line() -> None:
    assert repr(PREDICTION) == (
        "Prediction(probability of LN metastasis 0.620, N+ from 0.476; 3 nodes, 1 positive; "
        "2 guiding structures; notices: bundle, no_arterial)"
    )


def test_what_is_not_known_is_said() -> None:
    unknown = replace(PREDICTION, probability=None, search=SearchState.NOT_SEARCHED, notices=())
    assert repr(unknown) == (
        "Prediction(score withheld; nodes not searched; 2 guiding structures; notices: none)"
    )
    assert "metastasis 0.620;" in repr(replace(PREDICTION, threshold=None))


def test_a_prediction_is_saved_by_the_function_it_was_given(tmp_path: Path) -> None:
    saved: list[tuple[Prediction, str]] = []
    prediction = replace(PREDICTION, writer=lambda told, folder: saved.append((told, folder)))
    prediction.save(tmp_path / "case7")
    assert saved == [(prediction, str(tmp_path / "case7"))]


def test_a_prediction_without_its_images_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"without its images cannot be saved.*lymphct\.predict returned"):
        PREDICTION.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
