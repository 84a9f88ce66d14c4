from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.imaging.crop import crop_volume
from lymphct.learning.augmentation import SpatialTransform
from lymphct.learning.channels import network_channels
from lymphct.learning.settings import AugmentationSettings
from lymphct.nodes.crops import (
    NOT_A_NODE,
    UNKNOWN,
    IdentificationCase,
    as_no_nodes,
    cut_crop,
    drawn_ious,
    identification_case,
    with_known_class,
)
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.settings import NodeSamplingSettings

NONE = np.zeros((2, 3), dtype=np.int64)
SAMPLING = NodeSamplingSettings(
    crop_size=(16, 12, 8),
    batch_size=6,
    box_jitter=(1, 2),
    augmentation=AugmentationSettings.preset("none"),
)


@pytest.fixture
def case(image: Multiphase, nodes: NodeMap, ct: Multiphase) -> IdentificationCase:
    return identification_case("p1", network_channels(image), nodes, ct)


def test_a_crop_is_centred_on_its_node_and_shows_the_image(
    case: IdentificationCase, image: Multiphase
) -> None:
    # Node 2 is the sphere around voxel (9, 9, 7).
    crop = cut_crop(case, 1, (10, 8, 6), SpatialTransform(), NONE)
    assert crop.image.shape == (2, 6, 8, 10)
    assert_array_equal(crop.image[1], image.venous.array[4:14, 5:13, 4:10].transpose(2, 1, 0))
    assert crop.mask[3, 4, 5] == 1


def test_outside_the_image_lies_the_fill(case: IdentificationCase, nodes: NodeMap) -> None:
    crop = cut_crop(case, 1, (40, 40, 40), SpatialTransform(), NONE)
    outside = crop.image[:, :, 0]
    assert [np.unique(channel).tolist() for channel in outside] == [[np.float32(x)] for x in case.fill]
    assert case.fill[0] != case.fill[1]  # each phase has its own lower clip value
    assert crop.mask.sum() == (nodes.instances.array == 2).sum()


def test_the_box_encloses_the_node_and_is_widened_within_the_crop(case: IdentificationCase) -> None:
    tight = cut_crop(case, 1, (16, 16, 16), SpatialTransform(), NONE)
    found = np.argwhere(tight.mask)
    assert_array_equal(tight.box, [found.min(axis=0), found.max(axis=0) + 1])
    margins = np.array([[1, 2, 3], [2, 1, 0]])
    wide = cut_crop(case, 1, (16, 16, 16), SpatialTransform(), margins)
    assert_array_equal(wide.box - tight.box, [[-1, -2, -3], [2, 1, 0]])
    widest = cut_crop(case, 1, (16, 16, 16), SpatialTransform(), margins + 99)
    assert_array_equal(widest.box, [[0, 0, 0], [16, 16, 16]])


def test_other_nodes_are_not_in_the_mask(case: IdentificationCase) -> None:
    crop = cut_crop(case, 0, (60, 60, 40), SpatialTransform(), NONE)
    assert crop.mask.sum() == (np.asarray(case.instances) == case.labels[0]).sum()


def test_image_and_mask_turn_together(case: IdentificationCase) -> None:
    quarter = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    crop = cut_crop(case, 0, (16, 16, 16), SpatialTransform(quarter, (True, False, False)), NONE)
    plain = cut_crop(case, 0, (16, 16, 16), SpatialTransform(), NONE)
    assert crop.mask.sum() == plain.mask.sum()
    # Node 1 is dark, HU 40 within fat of −100: intensities follow the mask.
    assert_allclose(crop.image[1][crop.mask > 0].mean(), plain.image[1][plain.mask > 0].mean(), atol=1e-3)


def test_a_tiny_node_lost_in_turning_is_shown_as_it_lies(case: IdentificationCase) -> None:
    instances = np.zeros_like(case.instances)
    instances[10, 10, 10] = 9
    box = (slice(10, 11), slice(10, 11), slice(10, 11))
    tiny = replace(case, instances=instances, labels=(9,), boxes=(box,), classes=(1,))
    shrunk = 40.0 * np.eye(3)  # a patch voxel takes every fortieth voxel
    crop = cut_crop(tiny, 0, (4, 4, 4), SpatialTransform(shrunk), NONE)
    assert crop.mask.sum() == 1
    assert_array_equal(crop.image, cut_crop(tiny, 0, (4, 4, 4), SpatialTransform(), NONE).image)


def test_half_of_a_batch_is_positive(case: IdentificationCase) -> None:
    for iteration in range(4):
        batch = NodeSampler([case], SAMPLING, 2, seed=1).batch(iteration)
        assert sorted(batch.classes.tolist()) == [0, 0, 0, 1, 1, 1]
        assert batch.image.shape == (6, 2, 8, 12, 16)
        assert batch.mask.shape == (6, 1, 8, 12, 16)
        assert batch.features.shape == (6, 7)
        assert bool((batch.box[:, 0] < batch.box[:, 1]).all())


def test_a_batch_depends_on_seed_and_iteration_alone(case: IdentificationCase) -> None:
    sampling = NodeSamplingSettings(crop_size=(16, 12, 8), batch_size=4)
    first, second = NodeSampler([case], sampling, 2, seed=1), NodeSampler([case], sampling, 2, seed=1)
    first.batch(0)
    assert (first.batch(7).image == second.batch(7).image).all()
    assert not (first.batch(8).image == second.batch(7).image).all()
    other = NodeSampler([case], sampling, 2, seed=2)
    assert not (other.batch(7).image == second.batch(7).image).all()


