"""What each stage would learn from, counted before anything is prepared."""

from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.config import Config
from lymphct.core.leakage import Roles
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.study.lessons import (
    HAS,
    UNCOUNTED,
    lesson,
    lesson_notices,
    lesson_refusals,
    phase_notices,
    share_notices,
    shares,
)


@pytest.fixture
def records(cohort: Manifest) -> dict[str, PatientRecord]:
    return {record.patient_id: record for record in cohort.patients}


@pytest.fixture
def roles(records: dict[str, PatientRecord]) -> Roles:
    ids = sorted(records)
    return Roles(train=tuple(ids[:9]), validation=tuple(ids[9:]))


def test_a_patient_counts_where_the_labels_of_the_stage_are_there(
    records: dict[str, PatientRecord], roles: Roles, config: Config
) -> None:
    first, second, *_ = roles.train
    records[first] = replace(records[first], structures=None, n_status=None)
    records[second] = replace(records[second], tumor=None)
    counts = {stage: lesson(stage, roles, records, config).train for stage in StageName}
    assert counts == {
        StageName.STRUCTURES: 8,
        StageName.TUMOR: 8,
        StageName.NODES: 8,  # they are guided by structures
        StageName.IDENTIFICATION: 9,
        StageName.METASTASIS: 8,
    }
    found = lesson(StageName.NODES, roles, records, config)
    assert (found.validation, found.epochs, found.iterations) == (3, 2, 4)


def test_every_stage_says_who_has_what_it_learns_from() -> None:
    assert set(HAS) == set(StageName)


def test_a_class_that_nobody_shows_is_refused(
    records: dict[str, PatientRecord], roles: Roles, config: Config
) -> None:
    records = {name: replace(record, n_status=1) for name, record in records.items()}
    found = lesson(StageName.METASTASIS, roles, records, config)
    assert found.classes == {"positive": 9, "negative": 0}
    (error,) = lesson_refusals(found)
    assert str(error) == (
        "stage metastasis has no N- patient among 9 training patients [E_CLASSES] - "
        "add patients of that class, or another --seed"
    )


def test_one_patient_of_a_class_is_refused_where_a_network_of_nodes_is_taught_without_him(
    records: dict[str, PatientRecord], roles: Roles, config: Config
) -> None:
    first = roles.train[0]
    records = {name: replace(record, n_status=int(name == first)) for name, record in records.items()}
    assert list(lesson_refusals(lesson(StageName.METASTASIS, roles, records, config))) == []
    fused = config.metastasis.model_copy(update={"fused": "node_set"})
    learned = config.model_copy(update={"metastasis": fused})
    (error,) = lesson_refusals(lesson(StageName.METASTASIS, roles, records, learned))
    assert "stage metastasis has one N+ patient alone among 9 training patients" in str(error)


def test_nodes_of_one_class_are_refused_and_class_maps_are_not_judged(
    records: dict[str, PatientRecord], roles: Roles, config: Config, tmp_path: Path
) -> None:
    mask = tmp_path / "nodes.nii.gz"
    mask.touch()
    records = {name: replace(record, nodes=mask) for name, record in records.items()}
    unread = lesson(StageName.IDENTIFICATION, roles, records, config)
    assert unread.classes[UNCOUNTED] == 9
    assert list(lesson_refusals(unread)) == []
    mask.with_name("nodes.json").write_text('{"instances": {"1": {"class": "negative"}, "2": {}}}')
    found = lesson(StageName.IDENTIFICATION, roles, records, config)
    assert found.classes == {"positive": 0, "negative": 9}
    (error,) = lesson_refusals(found)
    assert "stage identification has no positive node among 9 training patients" in str(error)
    mask.with_name("nodes.json").write_text('{"instances": {"1": {}}}')
    (error,) = lesson_refusals(lesson(StageName.IDENTIFICATION, roles, records, config))
    assert "no training patient has nodes with a class" in str(error)


def test_a_stage_without_validation_patients_is_noticed(
    records: dict[str, PatientRecord], roles: Roles, config: Config
) -> None:
    found = lesson(StageName.TUMOR, roles, records, config)
    assert list(lesson_notices(found)) == []
    (notice,) = lesson_notices(replace(found, validation=0))
    assert (notice.code, notice.value) == ("no_validation", "tumor")
    assert "no validation patient with a tumor mask: its last epoch counts" in notice.text
    assert list(lesson_notices(replace(found, train=0, validation=0))) == []


def test_a_part_is_counted_by_status_and_masks(records: dict[str, PatientRecord], roles: Roles) -> None:
    first = roles.train[0]
    records[first] = replace(records[first], tumor=None, n_status=None)
    (share,) = shares({"train": roles.train}, records)
    assert (share.name, share.patients) == ("train", 9)
    assert share.masks == {"structures": 9, "tumor": 8, "nodes": 9}
    assert share.n_status["unknown"] == 1
    assert sum(share.n_status.values()) == 9


def test_a_part_of_one_class_is_noticed_where_status_is_told_apart(
    records: dict[str, PatientRecord], roles: Roles
) -> None:
    of_one = {name: replace(record, n_status=0) for name, record in records.items()}
    parts = {"train": roles.train, "fusion_train": roles.train, "fold 1 test": roles.validation}
    told = [notice.text for notice in share_notices(shares(parts, of_one))]
    assert told == ["part fusion_train has no N+ patient", "part fold 1 test has no N+ patient"]
    (both,) = share_notices(shares({"fold 1 test": ()}, of_one))
    assert (both.code, both.text) == ("one_class", "part fold 1 test has no N+ and no N- patient")
    status = {name: replace(of_one[name], n_status=number % 2) for number, name in enumerate(of_one)}
    assert list(share_notices(shares(parts, status))) == []


def test_patients_without_arterial_phase_are_noticed_where_no_network_learns_to_go_without(
    records: dict[str, PatientRecord], config: Config
) -> None:
    known = [*records.values()]
    some = [replace(record, arterial=None) for record in known[:2]] + known[2:]
    assert config.nodes.sampling.phase_dropout
    assert list(phase_notices(some, config)) == []
    sampling = config.nodes.sampling.model_copy(update={"phase_dropout": 0.0})
    without = config.model_copy(update={"nodes": config.nodes.model_copy(update={"sampling": sampling})})
    (notice,) = phase_notices(some, without)
    assert (notice.code, notice.value) == ("no_arterial", 2)
    assert notice.text.startswith("2 of 12 patients have no arterial phase and phase_dropout is 0")
    assert list(phase_notices(known, without)) == []
