"""Heads that judge a patient by all lymph nodes: by rule, as a set, as a graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import NodeClass, Structure
from lymphct.evaluation.classification import auc
from lymphct.metastasis.fusing import fused_number, status_cases
from lymphct.metastasis.heads import HEADS, Judge, head_named
from lymphct.metastasis.node_networks import NodeGraph, NodeSet, built, together
from lymphct.metastasis.node_vectors import NUMBERS, WIDTH, RowStatistics, node_rows
from lymphct.metastasis.settings import MetastasisSettings, NodeNetworkSettings

torch.set_num_threads(1)

LEARNED = {"node_set": NodeSet, "node_graph": NodeGraph}
QUICK = MetastasisSettings(nodes=NodeNetworkSettings(iterations=60))


def node(label: int, probability: float | None, **known: object) -> Node:
    facts: dict[str, object] = {
        "volume": 300.0,
        "center": (9.0 * label, 0.0, 0.0),
        "short_axis": 7.0,
        "hu_venous": 90.0,
        "hu_arterial": 70.0,
        "tumor_distance": 12.0,
        "nearest_structure": Structure.PANCREAS,
        "distance": 3.0,
        "station": "13",
        **known,
    }
    called = NodeClass.POSITIVE if (probability or 0) >= 0.5 else NodeClass.NEGATIVE
    return Node(label=label, probability=probability, node_class=called, **facts)  # type: ignore[arg-type]


def evidence(name: str, nodes: list[Node], n_status: int | None, *, tumor: float = 4000.0) -> Evidence:
    return Evidence(
        patient=name,
        patches=None,
        tumor_volume=tumor,
        nodes=tuple(nodes),
        features=np.zeros((len(nodes), 7)),
        clinical=Clinical(n_status=n_status),
        fitted_on=FittedOn.of(["somebody"]),
    )


def near_is_bad(count: int, seed: int) -> list[Evidence]:
    """Patients whose status is that of a node near the tumor; probabilities say nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        status = number % 2
        nodes = [
            node(label, float(rng.uniform(0.2, 0.8)), tumor_distance=float(rng.uniform(20, 40)))
            for label in range(1, int(rng.integers(1, 5)) + 1)
        ]
        if status:
            nodes[-1] = replace(nodes[-1], tumor_distance=float(rng.uniform(0, 8)))
        found.append(evidence(f"p{seed}-{number}", nodes, status))
    return found


def scores_of(judge: Judge, patients: list[Evidence]) -> list[float]:
    return [float(judge.score(item) or 0) for item in patients]


def test_rules_sum_up_all_nodes() -> None:
    item = evidence("a", [node(1, 0.5), node(2, 0.2), node(3, None)], 1)
    values = {name: head_named(name, QUICK).fit([], near_is_bad(6, 0)).value.score(item) for name in (
        "max_probability", "noisy_or", "expected_count")}  # fmt: skip
    assert values["max_probability"] == 0.5
    assert values["noisy_or"] == pytest.approx(1 - 0.5 * 0.8)
    assert values["expected_count"] == pytest.approx(0.7)
    nobody = evidence("b", [], 0)
    for name in values:
        assert head_named(name, QUICK).fit([], near_is_bad(6, 0)).value.score(nobody) == 0.0


@pytest.mark.parametrize("fused", ["max_probability", "noisy_or", "expected_count"])
def test_a_number_of_the_nodes_stands_for_the_volume_in_the_fusion(fused: str) -> None:
    item = replace(evidence("a", [node(1, 0.6), node(2, 0.3)], 1), patches=np.zeros((2, 3, 8, 8), np.float32))
    settings = MetastasisSettings.model_validate({"fused": fused})
    (case,) = status_cases([item], settings)
    assert case.volume == fused_number(item, settings) != fused_number(item, MetastasisSettings())
    assert case.largest_volume == 300.0


def test_a_row_holds_what_is_known_of_a_node() -> None:
    rows = node_rows(
        evidence("a", [node(1, 0.5), node(2, None, hu_arterial=None, nearest_structure=None)], 1)
    )
    assert rows.shape == (2, WIDTH)
    named = dict(zip(NUMBERS, rows[0], strict=False))
    assert named["probability_logit"] == 0.0
    assert named["log_volume"] == pytest.approx(np.log(300))
    assert named["enhancement"] == 20.0
    assert named["tumor_distance"] == 12.0
    assert rows[0, len(NUMBERS) :].sum() == 2  # a structure and a station
    assert np.isnan(rows[1, : len(NUMBERS)]).sum() == 3  # probability, arterial HU, enhancement
    statistics = RowStatistics.of([rows])
    assert np.isfinite(statistics.standard(rows)).all()
    assert node_rows(evidence("b", [], 0)).shape == (0, WIDTH)


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_networks_learn_what_no_rule_sees(name: str) -> None:
    train, validation, test = near_is_bad(80, 1), near_is_bad(20, 2), near_is_bad(40, 3)
    labels = np.array([item.clinical.n_status for item in test], dtype=np.int64)
    judge = head_named(name, QUICK).fit(train, validation, seed=4)
    scores = scores_of(judge.value, test)
    assert auc(labels, scores) > 0.9
    rule = head_named("noisy_or", QUICK).fit(train, validation).value
    assert auc(labels, scores_of(rule, test)) < 0.75
    assert judge.patients == {item.patient for item in (*train, *validation)}
    again = head_named(name, QUICK).fit(list(reversed(train)), validation, seed=4)
    assert scores_of(again.value, test) == scores


@pytest.mark.parametrize("kind", LEARNED.values())
@pytest.mark.parametrize(
    "patient",
    [
        evidence("none", [], 0),
        evidence("no tumor", [node(1, 0.4, tumor_distance=None)], 0, tumor=0.0),
        evidence("venous alone", [node(1, 0.4, hu_arterial=None)], 0),
        evidence("sixty", [node(n, n / 61) for n in range(1, 61)], 1),
    ],
    ids=lambda item: item.patient,
)
def test_every_patient_has_a_score_whoever_stands_beside_him(
    kind: type[NodeSet | NodeGraph], patient: Evidence
) -> None:
    settings = NodeNetworkSettings()
    others = near_is_bad(3, 7)
    statistics = RowStatistics.of([node_rows(item) for item in others])
    network = built(kind, settings, seed=0).eval()
    alone = network(together([kind.example(patient, statistics, settings)]))
    beside = network(together([kind.example(item, statistics, settings) for item in (patient, *others)]))
    assert torch.isfinite(alone).all()
    assert beside[0].item() == pytest.approx(alone[0].item(), abs=1e-5)


@pytest.mark.parametrize("kind", LEARNED.values())
def test_the_order_of_nodes_does_not_matter(kind: type[NodeSet | NodeGraph]) -> None:
    settings = NodeNetworkSettings()
    nodes = [node(n, n / 10, tumor_distance=5.0 * n) for n in range(1, 6)]
    forwards, backwards = evidence("a", nodes, 1), evidence("b", nodes[::-1], 1)
    statistics = RowStatistics.of([node_rows(forwards)])
    network = built(kind, settings, seed=0).eval()
    found = network(together([kind.example(item, statistics, settings) for item in (forwards, backwards)]))
    assert found[0].item() == pytest.approx(found[1].item(), abs=1e-5)


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_networks_need_both_classes(name: str) -> None:
    one = [item for item in near_is_bad(10, 1) if item.clinical.n_status == 1]
    with pytest.raises(InputError):
        HEADS[name](QUICK).fit(one, near_is_bad(6, 2))
