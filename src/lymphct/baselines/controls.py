"""Controls that tell nothing, or what a confounder tells: permuted labels, the center (decision 0047)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lymphct.baselines.cascade_methods import Weights, combined
from lymphct.baselines.method import Fit, StatusMethod
from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Fitted, require_unseen
from lymphct.learning.keeping import FORGET, Keep
from lymphct.metastasis.heads import Judge, fit_judge
from lymphct.metastasis.settings import MetastasisSettings


@dataclass(frozen=True, slots=True)
class OnPermutedLabels:
    """Another method's fit on labels that were dealt out anew: whatever it then knows of test patients leaks.

    Training and validation labels are permuted, each among its own patients: true labels of validation
    patients would choose the epoch that happens to be right, and the control would no longer be at 0.5.
    """

    fit: Fit

    def __call__(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int
    ) -> Fitted[Judge]:
        """Permute the labels by the seed, then fit."""
        rng = np.random.default_rng((seed, 0x9E37))
        dealt = [permuted(group, rng) for group in (train, validation)]
        return self.fit(dealt[0], dealt[1], seed=seed)


def permuted(patients: Sequence[Evidence], rng: np.random.Generator) -> list[Evidence]:
    """Deal the N status of patients out anew among those who have one."""
    known = [n for n, item in enumerate(patients) if item.clinical.n_status is not None]
    found = list(patients)
    for here, other in zip(known, rng.permutation(known), strict=True):
        clinical = replace(patients[here].clinical, n_status=patients[other].clinical.n_status)
        found[here] = replace(patients[here], clinical=clinical)
    return found


def permuted_labels(
    settings: MetastasisSettings, imagenet: Weights | None = None, keep: Keep = FORGET
) -> StatusMethod:
    """Return the control that learns as `combined` does, from permuted labels: its AUC is 0.5 on average."""
    method = combined(settings, imagenet, keep)
    return replace(method, name="control: permuted labels", fit=OnPermutedLabels(method.fit))


def fit_center(train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int) -> Fitted[Judge]:
    """Learn how frequent N+ is in each center; a center nobody taught gets the frequency of all.

    The score says how unequal the centers are, which any image method may have learned as well.

    Raises:
        InputError: no training patient has a status, or the validation patients are not of both classes.
        LeakageError: models behind the evidence learned from the patient, or one has two roles.

    """
    del seed  # nothing is drawn
    require_out_of_fold([*train, *validation])
    require_unseen([item.patient for item in train], [item.patient for item in validation])
    known = [(item.clinical.center, item.clinical.n_status) for item in train]
    by_center: dict[str, list[int]] = {}
    for center, status in known:
        if status is not None:
            by_center.setdefault(center, []).append(status)
    if not by_center:
        msg = f"none of {len(train)} training patients has an N status: no center has a frequency"
        raise InputError(msg, code="E_ONE_CLASS", cure="fill n_status of the manifest")
    overall = float(np.mean([status for group in by_center.values() for status in group]))
    frequencies = {center: float(np.mean(group)) for center, group in by_center.items()}
    judge = fit_judge(_Frequency(frequencies, overall), validation)
    return Fitted(judge.value, judge.patients | frozenset(item.patient for item in train))


@dataclass(frozen=True, slots=True)
class _Frequency:
    frequencies: Mapping[str, float]
    overall: float

    def __call__(self, evidence: Evidence) -> float:
        return self.frequencies.get(evidence.clinical.center, self.overall)


CENTER: Final = StatusMethod(name="control: center", needs=("center",), fit=fit_center)
