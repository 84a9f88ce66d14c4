"""A split lacks nobody a stage needs, or says whom before anything is prepared or trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import NodeClass, StageName
from lymphct.io.manifest import PatientRecord
from lymphct.study.needs import parts_needs, require_needs
from lymphct.study.single.split import split_cohort

POSITIVE, NEGATIVE = NodeClass.POSITIVE, NodeClass.NEGATIVE


def record(number: int, **columns: Any) -> PatientRecord:
    drawn = {name: Path(f"{name}.nii") for name in ("structures", "tumor", "nodes")}
    fields = {**drawn, "n_status": number % 2, **columns}
    return PatientRecord(patient_id=f"p{number:02d}", venous=Path("v.nii"), **fields)


def refusal(
    records: Sequence[PatientRecord],
    *stages: StageName,
    drawn: Mapping[str, tuple[NodeClass, ...]] | None = None,
) -> str:
    with pytest.raises(InputError) as caught:
        require_needs(split_cohort(records, 0, drawn), parts_needs(records, drawn), stages)
    assert caught.value.code == "E_CLASSES"
    return str(caught.value)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("patients", [8, 12, 30])
def test_every_part_gets_both_classes_whatever_the_seed(seed: int, patients: int) -> None:
    records = [record(n, n_status=int(n < 2)) for n in range(patients)]
    # Two patients have positive nodes, and they are not those who are N+.
    drawn = {r.patient_id: (NEGATIVE,) if n < patients - 2 else (POSITIVE,) for n, r in enumerate(records)}
    split = split_cohort(records, seed, drawn)
    require_needs(split, parts_needs(records, drawn), tuple(StageName))
    for part in ("fusion_train", "fusion_validation"):
        assert {place.n_status for place in split.values() if place.part == part} == {0, 1}
    for part in ("train", "validation"):
        assert POSITIVE in [c for name, p in split.items() if p.part == part for c in drawn[name]]


def test_one_patient_of_a_class_is_too_few_and_is_counted_per_part() -> None:
    records = [record(n, n_status=int(n == 0)) for n in range(12)]
    told = refusal(records, StageName.METASTASIS)
    assert told.startswith("stage metastasis needs an N+ patient in fusion_train (has ")
    assert "; the cohort has 1 [E_CLASSES]" in told
    assert told.endswith("[E_CLASSES] - add such patients or labels, or train other stages with --init")
    require_needs(split_cohort(records, 0), parts_needs(records), [StageName.TUMOR])


def test_masks_are_needed_by_the_stage_that_learns_from_them_alone() -> None:
    records = [record(n, nodes=None, tumor=None) for n in range(12)]
    told = refusal(records, *StageName)
    assert (
        "stage tumor needs a patient with a tumor mask in train (has 0) and validation (has 0); the" in told
    )
    assert "stage nodes needs a patient with structures and drawn lymph nodes in train (has 0)" in told
    assert "structures needs" not in told
    require_needs(split_cohort(records, 0), parts_needs(records), [StageName.METASTASIS])


def test_nodes_masks_that_are_empty_teach_nobody_to_find_nodes() -> None:
    records = [record(n) for n in range(12)]
    require_needs(split_cohort(records, 0), parts_needs(records), [StageName.NODES])
    told = refusal(records, StageName.NODES, drawn={r.patient_id: () for r in records})
    assert "structures and drawn lymph nodes in train (has 0) and validation (has 0)" in told


def test_identification_is_judged_by_the_classes_of_the_drawn_nodes() -> None:
    records = [record(n) for n in range(12)]
    drawn = {r.patient_id: (NEGATIVE,) for r in records}
    told = refusal(records, StageName.IDENTIFICATION, drawn=drawn)
    assert told.startswith(
        "stage identification needs a patient with a positive lymph node in train (has 0) and "
    )


def test_the_split_is_the_same_whatever_is_asked_and_however_the_manifest_is_ordered() -> None:
    records = [record(n, n_status=int(n < 2)) for n in range(12)]
    assert split_cohort(records, 3) == split_cohort(records[::-1], 3)
