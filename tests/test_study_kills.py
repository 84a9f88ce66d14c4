"""The script that kills studies kills whole groups, sees every other byte, and finds none in ours."""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import study_kills
from benchmarks.study_kills import Group, Outcome, Seconds, digests, moments_of, told

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_files_are_compared_but_for_seconds_and_locks(tmp_path: Path) -> None:
    for name in ("tasks/a/made.json", "tasks/a/timings.json", "tasks/.a.lock", "tables/t.md", "logs/a.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "report.html").write_text("page")
    before = digests(tmp_path)
    assert set(before) == {"tasks/a/made.json", "tables/t.md", "report.html"}
    (tmp_path / "tables" / "t.md").write_text("another")
    now = digests(tmp_path)
    assert [name for name in before if before[name] != now[name]] == ["tables/t.md"]


def is_empty(group: int, seconds: float = 30.0) -> bool:
    """Wait until no process of a group is left; tell whether that comes to pass."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_kill_ends_every_process_of_the_group() -> None:
    forks = f"import subprocess; subprocess.Popen({SLEEP!r}).wait()"
    group = Group([[sys.executable, "-c", forks], SLEEP])
    assert not group.is_over_within(0.5)
    group.kill()
    assert is_empty(group.first.pid)


def test_a_group_that_fails_is_no_end_of_a_study() -> None:
    assert Group([[sys.executable, "-c", ""]]).is_over_within(None)
    with pytest.raises(subprocess.CalledProcessError):
        Group([[sys.executable, "-c", "raise SystemExit(4)"]]).is_over_within(None)


def test_moments_depend_on_seed_and_way_alone() -> None:
    first, same, other = (moments_of(seed, "here", 5.0) for seed in (0, 0, 1))
    drawn = [next(first) for _ in range(20)]
    assert drawn == [next(same) for _ in range(20)]
    assert drawn != [next(other) for _ in range(20)]
    assert all(0.0 <= moment <= 5.0 for moment in drawn)


def test_the_table_counts_kills_and_files() -> None:
    row = Outcome(way="jobs", kills=20, studies=2, files=400, differing=["jobs1/tables/t.md"], seconds=61.0)
    row.again = Seconds(wall=2.04, cpu=1.96)
    given = argparse.Namespace(processes=2, patients=24, methods="combined")
    text = told([row], Seconds(wall=30.0, cpu=29.0), given)
    assert "| 2 job lines (`--next`) | 20 | 2 | 400 | 1 | 2.0 s, 2.0 CPU-s |" in text
    assert "One process, undisturbed: 30 s (29 CPU-s). With all kills and reruns: jobs 61 s." in text


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_studies_come_to_the_same_bytes(tmp_path: Path) -> None:
    ways = ["here", "jobs", *(["dask"] if find_spec("distributed") else [])]
    words = ["--patients", "20", "--kills", "2", "--iterations", "2", "--json", tmp_path / "kills.json"]
    command = [
        sys.executable,
        study_kills.__file__,
        "--ways",
        *ways,
        *words,
        "--folder",
        tmp_path / "studies",
    ]
    subprocess.run(list(map(str, command)), check=True)
    rows = json.loads((tmp_path / "kills.json").read_text())["rows"]
    assert [row["way"] for row in rows] == ways
    assert all(row["kills"] == 2 and row["files"] > 100 and row["differing"] == [] for row in rows)
