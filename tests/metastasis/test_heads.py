"""From the evidence of patients to a score and a threshold, by rule and by network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lymphct.core.errors import InputError, LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import NodeClass
from lymphct.metastasis.fusing import status_cases
from lymphct.metastasis.heads import (
    HEADS,
    Judge,
    Rule,
    StatusHead,
    fit_judge,
    head_named,
)
from lymphct.metastasis.node_scores import largest_volume
from lymphct.metastasis.settings import (
    MetastasisSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
    VolumeKind,
)

torch.set_num_threads(1)

QUICK = MetastasisSettings(
    network=StatusNetworkSettings(width=0.125),
    sampling=StatusSamplingSettings(batch_size=4),
    training=StatusTrainingSettings(epochs=1, iterations_per_epoch=2),
)


def evidence(
    number: int,
    volume: float,
    n_status: int | None,
    *,
    has_tumor: bool = True,
    fitted_on: tuple[str, ...] = ("other",),
) -> Evidence:
    """A patient with a positive node of `volume` mm³ (0: none) and a larger negative one."""
    nodes = [Node(label=1, volume=900.0, center=(0.0, 0.0, 0.0), node_class=NodeClass.NEGATIVE)]
    if volume:
        nodes.append(Node(label=2, volume=volume, center=(0.0, 0.0, 9.0), node_class=NodeClass.POSITIVE))
    rng = np.random.default_rng(number)
    return Evidence(
        patient=f"case{number}",
        patches=rng.normal(size=(3, 3, 32, 32)).astype(np.float32) if has_tumor else None,
        tumor_volume=4000.0 * has_tumor,
        nodes=tuple(nodes),
        features=np.zeros((len(nodes), 7)),
        clinical=Clinical(n_status=n_status),
        fitted_on=FittedOn.of(fitted_on),
    )


def cohort(first: int = 0) -> list[Evidence]:
    return [evidence(first + n, 400.0 * (n % 2), n % 2) for n in range(6)]


def test_the_volume_of_the_largest_positive_node_is_the_score() -> None:
    assert largest_volume(evidence(0, 400.0, 1)) == 400.0
    assert largest_volume(evidence(0, 0.0, 1)) == 0.0


def test_a_rule_learns_its_threshold_from_validation_patients_only() -> None:
    fitted = Rule(largest_volume).fit(cohort(first=10), cohort())
    assert fitted.value.threshold == 200.0
    assert fitted.patients == {f"case{n}" for n in range(6)}
    assert [fitted.value.call(item) for item in cohort()] == [0, 1, 0, 1, 0, 1]


def test_without_a_positive_node_a_patient_is_n_negative_whatever_the_validation_patients_say() -> None:
    everybody = [evidence(0, 0.0, 1), evidence(1, 0.0, 1), evidence(2, 0.0, 0)]
    judge = head_named("largest_volume", QUICK).fit([], everybody).value
    assert judge.threshold == 1.0
    assert judge.call(evidence(9, 0.0, None)) == 0


def test_patients_without_a_status_or_a_score_do_not_decide() -> None:
    validation = [*cohort(), evidence(7, 5.0, None)]
    with_gap = fit_judge(lambda item: None if item.patient == "case5" else largest_volume(item), validation)
    assert with_gap.patients == {f"case{n}" for n in range(5)}


def test_without_a_score_there_is_no_call() -> None:
    assert Judge(score=lambda _: None, threshold=0.5).call(evidence(0, 0.0, 1)) is None


def test_a_threshold_needs_both_classes() -> None:
    with pytest.raises(InputError, match="both classes are needed"):
        Rule(largest_volume).fit([], [evidence(0, 1.0, 1), evidence(1, 2.0, 1)])


@pytest.mark.parametrize("name", sorted(HEADS))
def test_no_head_learns_from_models_that_learned_from_the_patient(name: str) -> None:
    validation = [*cohort(), evidence(8, 4.0, 1, fitted_on=("case8",))]
    with pytest.raises(LeakageError, match="case8: the models were fitted on this patient"):
        head_named(name, QUICK).fit(cohort(first=10), validation)


def test_the_status_network_refuses_a_patient_of_two_roles() -> None:
    with pytest.raises(LeakageError, match="case3"):
        StatusHead(QUICK).fit(cohort(), cohort(first=3))


def test_the_status_network_learns_from_training_and_decides_on_validation_patients() -> None:
    fitted = StatusHead(QUICK).fit(cohort(first=10), cohort(), seed=1)
    assert fitted.patients == {f"case{n}" for n in (*range(6), *range(10, 16))}
    score = fitted.value.score(evidence(20, 400.0, None))
    assert score is not None
    assert 0.0 < score < 1.0
    again = StatusHead(QUICK).fit(cohort(first=10), cohort(), seed=1)
    assert again.value.score(evidence(20, 400.0, None)) == score
    assert fitted.value.score(evidence(20, 400.0, None, has_tumor=False)) is None


def test_the_network_learns_from_patients_with_status_and_tumor(caplog: pytest.LogCaptureFixture) -> None:
    group = [evidence(0, 4.0, 1), evidence(1, 4.0, None), evidence(2, 4.0, 0, has_tumor=False)]
    with caplog.at_level("INFO", logger="lymphct.metastasis.fusing"):
        (case,) = status_cases(group, QUICK)
    assert (case.patient, case.volume, case.n_status) == ("case0", 4.0, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "case2: no tumor found, left out of the status training"
    ]


@pytest.mark.parametrize(("kind", "volume"), [("largest", 5.0), ("mean", 4.0), ("total", 8.0)])
def test_the_largest_node_is_known_beside_the_volume_the_network_is_given(
    kind: VolumeKind, volume: float
) -> None:
    one, other = evidence(0, 3.0, 1), evidence(0, 5.0, 1)
    both = replace(
        one, nodes=(*one.nodes, *other.nodes), features=np.concatenate([one.features, other.features])
    )
    (case,) = status_cases([both], QUICK.model_copy(update={"volume": kind}))
    assert (case.volume, case.largest_volume) == (volume, 5.0)


def test_an_unknown_head_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="there is no patient head 'magic'") as caught:
        head_named("magic", QUICK)
    assert "status_network" in caught.value.cure
