"""What drove the score of a patient: the same network asked again with something taken away (decision 0052).

The patches are looked at once; only the number that stands for the nodes is another one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from lymphct.core.evidence import Evidence
from lymphct.core.patient import Node
from lymphct.core.score import NodeChange, ScoreDrivers
from lymphct.metastasis.aggregation import mean_over_patches
from lymphct.metastasis.fusing import Number, fused_number
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.settings import MetastasisSettings


def score_drivers(
    network: StatusNetwork, settings: MetastasisSettings, evidence: Evidence
) -> ScoreDrivers | None:
    """Return how the score of a status network changes without each node, all nodes, the tumor, both.

    Without the tumor means patches of zeros: both phases at the mean of normalised CT, an empty mask. A
    number of the nodes that is learned stays what it is, though a graph of the nodes knows the tumor, too.

    Args:
        network: trained.
        settings: it was trained with; they say which number of the nodes it reads.
        evidence: of the patient.

    Returns:
        None where no tumor was found: then there is no score.

    Raises:
        InputError: a node has no class, and the number of the nodes needs it.

    """
    if evidence.patches is None:
        return None
    number = partial(fused_number, settings=settings, network=network)
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    with torch.no_grad():
        images = torch.from_numpy(np.array(evidence.patches, dtype=np.float32)).to(device)
        seen = _asked(network, network.patch_features(images))
        blank = _asked(network, network.patch_features(torch.zeros_like(images)))
        volume, nothing = number(evidence), _number_of((), evidence, number)
        score = seen(volume)
        changes = [
            NodeChange(node=node.label, change=score - seen(_number_of(others, evidence, number)))
            for node, others in _each_left_out(evidence.nodes)
        ]
        found = ScoreDrivers(
            score=score,
            without_nodes=seen(nothing),
            without_tumor=blank(volume),
            without_both=blank(nothing),
            nodes=tuple(sorted(changes, key=lambda item: (-abs(item.change), item.node))),
            by_nodes=None if settings.learned_number is None else volume,
        )
    network.train(was_training)
    return found


def _asked(network: StatusNetwork, features: Tensor) -> Callable[[float], float]:
    """Return the score of patches with these features by the number of the nodes; each is asked once."""

    @cache
    def score(volume: float) -> float:
        volumes = torch.full((len(features),), volume, dtype=torch.float32, device=features.device)
        probabilities = torch.softmax(network.judged(features, volumes).double(), dim=1)[:, 1]
        return mean_over_patches(probabilities.cpu().numpy())

    return score


def _each_left_out(nodes: Sequence[Node]) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    for row, node in enumerate(nodes):
        yield node, (*nodes[:row], *nodes[row + 1 :])


def _number_of(nodes: tuple[Node, ...], evidence: Evidence, number: Number) -> float:
    """Return what would stand for the nodes were there no others than these."""
    features = np.zeros((len(nodes), evidence.features.shape[1]))  # no number reads them
    return number(replace(evidence, nodes=nodes, features=features))
