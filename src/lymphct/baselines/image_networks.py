"""Networks of the tumor patches that lack one part of the status network (Sec. IV-E, Tab. VI)."""

from typing import TypedDict

from lymphct.baselines.cascade_methods import Weights, status_network
from lymphct.baselines.method import StatusMethod
from lymphct.learning.keeping import FORGET, Keep
from lymphct.metastasis.settings import MetastasisSettings


def resnet2d(
    settings: MetastasisSettings, imagenet: Weights | None = None, keep: Keep = FORGET
) -> StatusMethod:
    """Return ResNet2D-18: averaged features of a masked ResNet, no texture encoding, no node volume."""
    parts = _Parts(global_pooling=True, texture_encoding=False)
    return status_network(_with(settings, parts), imagenet, keep, name="ResNet2D-18", needs=("tumor",))


def deepten(
    settings: MetastasisSettings, imagenet: Weights | None = None, keep: Keep = FORGET
) -> StatusMethod:
    """Return DeepTEN: the texture encoding of a masked ResNet alone, no node volume."""
    parts = _Parts(global_pooling=False, texture_encoding=True)
    return status_network(_with(settings, parts), imagenet, keep, name="DeepTEN", needs=("tumor",))


class _Parts(TypedDict):
    global_pooling: bool
    texture_encoding: bool


def _with(settings: MetastasisSettings, parts: _Parts) -> MetastasisSettings:
    # Every image network of Tab. VI has the mask branch (Sec. IV-E).
    changes = {**parts, "mask_branch": True, "volume_fusion": False}
    return settings.model_copy(update={"network": settings.network.model_copy(update=changes)})
