import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.errors import GeometryMismatchError, InputError, LeakageError
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.nodes.features import (
    CORE,
    FEATURE_SETS,
    FEATURES,
    ROBUST,
    fit_feature_statistics,
    fit_logistic_baseline,
    node_features,
)


def test_features_are_those_of_the_core(nodes: NodeMap, ct: Multiphase) -> None:
    marked = ct.venous.array.copy()
    rim = nodes.instances.array == 1
    inner = rim.copy()
    for axis in range(3):
        inner &= np.roll(rim, 1, axis) & np.roll(rim, -1, axis)
    marked[rim & ~inner] = -1000.0  # the rim must not count
    features = node_features(nodes, Multiphase(venous=ct.venous.with_array(marked), arterial=ct.arterial))
    core = marked[inner]
    assert_allclose(features[0, 4:], [core.mean(), core.std(), core.min()], rtol=1e-4)
    assert_allclose(features[0, 0], np.log(nodes.nodes[0].volume))
    assert features.shape == (4, len(FEATURES))


def test_a_node_too_small_for_a_core_counts_as_a_whole(ct: Multiphase) -> None:
    array = np.zeros(ct.venous.array.shape, dtype=np.uint16)
    array[3:5, 3:5, 3:5] = 1
    instances = ct.venous.with_array(array)
    node = NodeMap(instances=instances, nodes=_records(1, instances))
    assert_allclose(node_features(node, ct)[0, 4], ct.venous.array[array > 0].mean(), rtol=1e-4)


def test_without_arterial_phase_its_features_are_missing(nodes: NodeMap, ct: Multiphase) -> None:
    features = node_features(nodes, Multiphase(venous=ct.venous))
    assert np.isnan(features[:, 1:4]).all()
    assert np.isfinite(features[:, [0, 4, 5, 6]]).all()


def test_a_node_without_voxels_is_refused(ct: Multiphase) -> None:
    instances = ct.venous.with_array(np.zeros(ct.venous.array.shape, dtype=np.uint16))
    with pytest.raises(InputError, match="lymph node 5 has no voxel"):
        node_features(NodeMap(instances=instances, nodes=_records(5, instances)), ct)


def test_an_image_on_another_grid_is_refused(nodes: NodeMap, ct: Multiphase) -> None:
    other = Multiphase(venous=crop_volume(ct.venous, (0, 0, 0), (4, 4, 4)))
    with pytest.raises(GeometryMismatchError, match="the node map lies on another voxel grid"):
        node_features(nodes, other)


def test_statistics_leave_missing_values_out_and_know_their_patients() -> None:
    features = np.array([[1.0, np.nan, 2.0], [3.0, np.nan, 2.0], [np.nan, np.nan, 2.0]])
    fitted = fit_feature_statistics(features, ["a", "b"])
    assert_allclose(fitted.value.mean, [2.0, 0.0, 2.0])
    assert_allclose(fitted.value.sd, [1.0, 1.0, 1.0])
    assert_allclose(fitted.value.standardize(features)[:, 0], [-1.0, 1.0, 0.0])
    with pytest.raises(LeakageError, match="1 patients were used for fitting"):
        fitted.for_unseen(["b", "c"])


def test_statistics_need_a_node() -> None:
    with pytest.raises(InputError, match="no lymph node to take statistics from"):
        fit_feature_statistics(np.zeros((0, 7)), ["a"])


def test_the_baseline_separates_what_a_line_separates() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.4
    features = rng.normal(size=(80, 7)) * [1, 30, 5, 40, 30, 5, 40] + [5, 60, 9, 20, 70, 9, 30]
    features[positive, 4] += 200.0
    features[:10, 1:4] = np.nan
    fitted = fit_logistic_baseline(features, positive, ["p"] * 80)
    predicted = fitted.value.predict(features)
    assert ((predicted > 0.5) == positive).all()
    assert fitted.patients == frozenset({"p"})


def test_the_order_of_the_nodes_does_not_change_the_baseline() -> None:
    rng = np.random.default_rng(1)
    features, positive = rng.normal(size=(30, 7)), rng.random(30) < 0.5
    turned = rng.permutation(30)
    first = fit_logistic_baseline(features, positive, ["p"] * 30).value
    second = fit_logistic_baseline(features[turned], positive[turned], ["p"] * 30).value
    assert_allclose(first.predict(features), second.predict(features), atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_baseline_needs_both_classes(share: float) -> None:
    labels = np.full(6, bool(share))
    with pytest.raises(InputError, match=f"got {int(6 * share)} of 6"):
        fit_logistic_baseline(np.zeros((6, 7)), labels, ["p"] * 6)


def _records(label: int, instances: Volume) -> tuple[Node, ...]:
    return (Node(label=label, volume=8.0, center=instances.geometry.origin),)


def test_another_set_of_features_looks_beyond_the_node(nodes: NodeMap, ct: Multiphase) -> None:
    rows = node_features(nodes, ct, FEATURE_SETS["robust"])
    assert rows.shape == (4, len(ROBUST.names))
    assert_allclose(rows[:, 0], node_features(nodes, ct)[:, 0])
    without = node_features(nodes, Multiphase(venous=ct.venous), ROBUST)
    assert np.isnan(without[:, list(ROBUST.arterial)]).all()
    others = [n for n in range(len(ROBUST.names)) if n not in ROBUST.arterial]
    assert_allclose(without[:, others], rows[:, others])


def test_the_margin_ends_at_the_border_of_the_image() -> None:
    box = (slice(0, 3), slice(4, 6), slice(8, 10))
    assert ROBUST.reach(box, (10, 10, 10), (2.0, 2.0, 2.5)) == (slice(0, 5), slice(2, 8), slice(6, 10))
    assert CORE.reach(box, (10, 10, 10), (2.0, 2.0, 2.5)) == box