def test_the_order_of_the_patients_does_not_matter(case: IdentificationCase) -> None:
    brighter = replace(case, patient="p2", image=np.asarray(case.image) + 1)
    one = NodeSampler([case, brighter], SAMPLING, 2, seed=1).batch(3)
    two = NodeSampler([brighter, case], SAMPLING, 2, seed=1).batch(3)
    assert (one.image == two.image).all()


def test_phase_dropout_hides_the_arterial_phase_and_its_features(case: IdentificationCase) -> None:
    hidden = SAMPLING.model_copy(update={"phase_dropout": 1.0})
    batch = NodeSampler([case], hidden, 2, seed=1).batch(0)
    assert bool((batch.image[:, 0] == 0).all())
    assert bool(batch.features[:, 1:4].isnan().all())
    assert not batch.features[:, 4:].isnan().any()
    assert np.asarray(case.image)[0].any()


def test_three_classes_take_equal_shares(
    image: Multiphase, nodes: NodeMap, ct: Multiphase, case: IdentificationCase
) -> None:
    false_positives = as_no_nodes(identification_case("p2", network_channels(image), nodes, ct))
    batch = NodeSampler([case, false_positives], SAMPLING, 3, seed=1).batch(0)
    assert sorted(batch.classes.tolist()) == [0, 0, 1, 1, 2, 2]


def test_a_drawn_node_without_class_is_of_unknown_class_and_no_evidence_against_a_node(
    image: Multiphase, nodes: NodeMap, ct: Multiphase
) -> None:
    first, *others = nodes.nodes
    partly = NodeMap(instances=nodes.instances, nodes=(replace(first, node_class=None), *others))
    case = identification_case("p1", network_channels(image), partly, ct)
    assert case.classes[0] == UNKNOWN
    assert NOT_A_NODE not in case.classes
    with pytest.raises(InputError, match="0 not a lymph node"):
        NodeSampler([case], SAMPLING, 3, seed=1)


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_node_of_unknown_class_is_never_drawn(
    outputs: int, image: Multiphase, nodes: NodeMap, ct: Multiphase, case: IdentificationCase
) -> None:
    unknown = NodeMap(
        instances=nodes.instances, nodes=tuple(replace(node, node_class=None) for node in nodes.nodes)
    )
    undecided = identification_case("p0", network_channels(image), unknown, ct)
    known = [case, as_no_nodes(replace(case, patient="p2"))][: outputs - 1]
    with_it, without = (NodeSampler(part, SAMPLING, outputs, seed=1) for part in ([undecided, *known], known))
    for iteration in range(4):
        one, other = with_it.batch(iteration), without.batch(iteration)
        assert (one.image == other.image).all()
        assert one.classes.tolist() == other.classes.tolist()


def test_only_nodes_of_known_class_are_left_and_the_log_says_how_many_went(
    case: IdentificationCase, caplog: pytest.LogCaptureFixture
) -> None:
    classes = (1, UNKNOWN, UNKNOWN, 0)
    partly = replace(case, classes=classes, ious=drawn_ious(classes))
    with caplog.at_level("INFO", logger="lymphct.nodes.crops"):
        known = with_known_class(partly)
    assert (known.labels, known.classes) == ((case.labels[0], case.labels[3]), (1, 0))
    assert known.boxes == (case.boxes[0], case.boxes[3])
    assert_array_equal(known.features, case.features[[0, 3]])
    assert [record.getMessage() for record in caplog.records] == [
        "p1: 2 of 4 lymph nodes have no class, identification does not learn from them"
    ]
    caplog.clear()
    assert with_known_class(case) is case
    assert not caplog.records


def test_what_is_no_lymph_node_needs_the_third_class(case: IdentificationCase) -> None:
    with pytest.raises(InputError, match="p1: 1 parts are no lymph nodes"):
        NodeSampler([replace(case, classes=(0, 1, NOT_A_NODE, 1))], SAMPLING, 2, seed=1)


def test_every_class_needs_an_example(case: IdentificationCase) -> None:
    with pytest.raises(InputError, match="got 4 negative, 0 positive"):
        NodeSampler([replace(case, classes=(0, 0, 0, 0))], SAMPLING, 2, seed=1)
    with pytest.raises(InputError, match="got 0 negative, 0 positive"):
        NodeSampler([], SAMPLING, 2, seed=1)
    with pytest.raises(InputError, match="2 positive, 0 not a lymph node"):
        NodeSampler([case], SAMPLING, 3, seed=1)


def test_channels_on_another_grid_are_refused(image: Multiphase, nodes: NodeMap, ct: Multiphase) -> None:
    with pytest.raises(GeometryMismatchError, match="the channel lies on another voxel grid"):
        identification_case("p1", [crop_volume(image.venous, (0, 0, 0), (4, 4, 4))], nodes, ct)


def test_the_jitter_goes_from_few_to_many() -> None:
    with pytest.raises(ValidationError, match="from the fewest to the most voxels"):
        NodeSamplingSettings(box_jitter=(8, 4))
