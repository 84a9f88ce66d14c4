"""The script that kills services counts what is lost, done twice or other, and finds none of it in ours."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import serve_crashes
from benchmarks.serve_crashes import Outcome, compare, digests, told

from lymphct.patients.serving.ledger import HIDDEN


def test_lost_twice_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in (
        "study-1/nodes.csv",
        "study-1/timings.json",
        ".serve/queue/y",
        "serve.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / HIDDEN / "work").mkdir()
    (tmp_path / HIDDEN / "work" / "x").write_text("text")
    quiet = digests(tmp_path)
    assert list(quiet) == ["study-1/nodes.csv"]
    (tmp_path / "study-1" / "nodes.csv").write_text("another")
    (tmp_path / "serve.jsonl").write_text('{"study": "study-1"}\n' * 2)
    found = Outcome(way="any")
    compare(tmp_path, quiet, 2, found)
    assert (found.studies, found.lost, found.twice, found.files) == (2, 1, 1, 1)
    assert found.differing == ["study-1/nodes.csv", "x", "y"]


def test_the_table_tells_kills_and_studies() -> None:
    row = Outcome(way="any", kills=7, studies=4, files=90, differing=["a"], seconds=61.2)
    text = told([row], argparse.Namespace(studies=2, size="nano"))
    assert "| any | 7 | 4 | 0 | 0 | 90 | 1 |" in text
    assert text.endswith("2 phantoms of size nano; 61 s in all.")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_services_come_to_the_same_bytes(tmp_path: Path) -> None:
    words = ["--stride", "9", "--kills", "3", "--json", tmp_path / "crashes.json"]
    command = [sys.executable, serve_crashes.__file__, *words, "--folder", tmp_path / "places"]
    subprocess.run(list(map(str, command)), check=True)
    rows = json.loads((tmp_path / "crashes.json").read_text())["rows"]
    assert [row["kills"] >= 3 for row in rows] == [True, True]
    assert [(row["lost"], row["twice"], row["differing"]) for row in rows] == [(0, 0, [])] * 2
