"""Train the status network and predict with it (Sec. III-B, Eq. 7)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.core.leakage import require_unseen
from lymphct.core.settings import Settings
from lymphct.evaluation.classification import auc
from lymphct.learning.augmentation import AugmentationSettings
from lymphct.learning.training import EpochRecord, Fraction, TrainingSettings, TrainingState, train
from lymphct.metastasis.aggregation import VolumeKind, mean_over_patches
from lymphct.metastasis.network import StatusNetwork, StatusNetworkSettings
from lymphct.metastasis.pretrained import initialize
from lymphct.metastasis.sampling import StatusBatch, StatusCase, StatusSampler, StatusSamplingSettings
from lymphct.metastasis.slices import PatchSettings

logger = logging.getLogger(__name__)


class StatusTrainingSettings(TrainingSettings):
    """Optimiser of the status network (Sec. IV-A.2): SGD with Nesterov momentum."""

    epochs: PositiveInt = 500
    """Not stated in the paper; 500."""
    iterations_per_epoch: PositiveInt = 50
    """Not stated in the paper; 50, as for node identification."""
    learning_rate: PositiveFloat = 5e-4
    """At the start (Sec. IV-A.2)."""
    momentum: Fraction = 0.95
    """Of SGD (Sec. IV-A.2)."""
    weight_decay: NonNegativeFloat = 1e-4
    """Sec. IV-A.2."""
    score_momentum: Fraction = 0.9
    """Share of the past in the moving average of the validation AUC. Not stated in the paper; nnU-Net's."""


class MetastasisSettings(Settings):
    """The LN-metastasis status of a patient (Sec. III-B)."""

    patches: PatchSettings = PatchSettings()
    """How the tumor patches are cut (Sec. III-B)."""
    volume: VolumeKind = "largest"
    """Which volume of the positive nodes is fused: that of the largest (Eq. 6); the paper also evaluates the
    mean and the total."""
    network: StatusNetworkSettings = StatusNetworkSettings()
    """Parts and sizes of the network (Sec. III-B)."""
    sampling: StatusSamplingSettings = StatusSamplingSettings()
    """What a training batch holds (Sec. III-B)."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training patches vary. Not stated in the paper; the ranges of nnU-Net as for the other networks."""
    training: StatusTrainingSettings = StatusTrainingSettings()
    """Optimiser and length (Sec. IV-A.2)."""


def fit_status(  # noqa: PLR0913 - the three last name their role
    cases: Sequence[StatusCase],
    validation: Sequence[StatusCase],
    settings: MetastasisSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
    init: Mapping[str, Tensor] | StatusNetwork | None = None,
) -> Iterator[EpochRecord]:
    """Train a status network (Sec. III-B); the best weights are those with the highest validation score.

    The score is the AUC over validation patients, each the mean of its patches; with patients of one class
    only it is minus their mean cross entropy, and without any the last weights are the best.

    Args:
        cases: training patients.
        validation: other patients, for choosing the best epoch.
        settings: of the whole room.
        seed: of the start weights and all draws.
        state: a state of an earlier record, to go on from exactly there.
        init: start weights (`pretrained.initialize`), or the network itself, on its device.

    Yields:
        One record per epoch.

    Raises:
        InputError: the training patients are not of both classes.
        LeakageError: a patient is in both groups.
        LearningStoppedError: the loss is not finite.
        ModelError: the start weights do not fit.

    """
    require_unseen([case.patient for case in cases], [case.patient for case in validation])
    sampler = StatusSampler(cases, settings.sampling, settings.augmentation, seed)
    if isinstance(init, StatusNetwork):
        network = init
    else:
        network = build_status_network(settings, seed=seed)
        if state is None:
            initialize(network, init)
    yield from train(
        network,
        sampler.batch,
        status_loss,
        settings.training,
        validate=_validation(validation) if validation else None,
        state=state,
    )


def build_status_network(settings: MetastasisSettings, *, seed: int = 0) -> StatusNetwork:
    """Build a network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StatusNetwork(settings.network)


def status_loss(network: nn.Module, batch: StatusBatch) -> Tensor:
    """Return the cross entropy of a batch (Eq. 7)."""
    on_device = batch.to(_device(network))
    logits = network(on_device.patches, on_device.volume)
    return functional.cross_entropy(logits.float(), on_device.n_status)


def predict_status(network: nn.Module, patches: FloatArray, volume: float) -> float:
    """Return the probability of LN metastasis, the mean over the patches (n, 3, h, w) (Sec. III-B).

    `volume` is that of the positive nodes, mm³, 0 without one.
    """
    return mean_over_patches(patch_probabilities(network, patches, volume))


def patch_probabilities(network: nn.Module, patches: FloatArray, volume: float) -> DoubleArray:
    """Return the probability of N+ each patch (n, 3, h, w) gives on its own, shape (n,)."""
    device, was_training = _device(network), network.training
    network.eval()
    with torch.no_grad():
        images = torch.from_numpy(np.array(patches, dtype=np.float32)).to(device)
        logits = network(images, torch.full((len(images),), volume, dtype=torch.float32, device=device))
        probabilities: DoubleArray = torch.softmax(logits.double(), dim=1)[:, 1].cpu().numpy()
    network.train(was_training)
    return probabilities


def _validation(cases: Sequence[StatusCase]) -> Callable[[nn.Module], float]:
    truth = np.array([case.n_status for case in cases])
    is_ranked = 0 < truth.sum() < len(truth)
    if not is_ranked:
        logger.warning("status network: validation patients of one class only, no AUC; cross entropy decides")

    def validate(network: nn.Module) -> float:
        p = np.array([predict_status(network, case.patches, case.volume) for case in cases])
        if is_ranked:
            return auc(truth, p)
        return float(np.mean(np.log(np.clip(np.where(truth == 1, p, 1 - p), 1e-12, 1.0))))

    return validate


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
