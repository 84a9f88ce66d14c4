"""The benchmark of oracles knows what the generator paints, and judges by what it says."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import oracles

from lymphct.core.terms import NodeClass
from lymphct.evaluation.classification import auc
from lymphct.phantom.hidden import HiddenTruth, hidden_truth
from lymphct.phantom.nodes import NodePlan
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings


@pytest.mark.parametrize("index", [0, 1])
def test_the_hidden_truth_is_that_of_the_painted_patient(index: int) -> None:
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    truth, patient = (
        hidden_truth(settings, seed=3, index=index),
        generate_patient(settings, seed=3, index=index),
    )
    assert truth.is_positive == bool(patient.n_status)
    assert truth.tumor.texture == patient.drawn_tumor.texture
    assert truth.tumor.diameter == patient.tumor_diameter_mm
    planned = [node.node_class for node in truth.nodes]
    placed = [node.node_class for node in patient.nodes.nodes]
    assert 0 < len(placed) <= len(planned)
    for node_class in NodeClass:
        assert placed.count(node_class) <= planned.count(node_class)


def patient_of(*volumes: float, positive: tuple[float, ...] = ()) -> HiddenTruth:
    tumor = hidden_truth(PhantomSettings(), seed=0, index=0).tumor
    nodes = [NodePlan(node_class=NodeClass.POSITIVE, volume=v) for v in positive]
    nodes += [NodePlan(node_class=NodeClass.NEGATIVE, volume=v) for v in volumes]
    return HiddenTruth(is_positive=bool(positive), tumor=tumor, nodes=tuple(nodes))


def test_each_kind_of_knowledge_is_the_number_it_says() -> None:
    known = {
        name: judge(patient_of(500.0, 90.0, positive=(200.0, 80.0))) for name, judge in oracles.KNOWN.items()
    }
    by_word = {
        word: next(v for name, v in known.items() if word in name)
        for word in ("largest positive", "together")
    }
    assert by_word == {"largest positive": 200.0, "together": 870.0}
    assert known["volume without class: largest node"] == 500.0
    assert known["number of nodes, fewer being worse"] == -4.0
    nothing = {name: judge(patient_of()) for name, judge in oracles.KNOWN.items()}
    assert nothing["class of every node: is one positive"] == 0.0
    assert nothing["volume without class: largest node"] == 0.0


def test_nobody_is_weighed_by_himself() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(200, 5)), rng.random(200) < 0.5
    assert abs(auc(labels, oracles.weighed(rows, labels)) - 0.5) < 0.1


def test_the_table_has_a_row_for_each_and_a_column_for_each_mode() -> None:
    found = oracles.table(60, seed=1)
    assert found.columns == ("Known of a patient", "paper", "unbiased", "hard")
    assert [row[0] for row in found.rows] == [*oracles.KNOWN, oracles.ALL]
