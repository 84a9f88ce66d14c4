"""ResNet3D-18 learns from boxes: draws, augmentation, training to a judge, and a start that is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.baselines.resnet3d.method import resnet3d
from lymphct.baselines.resnet3d.network import ResNet3D
from lymphct.baselines.resnet3d.training import BoxSampler, augmented, box_cases
from lymphct.core.arrays import FloatArray
from lymphct.core.errors import InputError, LeakageError, ModelError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical
from lymphct.evaluation.classification import auc
from lymphct.learning.settings import AugmentationSettings
from lymphct.metastasis.settings import (
    MetastasisSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
)

torch.set_num_threads(1)

STILL = AugmentationSettings(
    rotation_probability=0.0,
    scaling_probability=0.0,
    noise_probability=0.0,
    blur_probability=0.0,
    brightness_probability=0.0,
    contrast_probability=0.0,
    low_resolution_probability=0.0,
    gamma_probability=0.0,
    inverted_gamma_probability=0.0,
    mirror_axes=(False, False, False),
)
LIVELY = AugmentationSettings(rotation_probability=1.0, scaling_probability=1.0)
SETTINGS = MetastasisSettings(
    network=StatusNetworkSettings(width=0.0625),
    sampling=StatusSamplingSettings(batch_size=4),
    augmentation=STILL,
    training=StatusTrainingSettings(epochs=2, iterations_per_epoch=15, learning_rate=0.02),
)


def patient(number: int, prefix: str = "p") -> Evidence:
    """N+ where odd: its tumor is brighter in both phases."""
    rng = np.random.default_rng((number, ord(prefix)))
    box = rng.normal(size=(3, 12, 16, 16)).astype(np.float32) * 0.3
    box[2] = 0.0
    box[2, 4:8, 5:11, 5:11] = 1.0
    box[:2] += box[2] * (1.5 if number % 2 else -1.5)
    return Evidence(
        patient=f"{prefix}{number}",
        patches=None,
        tumor_volume=1.0,
        nodes=(),
        features=np.zeros((0, 7)),
        clinical=Clinical(n_status=number % 2),
        fitted_on=FittedOn.of(["somebody"]),
        crop=box,
    )


def cohort(count: int, prefix: str) -> list[Evidence]:
    return [patient(number, prefix) for number in range(count)]


TRAIN, VALIDATION, TEST = cohort(12, "t"), cohort(6, "v"), cohort(12, "x")


def test_it_learns_what_tells_and_judges_unseen_patients() -> None:
    method = resnet3d(SETTINGS, device="cpu")
    fitted = method.fit(TRAIN, VALIDATION, seed=0)
    judge = fitted.for_unseen([item.patient for item in TEST])
    scores = [judge.score(item) for item in TEST]
    known = [score for score in scores if score is not None]
    assert auc([item.clinical.n_status or 0 for item in TEST], known) == 1.0
    assert all(0 <= score <= 1 for score in known)
    assert judge.score(replace(TEST[0], crop=None)) is None
    assert fitted.patients == {item.patient for item in (*TRAIN, *VALIDATION)}


def test_the_same_seed_gives_the_same_scores() -> None:
    quick = SETTINGS.model_copy(
        update={
            "training": StatusTrainingSettings(epochs=1, iterations_per_epoch=2),
            "augmentation": LIVELY,
        }
    )
    scores = [
        [resnet3d(quick, device="cpu").fit(TRAIN, VALIDATION, seed=seed).value.score(item) for item in TEST]
        for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]


def test_a_random_start_is_said_in_the_name_and_kinetics_weights_are_used() -> None:
    assert resnet3d(SETTINGS).name == "ResNet3D-18 (random start)"
    torch.manual_seed(7)
    weights = ResNet3D(SETTINGS.network).resnet.state_dict()
    started = resnet3d(SETTINGS, weights, device="cpu")
    assert (started.name, started.needs) == ("ResNet3D-18", ("crop",))
    scores = [
        method.fit(TRAIN, VALIDATION, seed=0).value.score(TEST[0])
        for method in (started, resnet3d(SETTINGS, device="cpu"))
    ]
    assert scores[0] != scores[1]
    started.require()
    resnet3d(SETTINGS).require()
    with pytest.raises(ModelError, match="the Kinetics weights lack tensor"):
        resnet3d(SETTINGS, {}).require()


def test_a_batch_is_half_positive_and_depends_on_seed_and_number_alone() -> None:
    sampler = BoxSampler(box_cases(TRAIN), StatusSamplingSettings(batch_size=6), LIVELY, seed=3)
    again = BoxSampler(box_cases(TRAIN), StatusSamplingSettings(batch_size=6), LIVELY, seed=3)
    sampler.batch(0)
    batch, same, next_one = sampler.batch(5), again.batch(5), again.batch(6)
    assert batch.boxes.shape == (6, 3, 12, 16, 16)
    assert batch.boxes.dtype == torch.float32
    assert batch.n_status.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(batch.boxes, same.boxes)
    assert not torch.equal(batch.boxes, next_one.boxes)


def test_phase_dropout_hides_the_arterial_phase_alone() -> None:
    sampling = StatusSamplingSettings(batch_size=4, phase_dropout=1.0)
    batch = BoxSampler(box_cases(TRAIN), sampling, STILL, seed=0).batch(0)
    assert not batch.boxes[:, 0].any()
    assert batch.boxes[:, 1].any()


def test_patients_without_status_or_box_teach_nothing() -> None:
    unknown = replace(TRAIN[0], clinical=Clinical())
    assert [case.patient for case in box_cases([unknown, replace(TRAIN[1], crop=None), TRAIN[2]])] == ["t2"]
    with pytest.raises(InputError, match="needs N\\+ and N- patients, got 0 N\\+ and 1 N-"):
        BoxSampler(box_cases(TRAIN[:1]), SETTINGS.sampling, STILL, seed=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def box_of(number: int) -> FloatArray:
    return np.array(patient(number).crop, dtype=np.float32)


def test_without_changes_a_box_stays_as_it_is() -> None:
    assert_allclose(augmented(box_of(1), STILL, rng()), box_of(1), atol=1e-6)


def test_mirroring_moves_both_phases_and_the_mask_together() -> None:
    mirrored = augmented(box_of(1), STILL.model_copy(update={"mirror_axes": (True, True, True)}), rng(4))
    flips = [
        np.flip(box_of(1), tuple(axis + 1 for axis in range(3) if number >> axis & 1)) for number in range(8)
    ]
    matches = [np.allclose(mirrored, flip, atol=1e-6) for flip in flips]
    assert sum(matches) == 1


def test_turning_keeps_the_middle_the_mask_binary_and_brings_in_the_floor() -> None:
    """A ball in the middle stays where it is; what comes in from outside is the lowest value."""
    places = np.linalg.norm(np.moveaxis(np.indices((20, 20, 20)), 0, -1) - 9.5, axis=-1)
    mask = (places < 5).astype(np.float32)
    box = np.stack([2 * mask + 1, 3 * mask + 1, mask])
    box[:2, 0, 0, 0] = -4.0
    settings = STILL.model_copy(update={"rotation_probability": 1.0, "rotation_degrees": 45.0})
    turned = augmented(box, settings, rng(1))
    assert set(np.unique(turned[2])) == {0.0, 1.0}
    assert np.mean(turned[2] != mask) < 0.02
    assert_allclose(turned[:2, 9:11, 9:11, 9:11].mean(axis=(1, 2, 3)), [3.0, 4.0], rtol=1e-3)
    assert turned[:2].min() == pytest.approx(-4.0, abs=1e-3)
    assert_array_equal(turned.shape, box.shape)


def test_nobody_teaches_and_chooses() -> None:
    with pytest.raises(LeakageError, match="were used for fitting"):
        resnet3d(SETTINGS).fit(TRAIN, TRAIN[:2], seed=0)
    seen = replace(TRAIN[0], fitted_on=FittedOn.of(["t0"]))
    with pytest.raises(LeakageError, match="the models were fitted on this patient"):
        resnet3d(SETTINGS).fit([seen, *TRAIN[1:]], VALIDATION, seed=0)
