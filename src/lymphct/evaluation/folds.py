"""Who is trained on, who decides, who is tested: the only place that splits patients (Sec. IV-A.1).

Every split is a function of the set of patients, their strata, what the parts need, and the seed; the order
in which a manifest lists them does not matter, because patients are ordered by a hash of seed and id.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.guarantees import Need, rearranged

_CASCADE_SHARE = 0.6
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class CascadeSplit:
    """Disjoint parts of a cohort for `train all`; together they are the whole cohort.

    Attributes:
        train: train structures, tumor and both node stages.
        validation: choose epochs and thresholds of those stages.
        fusion_train: train the status network, on what the stages predict for them.
        fusion_validation: choose its epoch and threshold.

    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    fusion_train: tuple[str, ...]
    fusion_validation: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of a cross-validation: three disjoint parts that together are the whole cohort."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_for_training_all(
    patients: Mapping[str, str],
    seed: int,
    needs: Sequence[Sequence[Need]] = (),
    rare: Sequence[frozenset[str]] = (),
    unknown: frozenset[str] = frozenset(),
) -> CascadeSplit:
    """Split 60 % for the cascade and 40 % for the fusion, 20 % of each for validation, stratified.

    The status network must see volumes and masks as they will be for new patients; networks that were
    trained on its patients would show it better ones (decision 0006).

    Args:
        patients: id → stratum (such as "N+ head").
        seed: another seed, another split.
        needs: of the parts, by their names in `CascadeSplit`, in groups that are met together; the fewest
            patients change places for it (`guarantees.rearranged`).
        rare: patients with something the cascade alone learns from, such as a mask; as many of them as fit
            are in its parts, those of the smallest group first.
        unknown: patients whose N status nobody knows: they are in the cascade, beside as many others as make
            its 60 %, since nobody else could teach the status network; where all are, there is no fusion.

    Raises:
        InputError: fewer than four patients: one part would be empty.

    """
    if len(patients) < 4:
        msg = f"{len(patients)} patients cannot fill four parts"
        raise InputError(msg, code="E_COHORT_SIZE", cure="give at least 4 patients, better 60")
    order = _ordered(patients, str(seed))
    known = [patient for patient in order if patient not in unknown]
    cascade, fusion = _known_shares(known, len(order)) if known else ([], [])
    cascade, fusion = _with_rare(cascade, fusion, patients, known, rare) if cascade else (cascade, fusion)
    joining = unknown.union(cascade)
    cascade = [patient for patient in order if patient in joining]
    validation, train = _take(cascade, _VALIDATION_SHARE)
    fusion_validation, fusion_train = _take(fusion, _VALIDATION_SHARE) if fusion else ([], [])
    parts = {
        "train": train,
        "validation": validation,
        "fusion_train": fusion_train,
        "fusion_validation": fusion_validation,
    }
    met = rearranged(parts, patients, order, needs)
    return CascadeSplit(**{part: _sorted(names) for part, names in met.items()})


def stratified_folds(
    patients: Mapping[str, str], n_folds: int, seed: int, *, validation: float = _VALIDATION_SHARE
) -> tuple[Fold, ...]:
    """Split into `n_folds` folds; each patient is tested once (five folds: 64/16/20 %, Sec. IV-A).

    Within every stratum, and over all patients, the sizes of the test parts differ by at most one. Applied to
    `fold.train + fold.validation` it makes the inner folds of the nested cross-validation.

    Args:
        patients: id → stratum.
        n_folds: at least 2.
        seed: another seed, another split.
        validation: share of the patients that are not tested.

    Raises:
        UsageError: fewer than two folds, or a share outside 0 to 1.
        InputError: fewer patients than folds, or too few to train on and decide with.

    """
    if n_folds < 2 or not 0 < validation < 1:
        msg = f"{n_folds} folds with a validation share of {validation} make no cross-validation"
        raise UsageError(msg, cure="give at least 2 folds and a share between 0 and 1")
    if len(patients) < max(n_folds, 3) or len(patients) - -(-len(patients) // n_folds) < 2:
        msg = f"{len(patients)} patients are too few for {n_folds} folds of three parts"
        raise InputError(msg, code="E_COHORT_SIZE", cure="use fewer folds or more patients")
    order = _ordered(patients, str(seed))
    folds = []
    for number in range(n_folds):
        test = order[number::n_folds]
        # Ordered anew, so that validation parts of different folds are not drawn at the same positions.
        others = {patient: patients[patient] for patient in order if patient not in frozenset(test)}
        decide, train = _take(_ordered(others, f"{seed}/{number}"), validation)
        folds.append(Fold(train=_sorted(train), validation=_sorted(decide), test=_sorted(test)))
    return tuple(folds)


def _known_shares(known: Sequence[str], everybody: int) -> tuple[list[str], list[str]]:
    """Return who of those of known status joins the cascade, and who teaches the status network."""
    if len(known) == everybody:
        return _take(known, _CASCADE_SHARE, at_least=2)
    fusion = min(everybody - round(_CASCADE_SHARE * everybody), len(known))
    return _take(known, 1 - fusion / len(known), at_least=0)


def _ordered(patients: Mapping[str, str], salt: str) -> list[str]:
    """List the strata one after the other, patients within each by the hash of salt and id."""

    def key(patient: str) -> tuple[str, bytes]:
        digest = hashlib.sha256(f"{salt}\n{patient}".encode()).digest()
        return (patients[patient], digest)

    return sorted(patients, key=key)


def _take(order: Sequence[str], share: float, at_least: int = 1) -> tuple[list[str], list[str]]:
    """Take every (1/share)-th patient, so of each stratum its share within one; return taken and rest."""
    count = min(max(round(share * len(order)), at_least), len(order) - at_least)
    size = len(order)
    steps = [(position + 1) * count // size - position * count // size for position in range(size)]
    taken = [patient for patient, step in zip(order, steps, strict=True) if step]
    rest = [patient for patient, step in zip(order, steps, strict=True) if not step]
    return (taken, rest)


def _with_rare(
    cascade: Sequence[str],
    fusion: Sequence[str],
    strata: Mapping[str, str],
    order: Sequence[str],
    groups: Sequence[frozenset[str]],
) -> tuple[list[str], list[str]]:
    """Exchange patients until the rare ones are in the cascade, each for one of the same stratum if possible.

    Only a group that fits into the cascade as a whole takes the place of patients of another stratum.
    """
    chosen, others = set(cascade), set(fusion)
    rarer: list[frozenset[str]] = []
    for group in sorted(groups, key=lambda group: (len(group), sorted(group))):
        for name in (name for name in order if name in group and name in others):
            # Whoever leaves has nothing rarer that the one who comes has not.
            free = [
                other
                for other in order
                if other in chosen
                and other not in group
                and all(name in known or other not in known for known in rarer)
            ]
            alike = [other for other in free if strata[other] == strata[name]]
            if alike or (free and len(group) <= len(chosen)):
                # Of another stratum rather one of the same N status, its first word.
                near = [other for other in free if strata[other].split()[:1] == strata[name].split()[:1]]
                leaving = (alike or near or free)[0]
                chosen = chosen - {leaving} | {name}
                others = others - {name} | {leaving}
        rarer.append(group)
    return [name for name in order if name in chosen], [name for name in order if name in others]


def _sorted(patients: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(patients))
