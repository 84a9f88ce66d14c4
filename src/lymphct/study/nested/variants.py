"""Cascades that differ in how stage 1 is guided: with attention, without, and the factors between (Tab. V).

Each is the same code with other settings; structures, tumor and statistics are shared, and a variant that
differs at inference alone takes the trained networks of another.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lymphct.cascade.settings import Config
from lymphct.core.errors import UsageError

ATTENTION: Final = "attention"
"""The cascade as the settings have it."""
NONE: Final = "none"
"""The same without attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to guide stage 1.

    Attributes:
        title: as tables print it.
        changes: of the settings `nodes`, by dotted names.
        attention: changes of the settings `attention`.
        trained_as: variant whose networks it takes; empty where it is trained itself.

    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    attention: Mapping[str, Any] = field(default_factory=dict)
    trained_as: str = ""

    def settings(self, config: Config) -> Config:
        """Return the settings of a cascade of this variant."""
        content = config.model_dump()
        for name, value in self.changes.items():
            place = content["nodes"]
            *path, last = name.split(".")
            for step in path:
                place = place[step]
            place[last] = value
        content["attention"].update(self.attention)
        return Config.model_validate(content) if self.changes or self.attention else config


_WITHOUT: Final = {"heads.use_attention": False, "hard_gate": False}

VARIANTS: Final[Mapping[str, Variant]] = {
    NONE: Variant(title="without attention", changes=_WITHOUT),
    "none_gated": Variant(
        title="without attention, gated afterwards",
        changes={**_WITHOUT, "hard_gate": True},
        trained_as=NONE,
    ),
    "channel": Variant(
        title="attention as an input channel", changes={**_WITHOUT, "heads.attention_channel": True}
    ),
    "prior": Variant(
        title="attention as a prior on the logits", changes={**_WITHOUT, "heads.log_prior": 1.0}
    ),
    ATTENTION: Variant(title="with attention"),
    "gated": Variant(
        title="with attention, gated afterwards", changes={"hard_gate": True}, trained_as=ATTENTION
    ),
    "suppressed": Variant(
        title="with attention, none inside other organs", attention={"suppress_other_organs": True}
    ),
    "atlas": Variant(title="with an atlas as attention", attention={"prior": "atlas"}),
    "trapezia": Variant(title="with attention of fitted trapezia", attention={"prior": "trapezia"}),
    "any_patch": Variant(
        title="with attention, patches without any", changes={"sampling.informative_negatives": False}
    ),
    "dice": Variant(
        title="with attention, Dice loss", changes={"loss.tversky_alpha": 1.0, "loss.tversky_beta": 1.0}
    ),
    "no_block": Variant(title="with attention, no extra block", changes={"heads.extra_block": False}),
}
"""Short name, as `--ablations` takes it → variant, in the order of the rows of Tab. V."""


def chosen_ablations(names: Iterable[str]) -> tuple[str, ...]:
    """Return variants by name, with those whose networks they take, in the order of the table.

    Raises:
        UsageError: a name that is none; the nearest is told.

    >>> chosen_ablations(["none_gated"])
    ('none', 'none_gated')
    """
    asked = set(names)
    for name in sorted(asked):
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, VARIANTS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            msg = f"there is no ablation {name[:40]!r}{meant}"
            raise UsageError(msg, code="E_ABLATION", cure=f"some of {', '.join(VARIANTS)}")
    asked |= {VARIANTS[name].trained_as for name in asked} - {""}
    return tuple(name for name in VARIANTS if name in asked)
