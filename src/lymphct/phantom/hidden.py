"""What is settled of a synthetic patient before anything is painted: status, tumor, nodes."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.phantom.nodes import NodePlan, plan_nodes
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.tumor import Tumor, draw_tumor

STREAMS: Final = (
    "record", "build", "tissues", "anatomy", "tumor", "nodes", "distractors", "shift", "noise", "lookalikes",
)  # fmt: skip
"""A new one comes last: the others then stay as they are."""


def patient_streams(seed: int, index: int) -> dict[str, np.random.Generator]:
    """Return a generator for each part of a patient: a change in one leaves the others as they are."""
    children = np.random.SeedSequence([seed, index]).spawn(len(STREAMS))
    return {name: np.random.Generator(np.random.PCG64(s)) for name, s in zip(STREAMS, children, strict=True)}


@dataclass(frozen=True, kw_only=True)
class HiddenTruth:
    """What is settled of a patient before anything is painted.

    Attributes:
        is_positive: N+.
        tumor: with the texture latent.
        nodes: as planned; one for which there is no room is made smaller or left out.

    """

    is_positive: bool
    tumor: Tumor
    nodes: tuple[NodePlan, ...]


def hidden_truth(settings: PhantomSettings, *, seed: int, index: int) -> HiddenTruth:
    """Draw what `generate_patient` would paint, in a thousandth of the time."""
    rng = patient_streams(seed, index)
    is_positive = bool(rng["record"].random() < settings.positive_share)
    return HiddenTruth(
        is_positive=is_positive,
        tumor=tumor_of(settings, rng, is_positive=is_positive),
        nodes=tuple(plan_nodes(rng["nodes"], settings, is_positive=is_positive)),
    )


def tumor_of(settings: PhantomSettings, rng: dict[str, np.random.Generator], *, is_positive: bool) -> Tumor:
    """Draw the tumor of a patient whose N status is settled."""
    return draw_tumor(
        rng["tumor"],
        is_positive=is_positive,
        head_share=settings.head_share,
        texture_shift=settings.texture_shift,
    )
