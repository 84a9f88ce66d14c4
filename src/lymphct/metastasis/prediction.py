"""Train the status network and predict with it (Sec. III-B)."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.arrays import DoubleArray
from lymphct.core.evidence import Patches
from lymphct.core.leakage import require_unseen
from lymphct.evaluation.classification import auc
from lymphct.learning.training import EpochRecord, Told, TrainingState, train
from lymphct.metastasis.aggregation import mean_over_patches
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.node_score import NodeScore
from lymphct.metastasis.sampling import StatusBatch, StatusCase, StatusSampler
from lymphct.metastasis.settings import MetastasisSettings

logger = logging.getLogger(__name__)


def fit_status(  # noqa: PLR0913 - seed and state are keywords, as in `fit_segmentation`
    network: StatusNetwork,
    cases: Sequence[StatusCase],
    validation: Sequence[StatusCase],
    settings: MetastasisSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
    told: Told | None = None,
) -> Iterator[EpochRecord]:
    """Train a status network (Sec. III-B); the best weights are those with the highest validation score.

    The score is the AUC over validation patients, each the mean of its patches; with patients of one class
    only it is minus their mean cross entropy, and without any the last weights are the best.

    Args:
        network: with its start weights (`pretrained.initialize`), on its device; trained in place.
        cases: training patients.
        validation: other patients, for choosing the best epoch.
        settings: of the whole room.
        seed: of all draws.
        state: a state of an earlier record, to go on from exactly there.
        told: called with the number of iterations done.

    Yields:
        One record per epoch.

    Raises:
        InputError: the training patients are not of both classes.
        LeakageError: a patient is in both groups.
        LearningStoppedError: the loss is not finite.

    """
    require_unseen([case.patient for case in cases], [case.patient for case in validation])
    sampler = StatusSampler(cases, settings.sampling, settings.augmentation, seed)
    yield from train(
        network,
        sampler.batch,
        status_loss,
        settings.training,
        validate=_validation(validation) if validation else None,
        state=state,
        told=told,
    )


def build_status_network(settings: MetastasisSettings, *, seed: int = 0) -> StatusNetwork:
    """Build a network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learned = settings.learned_number
        return StatusNetwork(
            settings.network, None if learned is None else NodeScore(learned, settings.nodes)
        )


def status_loss(network: nn.Module, batch: StatusBatch) -> Tensor:
    """Return the cross entropy of a batch (Sec. III-B)."""
    on_device = batch.to(_device(network))
    logits = network(on_device.patches, on_device.volume)
    return functional.cross_entropy(logits.float(), on_device.n_status)


def predict_status(network: nn.Module, patches: Patches, volume: float) -> float:
    """Return the probability of LN metastasis, the mean over the patches (n, 3, h, w) (Sec. III-B).

    `volume` is that of the positive nodes, mm³, 0 without one, or what stands for it (`fusing`).
    """
    return mean_over_patches(patch_probabilities(network, patches, volume))


def patch_probabilities(network: nn.Module, patches: Patches, volume: float) -> DoubleArray:
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
    if not 0 < truth.sum() < len(truth):
        logger.warning("status network: validation patients of one class only, no AUC; cross entropy decides")

    def validate(network: nn.Module) -> float:
        return status_quality(truth, [predict_status(network, c.patches, c.volume) for c in cases])

    return validate


def status_quality(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Return the AUC of patients, or minus their mean cross entropy where they are of one class."""
    is_positive, p = np.asarray(truth) == 1, np.asarray(probabilities, dtype=np.float64)
    if 0 < is_positive.sum() < len(is_positive):
        return auc(is_positive, p)
    return float(np.mean(np.log(np.clip(np.where(is_positive, p, 1 - p), 1e-12, 1.0))))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
