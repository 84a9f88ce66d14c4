"""Stage 2 — is a lymph node positive? Whole network fine-tuned from stage 1 (Sec. III-A.2, Tab. IV)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from lymphct.core.errors import ModelError
from lymphct.core.leakage import Fitted
from lymphct.evaluation.classification import auc
from lymphct.learning.training import EpochRecord, Told, TrainingState, train
from lymphct.learning.unet import initialize
from lymphct.nodes.calling import positive_scores, predict_nodes
from lymphct.nodes.crops import (
    NOT_A_NODE,
    POSITIVE,
    UNKNOWN,
    IdentificationCase,
    NodeBatch,
    with_known_class,
)
from lymphct.nodes.feature_ensemble import FeatureLesson, fit_feature_ensemble
from lymphct.nodes.features import FeatureStatistics, fit_feature_statistics, fit_logistic_baseline
from lymphct.nodes.network import IdentificationNetwork, MaskBranch
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.settings import IdentificationSettings


def build_identification_network(
    settings: IdentificationSettings,
    in_channels: int = 2,
    *,
    stage1: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> IdentificationNetwork:
    """Build the network; its backbone starts from the weights of a `NodeNetwork` where given (Sec. III-A.2).

    Raises:
        ModelError: the weights are those of another backbone.

    """
    network = IdentificationNetwork(in_channels, settings.unet, settings.head)
    generator = torch.Generator().manual_seed(seed)
    initialize(network, generator)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=0.01, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, MaskBranch):
            module.restart()
    if stage1 is not None:
        start_from_stage1(network, stage1)
    return network


def start_from_stage1(network: IdentificationNetwork, stage1: Mapping[str, Tensor]) -> None:
    """Load the backbone of a trained `NodeNetwork` (Sec. III-A.2).

    Raises:
        ModelError: the weights are those of another backbone.

    """
    backbone = {
        name.removeprefix("unet."): tensor for name, tensor in stage1.items() if name.startswith("unet.")
    }
    own = network.unet.state_dict()
    for name, tensor in backbone.items():
        # Where stage 1 saw the attention as a further, last channel, stage 2 has no use for its weights.
        wanted = own[name].shape if name in own else tensor.shape
        if tensor.ndim == 5 and tensor.shape[1] == wanted[1] + 1 and name.startswith("encoder."):
            backbone[name] = tensor[:, : wanted[1]]
    try:
        network.unet.load_state_dict(backbone)
    except RuntimeError as error:
        msg = "the backbone of stage 2 differs from the one of the stage 1 weights"
        raise ModelError(msg, cure="give both stages the same unet settings") from error


def fit_identification(  # noqa: PLR0913 - seed and state are keywords, as in `fit_segmentation`
    network: IdentificationNetwork,
    cases: Sequence[IdentificationCase],
    validation: Sequence[IdentificationCase],
    settings: IdentificationSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
    told: Told | None = None,
) -> Iterator[EpochRecord]:
    """Train on drawn lymph nodes; the best epoch is the one with the highest validation AUC.

    Nodes of unknown class are left out; where the network predicts the IoU of a mask, found ones among them
    teach that alone. Statistics of the node features, and the logistic regression or the ensemble to start
    from, are fitted on `cases` and kept in the network. Without validation nodes of both classes the score is
    minus their mean cross entropy; without any node there is none.

    Raises:
        InputError: a class has no training node, or what is no lymph node meets a network of two classes.

    """
    head = settings.head
    loss: Callable[[nn.Module, NodeBatch], Tensor] = identification_loss
    known = [with_known_class(case) for case in cases]
    sampler = NodeSampler(cases, settings.sampling, head.classes, seed, learns_iou=head.predict_iou)
    if head.predict_iou:
        loss = partial(identification_loss, iou_weight=head.iou_weight)
    statistics = fit_statistics(known).value
    set_statistics(network, statistics)
    if network.baseline is not None:
        _start_from_baseline(network, known, statistics)
    if network.ensemble is not None:
        network.start_from_ensemble(fit_ensemble(known, statistics, settings, seed=seed).value)
    judged = [case for case in map(with_known_class, validation) if case.labels]

    def score(candidate: nn.Module) -> float:
        return validation_score(candidate, judged, settings)

    return train(
        network,
        sampler.batch,
        loss,
        settings.training,
        validate=score if judged else None,
        state=state,
        told=told,
    )


def _start_from_baseline(
    network: IdentificationNetwork, cases: Sequence[IdentificationCase], statistics: FeatureStatistics
) -> None:
    ordered = sorted(cases, key=lambda case: case.patient)
    classes = np.concatenate([np.asarray(case.classes, dtype=np.int64) for case in ordered])
    features = np.concatenate([case.features for case in ordered])
    patients = [case.patient for case in ordered]
    judged = classes != NOT_A_NODE
    positive = classes[judged] == POSITIVE
    baseline = fit_logistic_baseline(features[judged], positive, patients).value
    # The baseline is standardised by lymph nodes alone, the network by everything it is shown.
    own = baseline.statistics
    weights = baseline.weights * statistics.sd / own.sd
    shift = float((baseline.weights * (statistics.mean - own.mean) / own.sd).sum())
    # Batches hold as many positive nodes as negative ones, whatever their share in the cohort.
    balance = float(np.log((~positive).sum() / positive.sum()))
    on_device = torch.from_numpy(weights).float().to(next(network.parameters()).device)
    network.start_from_baseline(on_device, baseline.intercept + shift + balance)


def fit_ensemble(
    cases: Sequence[IdentificationCase],
    statistics: FeatureStatistics,
    settings: IdentificationSettings,
    *,
    seed: int,
) -> Fitted[Mapping[str, Tensor]]:
    """Fit the ensemble on the node features of `cases`, whatever their order (decision 0063).

    Raises:
        InputError: a class has no node.

    """
    ordered = sorted(cases, key=lambda case: case.patient)
    lesson = FeatureLesson(
        standard=statistics.standardize(np.concatenate([case.features for case in ordered])),
        classes=np.concatenate([np.asarray(case.classes, dtype=np.int64) for case in ordered]),
        patients=[case.patient for case in ordered for _ in case.labels],
        count=settings.head.classes,
        arterial=ordered[0].feature_set.arterial,
        phase_dropout=settings.sampling.phase_dropout,
    )
    return fit_feature_ensemble(lesson, settings.head.ensemble, seed=seed)


def fit_statistics(cases: Sequence[IdentificationCase]) -> Fitted[FeatureStatistics]:
    """Fit mean and SD of the node features on the nodes of `cases`, in an order of its own.

    Raises:
        InputError: no node at all.

    """
    ordered = sorted(cases, key=lambda case: case.patient)
    width = ordered[0].features.shape[1] if ordered else 0
    features = np.concatenate([np.zeros((0, width)), *(case.features for case in ordered)])
    return fit_feature_statistics(features, [case.patient for case in ordered])


def set_statistics(network: IdentificationNetwork, statistics: FeatureStatistics) -> None:
    """Keep the statistics of the node features in the network."""
    network.feature_mean.copy_(torch.from_numpy(statistics.mean))
    network.feature_sd.copy_(torch.from_numpy(statistics.sd))


def identification_loss(network: nn.Module, batch: NodeBatch, *, iou_weight: float | None = None) -> Tensor:
    """Return the mean cross entropy of a batch (Sec. III-A.2).

    Args:
        network: of stage 2.
        batch: nodes.
        iou_weight: of the binary cross entropy between predicted and true IoU, which is least where both are
            the same; None where the network predicts none, and the class of every node is known.

    """
    batch = batch.to(next(network.parameters()).device)
    outputs = network(batch.image, batch.mask, batch.box, batch.features).float()
    if iou_weight is None:
        return nn.functional.cross_entropy(outputs, batch.classes)
    each = nn.functional.cross_entropy(outputs[:, :-1], batch.classes, ignore_index=UNKNOWN, reduction="none")
    classes = each.sum() / (batch.classes != UNKNOWN).sum().clamp(min=1)
    known = batch.ious.isfinite()
    truth = batch.ious.nan_to_num(nan=0.0)
    ious = nn.functional.binary_cross_entropy_with_logits(
        outputs[:, -1], truth, known.float(), reduction="sum"
    )
    return classes + iou_weight * ious / known.sum().clamp(min=1)


def validation_score(
    network: nn.Module, cases: Sequence[IdentificationCase], settings: IdentificationSettings
) -> float:
    """Return the AUC of positive against negative nodes, or minus the cross entropy where it is undefined.

    The class of every node is known.
    """
    found = [predict_nodes(network, case, settings) for case in cases]
    classes = np.concatenate([np.asarray(case.classes) for case in cases])
    nodes = classes != NOT_A_NODE
    positive = classes[nodes] == POSITIVE
    if positive.any() and not positive.all():
        scores = np.concatenate([positive_scores(each, settings.head) for each in found])
        return float(auc(positive, scores[nodes]))
    probabilities = np.concatenate([each.classes for each in found])
    known = np.minimum(classes, probabilities.shape[1] - 1)
    return float(np.log(np.maximum(probabilities[np.arange(len(known)), known], 1e-12)).mean())
