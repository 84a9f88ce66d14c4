import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.learning.cases import TrainingCase, training_case
from lymphct.learning.channels import network_channels
from lymphct.learning.segmentation import fit_segmentation
from lymphct.learning.settings import AugmentationSettings, SamplingSettings, TrainingSettings, UNetSettings
from lymphct.learning.training import best_weights
from lymphct.nodes.segmentation import (
    build_node_network,
    predict_node_probability,
    segment_nodes,
)
from lymphct.nodes.settings import HeadSettings, NodeSegmentationSettings

SETTINGS = NodeSegmentationSettings(
    unet=UNetSettings(features=(6, 12), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1),
    sampling=SamplingSettings(patch_size=(16, 16, 12)),
    augmentation=AugmentationSettings.preset("none"),
    training=TrainingSettings(epochs=1, iterations_per_epoch=40, optimizer="adamw", learning_rate=2e-2),
)


@pytest.fixture(scope="module")
def case(image: Multiphase, classes: Volume, attention: Volume) -> TrainingCase:
    labels = classes.with_array((classes.array > 0).astype(np.uint8))
    return training_case("p1", network_channels(image), labels, attention)


def overfitted_dice(
    case: TrainingCase, patient: tuple[Multiphase, Volume, Volume], settings: NodeSegmentationSettings
) -> float:
    image, attention, classes = patient
    network = build_node_network(settings)
    *_, last = fit_segmentation(network, [case], [case], settings, seed=0)
    network.load_state_dict(best_weights(last.state))
    found = segment_nodes(network, image, attention, settings).instances.array > 0
    truth = classes.array > 0
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.mark.parametrize("use_attention", [True, False])
def test_stage_1_learns_one_patient_by_heart(
    use_attention: bool,  # noqa: FBT001 - pytest passes by name
    case: TrainingCase,
    image: Multiphase,
    attention: Volume,
    classes: Volume,
) -> None:
    settings = SETTINGS.model_copy(update={"heads": HeadSettings(use_attention=use_attention)})
    assert overfitted_dice(case, (image, attention, classes), settings) > 0.85


def test_the_same_seed_gives_the_same_network(case: TrainingCase) -> None:
    short = SETTINGS.model_copy(
        update={"training": SETTINGS.training.model_copy(update={"epochs": 1, "iterations_per_epoch": 4})}
    )
    states = []
    for _ in range(2):
        *_, last = fit_segmentation(build_node_network(short, seed=5), [case], [], short, seed=3)
        states.append(last.state.tensors)
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (build_node_network(SETTINGS, seed=seed).state_dict() for seed in (1, 1, 2))
    name = "unet.encoder.stages.0.0.convs.0.conv.weight"
    assert (one[name] == same[name]).all()
    assert not (one[name] == other[name]).all()


def test_probabilities_lie_on_the_grid_of_the_image(image: Multiphase, attention: Volume) -> None:
    probability = predict_node_probability(build_node_network(SETTINGS), image, attention, SETTINGS)
    assert probability.geometry == image.venous.geometry
    assert probability.array.dtype == np.float32
    assert 0.0 <= probability.array.min() <= probability.array.max() <= 1.0


def test_the_hard_gate_empties_what_has_no_attention_and_nothing_else(
    image: Multiphase, attention: Volume
) -> None:
    network = build_node_network(SETTINGS)
    gated = SETTINGS.model_copy(update={"hard_gate": True})
    free = predict_node_probability(network, image, attention, SETTINGS).array
    closed = predict_node_probability(network, image, attention, gated).array
    assert (free[attention.array == 0] > 0).all()
    assert_array_equal(closed, np.where(attention.array > 0, free, 0))


def test_a_patient_without_any_attention_has_no_nodes(image: Multiphase, attention: Volume) -> None:
    nothing = attention.with_array(np.zeros_like(attention.array))
    # Fresh heads give both classes the same logit: a probability of ½, which is not above ½.
    probability = predict_node_probability(build_node_network(SETTINGS), image, nothing, SETTINGS)
    assert_array_equal(probability.array, 0.5)
    assert segment_nodes(build_node_network(SETTINGS), image, nothing, SETTINGS).nodes == ()


def test_a_patient_without_arterial_phase_is_segmented_with_zeros(
    image: Multiphase, attention: Volume
) -> None:
    network = build_node_network(SETTINGS)
    zero = image.venous.with_array(np.zeros_like(image.venous.array))
    missing = predict_node_probability(network, Multiphase(venous=image.venous), attention, SETTINGS)
    zeros = predict_node_probability(
        network, Multiphase(venous=image.venous, arterial=zero), attention, SETTINGS
    )
    assert_array_equal(missing.array, zeros.array)


def test_attention_on_another_grid_is_refused(image: Multiphase, attention: Volume) -> None:
    small = crop_volume(attention, (0, 0, 0), (8, 8, 8))
    with pytest.raises(GeometryMismatchError, match="the attention map lies on another voxel grid"):
        predict_node_probability(build_node_network(SETTINGS), image, small, SETTINGS)


def test_a_network_can_be_rebuilt_from_the_settings_in_json() -> None:
    text = SETTINGS.model_dump_json()
    again = NodeSegmentationSettings.model_validate_json(text)
    assert again == SETTINGS
    build_node_network(again).load_state_dict(build_node_network(SETTINGS).state_dict(), strict=True)


def test_the_defaults_are_those_of_the_paper() -> None:
    settings = NodeSegmentationSettings()
    assert settings.sampling.patch_size == (160, 192, 80)
    assert (settings.loss.tversky_alpha, settings.loss.tversky_beta) == (0.5, 1.5)
    assert settings.heads == HeadSettings(use_attention=True, extra_block=True, attention_channel=False)
    assert (settings.hard_gate, settings.threshold, settings.min_volume) == (False, 0.5, 30.0)
