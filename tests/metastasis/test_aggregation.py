import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lymphct.core.errors import InputError, LeakageError
from lymphct.core.patient import Node
from lymphct.core.terms import NodeClass
from lymphct.metastasis.aggregation import (
    fit_volume_threshold,
    mean_over_patches,
    positive_volume,
)
from lymphct.metastasis.settings import VolumeKind

P, N = NodeClass.POSITIVE, NodeClass.NEGATIVE


def nodes(*given: tuple[float, NodeClass | None]) -> tuple[Node, ...]:
    return tuple(
        Node(label=label, volume=volume, center=(0.0, 0.0, 0.0), node_class=node_class)
        for label, (volume, node_class) in enumerate(given, start=1)
    )


@pytest.mark.parametrize(("kind", "expected"), [("largest", 700.0), ("mean", 500.0), ("total", 1000.0)])
def test_only_positive_nodes_count(kind: VolumeKind, expected: float) -> None:
    assert positive_volume(nodes((300.0, P), (5000.0, N), (700.0, P)), kind) == expected


@pytest.mark.parametrize("kind", ["largest", "mean", "total"])
def test_without_a_positive_node_the_volume_is_zero(kind: VolumeKind) -> None:
    assert positive_volume(nodes(), kind) == 0.0
    assert positive_volume(nodes((5000.0, N)), kind) == 0.0


def test_nodes_without_a_class_are_refused() -> None:
    with pytest.raises(InputError, match=r"lymph node 2 has no class.*identify the nodes first"):
        positive_volume(nodes((300.0, P), (200.0, None)))


def test_patches_are_averaged() -> None:
    assert mean_over_patches([0.2, 0.4, 0.9]) == pytest.approx(0.5)


def test_the_threshold_has_the_best_balanced_accuracy() -> None:
    # from 250: sensitivity 3/4, specificity 3/3; from 100: 3/4 and 2/3; from 400: 2/4 and 3/3
    volumes, status = [0, 300, 500, 900, 0, 0, 200], [1, 1, 1, 1, 0, 0, 0]
    fitted = fit_volume_threshold(volumes, status, "abcdefg")
    assert fitted.value == 250.0


def test_a_fitted_threshold_remembers_its_patients() -> None:
    fitted = fit_volume_threshold([0, 10], [0, 1], ["case1", "case2"])
    with pytest.raises(LeakageError, match="case2"):
        fitted.for_unseen(["case2", "case3"])


def test_without_any_positive_node_nobody_is_called_positive() -> None:
    fitted = fit_volume_threshold([0, 0, 0], [0, 1, 1], "abc")
    assert fitted.value == 1.0


def test_a_threshold_needs_both_classes() -> None:
    with pytest.raises(InputError, match="all 2 labels are 1: both classes are needed"):
        fit_volume_threshold([0, 10], [1, 1], "ab")


@given(
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 1)), min_size=2, max_size=30).filter(
        lambda pairs: len({status for _, status in pairs}) == 2
    )
)
def test_no_other_threshold_is_better(pairs: list[tuple[int, int]]) -> None:
    volumes, status = np.array([v for v, _ in pairs]), np.array([s for _, s in pairs])

    def balanced_accuracy(threshold: float) -> float:
        called = volumes >= threshold
        return float((called[status == 1] == 1).mean() + (called[status == 0] == 0).mean()) / 2

    best = fit_volume_threshold(volumes.tolist(), status.tolist(), map(str, range(len(pairs)))).value
    others = max(map(balanced_accuracy, volumes + 1.0))
    assert best >= 1.0
    # where no threshold is better than chance, any of them will do
    assert others <= 0.5 or balanced_accuracy(best) >= others - 1e-12
