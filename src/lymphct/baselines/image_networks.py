"""Networks of the tumor patches that lack one part of the status network (Sec. IV-E, Tab. VI)."""

from lymphct.baselines.cascade_methods import head_method
from lymphct.baselines.method import StatusMethod
from lymphct.metastasis.settings import MetastasisSettings


def resnet2d(settings: MetastasisSettings) -> StatusMethod:
    """Return ResNet2D-18: averaged features of a masked ResNet, no texture encoding, no node volume."""
    return _network(settings, "ResNet2D-18", global_pooling=True, texture_encoding=False)


def deepten(settings: MetastasisSettings) -> StatusMethod:
    """Return DeepTEN: the texture encoding of a masked ResNet alone, no node volume."""
    return _network(settings, "DeepTEN", global_pooling=False, texture_encoding=True)


def _network(
    settings: MetastasisSettings, name: str, *, global_pooling: bool, texture_encoding: bool
) -> StatusMethod:
    network = settings.network.model_copy(
        update={
            "mask_branch": True,  # every image network of Tab. VI has it (Sec. IV-E)
            "global_pooling": global_pooling,
            "texture_encoding": texture_encoding,
            "volume_fusion": False,
        }
    )
    changed = settings.model_copy(update={"network": network})
    return head_method("status_network", changed, name=name, needs=("tumor",))
