"""Ablations: what differs in settings, what is trained once, who is examined."""

import pytest
from tests.study.nested.test_guard import INNER, OUTER, plan_of

from lymphct.config import Config
from lymphct.core.errors import UsageError
from lymphct.study.nested.building import MASKS, NOTHING, nested_graph
from lymphct.study.nested.plan import CascadeRole
from lymphct.study.nested.variants import ATTENTION, NONE, VARIANTS, chosen_ablations


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_what_it_says_and_nothing_else(name: str) -> None:
    before, after = Config().model_dump(), VARIANTS[name].settings(Config()).model_dump()
    changed = {group for group in before if before[group] != after[group]}
    assert changed == ({"nodes"} if VARIANTS[name].changes and name != "gated" else changed)
    for path, value in VARIANTS[name].changes.items():
        place = after["nodes"]
        for step in path.split("."):
            place = place[step]
        assert place == value


def test_the_cascade_with_attention_is_that_of_the_settings() -> None:
    config = Config()
    assert VARIANTS[ATTENTION].settings(config) is config
    assert VARIANTS[NONE].settings(config).nodes.heads.use_attention is False


def test_what_differs_at_inference_alone_is_not_trained_again() -> None:
    assert chosen_ablations(["none_gated", "gated"]) == ("none", "none_gated", "attention", "gated")
    plan = plan_of().model_copy(update={"ablations": ("none", "none_gated", "gated")})
    graph = nested_graph(plan, {"combined": ATTENTION, "ct_reported": NOTHING})
    trained = [
        name for name, task in graph.items() if task.kind == "train" and task.arguments["stage"] == "nodes"
    ]
    assert trained == ["nodes.fold1.inner1", "nodes.fold1.inner1.none"]
    assert "bundle.fold1.inner1.none" in graph["examine.fold1.inner1.none_gated.cohort"].after
    assert "bundle.fold1.inner1" in graph["examine.fold1.inner1.gated.cohort"].after
    assert "bundle.fold1.inner1.gated" not in graph
    judged = graph["judge.fold1.combined"].after
    assert list(judged) == ["examine.fold1.inner1.cohort"]  # no ablation is judged
    assert graph[MASKS].arguments["examined"] == {
        "examine.fold1.inner1.cohort": "attention",
        "examine.fold1.inner1.none.cohort": "none",
        "examine.fold1.inner1.none_gated.cohort": "none_gated",
        "examine.fold1.inner1.gated.cohort": "gated",
    }


def test_an_ablation_examines_test_patients_alone() -> None:
    plan = plan_of().model_copy(update={"ablations": ("none",)})
    assert CascadeRole(fold=1, inner=1, variant="none").examined(plan) == OUTER.test
    assert CascadeRole(fold=1, inner=1).examined(plan) == tuple(sorted((*INNER.test, *OUTER.test)))


def test_a_name_that_is_none_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean none_gated"):
        chosen_ablations(["none_gate"])
