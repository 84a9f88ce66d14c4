"""The one split of `lymphct train all`: who teaches the cascade, who the status network (decision 0006)."""

from collections.abc import Mapping, Sequence

from lymphct.evaluation.folds import split_for_training_all
from lymphct.io.manifest import PatientRecord
from lymphct.study.needs import DrawnNodes, parts_needs, rare_masks
from lymphct.study.plan import Part, PatientPlan
from lymphct.study.sources import DRAWN, MaskSources


def split_cohort(
    records: Sequence[PatientRecord],
    seed: int,
    drawn: DrawnNodes | None = None,
    sources: MaskSources = DRAWN,
) -> dict[str, PatientPlan]:
    """Assign each patient to a part: 60 % cascade, 40 % fusion, 20 % of each for validation.

    Each part holds what the stages learn from, with both classes, wherever the cohort has it
    (`needs.parts_needs`); the plan is the same whichever stage is trained first. Patients with masks that
    others lack are in the cascade, which alone learns from masks.

    Whose N status nobody knows, as in public data, could not teach the status network and is in the cascade;
    where that holds for all, there is no fusion (decisions 0045 and 0056).

    Patients whose `split` column says `test` (or anything but `train`) or that have an `exclude_reason` take
    no part. Strata are N status and tumor site.

    Args:
        records: the cohort.
        seed: another seed, another split.
        drawn: classes of the drawn nodes by patient; without them identification needs nothing, and the split
            may be another one than that of the run, which is made when the patients are prepared.
        sources: whose masks guide stage 1.

    Raises:
        InputError: fewer than four patients are left.

    """
    taking_part = [r for r in records if r.may_teach]
    strata = {r.patient_id: f"{r.n_status} {r.tumor_location}" for r in taking_part}
    needs = tuple(parts_needs(taking_part, drawn, sources).values())
    unknown = frozenset(r.patient_id for r in taking_part if r.n_status is None)
    split = split_for_training_all(strata, seed, needs, rare_masks(taking_part), unknown)
    groups: Mapping[Part, Sequence[str]] = {
        "train": split.train,
        "validation": split.validation,
        "fusion_train": split.fusion_train,
        "fusion_validation": split.fusion_validation,
    }
    part_of = {name: part for part, names in groups.items() for name in names}
    return {r.patient_id: PatientPlan(part=part_of[r.patient_id], n_status=r.n_status) for r in taking_part}
