"""Ablations of what makes the attention: fitted in its own task, on the patients of its fold alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.study.nested.test_doing import lay_study
from tests.study.nested.test_guard import CASCADE, SALT, plan_of
from tests.study.nested.test_whole_study import QUICK

from lymphct.attention.atlas import Atlas
from lymphct.attention.bands import PAPER_BANDS, Trapezium
from lymphct.attention.trapezia import Trapezia
from lymphct.cascade.learned import Learned
from lymphct.config import Config
from lymphct.core.errors import LeakageError
from lymphct.core.leakage import FittedOn
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.settings import load_config
from lymphct.study.nested.building import nested_graph
from lymphct.study.nested.guard import BUNDLE, LEARNED_FILE, Artefacts, write_learned
from lymphct.study.nested.plan import CascadeRole
from lymphct.study.nested.variants import ATTENTION, VARIANTS
from lymphct.study.nested.work import open_nested
from lymphct.study.tasks.board import Board, State
from lymphct.study.tasks.workers import attempt

ATLAS = Atlas(effects={"aorta": (1.0,) * 11}, least=0.0, full=1.0)
TRAPEZIA = Trapezia(structures={"aorta": Trapezium(-1.0, 9.5, 4.25)}, outside=-2.0, inside=1.0)
KINDS = ("atlas", "trapezia")


def test_they_change_the_attention_and_nothing_else() -> None:
    before = Config().model_dump()
    changes: dict[str, dict[str, object]] = {name: {"prior": name} for name in KINDS}
    changes["suppressed"] = {"suppress_other_organs": True}
    for name, change in changes.items():
        after = VARIANTS[name].settings(Config()).model_dump()
        assert after["attention"] == {**before["attention"], **change}
        assert {group for group in before if before[group] != after[group]} == {"attention"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_statistics_of_a_fitted_prior_are_a_task_of_their_own(kind: str) -> None:
    plan = plan_of().model_copy(update={"ablations": ("suppressed", kind)})
    graph = nested_graph(plan, {"combined": ATTENTION})
    learned = [name for name, task in graph.items() if task.kind == "learned"]
    assert learned == ["learned.fold1.inner1", f"learned.fold1.inner1.{kind}"]
    assert "learned.fold1.inner1" in graph["nodes.fold1.inner1.suppressed"].after
    for stage in ("nodes", "identification", "bundle"):
        after = graph[f"{stage}.fold1.inner1.{kind}"].after
        assert f"learned.fold1.inner1.{kind}" in after
        assert "learned.fold1.inner1" not in after
    # Networks of structures and tumor do not wait for it: nothing is trained anew when it joins a study.
    assert f"learned.fold1.inner1.{kind}" not in graph["structures.fold1.inner1"].after
    asked = plan.config.model_copy(
        update={"attention": plan.config.attention.model_copy(update={"prior": kind})}
    )
    everywhere = nested_graph(plan.model_copy(update={"config": asked}), {"combined": ATTENTION})
    assert [name for name, task in everywhere.items() if task.kind == "learned"] == ["learned.fold1.inner1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_prior_is_not_handed_out_for_whom_it_was_fitted_on(tmp_path: Path, kind: str) -> None:
    artefacts = Artefacts(tmp_path, plan_of())
    cascade = CascadeRole(fold=1, inner=1, variant=kind)
    place = artefacts.place(f"learned.fold1.inner1.{kind}")
    place.mkdir(parents=True)
    bare = Learned(bands=PAPER_BANDS, fitted_on={kind: FittedOn.of(["a", "b"])})
    learned = replace(bare, atlas=ATLAS) if kind == "atlas" else replace(bare, trapezia=TRAPEZIA)
    write_learned(place / LEARNED_FILE, learned, SALT)
    assert artefacts.learned(cascade, ["c"]).prior == (ATLAS if kind == "atlas" else TRAPEZIA)
    with pytest.raises(LeakageError, match="b: the models"):
        artefacts.learned(cascade, ["b"])
    plain = artefacts.place(f"learned.{CASCADE.shared}")
    plain.mkdir()
    write_learned(plain / LEARNED_FILE, Learned(bands=PAPER_BANDS), SALT)
    assert artefacts.learned(CASCADE).prior == PAPER_BANDS


def test_a_cascade_with_an_atlas_is_trained_and_examines_those_it_never_saw(
    tmp_path: Path, cohort: Manifest
) -> None:
    config = load_config("phantom_nano", QUICK)
    plan = lay_study(tmp_path, cohort, config, ablations=("suppressed", "atlas"))
    work = open_nested(tmp_path)
    board = Board(tmp_path, work)
    # What the ablation of the atlas takes, and stage 1 without attention in other organs; not the rest.
    for name, task in work.graph.items():
        is_wanted = ".atlas" in name or name in {"learned.fold1", "nodes.fold1.suppressed"}
        if task.kind == "prepare" or is_wanted:
            with board.claimed(name):
                assert attempt(board, task, "cpu") is State.DONE, board.failure(name)
    found = read_bundle(tmp_path / "tasks" / "bundle.fold1.atlas" / BUNDLE).info
    assert found.atlas is not None
    assert not found.suppress_other_organs
    behind = FittedOn(hashes=frozenset(found.fitted_on["atlas"]), salt=SALT)
    fold = plan.outer_folds[0].outer
    assert {name for name in plan.patients if name in behind} == set(fold.train)
    assert Artefacts(tmp_path, plan).learned(CascadeRole(fold=1, inner=0)).prior == PAPER_BANDS
    suppressed = read_bundle(tmp_path / "tasks" / "nodes.fold1.suppressed" / BUNDLE).info
    assert (suppressed.atlas, suppressed.suppress_other_organs) == (None, True)
    examined = tmp_path / "tasks" / "examine.fold1.atlas.cohort"
    assert {place.name for place in examined.iterdir() if place.is_dir()} == set(fold.test)
