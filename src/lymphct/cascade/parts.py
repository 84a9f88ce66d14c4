"""What a trained stage is, and what a training starts from besides its patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from lymphct.cascade.description import PartInfo, ThresholdChoice
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import Sight
from lymphct.core.errors import ModelError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Fitted, FittedOn
from lymphct.core.settings import Settings
from lymphct.core.terms import StageName
from lymphct.metastasis.pretrained import Pretrained
from lymphct.nodes.found import FoundNodes

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A trained stage: everything a bundle says of it.

    Attributes:
        stage: which.
        settings: to rebuild the network from, with the chosen operating point.
        weights: tensors by name, rounded as a bundle stores them.
        train: on whom it was fitted.
        validation: on whom its epoch and operating point were chosen.
        scores: what it reached on validation patients.
        thresholds: decision thresholds by name.
        chosen: how each of them came about.
        course: what is to be said of the training itself: `rejected_share` of the patches, steps `skipped`.
        extra: further facts of the training, as a bundle keeps them.
        sight: how the network sees both phases; None leaves it to what all parts of a bundle share.
        calibration: what its score is worth, as a bundle keeps it, and from whom that was learned; None where
            nothing was fitted.

    """

    stage: StageName
    settings: Settings
    weights: Weights
    train: FittedOn
    validation: FittedOn
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, ThresholdChoice] = field(default_factory=dict)
    course: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    sight: Sight | None = None
    calibration: Fitted[Mapping[str, JsonValue]] | None = None

    def described(self, salt: str) -> PartInfo:
        """Return what a bundle with this key says of the part."""
        return PartInfo.model_validate(
            {
                "architecture": self.settings.model_dump(mode="json"),
                "patients": {
                    "train": self.train.hashed(salt),
                    "validation": self.validation.hashed(salt),
                },
                "scores": dict(self.scores),
                "chosen": dict(self.chosen),
                "intensity": None if self.sight is None else self.sight.described(salt),
                "extra": {**self.course, **self.extra},
            }
        )


Parts = Mapping[StageName, Part]
"""Trained stages by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a training starts from besides its patients.

    Attributes:
        config: settings of all stages.
        parts: stages trained before.
        found: for stage 2: nodes that stage 1 found in patients it did not learn from, by id; None where it
            learns from drawn nodes alone (decision 0054).
        evidence: for the patient level: every patient as a cascade sees him that never learned from him;
            None where nobody was examined, empty where nobody could be.
        seed: of weights, patches and augmentation.
        device: on which the network is trained.
        pretrained: start weights of the status network; None starts from random ones (Sec. III-B).
        weights: of the same stage of another bundle, to go on from; None begins as the stage does.
        backbone: encoder and decoder that stage 1 starts from; None starts from random ones (decision 0044).

    """

    config: Config
    parts: Parts = field(default_factory=dict)
    found: Mapping[str, FoundNodes] | None = None
    evidence: Mapping[str, Evidence] | None = None
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pretrained: Pretrained | None = None
    weights: Weights | None = None
    backbone: Weights | None = None

    def evidence_of(self, ids: Sequence[str]) -> list[Evidence]:
        """Return the evidence of those who were examined, in the order of `ids`."""
        known = self.evidence or {}
        return [known[name] for name in ids if name in known]

    def found_in(self, ids: Sequence[str]) -> list[FoundNodes]:
        """Return what stage 1 found in those it searched, in the order of `ids`."""
        known = self.found or {}
        return [known[name] for name in ids if name in known]


def load_start(network: nn.Module, weights: Weights, stage: StageName) -> None:
    """Give a network the weights of another of its kind, every name and shape the same.

    What a network says it may lack (`ADDED`) keeps its own weights where the other has none.

    Raises:
        ModelError: names or shapes differ.

    """
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    added: tuple[str, ...] = getattr(network, "ADDED", ())
    anew = {name for name in own if name not in given and name.startswith(added)} if added else set()
    others = sorted(name for name in {*own, *given} - anew if own.get(name) != given.get(name))
    if others:
        first = others[0]
        here, there = own.get(first, "nothing"), given.get(first, "nothing")
        msg = (
            f"the {stage} network given with --from has another form: {len(others)} tensors differ, first "
            f"{first} ({there}, here {here})"
        )
        cure = "take the settings of that bundle (its MODEL_CARD.md lists them)"
        raise ModelError(msg, code="E_ARCHITECTURE", cure=cure)
    network.load_state_dict({**network.state_dict(), **weights})
