"""One fold of a study from images to predictions, each kind of task done once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lymphct.cascade.sizes import scaled
from lymphct.config import Config
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.evaluation.folds import Fold
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import read_json
from lymphct.io.table import read_table
from lymphct.study.nested.building import nested_graph
from lymphct.study.nested.guard import BUNDLE
from lymphct.study.nested.plan import COHORT, FORMAT, NestedPlan, StoredFold, StoredNestedFold, StudyPatient
from lymphct.study.nested.predictions import COLUMNS, PREDICTIONS_FILE
from lymphct.study.nested.work import open_nested
from lymphct.study.tasks.board import Board, State
from lymphct.study.tasks.graph import Study
from lymphct.study.tasks.workers import Hands, attempt, run_here

SALT = "a key of hashes"


def lay_study(run: Path, cohort: Manifest, config: Config, **changes: Any) -> NestedPlan:
    """Write a study of one fold in which nine patients teach and choose and three are tested."""
    names = sorted(record.patient_id for record in cohort.patients)
    test, validation, train = (tuple(names[start:stop]) for start, stop in ((0, 3), (3, 6), (6, 12)))
    fields: dict[str, Any] = {
        "name": "study",
        "seed": 0,
        "salt": SALT,
        "threads": 1,
        "is_phantom": True,
        "folds": "strict",
        "features": "paper",
        "methods": ("nodes", "tumor_volume"),
        "titles": {"nodes": "ClsbyLNSeg", "tumor_volume": "control: tumor volume"},
        "config": scaled(config),
        "given": (StageName.STRUCTURES, StageName.TUMOR),
        "manifests": {COHORT: str(cohort.path)},
        "patients": {
            name: StudyPatient(cohort=COHORT, n_status=number % 2)  # both classes in each part
            for number, name in enumerate(names)
        },
        "nested": (
            StoredNestedFold(outer=StoredFold.of(Fold(train=train, validation=validation, test=test))),
        ),
    }
    plan = NestedPlan(**{**fields, **changes})
    graph = nested_graph(plan, dict.fromkeys(plan.methods, "attention"))
    Study(format=FORMAT, facts=plan.model_dump(mode="json"), graph=graph).write(run)
    return plan


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cohort: Manifest, config: Config) -> Path:
    folder = tmp_path_factory.mktemp("study")
    lay_study(folder, cohort, config)
    run_here(folder, open_nested, Hands(devices=("cpu",)))
    return folder


def test_every_artefact_says_on_whom_it_was_fitted(run: Path) -> None:
    fold = NestedPlan.of(Study.read(run).facts).outer_folds[0]
    info = read_bundle(run / "tasks" / "bundle.fold1" / BUNDLE).info
    assert set(info.parts) == {StageName.NODES, StageName.IDENTIFICATION}
    seen = info.fitted_on_anybody
    assert [name for name in fold.outer.test if name in seen] == []
    taught = FittedOn(hashes=frozenset(info.parts[StageName.NODES].patients["train"]), salt=SALT)
    assert any(name in taught for name in fold.outer.train)
    judged: Any = read_json(run / "tasks" / "judge.fold1.nodes" / "judged.json")
    chose = FittedOn(hashes=frozenset(judged["fitted_on"]), salt=SALT)
    assert all(name in chose for name in fold.roles.everybody)
    assert not any(name in chose for name in fold.outer.test)


def test_test_patients_are_judged_by_both_methods(run: Path) -> None:
    rows = [row.cells for row in read_table(run / "tasks" / "predictions" / PREDICTIONS_FILE, COLUMNS)]
    assert [cells["method"] for cells in rows] == ["nodes"] * 3 + ["tumor_volume"] * 3
    assert {cells["fold"] for cells in rows} == {"1"}
    assert all(cells["score"] for cells in rows)


def test_an_image_that_changes_is_seen(run: Path, cohort: Manifest) -> None:
    work = open_nested(run)
    assert set(Board(run, work).states().values()) == {State.DONE}
    place = work.preparation.store.place(cohort.patients[0].patient_id)
    moved = place.with_name("moved")
    place.rename(moved)
    try:
        board = Board(run, open_nested(run))
        states = board.states()
        assert list(states.values()).count(State.READY) == 1
        assert states["nodes.fold1"] is State.WAITING
    finally:
        moved.rename(place)


def test_a_patient_who_cannot_be_read_is_named(tmp_path: Path, cohort: Manifest, config: Config) -> None:
    lay_study(tmp_path, cohort, config)
    work = open_nested(tmp_path)
    first = next(iter(work.graph.values()))
    name = str(first.arguments["patients"][0])  # type: ignore[index]
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    records = {**work.records, name: replace(work.records[name], venous=broken)}
    board = Board(tmp_path, replace(work, records=records))
    with board.claimed(first.id):
        assert attempt(board, first, "cpu") is State.FAILED
    assert name in board.failure(first.id)
