"""A number of the lymph nodes that is learned: the probability of N+ by all of them (decision 0060).

It may stand for V in Eq. 7. Nobody who teaches the status network is fused with a number of a network that
learned from him: such numbers would look better than those of any new patient. Not from the paper.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn

from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Fitted
from lymphct.evaluation.folds import stratified_folds
from lymphct.learning.weights import as_stored
from lymphct.metastasis.node_networks import NodeGraph, NodeSet, built, together, train_on_all
from lymphct.metastasis.node_vectors import WIDTH, RowStatistics, node_rows
from lymphct.metastasis.settings import Learned, NodeNetworkSettings

KINDS: Final[Mapping[Learned, type[NodeSet] | type[NodeGraph]]] = {
    "node_set": NodeSet,
    "node_graph": NodeGraph,
}
"""Networks that judge by all nodes, by their names in settings."""


class NodeScore(nn.Module):
    """The probability of N+ by all lymph nodes: a network of nodes, and what standardises their rows.

    It is taught before the network around it (`fit_node_score`), and by nothing afterwards: its weights take
    no gradient, and it stays in the state of prediction.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, kind: Learned, settings: NodeNetworkSettings, *, seed: int = 0) -> None:
        super().__init__()
        self.kind, self.settings = KINDS[kind], settings
        self.network = built(self.kind, settings, seed=seed)
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("sd", torch.ones(WIDTH))
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - as torch has it
        """Stay in the state of prediction, whatever the network around it does."""
        del mode
        return super().train(mode=False)

    @property
    def statistics(self) -> RowStatistics:
        """Mean and SD of the numbers of a row."""
        mean, sd = (x.detach().cpu().double().numpy() for x in (self.mean, self.sd))
        return RowStatistics(mean, sd)

    @torch.no_grad()
    def probability(self, evidence: Evidence) -> float:
        """Return the probability of N+ of one patient, 0 to 1; without nodes that of an empty set."""
        seen = together([self.kind.example(evidence, self.statistics, self.settings)])
        return float(torch.sigmoid(self.network(seen.to(self.mean.device)).double()))


def fit_network(
    kind: type[NodeSet] | type[NodeGraph],
    teachers: Sequence[Evidence],
    settings: NodeNetworkSettings,
    *,
    seed: int,
) -> Fitted[tuple[NodeSet | NodeGraph, RowStatistics]]:
    """Train a network of nodes on everybody whose N status is known, the same in whatever order they come.

    Raises:
        InputError: they are not of both classes.

    """
    known = sorted(
        (item for item in teachers if item.clinical.n_status is not None), key=lambda item: item.patient
    )
    labels = [int(item.clinical.n_status or 0) for item in known]
    if len(set(labels)) < 2:
        msg = f"a network of lymph nodes needs N+ and N- patients, got {len(known)} of one class"
        raise InputError(msg, code="E_ONE_CLASS", cure="add patients of the missing class")
    statistics = RowStatistics.of([node_rows(item) for item in known])
    network = built(kind, settings, seed=seed)
    examples = [kind.example(item, statistics, settings) for item in known]
    train_on_all(network, examples, labels, settings, seed=seed)
    return Fitted((network, statistics), frozenset(item.patient for item in known))


def fit_node_score(
    kind: Learned, teachers: Sequence[Evidence], settings: NodeNetworkSettings, *, seed: int
) -> Fitted[NodeScore]:
    """Learn the probability of N+ from patients; its values are rounded as a bundle stores them.

    So whoever chooses the epoch of the status network is fused with the number he would have from a bundle.

    Raises:
        InputError: the patients are not of both classes.

    """
    fitted = fit_network(KINDS[kind], teachers, settings, seed=seed)
    network, statistics = fitted.value
    score = NodeScore(kind, settings)
    learned = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    learned |= {"mean": torch.from_numpy(statistics.mean), "sd": torch.from_numpy(statistics.sd)}
    score.load_state_dict(as_stored(learned))
    return Fitted(score, fitted.patients)


def out_of_fold_numbers(
    kind: Learned, teachers: Sequence[Evidence], settings: NodeNetworkSettings, *, seed: int
) -> dict[str, float]:
    """Return the probability of N+ of each patient by a network that learned from others alone.

    Args:
        kind: of network.
        teachers: patients whose N status is known.
        settings: of the network and the number of folds.
        seed: of folds, weights and dropout.

    Returns:
        id → probability.

    Raises:
        InputError: fewer than two patients of a class: without one of them nobody could teach it.

    """
    by_name = {item.patient: item for item in teachers}
    strata = {name: str(item.clinical.n_status) for name, item in by_name.items()}
    _require_two_of_each(strata)
    numbers: dict[str, float] = {}
    for fold in stratified_folds(strata, min(settings.folds, len(strata)), seed):
        # Nothing is chosen here, so that both groups teach.
        others = [by_name[name] for name in (*fold.train, *fold.validation)]
        score = fit_node_score(kind, others, settings, seed=seed).for_unseen(fold.test)
        numbers |= {name: score.probability(by_name[name]) for name in fold.test}
    return numbers


def _require_two_of_each(strata: Mapping[str, str]) -> None:
    counts = Counter(strata.values())
    if min(counts["0"], counts["1"]) < 2:
        msg = (
            "the number that is fused is learned without each part of the training patients in turn, which "
            f"takes two N+ and two N-; there are {counts['1']} N+ and {counts['0']} N-"
        )
        cure = "add patients of that class, or set metastasis.fused to volume"
        raise InputError(msg, code="E_ONE_CLASS", cure=cure)
