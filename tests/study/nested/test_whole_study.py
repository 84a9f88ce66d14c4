"""`crossval` of forty phantoms, from their images to every table, by every method that can run here."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lymphct.baselines.table import METHODS
from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.io.results.jsonfile import read_json
from lymphct.io.table import read_table
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.nested.guard import BUNDLE
from lymphct.study.nested.predictions import COLUMNS
from lymphct.study.nested.work import open_nested
from lymphct.study.tasks.board import Board, State

# Two and a half minutes on two cores; radiomics and forty phantoms take most of them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENTS, OTHERS = 40, 4
OF_RADIOMICS = frozenset({"radiomics", "radiomics_ct_reported"})
HERE = [name for name in METHODS if name not in OF_RADIOMICS or find_spec("radiomics")]

# What is learned is the business of the quality table: one epoch on a grid of one window.
QUICK = [
    *(
        f"{stage}.training.{name}={value}"
        for stage in ("nodes", "identification", "metastasis")
        for name, value in (("epochs", 1), ("iterations_per_epoch", 2))
    ),
    *(
        f"{stage}.unet.{name}"
        for stage in ("nodes", "identification")
        for name in ("features=[4,8]", "strides=[[1,1,1],[2,2,2]]")
    ),
    "imaging.spacing=[6,6,6]",
    "nodes.choose_operating_point=false",
    "nodes.validation_cases=1",
    "nodes.min_volume=4000",
    "baselines.box.size=16",
]


class Done(NamedTuple):
    """A study that is done, and who was in it."""

    run: Path
    own: Manifest
    others: Manifest


def lymphct(*words: object) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("whole")
    own, others = (
        write_phantoms(
            PhantomCohort(
                folder=folder / name,
                settings=PhantomSettings(size="nano", mode="unbiased", phase_shift=False, center=name),
                seed=seed,
                patients=patients,
            )
        )
        for name, seed, patients in (("discovery", 4, PATIENTS), ("external1", 11, OTHERS))
    )
    run = folder / "run"
    words = ["crossval", own, "--external", others, "--out", run, "--config", "phantom_nano"]
    words += [
        "--given",
        "structures,tumor",
        "--inner",
        "2",
        "--threads",
        "1",
        "--jobs",
        "2",
        "--device",
        "cpu",
    ]
    words += [word for setting in QUICK for word in ("--set", setting)]
    assert lymphct(*words) == 0  # without --methods: every one that can run
    return Done(run, read_manifest(own), read_manifest(others))


def positives(manifest: Manifest) -> int:
    return sum(record.n_status == 1 for record in manifest.patients)


def rows_of(study: Done, table: str) -> list[Mapping[str, str]]:
    return [row.cells for row in read_table(study.run / "tables" / f"{table}.csv", ())]


def test_every_method_that_can_run_judges_every_patient_once(study: Done) -> None:
    assert read_json(study.run / "study.json")["study"]["methods"] == HERE  # type: ignore[index,call-overload]
    rows = [row.cells for row in read_table(study.run / "predictions.csv", COLUMNS)]
    for manifest, cohort, folds in ((study.own, "cohort", "12345"), (study.others, "external1", [""])):
        ids = sorted(record.patient_id for record in manifest.patients)
        for method in HERE:
            said = [cells for cells in rows if cells["method"] == method and cells["cohort"] == cohort]
            assert sorted(cells["patient_id"] for cells in said) == ids
            assert {cells["fold"] for cells in said} == set(folds)
            assert all(cells["score"] and cells["call"] in {"0", "1"} for cells in said), method
    tested = [cells["fold"] for cells in rows if cells["method"] == "combined"]
    assert [tested.count(fold) for fold in "12345"] == [PATIENTS // 5] * 5


def test_tables_six_and_seven_have_a_row_of_everybody_for_each_method(study: Done) -> None:
    titles: Any = read_json(study.run / "study.json")["study"]["titles"]  # type: ignore[index,call-overload]
    for table, manifest in (("table_6", study.own), ("table_7_external1", study.others)):
        rows = rows_of(study, table)
        assert [row["Method"] for row in rows] == [titles[name] for name in HERE]
        told = f"{len(manifest.patients)} ({positives(manifest)})"
        assert {row["Patients (N+)"] for row in rows} == {told}
    assert "ResNet3D-18 (random start)" in titles.values()


def test_table_one_counts_both_cohorts(study: Done) -> None:
    first = (study.run / "tables" / "table_1.md").read_text()
    assert f"| Patients | {PATIENTS} | {OTHERS} |" in first
    assert "Positive LN volume, mm³" in first


def test_tables_four_and_five_are_of_all_test_patients(study: Done) -> None:
    drawn = [record for record in study.own.patients if record.nodes is not None]
    assert len(drawn) == PATIENTS
    fifth = rows_of(study, "table_5")
    before = [row for row in fifth if row["Nodes"] == fifth[0]["Nodes"]]
    assert len(before) == 2  # with attention and without
    assert {row["Patients"] for row in before} == {str(PATIENTS)}
    fourth = rows_of(study, "table_4")
    assert len(fourth) == 2
    assert {row["Nodes of patients"].partition(" of ")[2] for row in fourth} == {str(PATIENTS)}
    assert rows_of(study, "node_sizes")
    assert not (study.run / "tables" / "table_3.csv").exists()  # every mask was given


def test_the_report_shows_the_tables_and_nothing_is_left_over(study: Done) -> None:
    page = (study.run / "report.html").read_text()
    assert all(f"Tab. {number}" in page for number in ("I", "IV", "V", "VI", "VII"))
    compared = json.loads((study.run / "tables" / "comparison_cohort.json").read_text())
    assert {pair["second"] for pair in compared["comparisons"]} == {*HERE} - {"combined"}
    board = Board(study.run, open_nested(study.run))
    assert set(board.states().values()) == {State.DONE}
    info: Any = read_json(study.run / "tasks" / "bundle.fold1.inner1" / BUNDLE / "bundle.json")
    assert set(info["parts"]) == {"nodes", "identification"}
    assert not any((study.run / "unfinished").iterdir())
