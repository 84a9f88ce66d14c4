"""The heads of the cascade as methods beside the baselines (Tab. VI)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from torch import Tensor

from lymphct.baselines.method import Need, StatusMethod
from lymphct.learning.keeping import FORGET, Keep
from lymphct.metastasis.heads import HEADS, StatusHead
from lymphct.metastasis.settings import MetastasisSettings

Weights = Mapping[str, Tensor]
"""Start weights of a network, by the names of their file."""


def status_network(
    settings: MetastasisSettings, imagenet: Weights | None, keep: Keep, *, name: str, needs: tuple[Need, ...]
) -> StatusMethod:
    """Return the method that judges by the status network of some settings."""
    head = StatusHead(settings, imagenet, keep)
    return StatusMethod(name=name, needs=needs, fit=head.fit, require=head.require_weights_that_fit)


def combined(
    settings: MetastasisSettings, imagenet: Weights | None = None, keep: Keep = FORGET
) -> StatusMethod:
    """Return the paper's method: tumor and lymph nodes in one network (Sec. III-B)."""
    return status_network(settings, imagenet, keep, name="combined", needs=("tumor", "nodes"))


def tumor_alone(
    settings: MetastasisSettings, imagenet: Weights | None = None, keep: Keep = FORGET
) -> StatusMethod:
    """Return ClsfromPDAC: the same network without the volume of the nodes (Sec. IV-E)."""
    without = settings.network.model_copy(update={"volume_fusion": False})
    blind = settings.model_copy(update={"network": without})
    return status_network(blind, imagenet, keep, name="ClsfromPDAC", needs=("tumor",))


def nodes_alone(settings: MetastasisSettings) -> StatusMethod:
    """Return ClsbyLNSeg: the volume of the largest positive node (Sec. IV-E)."""
    return StatusMethod(name="ClsbyLNSeg", needs=("nodes",), fit=HEADS["largest_volume"](settings).fit)


HEAD_TITLES: Final = {
    "max_probability": "nodes: highest probability",
    "noisy_or": "nodes: noisy-OR",
    "expected_count": "nodes: expected count",
    "node_set": "nodes: set network",
    "node_graph": "nodes: graph network",
}
"""Heads that judge by lymph nodes alone, beside ClsbyLNSeg → as tables print them. Not from the paper."""


def by_head(settings: MetastasisSettings, head: str) -> StatusMethod:
    """Return the method that judges by a head of `HEAD_TITLES`."""
    return StatusMethod(name=HEAD_TITLES[head], needs=("nodes",), fit=HEADS[head](settings).fit)


def nodes_without_attention(settings: MetastasisSettings) -> StatusMethod:
    """Return ClsbyLNSeg on the nodes of a cascade that was trained without attention (Sec. IV-E)."""
    return replace(nodes_alone(settings), name="ClsbyLNSeg without attention", cascade="none")
