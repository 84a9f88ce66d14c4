"""`evaluate cohort` on what `predict` writes: images alone, a manifest, and back to one row per patient."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lymphct.io.manifest import Manifest, write_manifest

Program = Callable[..., Any]

PATIENTS = 4


def manifest_of(path: Path, cohort: Manifest, *, blank: tuple[str, ...] = ()) -> Path:
    rows = [{**record.cells, **record.paths, **dict.fromkeys(blank)} for record in cohort.patients[:PATIENTS]]
    write_manifest(path, rows)
    return path


def with_sources(results: Path) -> Path:
    """Say in each result that everything was predicted, as versions that know of sources do."""
    for path in sorted(results.glob("*/result.json")):
        record = json.loads(path.read_text())
        record.setdefault("sources", dict.fromkeys(("structures", "tumor", "nodes"), "network"))
        # The models of the tests learned from these patients.
        record["notices"] = [n for n in record["notices"] if n["code"] != "seen_in_training"]
        path.write_text(json.dumps(record))
    return results


def test_predictions_from_images_alone_are_measured(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path
) -> None:
    images = manifest_of(tmp_path / "images.csv", cohort, blank=("structures", "tumor", "nodes"))
    assert lymphct("predict", images, "--bundle", bundle, "--out", tmp_path / "results").code == 0
    results = with_sources(tmp_path / "results")
    truth = manifest_of(tmp_path / "cohort.csv", cohort)
    words = ("evaluate", "cohort", "--results", results, "--cohort", truth, "--out", tmp_path / "E")
    outcome = lymphct(*words)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == f"{PATIENTS} of {PATIENTS} patients evaluated"
    assert any(line.startswith("nodes found: recall ") for line in lines)
    assert any(line.startswith("structures: mean Dice ") for line in lines)
    record = json.loads((tmp_path / "E" / "cohort.json").read_text())
    assert json.loads(lymphct(*words, "--json").out) == record
    with (tmp_path / "E" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    stored = {
        row["patient_id"]: json.loads((results / row["patient_id"] / "result.json").read_text())
        for row in rows
    }
    for row in rows:
        probability = stored[row["patient_id"]]["probability"]
        assert (float(row["probability"]) if row["probability"] else None) == probability
        result = stored[row["patient_id"]]
        # What cannot be a lymph node counts nowhere.
        assert int(row["nodes_predicted"]) == result["nodes_total"] - result["nodes_implausible"]
        assert int(row["nodes_predicted_positive"]) == result["nodes_positive"]
    assert (tmp_path / "E" / "report.html").stat().st_size > 10_000


def test_refusals_are_one_line_with_exit_3(lymphct: Program, cohort: Manifest, tmp_path: Path) -> None:
    truth = manifest_of(tmp_path / "cohort.csv", cohort)
    (tmp_path / "empty").mkdir()
    words = ("evaluate", "cohort", "--cohort", truth, "--out", tmp_path / "E")
    for results in ("empty", "nowhere"):
        result = lymphct(*words, "--results", tmp_path / results)
        assert (result.code, result.err.count("\n")) == (3, 1)
    result = lymphct(*words, "--results", tmp_path / "empty", "--without", "tumor,kidneys")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "'kidneys' is no stage that is scored" in result.err
    assert not (tmp_path / "E").exists()
