"""Which failures a study shows, from records made up by hand."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.cascade.learned import Learned
from lymphct.config import Config
from lymphct.core.terms import Structure
from lymphct.evaluation.folds import Fold
from lymphct.evaluation.status import StatusColumns
from lymphct.io.results.jsonfile import write_json
from lymphct.patients.prepared.preparation import Preparation
from lymphct.scoring.score_table import ScoreTable
from lymphct.study.nested.failing import failure_section, failure_table
from lymphct.study.nested.gallery import MOST, MOST_OF_ONE, Failure, failures
from lymphct.study.nested.guard import write_learned
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.picturing import Pictured
from lymphct.study.nested.plan import COHORT, NestedPlan, StoredFold, StoredNestedFold, StudyPatient
from lymphct.study.nested.showing import fitted_bands

TESTED = (("a", "b", "c"), ("d", "e", "f"))
"""Patients tested in each of two folds."""

Call = Literal["positive", "negative"]


def plan_of(
    config: Config, tested: tuple[tuple[str, ...], ...], others: tuple[str, ...], **changes: Any
) -> NestedPlan:
    """Return a study whose folds test these patients; the others teach and choose in each."""
    names = [name for fold in tested for name in fold]
    half = len(others) // 2
    folds = [Fold(train=others[:half], validation=others[half:], test=own) for own in tested]
    fields: dict[str, Any] = {
        "name": "study", "seed": 0, "salt": "a key", "threads": 1, "is_phantom": True, "folds": "strict",
        "features": "paper", "methods": ("nodes",), "titles": {"nodes": "ClsbyLNSeg"}, "config": config,
        "manifests": {COHORT: "cohort.csv"},
        "patients": {n: StudyPatient(cohort=COHORT, n_status=p % 2) for p, n in enumerate((*names, *others))},
        "nested": tuple(StoredNestedFold(outer=StoredFold.of(fold)) for fold in folds),
    }  # fmt: skip
    return NestedPlan(**{**fields, **changes})


def materials_of(run: Path, plan: NestedPlan) -> Materials:
    how = Preparation(
        folder=plan.store(run), spacing=plan.config.imaging.spacing, registration=plan.config.registration
    )
    return Materials(run, plan, how, {})


def drawn(label: int, kind: Call, axis: float, found_as: int | None = None) -> dict[str, Any]:
    sizes = {"short_axis_mm": axis, "volume_mm3": axis**3}
    return {"label": label, "class": kind, **sizes, "found": found_as is not None, "found_as": found_as}


def found(label: int, call: Call, probability: float, drawn_as: int | None = None) -> dict[str, Any]:
    sizes = {"short_axis_mm": 5.0, "volume_mm3": 100.0 + label}
    return {"label": label, "class": call, **sizes, "probability": probability, "drawn_as": drawn_as}


RECORDS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "a": (
        [drawn(1, "positive", 9.0), drawn(2, "positive", 4.0, 3), drawn(3, "negative", 6.0, 4)],
        [found(3, "negative", 0.2, 2), found(4, "positive", 0.7, 3), found(5, "positive", 0.9)],
    ),
    "b": ([drawn(1, "positive", 12.0), drawn(2, "negative", 30.0)], [found(1, "negative", 0.4)]),
    "c": ([drawn(n, "positive", 20.0 + n) for n in range(1, 6)], []),
    "d": ([], [found(1, "positive", 0.95), found(2, "positive", 0.6)]),
}


@pytest.fixture
def materials(tmp_path: Path, config: Config) -> Materials:
    made = materials_of(tmp_path, plan_of(config, TESTED, ("t1", "t2")))
    for number, fold in enumerate(TESTED, start=1):
        for name in set(fold) & set(RECORDS):  # e and f were lost
            folder = tmp_path / "tasks" / f"examine.fold{number}.{COHORT}" / name
            folder.mkdir(parents=True)
            nodes: Any = dict(zip(("drawn", "found"), RECORDS[name], strict=True))
            write_json(folder / "measured.json", {"nodes": nodes})
    return made


def chosen(materials: Materials, table: ScoreTable | None = None) -> dict[str, list[Failure]]:
    told: dict[str, list[Failure]] = {}
    for failure in failures(materials, "attention", table):
        told.setdefault(failure.kind.name, []).append(failure)
    return told


def test_missed_nodes_come_largest_first_and_no_patient_fills_the_page(materials: Materials) -> None:
    missed = [(f.patient, f.node, f.short_axis) for f in chosen(materials)["positive_missed"]]
    assert missed == [("c", 5, 25.0), ("c", 4, 24.0), ("b", 1, 12.0), ("a", 1, 9.0)]
    assert MOST_OF_ONE == 2
    first = chosen(materials)["positive_missed"][0]
    assert first.caption == "c · positive → not found · node 25.0 mm, 15625 mm³ · fold 1"
    assert len(missed) <= MOST


def test_a_wrong_call_shows_the_drawn_node_with_the_probability_of_the_found_one(
    materials: Materials,
) -> None:
    told = chosen(materials)
    (low,) = told["positive_called_negative"]
    assert (low.patient, low.node, low.is_drawn, low.score, low.short_axis) == ("a", 2, True, 0.2, 4.0)
    (high,) = told["negative_called_positive"]
    assert (high.patient, high.node, high.said, high.score) == ("a", 3, "positive", 0.7)


def test_what_is_no_node_and_was_called_positive_comes_surest_first(materials: Materials) -> None:
    told = [
        (f.patient, f.fold, f.node, f.is_drawn, f.truth) for f in chosen(materials)["nothing_called_positive"]
    ]
    assert told == [
        ("d", 2, 1, False, "not drawn"),
        ("a", 1, 5, False, "not drawn"),
        ("d", 2, 2, False, "not drawn"),
    ]


def scores(**said: tuple[int, float, int]) -> ScoreTable:
    labels, values, calls = (np.array(column) for column in zip(*said.values(), strict=True))
    columns = StatusColumns(labels, values.astype(float), calls.astype(float))
    return ScoreTable(name="nodes", patients=tuple(said), columns=columns, folds=("1",) * len(said))


def test_patients_on_the_wrong_side_come_worst_first_with_the_node_that_tells(materials: Materials) -> None:
    table = scores(a=(1, 0.3, 0), b=(1, 0.1, 0), c=(1, 0.9, 1), d=(0, 0.8, 1), e=(0, 0.9, 1), t1=(0, 1.0, 1))
    told = chosen(materials, table)
    low, high = told["patient_called_negative"], told["patient_called_positive"]
    assert [(f.patient, f.node, f.is_drawn) for f in low] == [("b", 1, True), ("a", 1, True)]  # positive ones
    # Nobody is shown who is not tested; of a patient nobody could examine there is no node.
    assert [(f.patient, f.node, f.is_drawn) for f in high] == [("e", 0, False), ("d", 2, False)]
    assert high[1].caption == "d · N− → N+ · score 0.800 · node 5.0 mm, 102 mm³ · fold 2"
    assert "node" not in high[0].caption


def test_failures_stand_in_a_table_with_their_files_and_on_the_page_without_pictures(
    materials: Materials,
) -> None:
    table = scores(a=(1, 0.3, 0), c=(1, 0.9, 1), d=(0, 0.8, 1))
    bare = [Pictured(failure, None) for failure in failures(materials, "attention", table)]
    printed = failure_table(bare, ["a warning"])
    assert printed is not None
    assert printed.notes[0] == "a warning"
    assert printed.rows[0] == ["N+ patients called N−", "a", "1", "N+", "N−", "0.300", "9.0 mm, 729 mm³", "–"]
    assert len(printed.rows) == len(bare)
    section = failure_section({"nodes": table}, {"nodes": "ClsbyLNSeg"}, bare)
    assert (section.galleries, section.texts) == ([], [])
    assert [row[0] for row in section.tables[0].rows] == ["a", "c", "d"]
    assert failure_table([], []) is None


def test_bands_are_shown_where_the_study_fits_them(tmp_path: Path, config: Config) -> None:
    fits = config.model_copy(update={"cascade": config.cascade.model_copy(update={"fit_bands": True})})
    for settings, expected in ((config, []), (fits, [17.0, 18.0])):
        made = materials_of(tmp_path, plan_of(settings, TESTED, ("t1", "t2")))
        for fold in (1, 2):
            folder = tmp_path / "tasks" / f"learned.fold{fold}"
            folder.mkdir(parents=True, exist_ok=True)
            bands = {**PAPER_BANDS, Structure.SPLEEN: Band(0.0, 16.0 + fold)}
            write_learned(folder / "learned.json", Learned(bands=bands), made.plan.salt)
        assert [bands[Structure.SPLEEN].d_max for bands in fitted_bands(made)] == expected
