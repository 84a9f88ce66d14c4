"""Mode `hard`: bodies that a network takes for lymph nodes, and nodes that touch one another."""

import numpy as np
import pytest
from scipy import ndimage

from lymphct.core.arrays import BoolArray
from lymphct.core.terms import NodeClass, Structure
from lymphct.phantom import lookalikes
from lymphct.phantom.lookalikes import place_lookalikes
from lymphct.phantom.nodes import LOOKS, NodePlan
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.placement import Placed, Placer
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.surroundings import Surroundings

SPACING = (1.0, 1.0, 1.0)
SHAPE = (90, 80, 70)
HARD = PhantomSettings(mode="hard", size="tiny")


def field(attention: float = 1.0) -> Surroundings:
    """Fat without end, half of it with attention."""
    warm = np.full(SHAPE, attention, np.float32)
    warm[:30] = 0.0
    return Surroundings(
        free=np.ones(SHAPE, dtype=bool),
        inner=np.ones(SHAPE, dtype=bool),
        distances={Structure.DUODENUM: np.full(SHAPE, 5.0, np.float32)},
        attention=warm,
        nearest=np.full(SHAPE, Structure.DUODENUM, np.uint8),
        atlas=np.broadcast_to(np.array([-30, -20, -12], dtype=np.float32), (*SHAPE, 3)),
        spacing=SPACING,
    )


def drawn(bodies: list[Placed]) -> list[BoolArray]:
    masks = []
    for body in bodies:
        mask = np.zeros(SHAPE, dtype=bool)
        box = tuple(slice(s, s + n) for s, n in zip(body.start, body.sculpture.mask.shape, strict=True))
        mask[box] = body.sculpture.mask
        masks.append(mask)
    return masks


def test_lookalikes_lie_apart_from_one_another_where_attention_is() -> None:
    around = field()
    bodies = place_lookalikes(np.random.default_rng(4), HARD, LOOKS["overlapping"], around)
    assert len(bodies) > 4
    masks = drawn(bodies)
    together = np.sum(masks, axis=0)
    assert together.max() == 1
    assert ndimage.label(together, np.ones((3, 3, 3)))[1] == len(bodies)
    assert (around.attention[together > 0] > 0).all()
    assert not around.free[together > 0].any()


def test_there_are_as_many_of_each_kind_as_the_mode_has_and_none_in_other_modes() -> None:
    looks = LOOKS["overlapping"]
    counts = [len(place_lookalikes(np.random.default_rng(seed), HARD, looks, field())) for seed in range(24)]
    wanted = HARD.difficulty
    expected = wanted.undrawn_nodes + wanted.ganglia + wanted.bowel_loops
    assert abs(np.mean(counts) - expected) < 4 * np.sqrt(expected / len(counts))
    for mode in ("paper", "unbiased"):
        settings = PhantomSettings(mode=mode)
        assert place_lookalikes(np.random.default_rng(0), settings, looks, field()) == []
    nowhere = field(attention=0.0)
    assert place_lookalikes(np.random.default_rng(0), HARD, looks, nowhere) == []


def test_a_loop_has_a_wall_around_dark_content_and_a_ganglion_is_flat() -> None:
    loop = lookalikes._loop(np.random.default_rng(1), SPACING)
    inside = loop.share > 0.99
    depth = ndimage.distance_transform_edt(loop.mask)
    assert loop.venous[inside & (depth < 2)].mean() > loop.venous[depth > depth.max() - 1].mean() + 30
    ganglion = lookalikes._ganglion(np.random.default_rng(1), SPACING)
    points = np.argwhere(ganglion.mask).astype(float)
    axes = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
    assert axes[0] < 0.7 * axes[2]


@pytest.mark.parametrize("touching", [0.0, 1.0])
def test_nodes_touch_as_often_as_asked_and_never_overlap(touching: float) -> None:
    plans = [NodePlan(node_class=NodeClass.NEGATIVE, volume=250.0) for _ in range(5)]
    placer = Placer(np.random.default_rng(2), field(), LOOKS["overlapping"], touching=touching)
    bodies = placer.nodes(plans, "head/uncinate")
    together = np.sum(drawn(bodies), axis=0)
    assert len(bodies) == 5
    assert together.max() == 1
    parts = ndimage.label(together, np.ones((3, 3, 3)))[1]
    assert parts == (1 if touching else 5)
    assert all(body.station for body in bodies)


def test_a_hard_patient_has_the_nodes_of_its_plan_and_more_that_looks_like_them() -> None:
    hard, plain = (
        generate_patient(PhantomSettings(size="nano", mode=mode), seed=3, index=4)
        for mode in ("hard", "unbiased")
    )
    again = generate_patient(PhantomSettings(size="nano", mode="hard"), seed=3, index=4)
    assert np.array_equal(hard.venous.array, again.venous.array)
    assert hard.n_status == plain.n_status
    assert [n.node_class for n in hard.nodes.nodes] == [n.node_class for n in plain.nodes.nodes]
    assert np.array_equal(hard.tumor.array, plain.tumor.array)
    unlike = np.abs(hard.venous.array - plain.venous.array) > 60
    assert unlike.sum() > hard.nodes.instances.array.astype(bool).sum()
