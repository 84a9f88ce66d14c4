"""What stands for V in Eq. 7. With it, what the status network learns from: patches with that number."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from torch import nn

from lymphct.core.errors import UsageError
from lymphct.core.evidence import Evidence
from lymphct.metastasis.aggregation import positive_volume
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.node_score import NodeScore, fit_node_score, out_of_fold_numbers
from lymphct.metastasis.node_scores import expected_count, largest_volume, max_probability, noisy_or
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import MetastasisSettings

logger = logging.getLogger(__name__)

Number = Callable[[Evidence], float]
"""What stands for V in Eq. 7."""

_RULES: Final[Mapping[str, Number]] = {
    "max_probability": max_probability,
    "noisy_or": noisy_or,
    "expected_count": expected_count,
}
"""Numbers of all nodes in which nothing is learned."""


def fused_number(evidence: Evidence, settings: MetastasisSettings, network: nn.Module | None = None) -> float:
    """Return what stands for V in Eq. 7 of a patient whom the network did not learn from.

    Args:
        evidence: of the patient.
        settings: they say which number.
        network: trained status network; a number that is learned comes from a part of it.

    Returns:
        The volume of the positive nodes, mm³; or another number of all nodes: a probability, 0 to 1, or how
        many are expected to be positive.

    Raises:
        InputError: a node has no class, and the volume needs it.
        UsageError: the number is learned, and there is no network that knows it.

    """
    if settings.fused == "volume":
        return positive_volume(evidence.nodes, settings.volume)
    if settings.fused in _RULES:
        return _RULES[settings.fused](evidence)
    if settings.learned_number is None:
        return 0.0  # which nobody reads
    return _learned_by(network, settings).probability(evidence)


def status_cases(
    evidence: Sequence[Evidence], settings: MetastasisSettings, number: Number | None = None
) -> list[StatusCase]:
    """Return what the status network learns from; patients without status or without a tumor are left out.

    Args:
        evidence: of the patients.
        settings: they say which number of the nodes is fused.
        number: gives it; None where nothing in it is learned.

    Raises:
        UsageError: the number is learned, and nothing gives it.

    """
    of = number or partial(fused_number, settings=settings)
    cases = []
    for item in evidence:
        if item.clinical.n_status is None:
            continue
        if item.patches is None:
            logger.info("%s: no tumor found, left out of the status training", item.patient)
            continue
        cases.append(
            StatusCase(
                patient=item.patient,
                patches=item.patches,
                volume=of(item),
                n_status=item.clinical.n_status,
                largest=largest_volume(item),
            )
        )
    return cases


def fit_numbers(
    network: nn.Module,
    train: Sequence[Evidence],
    others: Sequence[Evidence],
    settings: MetastasisSettings,
    *,
    seed: int,
) -> tuple[list[StatusCase], list[StatusCase]]:
    """Return what a status network is shown of those who teach it and of others, each with his number.

    A number that is learned is learned here, from those training patients whom the status network learns
    from, too. Each of them has the number of a network of nodes that did not learn from him; the others have
    that of the one that learned from all of them, which becomes part of the status network.

    Args:
        network: status network; the part of it that gives the number is taught in place.
        train: those who teach.
        others: those who choose the epoch, or are judged.
        settings: of the status.
        seed: of folds and weights.

    Raises:
        InputError: the number is learned, and fewer than two training patients are N+ or N-.
        LeakageError: it is, and a patient is in both groups.

    """
    kind, names = settings.learned_number, [item.patient for item in others]
    teachers = [item for item in train if item.clinical.n_status is not None and item.patches is not None]
    if kind is None or not teachers:
        return status_cases(train, settings), status_cases(others, settings)
    own = out_of_fold_numbers(kind, teachers, settings.nodes, seed=seed)
    fitted = fit_node_score(kind, teachers, settings.nodes, seed=seed)
    score = fitted.for_unseen(names)
    _learned_by(network, settings).load_state_dict(score.state_dict())
    logger.info("status network: %s learned the number of the nodes from %d patients", kind, len(own))
    return (
        status_cases(train, settings, lambda item: own[item.patient]),
        status_cases(others, settings, score.probability),
    )


def _learned_by(network: nn.Module | None, settings: MetastasisSettings) -> NodeScore:
    if not isinstance(network, StatusNetwork) or network.node_score is None:
        msg = f"the number of the nodes that is fused, {settings.fused}, is learned, and no network knows it"
        raise UsageError(msg, cure="take the status network that was trained with these settings")
    return network.node_score
