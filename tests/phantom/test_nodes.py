from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.terms import STATIONS as JPS_STATIONS
from lymphct.core.terms import NodeClass
from lymphct.phantom.nodes import LOOKS, NodePlan, draw_counts, half_axes, plan_nodes, sculpt
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.stations import SHARES, STATIONS, draw_station

SPACING = (0.68, 0.68, 0.80)


def counts(mode: str, *, is_positive: bool, n: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(7)
    settings = PhantomSettings.model_validate({"mode": mode})
    return np.array([draw_counts(rng, settings.mode, is_positive=is_positive) for _ in range(n)])


def test_counts_of_the_paper_mode_have_the_printed_means() -> None:
    positive, negative = counts("paper", is_positive=True), counts("paper", is_positive=False)
    assert positive[:, 0].min() == 1
    assert_allclose(positive.mean(axis=0), [1.356, 0.92], rtol=0.05)
    assert negative[:, 0].max() == 0
    assert_allclose(negative[:, 1].mean(), 4.19, rtol=0.05)


def test_totals_of_the_unbiased_mode_do_not_depend_on_the_label() -> None:
    positive, negative = counts("unbiased", is_positive=True), counts("unbiased", is_positive=False)
    for drawn in (positive, negative):
        assert drawn.sum(axis=1).min() == 1
        assert_allclose(drawn.sum(axis=1).mean(), 3.3, rtol=0.05)
    assert positive[:, 0].min() == 1
    assert negative[:, 0].max() == 0


def test_volumes_are_clipped_log_normal_and_positive_nodes_larger() -> None:
    rng = np.random.default_rng(8)
    settings = PhantomSettings()
    plans = [plan for i in range(1500) for plan in plan_nodes(rng, settings, is_positive=i % 2 == 0)]
    volumes = {c: np.array([p.volume for p in plans if p.node_class == c]) for c in NodeClass}
    assert_allclose(np.median(volumes[NodeClass.POSITIVE]), np.exp(6.018), rtol=0.1)
    assert_allclose(np.median(volumes[NodeClass.NEGATIVE]), np.exp(5.298), rtol=0.1)
    both = np.concatenate(list(volumes.values()))
    assert both.min() == 60
    assert both.max() <= 6000


def test_positive_nodes_come_first_so_that_they_find_room() -> None:
    plans = plan_nodes(np.random.default_rng(3), PhantomSettings(mode="unbiased"), is_positive=True)
    classes = [plan.node_class for plan in plans]
    assert classes == sorted(classes)


def test_half_axes_make_the_volume() -> None:
    axes = half_axes(np.random.default_rng(1), 500.0, (0.5, 0.8))
    assert_allclose(4 / 3 * np.pi * axes.prod(), 500.0)
    assert axes[0] > axes[1] >= axes[2] >= 0.5 * axes[0]


@pytest.mark.parametrize("spacing", [SPACING, (2.0, 2.0, 2.5)])
def test_a_sculpted_node_has_its_volume_and_touches_no_face_of_its_box(
    spacing: tuple[float, float, float],
) -> None:
    rng = np.random.default_rng(2)
    plan = NodePlan(node_class=NodeClass.NEGATIVE, volume=900.0)
    for _ in range(5):
        body = sculpt(rng, plan, LOOKS["clear"][NodeClass.NEGATIVE], spacing)
        assert_allclose(body.share.sum() * np.prod(spacing), 900.0, rtol=0.06)
        assert_allclose(body.mask.sum() * np.prod(spacing), 900.0, rtol=0.12)
        shell = body.share.copy()
        shell[1:-1, 1:-1, 1:-1] = 0
        assert not shell.any()


def test_positive_nodes_are_darker_and_less_even_than_negative_ones_on_fine_voxels() -> None:
    rng = np.random.default_rng(4)
    means, spreads = {}, {}
    for node_class in NodeClass:
        plan = NodePlan(node_class=node_class, volume=280.0)  # below the size of necrosis
        bodies = [sculpt(rng, plan, LOOKS["clear"][node_class], SPACING) for _ in range(40)]
        full = [body.venous[body.share == 1] for body in bodies]
        means[node_class] = np.median([values.mean() for values in full])
        spreads[node_class] = np.median([values.std() for values in full])
    assert_allclose(means[NodeClass.POSITIVE], 80, atol=6)
    assert_allclose(means[NodeClass.NEGATIVE], 100, atol=6)
    assert_allclose(spreads[NodeClass.POSITIVE], 21, atol=6)
    assert spreads[NodeClass.NEGATIVE] < 9


def test_large_positive_nodes_often_have_a_dark_core() -> None:
    rng = np.random.default_rng(5)
    plan = NodePlan(node_class=NodeClass.POSITIVE, volume=2000.0)
    dark = 0
    for _ in range(60):
        body = sculpt(rng, plan, LOOKS["clear"][NodeClass.POSITIVE], (2.0, 2.0, 2.5))
        middle = tuple(n // 2 for n in body.share.shape)
        core = body.venous[tuple(slice(m - 1, m + 2) for m in middle)].mean()
        dark += bool(core < 50)
    assert 24 <= dark <= 48  # 60 %


def test_the_subtle_contrast_brings_the_classes_closer() -> None:
    def gap(contrast: str) -> float:
        looks = LOOKS["clear" if contrast == "clear" else "subtle"]
        return looks[NodeClass.NEGATIVE].tissue.venous - looks[NodeClass.POSITIVE].tissue.venous

    assert gap("subtle") < gap("clear") == 20


def test_stations_are_drawn_as_often_as_the_table_says() -> None:
    rng = np.random.default_rng(6)
    drawn = [draw_station(rng, "head/uncinate").number for _ in range(4000)]
    for number in ("13", "17", "8", "14", "12"):
        assert_allclose(drawn.count(number) / 4000, SHARES["head/uncinate"][number], atol=0.02)
    assert "10" not in drawn


def test_station_shares_sum_to_one_and_structures_are_those_of_the_method() -> None:
    for shares in SHARES.values():
        assert_allclose(sum(shares.values()), 1.0)
    for station in STATIONS.values():
        assert station.number in JPS_STATIONS[station.structure]


def test_crowding_multiplies_the_nodes_and_leaves_their_kinds_as_they_are() -> None:
    def plans(crowding: int) -> list[NodePlan]:
        settings = PhantomSettings(mode="unbiased", crowding=crowding)
        return plan_nodes(np.random.default_rng(3), settings, is_positive=True)

    few, many = ([plan.node_class for plan in plans(crowding)] for crowding in (1, 7))
    assert Counter(many) == {kind: 7 * count for kind, count in Counter(few).items()}
    assert plans(1) == plan_nodes(
        np.random.default_rng(3), PhantomSettings(mode="unbiased"), is_positive=True
    )


def test_a_crowded_phantom_has_room_for_its_nodes() -> None:
    settings = PhantomSettings(size="nano", mode="unbiased", crowding=6)
    crowded = generate_patient(settings, seed=5, index=0)
    plain = generate_patient(settings.model_copy(update={"crowding": 1}), seed=5, index=0)
    assert len(crowded.nodes.nodes) > 4 * len(plain.nodes.nodes)
    assert_array_equal(crowded.structures.array, plain.structures.array)
    assert_array_equal(crowded.tumor.array, plain.tumor.array)
