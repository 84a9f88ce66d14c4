"""Our folds as nnU-Net asks for them: whom it trains on, whom it keeps out (Sec. IV-A.1)."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

from lymphct.core.leakage import Roles
from lymphct.evaluation.folds import stratified_folds
from lymphct.io.manifest import PatientRecord
from lymphct.study.single.split import split_cohort

SplitKind = Literal["folds", "plan"]
"""folds: the cross-validation's; plan: the one split of `train`."""
SPLIT_KINDS: Final[tuple[SplitKind, ...]] = get_args(SplitKind)


def nnunet_folds(
    records: Sequence[PatientRecord], kind: SplitKind, number: int, seed: int
) -> tuple[Roles, ...]:
    """Return whom nnU-Net trains on (`train`) and keeps out (`validation`), fold by fold.

    nnU-Net chooses nothing on those it keeps out, so that they are the test part of a fold of ours, and our
    training and validation parts teach it together. In the split of `train` they are its training and
    validation parts; those of the status network are in neither, as no other stage may see them
    (decision 0006).

    Args:
        records: the cohort; patients who may not teach are in no fold.
        kind: which split.
        number: of folds, for `folds`.
        seed: of the split.

    Raises:
        InputError: too few patients.

    """
    teachers = [record for record in records if record.may_teach]
    if kind == "plan":
        plan = split_cohort(teachers, seed)
        parts = {
            part: tuple(n for n, p in plan.items() if p.part == part) for part in ("train", "validation")
        }
        return (Roles(**parts),)
    strata = {record.patient_id: f"{record.n_status} {record.tumor_location}" for record in teachers}
    return tuple(
        Roles(train=tuple(sorted((*fold.train, *fold.validation))), validation=fold.test)
        for fold in stratified_folds(strata, number, seed)
    )
