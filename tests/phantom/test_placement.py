import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray
from lymphct.core.terms import NodeClass, Structure
from lymphct.phantom.nodes import LOOKS, NodePlan
from lymphct.phantom.placement import Placer, fits
from lymphct.phantom.surroundings import Surroundings
from lymphct.phantom.vessels import place_stubs

SPACING = (0.68, 0.68, 0.8)
SHAPE = (64, 60, 56)


def open_field(*, warm: bool, free: BoolArray | None = None) -> Surroundings:
    everywhere = np.ones(SHAPE, dtype=bool) if free is None else free
    return Surroundings(
        free=everywhere.copy(),
        inner=np.ones(SHAPE, dtype=bool),
        distances={Structure.DUODENUM: np.full(SHAPE, 5.0, np.float32)} if warm else {},
        attention=np.full(SHAPE, 1.0 if warm else 0.0, np.float32),
        nearest=np.full(SHAPE, Structure.DUODENUM, np.uint8),
        atlas=np.broadcast_to(np.array([-30, -20, -12], dtype=np.float32), (*SHAPE, 3)),
        spacing=SPACING,
    )


def placer(surroundings: Surroundings) -> Placer:
    return Placer(np.random.default_rng(0), surroundings, LOOKS["clear"])


def plans(count: int, volume: float = 150.0) -> list[NodePlan]:
    return [NodePlan(node_class=NodeClass.NEGATIVE, volume=volume) for _ in range(count)]


def test_placed_nodes_leave_a_gap_of_a_voxel_between_them() -> None:
    bodies = placer(open_field(warm=True)).nodes(plans(8), "head/uncinate")
    drawn = np.zeros(SHAPE, dtype=bool)
    for body in bodies:
        box = tuple(slice(s, s + n) for s, n in zip(body.start, body.sculpture.mask.shape, strict=True))
        drawn[box] |= body.sculpture.mask
    assert len(bodies) == 8
    assert ndimage.label(drawn, np.ones((3, 3, 3)))[1] == 8
    assert {body.station for body in bodies} <= {"12", "13", "17"}


def test_a_node_without_room_shrinks() -> None:
    room = np.zeros(SHAPE, dtype=bool)
    room[20:32, 20:32, 20:30] = True  # 8 mm wide
    bodies = placer(open_field(warm=True, free=room)).nodes(plans(1, volume=500.0), "head/uncinate")
    volumes = [body.sculpture.mask.sum() * np.prod(SPACING) for body in bodies]
    assert len(volumes) == 1
    assert 100 < volumes[0] < 400


def test_a_node_is_left_out_where_no_fat_or_no_structure_is() -> None:
    nothing = np.zeros(SHAPE, dtype=bool)
    assert placer(open_field(warm=True, free=nothing)).nodes(plans(1), "head/uncinate") == []
    assert placer(open_field(warm=False)).nodes(plans(1), "head/uncinate") == []


def test_distractors_keep_even_their_faint_edge_where_attention_is_zero() -> None:
    surroundings = open_field(warm=False)
    hot = surroundings.attention.copy()
    hot[:30] = 0.2
    surroundings.attention = hot
    bodies = placer(surroundings).distractors(6)
    assert len(bodies) == 6
    for body in bodies:
        box = tuple(slice(s, s + n) for s, n in zip(body.start, body.sculpture.share.shape, strict=True))
        assert (hot[box][body.sculpture.share > 0] == 0).all()


def test_there_are_no_distractors_where_attention_is_everywhere() -> None:
    assert placer(open_field(warm=True)).distractors(3) == []


def test_vessel_stubs_lie_where_attention_is_above_zero() -> None:
    rng = np.random.default_rng(1)
    stubs = place_stubs(rng, 3, open_field(warm=True))
    assert len(stubs) == 3
    for stub in stubs:
        reach = np.argwhere(stub.sculpture.share > 0.5) * SPACING
        assert np.ptp(reach, axis=0).max() > 5  # longer than thick
    assert place_stubs(rng, 2, open_field(warm=False)) == []


def test_a_mask_fits_only_inside_the_image_and_on_allowed_voxels() -> None:
    allowed = np.ones((5, 5, 5), dtype=bool)
    allowed[4] = False
    mask = np.ones((2, 2, 2), dtype=bool)
    assert fits(mask, (2, 3, 3), allowed)
    assert not fits(mask, (3, 3, 3), allowed)
    assert not fits(mask, (-1, 0, 0), allowed)
    assert not fits(mask, (0, 4, 0), allowed)
