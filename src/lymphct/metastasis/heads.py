"""Patient heads: from the evidence of a patient to a score of LN metastasis (Sec. III-B, Sec. IV-E).

A head is one function of the evidence and one line in `HEADS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Fitted, require_unseen
from lymphct.evaluation.classification import fit_threshold
from lymphct.learning.keeping import FORGET, Keep, followed
from lymphct.learning.training import best_weights
from lymphct.metastasis.fusing import fit_numbers, fused_number
from lymphct.metastasis.node_networks import NodeGraph, NodeSet, together
from lymphct.metastasis.node_score import fit_network
from lymphct.metastasis.node_scores import expected_count, largest_volume, max_probability, noisy_or
from lymphct.metastasis.prediction import build_status_network, fit_status, predict_status
from lymphct.metastasis.pretrained import initialize
from lymphct.metastasis.settings import MetastasisSettings

Score = Callable[[Evidence], float | None]
"""Higher means rather N+; None where the evidence lacks what the head reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A head that is ready: its score, and from where on a patient is called N+."""

    score: Score
    threshold: float

    def call(self, evidence: Evidence) -> int | None:
        """Return 1 for N+, 0 for N-, None without a score."""
        score = self.score(evidence)
        return None if score is None else int(score >= self.threshold)


class PatientHead(Protocol):
    """How a patient's evidence becomes a score."""

    def fit(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int = 0
    ) -> Fitted[Judge]:
        """Learn from patients whose evidence is out of fold; choose the threshold on validation patients."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A head without weights: only its threshold is learned, on validation patients.

    Attributes:
        score: of a patient.
        least: smallest threshold.

    """

    score: Score
    least: float = float("-inf")

    def fit(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int = 0
    ) -> Fitted[Judge]:
        """Choose the threshold of best balanced accuracy on validation patients.

        Raises:
            InputError: they are not of both classes.
            LeakageError: evidence comes from models that learned from the patient.

        """
        del train, seed  # nothing but the threshold is learned
        require_out_of_fold(validation)
        return fit_judge(self.score, validation, least=self.least)


def fit_judge(score: Score, validation: Sequence[Evidence], *, least: float = float("-inf")) -> Fitted[Judge]:
    """Find the score from which validation patients are best called N+.

    Raises:
        InputError: those who have a score are not of both classes.

    """
    scored = [
        (score(item), item.clinical.n_status, item.patient)
        for item in validation
        if item.clinical.n_status is not None
    ]
    known = [(value, status, name) for value, status, name in scored if value is not None]
    fitted = fit_threshold(
        [value for value, _, _ in known], [status for _, status, _ in known], [name for *_, name in known]
    )
    return Fitted(Judge(score=score, threshold=max(fitted.value, least)), fitted.patients)


@dataclass(frozen=True, slots=True)
class StatusHead:
    """The status network: tumor texture and the volume of the positive nodes (Eq. 6, Eq. 7).

    Attributes:
        settings: of the network and its training.
        start: weights it starts from, such as ImageNet's; None for random ones.
        keep: takes the states of the training, gives back the last one of an interrupted one.

    """

    settings: MetastasisSettings
    start: Mapping[str, Tensor] | None = field(default=None, compare=False, repr=False)
    keep: Keep = field(default=FORGET, compare=False, repr=False)

    def require_weights_that_fit(self) -> None:
        """Refuse start weights of another architecture.

        Raises:
            ModelError: they do not fit.

        """
        if self.start is not None:
            initialize(build_status_network(self.settings), self.start)

    def fit(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int = 0
    ) -> Fitted[Judge]:
        """Train the network; validation patients choose the epoch, then the threshold.

        Patients without an N status, or in whom no tumor is found, take no part.

        Raises:
            InputError: training or validation patients are not of both classes.
            LeakageError: models behind the evidence learned from the patient, or one has two roles.
            ModelError: the start weights do not fit.

        """
        require_out_of_fold([*train, *validation])
        require_unseen([item.patient for item in train], [item.patient for item in validation])
        network = build_status_network(self.settings, seed=seed)
        initialize(network, self.start)
        cases, judged = fit_numbers(network, train, validation, self.settings, seed=seed)
        course = partial(fit_status, network, cases, judged, self.settings, seed=seed)
        state = followed(course, self.settings.training, self.keep, "the status network")
        network.load_state_dict(best_weights(state))
        judge = fit_judge(status_score(network, self.settings), validation)
        return Fitted(judge.value, judge.patients | frozenset(item.patient for item in train))


def status_score(network: nn.Module, settings: MetastasisSettings) -> Score:
    """Return the score a trained status network gives: the mean over the patches (Sec. III-B)."""

    def score(evidence: Evidence) -> float | None:
        if evidence.patches is None:
            return None
        return predict_status(network, evidence.patches, fused_number(evidence, settings, network))

    return score


@dataclass(frozen=True, slots=True)
class NodeHead:
    """A head that learns from all lymph nodes of a patient (`node_networks`). Not from the paper.

    Attributes:
        kind: of network.
        settings: of the status; those of its nodes count.

    """

    kind: type[NodeSet] | type[NodeGraph]
    settings: MetastasisSettings

    def fit(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int = 0
    ) -> Fitted[Judge]:
        """Train the network on training patients; choose the threshold on validation patients.

        Raises:
            InputError: training or validation patients are not of both classes.
            LeakageError: models behind the evidence learned from the patient, or one has two roles.

        """
        require_out_of_fold([*train, *validation])
        require_unseen([item.patient for item in train], [item.patient for item in validation])
        settings = self.settings.nodes
        network, statistics = fit_network(self.kind, train, settings, seed=seed).value

        def score(evidence: Evidence) -> float:
            with torch.no_grad():
                seen = together([self.kind.example(evidence, statistics, settings)])
                return float(torch.sigmoid(network(seen)))

        judge = fit_judge(score, validation)
        return Fitted(judge.value, judge.patients | frozenset(item.patient for item in train))


HEADS: Final[Mapping[str, Callable[[MetastasisSettings], PatientHead]]] = {
    "largest_volume": lambda _: Rule(largest_volume, least=1.0),  # a patient without a positive node is N-
    "max_probability": lambda _: Rule(max_probability),
    "noisy_or": lambda _: Rule(noisy_or),
    "expected_count": lambda _: Rule(expected_count),
    "node_set": lambda settings: NodeHead(NodeSet, settings),
    "node_graph": lambda settings: NodeHead(NodeGraph, settings),
    "status_network": StatusHead,
}
"""Every head by name; one more is one more line."""


def head_named(name: str, settings: MetastasisSettings) -> PatientHead:
    """Return a head of the table.

    Raises:
        InputError: there is no such head.

    """
    if name not in HEADS:
        msg = f"there is no patient head {name!r}"
        raise InputError(msg, code="E_HEAD", cure=f"one of {', '.join(HEADS)}")
    return HEADS[name](settings)
