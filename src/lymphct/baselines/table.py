"""Every method by name; one more is one file and one line here (Tab. VI)."""

from collections.abc import Callable, Mapping
from typing import Final

from lymphct.baselines.cascade_methods import combined, nodes_alone, tumor_alone
from lymphct.baselines.method import StatusMethod
from lymphct.baselines.rules import CT_REPORTED, NODE_COUNT, TUMOR_VOLUME
from lymphct.metastasis.settings import MetastasisSettings

METHODS: Final[Mapping[str, Callable[[MetastasisSettings], StatusMethod]]] = {
    "combined": combined,
    "nodes": nodes_alone,
    "tumor": tumor_alone,
    "ct_reported": lambda _: CT_REPORTED,
    "node_count": lambda _: NODE_COUNT,
    "tumor_volume": lambda _: TUMOR_VOLUME,
}
"""Short name, as `--methods` of a study will take it → the method of some settings."""
