"""Every method by name; one more is one function and one line here (Tab. VI, Tab. VII)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from lymphct.baselines.cascade_methods import (
    HEAD_TITLES,
    Weights,
    by_head,
    combined,
    nodes_alone,
    nodes_without_attention,
    tumor_alone,
)
from lymphct.baselines.controls import CENTER, permuted_labels
from lymphct.baselines.image_networks import deepten, resnet2d
from lymphct.baselines.method import StatusMethod
from lymphct.baselines.radiomics.judging import radiomics_method
from lymphct.baselines.resnet3d.method import resnet3d
from lymphct.baselines.rules import CT_REPORTED, NODE_COUNT, TUMOR_VOLUME
from lymphct.baselines.settings import BaselineSettings
from lymphct.learning.keeping import FORGET, Keep
from lymphct.metastasis.settings import MetastasisSettings

Methods = Mapping[str, Callable[[MetastasisSettings], StatusMethod]]
"""Short name, as `--methods` of a study will take it → the method of some settings; in the order of Tab. VI,
then the controls."""


def methods(
    settings: BaselineSettings,
    kinetics: Weights | None = None,
    imagenet: Weights | None = None,
    keep: Keep = FORGET,
) -> Methods:
    """Return every method, those with settings or start weights of their own with these.

    Args:
        settings: of the baselines.
        kinetics: start weights of ResNet3D-18; None for a random start.
        imagenet: start weights of the networks of the tumor patches; None likewise.
        keep: takes the states of the one network that is trained, and gives back the last one.

    """
    return {
        "ct_reported": lambda _: CT_REPORTED,
        "radiomics": lambda _: radiomics_method(settings.radiomics),
        "radiomics_ct_reported": lambda _: radiomics_method(settings.radiomics, with_report=True),
        "resnet3d": lambda status: resnet3d(status, kinetics, keep=keep),
        "resnet2d": lambda status: resnet2d(status, imagenet, keep),
        "deepten": lambda status: deepten(status, imagenet, keep),
        "tumor": lambda status: tumor_alone(status, imagenet, keep),
        "nodes_without_attention": nodes_without_attention,
        "nodes": nodes_alone,
        "combined": lambda status: combined(status, imagenet, keep),
        **{f"nodes_{head.removeprefix('node_')}": partial(by_head, head=head) for head in HEAD_TITLES},
        "permuted_labels": lambda status: permuted_labels(status, imagenet, keep),
        "node_count": lambda _: NODE_COUNT,
        "tumor_volume": lambda _: TUMOR_VOLUME,
        "center": lambda _: CENTER,
    }


METHODS: Final[Methods] = methods(BaselineSettings())
"""Every method with the default settings of the baselines and a random start."""
