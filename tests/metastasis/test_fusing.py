"""A number of the nodes that is learned: of whoever teaches, by a network that did not learn from him."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from lymphct.core.errors import InputError, LeakageError, UsageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Fitted, FittedOn
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import NodeClass
from lymphct.evaluation.folds import Fold, stratified_folds
from lymphct.learning.weights import as_stored
from lymphct.metastasis import node_score
from lymphct.metastasis.drivers import score_drivers
from lymphct.metastasis.fusing import fit_numbers, fused_number, status_cases
from lymphct.metastasis.heads import StatusHead, status_score
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.node_score import NodeScore, fit_node_score, out_of_fold_numbers
from lymphct.metastasis.prediction import build_status_network, predict_status
from lymphct.metastasis.settings import (
    Learned,
    MetastasisSettings,
    NodeNetworkSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
)

torch.set_num_threads(1)

NODES = NodeNetworkSettings(iterations=20, folds=3)
KINDS: tuple[Learned, ...] = ("node_set", "node_graph")


def settings_of(kind: Learned = "node_set", *, volume_fusion: bool = True) -> MetastasisSettings:
    return MetastasisSettings(
        fused=kind,
        nodes=NODES,
        network=StatusNetworkSettings(width=0.125, volume_fusion=volume_fusion),
        sampling=StatusSamplingSettings(batch_size=2),
        training=StatusTrainingSettings(epochs=1, iterations_per_epoch=2),
    )


def patient(name: str, n_status: int | None, *, has_tumor: bool = True) -> Evidence:
    """A patient with up to four nodes, one near the tumor where he is N+."""
    rng = np.random.default_rng(sum(map(ord, name)))
    nodes = [
        Node(
            label=label,
            volume=float(rng.uniform(100, 900)),
            center=(9.0 * label, 0.0, 0.0),
            node_class=NodeClass.POSITIVE,
            probability=float(rng.uniform(0.2, 0.8)),
            tumor_distance=float(rng.uniform(0, 8) if label == n_status else rng.uniform(20, 40)),
            hu_venous=90.0,
            station="13",
        )
        for label in range(1, int(rng.integers(2, 5)))
    ]
    return Evidence(
        patient=name,
        patches=rng.normal(size=(2, 3, 32, 32)).astype(np.float32) if has_tumor else None,
        tumor_volume=4000.0,
        nodes=tuple(nodes),
        features=np.zeros((len(nodes), 7)),
        clinical=Clinical(n_status=n_status),
        fitted_on=FittedOn.of(["somebody"]),
    )


def cohort(count: int, group: str = "t") -> list[Evidence]:
    return [patient(f"{group}{number:02d}", number % 2) for number in range(count)]


def numbers_of(
    train: Sequence[Evidence], kind: Learned = "node_set", *, seed: int = 1
) -> tuple[dict[str, float], StatusNetwork]:
    settings = settings_of(kind)
    network = build_status_network(settings, seed=seed)
    cases, _ = fit_numbers(network, train, [], settings, seed=seed)
    return {case.patient: case.volume for case in cases}, network


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_who_teaches_has_a_number_of_a_network_that_learned_from_him(
    kind: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, frozenset[str]]] = []
    taught: list[frozenset[str]] = []
    fit, probability = fit_node_score, NodeScore.probability

    def watched(*given: object, **named: int) -> Fitted[NodeScore]:
        fitted = fit(*given, **named)  # type: ignore[arg-type] # handed on
        taught.append(fitted.patients)
        return fitted

    def told(self: NodeScore, evidence: Evidence) -> float:
        asked.append((evidence.patient, taught[-1]))
        return probability(self, evidence)

    monkeypatch.setattr(node_score, "fit_node_score", watched)
    monkeypatch.setattr(NodeScore, "probability", told)
    train = cohort(11)
    found = out_of_fold_numbers(kind, train, NODES, seed=1)
    assert sorted(name for name, _ in asked) == sorted(found) == sorted(item.patient for item in train)
    assert all(name not in teachers for name, teachers in asked)
    assert len(taught) == 3
    assert all(len(teachers) >= 7 for teachers in taught)
    assert all(0 < number < 1 for number in found.values())


def test_his_own_status_and_nodes_move_the_numbers_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Folds hold both classes, so that another status may deal everybody anew: here they stay as they are.
    train = cohort(12)
    strata = {item.patient: str(item.clinical.n_status) for item in train}
    folds = stratified_folds(strata, 3, 1)
    monkeypatch.setattr(node_score, "stratified_folds", lambda *_: folds)
    first = train[0]
    beside = next(fold.test for fold in folds if first.patient in fold.test)
    before = out_of_fold_numbers("node_set", train, NODES, seed=1)
    turned = replace(first, clinical=Clinical(n_status=1))
    other = out_of_fold_numbers("node_set", [turned, *train[1:]], NODES, seed=1)
    assert {name for name in before if other[name] == before[name]} == set(beside)
    moved = replace(first, nodes=(), features=first.features[:0])
    again = out_of_fold_numbers("node_set", [moved, *train[1:]], NODES, seed=1)
    assert {name for name in before if again[name] == before[name]} == set(beside) - {first.patient}


def test_a_split_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(item.patient for item in cohort(6))
    leaking = (Fold(train=names, validation=(), test=names[:1]),)
    monkeypatch.setattr(node_score, "stratified_folds", lambda *_: leaking)
    with pytest.raises(LeakageError, match="were used for fitting"):
        out_of_fold_numbers("node_set", cohort(6), NODES, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_numbers_in_whatever_order_patients_come(kind: Learned) -> None:
    train = cohort(10)
    numbers, network = numbers_of(train, kind)
    again, other = numbers_of(train[::-1], kind)
    assert again == numbers
    weights, others = (item.state_dict() for item in (network.node_score, other.node_score) if item)
    assert all(torch.equal(weights[name], x) for name, x in others.items())
    assert numbers_of(train, kind, seed=2)[0] != numbers


@pytest.mark.parametrize("kind", KINDS)
def test_others_have_the_number_of_the_network_that_everybody_taught(kind: Learned) -> None:
    settings = settings_of(kind)
    train = [*cohort(10), patient("unknown", None), patient("no tumor", 1, has_tumor=False)]
    others = cohort(4, "v")
    network = build_status_network(settings)
    cases, judged = fit_numbers(network, train, others, settings, seed=3)
    assert [case.patient for case in cases] == [item.patient for item in cohort(10)]
    fitted = fit_node_score(kind, cohort(10), settings.nodes, seed=3)
    assert fitted.patients == {item.patient for item in cohort(10)}  # as many as teach the status network
    assert [case.volume for case in judged] == [fitted.value.probability(item) for item in others]
    assert [case.volume for case in judged] == [fused_number(item, settings, network) for item in others]
    assert [case.volume for case in cases] != [fused_number(item, settings, network) for item in cohort(10)]
    assert all(case.largest_volume > 1 for case in judged if case.n_status)  # mm³, for ClsbyLNSeg


def test_a_patient_cannot_teach_the_number_and_be_judged_by_it() -> None:
    settings = settings_of()
    with pytest.raises(LeakageError, match="t03"):
        fit_numbers(build_status_network(settings), cohort(6), cohort(8)[3:4], settings, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_rounded_as_a_bundle_stores_it_the_number_stays_what_it_is(kind: Learned) -> None:
    numbers, network = numbers_of(cohort(8), kind)
    assert network.node_score is not None
    own = network.node_score.state_dict()
    assert all(torch.equal(own[name], x) for name, x in as_stored(own).items())
    other = build_status_network(settings_of(kind))
    other.load_state_dict(as_stored(network.state_dict()))
    someone = patient("new", None)
    assert fused_number(someone, settings_of(kind), other) == fused_number(
        someone, settings_of(kind), network
    )
    assert numbers


def test_training_the_status_network_does_not_touch_what_gives_the_number() -> None:
    settings = settings_of()
    fitted = StatusHead(settings).fit(cohort(8), cohort(4, "v"), seed=1)
    assert fitted.patients == {item.patient for item in (*cohort(8), *cohort(4, "v"))}
    again = StatusHead(settings).fit(cohort(8), cohort(4, "v"), seed=1)
    new = patient("new", None)
    assert again.value.score(new) == fitted.value.score(new)
    network = build_status_network(settings)
    assert network.node_score is not None
    assert not any(module.training for module in network.train().node_score.modules())  # type: ignore[union-attr]
    assert not any(x.requires_grad for x in network.node_score.parameters())


def test_the_status_network_reads_the_number() -> None:
    settings = settings_of()
    _, network = numbers_of(cohort(8))
    new = patient("new", None)
    number = fused_number(new, settings, network)
    assert new.patches is not None
    assert status_score(network, settings)(new) == predict_status(network, new.patches, number)


@pytest.mark.parametrize("counts", [(1, 5), (5, 1)])
def test_one_patient_of_a_class_cannot_be_left_out(counts: tuple[int, int]) -> None:
    train = [patient(f"t{s}{n}", s) for s, count in enumerate(counts) for n in range(count)]
    with pytest.raises(InputError, match=r"takes two N\+ and two N-; there are") as caught:
        numbers_of(train)
    assert caught.value.code == "E_ONE_CLASS"
    assert caught.value.cure == "add patients of that class, or set metastasis.fused to volume"


def test_with_fewer_patients_than_folds_each_is_left_out_alone() -> None:
    numbers, _ = numbers_of(cohort(4))
    assert len(numbers) == 4
    assert len(out_of_fold_numbers("node_set", cohort(4), NodeNetworkSettings(iterations=2), seed=0)) == 4


def test_a_number_that_nobody_learned_is_not_made_up() -> None:
    settings, plain = settings_of(), build_status_network(MetastasisSettings(network=settings_of().network))
    for network in (None, plain):
        with pytest.raises(UsageError, match="node_set, is learned, and no network knows it"):
            fused_number(patient("a", 1), settings, network)
    with pytest.raises(UsageError, match="is learned"):
        status_cases(cohort(2), settings)


def test_without_fusion_nothing_is_learned_of_the_nodes() -> None:
    settings = settings_of(volume_fusion=False)
    network = build_status_network(settings)
    assert settings.learned_number is None
    assert network.node_score is None
    cases, _ = fit_numbers(network, cohort(3), [], settings, seed=0)
    assert [case.volume for case in cases] == [0.0] * 3


def test_other_numbers_leave_the_status_network_as_it_was() -> None:
    plain, learned = (build_status_network(item, seed=4) for item in (MetastasisSettings(), settings_of()))
    assert not [name for name in plain.state_dict() if name.startswith("node_score")]
    narrow = build_status_network(MetastasisSettings(network=settings_of().network), seed=4).state_dict()
    assert all(torch.equal(learned.state_dict()[name], x) for name, x in narrow.items())
    _, others = fit_numbers(plain, cohort(2), cohort(3, "v"), MetastasisSettings(), seed=0)
    assert [case.volume for case in others] == [
        fused_number(item, MetastasisSettings()) for item in cohort(3, "v")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_drove_the_score_asks_for_the_number_without_each_node(kind: Learned) -> None:
    settings = settings_of(kind)
    _, network = numbers_of(cohort(8), kind)
    new = patient("new", None)
    found = score_drivers(network, settings, new)
    assert found is not None
    score = status_score(network, settings)
    assert found.by_nodes == fused_number(new, settings, network)
    assert 0 < found.by_nodes < 1
    assert found.score == score(new)
    assert found.without_nodes == score(replace(new, nodes=(), features=np.zeros((0, 7))))
    for change in found.nodes:
        rows = [row for row, node in enumerate(new.nodes) if node.label != change.node]
        left = score(
            replace(new, nodes=tuple(new.nodes[row] for row in rows), features=new.features[: len(rows)])
        )
        assert left is not None
        assert change.change == found.score - left
    assert any(item.change for item in found.nodes)
    plain = MetastasisSettings(network=settings.network)
    other = score_drivers(build_status_network(plain), plain, new)
    assert other is not None
    assert other.by_nodes is None
