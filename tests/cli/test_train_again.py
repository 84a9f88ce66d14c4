"""`lymphct train` a second time into one folder: what was begun goes on, and another run is refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.io.images.node_masks import sidecar
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.study.plan import PLAN_FILE
from lymphct.study.single.split import split_cohort

Program = Callable[..., Any]
SEED = 0
COLUMNS = ("venous", "arterial", "structures", "tumor", "nodes", "n_status")
SHORT = [
    word
    for stage in ("structures", "tumor")
    for name, value in (("training.epochs", 1), ("training.iterations_per_epoch", 1), ("inference.step", 1))
    for word in ("--set", f"{stage}.{name}={value}")
]


@pytest.fixture
def rare(cohort: Manifest, tmp_path: Path) -> Path:
    """Write a manifest in which three patients have positive nodes, none of whom the ids alone let teach."""
    path = tmp_path / "cohort.csv"
    write_manifest(path, rows_of(cohort))
    split = split_cohort(read_manifest(path).patients, SEED)
    positive = sorted(name for name, place in split.items() if place.part.startswith("fusion"))[:3]
    rows = rows_of(cohort)
    for row, record in zip(rows, cohort.patients, strict=True):
        assert record.nodes is not None
        nodes = tmp_path / "drawn" / record.patient_id / record.nodes.name
        nodes.parent.mkdir(parents=True)
        shutil.copy(record.nodes, nodes)
        said = json.loads(sidecar(record.nodes).read_text())
        for node in said["instances"].values():
            node["class"] = "positive" if record.patient_id in positive else "negative"
        sidecar(nodes).write_text(json.dumps(said))
        row["nodes"] = nodes
    write_manifest(path, rows)
    return path


def rows_of(cohort: Manifest) -> list[dict[str, object]]:
    return [
        {"patient_id": record.patient_id, **{name: getattr(record, name) for name in COLUMNS}}
        for record in cohort.patients
    ]


def words(stage: str, manifest: Path, run: Path) -> list[object]:
    options = ["--cohort", manifest, "--out", run, "--seed", SEED, "--config", "phantom_nano", *SHORT]
    return ["train", stage, *options, "--device", "cpu"]


def test_a_second_stage_and_a_resumed_one_are_the_same_run_whatever_the_nodes_made_of_the_split(
    lymphct: Program, rare: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = lymphct(*words("tumor", rare, run))
    assert first.code == 0, first.err
    planned = json.loads((run / PLAN_FILE).read_text())["patients"]
    by_ids = split_cohort(read_manifest(rare).patients, SEED)
    assert {name: place["part"] for name, place in planned.items()} != {
        name: place.part for name, place in by_ids.items()
    }
    second = lymphct(*words("structures", rare, run))
    assert second.code == 0, second.err
    again = lymphct(*words("tumor", rare, run), "--resume")
    assert again.code == 0, again.err
    assert json.loads((run / PLAN_FILE).read_text())["patients"] == planned
    # What the command tells beforehand is who teaches, not who would without drawn nodes.
    foreseen = lymphct(*words("identification", rare, run), "--dry-run")
    assert "has no positive node" not in foreseen.out
    found = re.search(r"stage identification: \d+ training patients \((\d+) positive", foreseen.out)
    assert found
    assert int(found[1])


@pytest.mark.parametrize("change", ["patient", "status"])
def test_other_patients_are_another_run(lymphct: Program, rare: Path, tmp_path: Path, change: str) -> None:
    run = tmp_path / "run"
    assert lymphct(*words("tumor", rare, run)).code == 0
    rows = rows_of(read_manifest(rare))
    if change == "patient":
        rows = rows[:-1]
    else:
        rows[0]["n_status"] = 1 - int(str(rows[0]["n_status"]))
    write_manifest(rare, rows)
    refused = lymphct(*words("tumor", rare, run), "--resume")
    assert refused.code == 2
    assert "the folder run holds a run with other patients" in refused.err


def test_a_split_that_the_nodes_will_mend_is_not_refused_beforehand(
    lymphct: Program, rare: Path, tmp_path: Path
) -> None:
    foreseen = lymphct(*words("all", rare, tmp_path / "run"), "--dry-run")
    assert foreseen.code == 0, foreseen.out
    found = re.search(r"stage identification: \d+ training patients \((\d+) positive", foreseen.out)
    assert found
    assert int(found[1])
