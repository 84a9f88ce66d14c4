"""Small networks on the node features alone, one average: the best start stage 2 can have (decision 0063).

A few hundred nodes teach what shape and density say long before they teach a network of images. One small
network learns them more or less by chance; many, each taught by other patients, agree where it matters. Not
from the paper; ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.arrays import DoubleArray, LabelArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.nodes.settings import FeatureEnsembleSettings

LAYERS: Final = ("first", "second", "last")


class FeatureEnsemble(nn.Module):
    """Networks of two hidden layers on standardised node features; their mean logits.

    They are fitted at once, by `fit_feature_ensemble`, and are buffers: what trains stage 2 leaves them as
    they are.
    """

    def __init__(self, width: int, classes: int, settings: FeatureEnsembleSettings) -> None:
        super().__init__()
        for name, shape in _shapes(width, classes, settings).items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, standard: Tensor) -> Tensor:
        """Map features (b, width), standardised, 0 where missing, to logits (b, classes)."""
        with torch.autocast(standard.device.type, enabled=False):
            logits = _logits(dict(self.named_buffers()), standard.float())
        return logits.mean(dim=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureLesson:
    """Nodes an ensemble learns from.

    Attributes:
        standard: (nodes, width) standardised features, 0 where missing.
        classes: (nodes,) 0 to `count` − 1.
        patients: of each node.
        count: of classes.
        arterial: columns that are missing without the arterial phase.
        phase_dropout: share of the nodes that lack them in a step.

    """

    standard: DoubleArray
    classes: LabelArray
    patients: Sequence[str]
    count: int
    arterial: tuple[int, ...] = ()
    phase_dropout: float = 0.0


def fit_feature_ensemble(
    lesson: FeatureLesson, settings: FeatureEnsembleSettings, *, seed: int
) -> Fitted[Mapping[str, Tensor]]:
    """Fit all members at once, each on patients drawn with replacement; classes weigh the same.

    Returns:
        The buffers of a `FeatureEnsemble`.

    Raises:
        InputError: a class has no node.

    """
    counts = np.bincount(lesson.classes, minlength=lesson.count)
    if counts.min() == 0:
        msg = f"the ensemble of stage 2 learns from nodes of every class, got {counts.tolist()}"
        raise InputError(msg, code="E_ONE_CLASS", cure="train on patients with nodes of every class")
    features = torch.from_numpy(lesson.standard).float()
    classes = torch.from_numpy(lesson.classes.astype(np.int64))
    weights = torch.from_numpy(_weights(lesson, counts, settings.members, seed)).float()
    generator = torch.Generator().manual_seed(seed)
    tensors = _drawn(_shapes(features.shape[1], lesson.count, settings), generator)
    optimizer = torch.optim.AdamW(
        tensors.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    for step in range(settings.iterations):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - step / settings.iterations)
        shown = _without_a_phase(features, lesson, settings.members, generator)
        logits = _logits(tensors, shown, settings.dropout, generator)
        losses = functional.cross_entropy(
            logits.flatten(0, 1), classes.repeat(settings.members), reduction="none"
        )
        optimizer.zero_grad()
        torch.autograd.backward((losses.view(settings.members, -1) * weights).sum())
        optimizer.step()
    fitted = {name: tensor.detach() for name, tensor in tensors.items()}
    return Fitted(fitted, frozenset(lesson.patients))


def _shapes(width: int, classes: int, settings: FeatureEnsembleSettings) -> dict[str, tuple[int, int, int]]:
    widths = (width, settings.hidden, settings.hidden, classes)
    shapes = {}
    for name, before, after in zip(LAYERS, widths, widths[1:], strict=False):
        shapes[f"{name}_weight"] = (settings.members, before, after)
        shapes[f"{name}_bias"] = (settings.members, 1, after)
    return shapes


def _drawn(shapes: Mapping[str, tuple[int, int, int]], generator: torch.Generator) -> dict[str, Tensor]:
    """Draw start weights (He et al. 2015); biases are 0, and at first nothing is said."""
    tensors = {}
    for name, shape in shapes.items():
        scale = 0.0 if name.endswith("bias") else (2 / shape[1]) ** 0.5
        scale *= 0.1 if name.startswith("last") else 1.0
        tensors[name] = (torch.randn(shape, generator=generator) * scale).requires_grad_()
    return tensors


def _logits(
    tensors: Mapping[str, Tensor],
    x: Tensor,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Map features (b, width), or each member's own (members, b, width), to logits (members, b, classes)."""
    for layer in LAYERS:
        x = x @ tensors[f"{layer}_weight"] + tensors[f"{layer}_bias"]
        if layer != LAYERS[-1]:
            x = torch.relu(x)
        if layer == LAYERS[0] and dropout:
            x = x * (torch.rand(x.shape, generator=generator) >= dropout) / (1 - dropout)
    return x


def _without_a_phase(
    features: Tensor, lesson: FeatureLesson, members: int, generator: torch.Generator
) -> Tensor:
    if not (lesson.arterial and lesson.phase_dropout):
        return features
    is_hidden = torch.rand((members, len(features), 1), generator=generator) < lesson.phase_dropout
    columns = torch.zeros(features.shape[1], dtype=torch.bool)
    columns[list(lesson.arterial)] = True
    return features.masked_fill(is_hidden & columns, 0.0)


def _weights(lesson: FeatureLesson, counts: LabelArray, members: int, seed: int) -> DoubleArray:
    """Return how much each node counts for each member (members, nodes); rows sum to 1.

    A member learns from as many patients as there are, drawn with replacement by their order as ids.
    """
    names, owner = np.unique(np.asarray(lesson.patients), return_inverse=True)
    rng = np.random.default_rng((seed, len(names)))
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=members)
    weights: DoubleArray = drawn[:, owner] / counts[lesson.classes]
    total = weights.sum(axis=1, keepdims=True)
    shares: DoubleArray = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares
