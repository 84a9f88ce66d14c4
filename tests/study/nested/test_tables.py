"""Predictions put together from the folds, and the tables made of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lymphct.config import Config
from lymphct.core.terms import StageName
from lymphct.io.results.jsonfile import write_json
from lymphct.io.table import Row, read_table
from lymphct.study.nested.building import NOTHING, nested_graph
from lymphct.study.nested.folds import FeaturesKind, nested_folds
from lymphct.study.nested.plan import COHORT, NestedPlan, StoredFold, StoredNestedFold, StudyPatient
from lymphct.study.nested.predictions import COLUMNS, PREDICTIONS_FILE, write_predictions
from lymphct.study.nested.tables import LEAKS, figures, write_tables

PATIENTS = 40


def plan_of(features: FeaturesKind = "oof", **changes: Any) -> NestedPlan:
    """Return a study of two methods on forty patients and three of another cohort."""
    strata = {f"p{number:02d}": str(number % 2) for number in range(PATIENTS)}
    folds = nested_folds(strata, 0, inner=2 if features == "oof" else 0)
    patients = {name: StudyPatient(cohort=COHORT, n_status=int(status)) for name, status in strata.items()}
    patients |= {f"x{number}": StudyPatient(cohort="external1", n_status=number % 2) for number in range(3)}
    fields: dict[str, Any] = {
        "name": "study",
        "seed": 0,
        "salt": "a key of hashes",
        "threads": 1,
        "is_phantom": False,
        "folds": "strict",
        "features": features,
        "methods": ("good", "blind"),
        "titles": {"good": "Good method", "blind": "Blind method"},
        "config": Config(),
        "manifests": {COHORT: "c.csv", "external1": "x.csv"},
        "patients": patients,
        "characteristics": {"p00": {"sex": "F", "age": "61", "pT": "T2"}},
        "nested": tuple(
            StoredNestedFold(
                outer=StoredFold.of(fold.outer), inner=tuple(StoredFold.of(inner) for inner in fold.inner)
            )
            for fold in folds
        ),
    }
    return NestedPlan(**{**fields, **changes})


def lay_judgements(folder: Path, plan: NestedPlan) -> dict[str, Path]:
    """Write what a method that is always right, and one that never says anything, judged in each fold."""
    files = {}
    for number, fold in enumerate(plan.outer_folds, start=1):
        asked = (*fold.outer.test, *plan.ids("external1"))
        for method in plan.methods:
            path = folder / f"{number}.{method}.json"
            is_good = method == "good"
            verdicts = [
                {
                    "patient": name,
                    "score": number + 10.0 * (plan.patients[name].n_status or 0) if is_good else None,
                    "call": None,
                    "lacking": [] if is_good else ["tumor"],
                }
                for name in asked
            ]
            write_json(path, {"method": method, "threshold": number + 5.0, "verdicts": verdicts})  # type: ignore[dict-item]
            files[f"judge.fold{number}.{method}"] = path
    return files


def predicted(folder: Path, plan: NestedPlan) -> Path:
    place = folder / "predictions"
    place.mkdir()
    write_predictions(place, plan, lay_judgements(folder, plan))
    return place


def test_who_is_tested_comes_from_one_fold_and_others_from_the_mean_of_all(tmp_path: Path) -> None:
    plan = plan_of()
    rows = [row.cells for row in read_table(predicted(tmp_path, plan) / PREDICTIONS_FILE, COLUMNS)]
    good = {cells["patient_id"]: cells for cells in rows if cells["method"] == "good"}
    tested = plan.outer_folds[2].outer.test[0]
    assert good[tested]["fold"] == "3"
    assert float(good[tested]["threshold"]) == 8.0
    assert float(good[tested]["score"]) == 3.0 + 10.0 * (plan.patients[tested].n_status or 0)
    assert good["x1"]["fold"] == ""
    assert float(good["x1"]["score"]) == 13.0  # mean of 11 to 15
    assert float(good["x1"]["threshold"]) == 8.0  # mean of 6 to 10
    assert (good["x0"]["call"], good["x1"]["call"]) == ("0", "1")
    blind = [cells for cells in rows if cells["method"] == "blind"]
    assert {(cells["score"], cells["call"], cells["lacking"]) for cells in blind} == {("", "", "tumor")}


def row(n_status: int, score: float, call: int, fold: int) -> Row:
    cells = {"n_status": str(n_status), "score": str(score), "call": str(call), "fold": str(fold)}
    return Row(1, cells)


def test_figures_worked_out_by_hand() -> None:
    first = [row(0, 1, 0, 1), row(0, 4, 1, 1), row(1, 3, 0, 1), row(1, 5, 1, 1)]
    second = [row(0, 101, 0, 2), row(0, 102, 0, 2), row(1, 103, 1, 2), row(1, 104, 1, 2)]
    found = figures([*first, *second], seed=0)
    assert (found.patients, found.positives, found.judged) == (8, 4, 8)
    assert found.folds is not None
    assert found.pooled is not None
    assert found.calls is not None
    assert found.folds.mean == pytest.approx((0.75 + 1.0) / 2)
    assert found.shown_auc is not None
    assert found.shown_auc.estimate == found.folds.mean
    assert found.pooled.estimate == pytest.approx((1 + 2 + 4 + 4) / 16)  # scales of the folds differ
    assert found.calls.sensitivity.estimate == 0.75
    assert found.calls.specificity.estimate == 0.75
    alone = figures([*first, row(0, 9, 1, 2), row(1, 8, 1, 2)], seed=0)
    assert alone.folds is None  # one patient of a class
    assert alone.shown_auc == alone.pooled
    assert figures([], seed=0).shown_auc is None


@pytest.mark.parametrize("features", ["oof", "paper"])
def test_tables_count_patients_and_say_what_leaks(tmp_path: Path, features: FeaturesKind) -> None:
    plan = plan_of(features)
    out = tmp_path / "tables"
    out.mkdir()
    write_tables(out, plan, predicted(tmp_path, plan), {"p00": {"positive": [100.0, 300.0], "negative": []}})
    table = (out / "table_6.md").read_text()
    assert "| Good method | 40 (20) | 1.000" in table
    assert "| Blind method | 0 of 40 (20) | - | - |" in table
    assert (LEAKS in table) is (features == "paper")
    assert (LEAKS in (out / "table_7_external1.md").read_text()) is (features == "paper")
    assert "| Positive LN volume, mm³ | 200 [150–250] (n = 2) |" in (out / "table_1.md").read_text()
    assert {path.suffix for path in out.glob("table_7_external1.*")} == {".md", ".csv", ".tex"}
    numbers = read_table(out / "table_6_numbers.csv", ("method", "auc_of_folds", "features"))
    assert [line.cells["auc_of_folds"] for line in numbers] == ["1.0", ""]
    assert "no" in json.loads((out / "comparison_cohort.json").read_text())["not_compared"]


def test_a_graph_trains_what_methods_need_and_nothing_twice() -> None:
    plan = plan_of()
    graph = nested_graph(plan, {"good": "attention", "blind": "none", "report": NOTHING})
    trained = [name for name, task in graph.items() if task.kind == "train"]
    assert sum(name.startswith("structures.") for name in trained) == 10  # once for both variants
    assert sum(name.startswith("nodes.") for name in trained) == 20
    assert "nodes.fold1.inner2.none" in trained
    assert graph["judge.fold2.report"].after == ()
    assert set(graph["judge.fold2.blind"].after) == {
        f"examine.fold2.inner{inner}.none.{cohort}" for inner in (1, 2) for cohort in plan.cohorts
    }
    assert "tumor.fold1.inner1" in graph["bundle.fold1.inner1.none"].after
    given = plan.model_copy(update={"given": (StageName.STRUCTURES, StageName.TUMOR)})
    kinds = {task.arguments.get("stage") for task in nested_graph(given, {"good": "attention"}).values()}
    assert kinds == {None, "nodes", "identification"}
    assert len(nested_graph(plan, {"report": NOTHING})) == 5 + 3  # predictions, tables, report


def test_stage_one_waits_for_the_networks_that_guide_it() -> None:
    plan = plan_of(structures_source="network")
    graph = nested_graph(plan, {"good": "attention"})
    assert "networks.fold1.inner1" in graph["nodes.fold1.inner1"].after
    assert "structures.fold1.inner1" in graph["networks.fold1.inner1"].after
