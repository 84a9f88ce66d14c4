"""Stage 2 learns from what stage 1 finds, never by a network that learned from the patient."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.parts import Start
from lymphct.cascade.stages import STAGES
from lymphct.config import Config
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import read_json
from lymphct.learning.keeping import Forget
from lymphct.nodes.crops import NEGATIVE, NOT_A_NODE, POSITIVE, UNKNOWN
from lymphct.study import found_nodes
from lymphct.study.bundling import parts_in
from lymphct.study.found_nodes import FOUND_FILE, Search, Seen, parts_of, search_out_of_fold
from lymphct.study.plan import Run
from lymphct.study.request import FOUND, TrainingRequest
from lymphct.study.single_split import train_one


def learning(config: Config) -> Config:
    """A network of eight steps calls much of what guides it a node: what it finds is next to never one."""
    stage1 = config.nodes.model_copy(
        update={"threshold": 0.5, "min_volume": 150.0, "choose_operating_point": False}
    )
    stage2 = config.identification
    head = stage2.head.model_copy(update={"classes": 3, "predict_iou": True})
    found = stage2.found.model_copy(update={"learn": True})
    stage2 = stage2.model_copy(update={"head": head, "found": found})
    return config.model_copy(update={"nodes": stage1, "identification": stage2})


@pytest.fixture(scope="module")
def asked(cohort: Manifest, config: Config, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    folder = tmp_path_factory.mktemp("found")
    return TrainingRequest(
        folder=folder / "run",
        name="found",
        records=cohort.patients,
        config=learning(config),
        seed=3,
        device="cpu",
        work=folder / "store",
    )


@pytest.fixture(scope="module")
def run(asked: TrainingRequest) -> Run:
    bundle = train_one(asked, StageName.NODES)
    train_one(asked, StageName.IDENTIFICATION)
    return Run.open(bundle.parent, asked.work)


@pytest.mark.slow
def test_every_training_patient_is_searched_once_and_by_a_network_of_the_others(run: Run) -> None:
    roles = run.plan.roles(StageName.NODES)
    parts = [sorted(p.name for p in (run.folder / FOUND / f"part-{n}").iterdir()) for n in (1, 2)]
    assert sorted(parts[0] + parts[1]) == sorted(roles.train)
    assert parts == parts_of(roles.train, 2, run.plan.seed)
    searched = [p.name for p in (run.folder / FOUND / "validation").iterdir()]
    assert sorted(searched) == sorted(roles.validation)


def test_the_part_says_what_it_learned_from(run: Run) -> None:
    part = read_bundle(run.bundle).info.parts[StageName.IDENTIFICATION]
    found: Any = part.extra["found"]
    stored: list[Any] = [read_json(file) for file in (run.folder / FOUND).glob(f"*/*/{FOUND_FILE}")]
    assert sum(found.values()) == sum(len(record["labels"]) for record in stored)
    assert found["not_a_node"] > 0
    assert 0.0 <= part.scores["iou_error"] <= 1.0
    architecture: Any = part.architecture
    assert architecture["head"]["classes"] == 3


@pytest.fixture(scope="module")
def seen(run: Run) -> Seen:
    bundle = read_bundle(run.bundle)
    return Seen(
        patients=run.patients,
        learned=run.plan.learned.with_parts(bundle.info),
        start=Start(config=run.plan.config, seed=run.plan.seed, parts=parts_in(bundle, (StageName.NODES,))),
    )


def test_a_search_that_is_done_trains_nothing(run: Run, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("stage 1 was trained again")

    monkeypatch.setattr(found_nodes, "fit_stage", fail)
    roles = run.plan.roles(StageName.IDENTIFICATION)
    found = search_out_of_fold(run.folder / FOUND, seen, roles)
    counts = Counter(number for each in found.values() for number in each.classes)
    told = read_bundle(run.bundle).info.parts[StageName.IDENTIFICATION].extra["found"]
    assert told == {
        "negative": counts[NEGATIVE],
        "positive": counts[POSITIVE],
        "not_a_node": counts[NOT_A_NODE],
        "unknown": counts[UNKNOWN],
    }
    for name, each in found.items():
        assert name not in each.fitted_on
        assert all((iou == 0.0) == (n == NOT_A_NODE) for n, iou in zip(each.classes, each.ious, strict=True))
        assert set(np.unique(each.instances.read((slice(None),) * 3))) == {0, *each.labels}


def test_a_stage_1_of_other_patients_searches_everybody_itself(
    run: Run, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("stage 1 was trained though the one that is there knows nobody")

    monkeypatch.setattr(found_nodes, "fit_stage", fail)
    others = FittedOn.of(["somebody else"])
    own = replace(seen.start.parts[StageName.NODES], train=others, validation=others)
    start = replace(seen.start, parts={StageName.NODES: own})
    roles = run.plan.roles(StageName.IDENTIFICATION)
    found = search_out_of_fold(tmp_path, replace(seen, start=start), roles)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "validation"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(roles.train)
    assert all(each.fitted_on == others for each in found.values())
    assert any(name in roles.train for name in found)


def test_a_network_does_not_search_whom_it_learned_from(run: Run, seen: Seen, tmp_path: Path) -> None:
    roles = run.plan.roles(StageName.NODES)
    search = Search(folder=tmp_path / "part", seen=seen, roles=roles, training=tmp_path / "stages")
    with pytest.raises(LeakageError):
        search.found(roles.train[0])


def test_stage_2_refuses_nodes_by_a_network_that_learned_from_the_patient(run: Run, seen: Seen) -> None:
    roles = run.plan.roles(StageName.IDENTIFICATION)
    found = search_out_of_fold(run.folder / FOUND, seen, roles)
    name = next(iter(found))
    leaking = {**found, name: replace(found[name], fitted_on=FittedOn.of([name]))}
    start = replace(seen.start, found=leaking)
    with pytest.raises(LeakageError):
        fit_stage(STAGES[StageName.IDENTIFICATION], run.patients, roles, seen.learned, start, Forget())


def test_too_few_patients_with_nodes_are_said_before_any_training(
    run: Run, seen: Seen, tmp_path: Path
) -> None:
    roles = run.plan.roles(StageName.NODES)
    few = Roles(train=roles.train[:1], validation=roles.validation)
    with pytest.raises(InputError, match="1 training patients have drawn lymph nodes"):
        search_out_of_fold(tmp_path, seen, few)
    assert not list(tmp_path.iterdir())


def test_without_false_positives_three_classes_name_the_setting(run: Run, seen: Seen) -> None:
    roles = run.plan.roles(StageName.IDENTIFICATION)
    with pytest.raises(InputError, match="not a lymph node") as raised:
        fit_stage(STAGES[StageName.IDENTIFICATION], run.patients, roles, seen.learned, seen.start, Forget())
    assert "identification.found.learn" in str(raised.value.cure)


def test_parts_do_not_depend_on_the_order_of_the_patients() -> None:
    ids = [f"p{n}" for n in range(7)]
    parts = parts_of(ids, 3, seed=4)
    assert parts == parts_of(ids[::-1], 3, seed=4)
    assert sorted(name for part in parts for name in part) == ids
    assert sorted(map(len, parts)) == [2, 2, 3]
    assert parts != parts_of(ids, 3, seed=5)


def test_another_network_of_the_cascade_searches_anew(run: Run, seen: Seen) -> None:
    own = seen.start.parts[StageName.NODES]
    other = replace(own, weights={name: tensor + 1 for name, tensor in own.weights.items()})
    roles = run.plan.roles(StageName.NODES)
    lessons = {
        Search(folder=run.folder, seen=seen, roles=roles, training=run.folder, own=part).lesson
        for part in (own, other, None)
    }
    assert len(lessons) == 3
