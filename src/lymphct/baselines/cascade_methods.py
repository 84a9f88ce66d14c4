"""The heads of the cascade as methods beside the baselines (Tab. VI)."""

from dataclasses import replace

from lymphct.baselines.method import Need, StatusMethod
from lymphct.metastasis.heads import HEADS
from lymphct.metastasis.settings import MetastasisSettings


def head_method(
    head: str, settings: MetastasisSettings, *, name: str, needs: tuple[Need, ...]
) -> StatusMethod:
    """Return the method that judges by a head of the table."""
    return StatusMethod(name=name, needs=needs, fit=HEADS[head](settings).fit)


def combined(settings: MetastasisSettings) -> StatusMethod:
    """Return the paper's method: tumor and lymph nodes in one network (Sec. III-B)."""
    return head_method("status_network", settings, name="combined", needs=("tumor", "nodes"))


def tumor_alone(settings: MetastasisSettings) -> StatusMethod:
    """Return ClsfromPDAC: the same network without the volume of the nodes (Sec. IV-E)."""
    without = settings.network.model_copy(update={"volume_fusion": False})
    blind = settings.model_copy(update={"network": without})
    return head_method("status_network", blind, name="ClsfromPDAC", needs=("tumor",))


def nodes_alone(settings: MetastasisSettings) -> StatusMethod:
    """Return ClsbyLNSeg: the volume of the largest positive node (Sec. IV-E)."""
    return head_method("largest_volume", settings, name="ClsbyLNSeg", needs=("nodes",))


def nodes_without_attention(settings: MetastasisSettings) -> StatusMethod:
    """Return ClsbyLNSeg on the nodes of a cascade that was trained without attention (Sec. IV-E)."""
    return replace(nodes_alone(settings), name="ClsbyLNSeg without attention", cascade="none")
