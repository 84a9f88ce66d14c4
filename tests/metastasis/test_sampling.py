from collections import Counter

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from pydantic import ValidationError

from lymphct.core.errors import InputError
from lymphct.learning.settings import AugmentationSettings
from lymphct.metastasis.sampling import StatusCase, StatusSampler
from lymphct.metastasis.settings import StatusSamplingSettings

torch.set_num_threads(1)

NONE = AugmentationSettings.preset("none")


def case(number: int, n_status: int, *, volume: float = 0.0) -> StatusCase:
    """Patch p of patient n holds the value n + p / 10 throughout."""
    values = (number + np.arange(9) / 10).astype(np.float32)
    patches = np.broadcast_to(values[:, None, None, None], (9, 3, 8, 8)).copy()
    patches[:, 2] = 1.0
    return StatusCase(patient=f"case{number}", patches=patches, volume=volume, n_status=n_status)


COHORT = [case(1, 1, volume=500.0)] + [case(number, 0) for number in range(2, 12)]


def sampler(
    augmentation: AugmentationSettings = NONE, *, seed: int = 5, phase_dropout: float = 0.0
) -> StatusSampler:
    settings = StatusSamplingSettings(batch_size=8, phase_dropout=phase_dropout)
    return StatusSampler(COHORT, settings, augmentation, seed)


def test_half_of_every_batch_is_positive_however_rare_they_are() -> None:
    for iteration in range(5):
        batch = sampler().batch(iteration)
        assert batch.n_status.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert batch.volume.tolist() == [0.0] * 4 + [500.0] * 4
        assert batch.patches.shape == (8, 3, 8, 8)


def test_patches_belong_to_the_patient_and_all_nine_are_drawn() -> None:
    drawn: Counter[float] = Counter()
    for iteration in range(100):
        values = sampler().batch(iteration).patches[:, 0, 0, 0].numpy().round(1)
        patients = np.floor(values + 1e-6)
        assert (patients[4:] == 1).all()
        assert len(set(patients[:4])) == 4, "no patient twice while there are enough"
        drawn.update(np.round(values[4:] - 1, 1).tolist())
    assert len(drawn) == 9
    assert min(drawn.values()) > 20  # 400 draws of 9 patches


def test_a_batch_depends_on_seed_and_iteration_alone() -> None:
    first = sampler(AugmentationSettings()).batch(17)
    other = sampler(AugmentationSettings())
    other.batch(3)
    assert torch.equal(other.batch(17).patches, first.patches)
    assert not torch.equal(other.batch(18).patches, first.patches)
    assert not torch.equal(sampler(AugmentationSettings(), seed=6).batch(17).patches, first.patches)


def test_phase_dropout_empties_the_arterial_channel_only() -> None:
    dropped = np.concatenate(
        [sampler(phase_dropout=0.25).batch(n).patches.amax((2, 3)).numpy() for n in range(60)]
    )
    assert_allclose((dropped[:, 0] == 0).mean(), 0.25, atol=0.06)
    assert (dropped[:, 1:] > 0).all()


def test_batches_are_even_and_hold_two_or_more() -> None:
    for size in (0, 1, 3):
        with pytest.raises(ValidationError, match="batch_size"):
            StatusSamplingSettings(batch_size=size)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs N\+ and N- patients, got 0 N\+ and 10 N-"):
        StatusSampler(COHORT[1:], StatusSamplingSettings(), NONE, 0)


@pytest.mark.parametrize(
    ("patches", "volume", "n_status", "message"),
    [
        ((9, 2, 8, 8), 0.0, 0, r"case1: patches of shape \(9, 2, 8, 8\)"),
        ((0, 3, 8, 8), 0.0, 0, r"case1: patches of shape \(0, 3, 8, 8\)"),
        ((9, 3, 8), 0.0, 0, r"case1: patches of shape \(9, 3, 8\)"),
        ((9, 3, 8, 8), float("nan"), 0, "case1: the volume of positive lymph nodes is nan"),
        ((9, 3, 8, 8), -1.0, 0, "give 0 where no node is positive"),
        ((9, 3, 8, 8), 0.0, 2, "case1: n_status is 2"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(
    patches: tuple[int, ...], volume: float, n_status: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        StatusCase(patient="case1", patches=np.zeros(patches, np.float32), volume=volume, n_status=n_status)
