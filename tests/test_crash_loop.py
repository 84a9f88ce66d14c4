"""The script that makes commands fail sees every write, fails at the right one, and finds nothing in ours."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import crash_loop, failpoints
from benchmarks.crash_bench import Ended, Row, Trouble, digests, half, judge, spread

from lymphct.io.manifest import Manifest
from lymphct.io.results.store import committed_folder

WRITES = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from benchmarks.failpoints import from_environment
point = from_environment()
sys.addaudithook(point)
here = Path(os.environ["LYMPHCT_FAIL_UNDER"])
(here / "a").write_text("whole")            # 1
Path(here / "a").read_text()
os.rename(here / "a", here / "b")           # 2
(here / "c").mkdir()                        # 3
with open(here / "b", "a") as file:         # 4
    file.write(" and more")
shutil.rmtree(here / "c")                   # 5
(here.parent / "elsewhere").write_text("")
print(point.count)
"""


def written(folder: Path, at: int = 0, how: str = "kill") -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    script = WRITES.format(root=str(Path(__file__).parents[1]))
    told = {"LYMPHCT_FAIL_AT": str(at), "LYMPHCT_FAIL_HOW": how, "LYMPHCT_FAIL_UNDER": str(folder)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=os.environ | told, check=False, capture_output=True, text=True)


def test_every_write_below_the_folder_is_counted_and_no_other(tmp_path: Path) -> None:
    assert written(tmp_path / "quiet").stdout.strip() == "5"


def test_it_dies_before_the_write_in_the_middle_of_it_or_is_refused(tmp_path: Path) -> None:
    assert written(tmp_path / "kill", 2).returncode == -9
    assert [path.name for path in (tmp_path / "kill").iterdir()] == ["a"]
    assert written(tmp_path / "torn", 4, "torn").returncode == -9
    assert (tmp_path / "torn" / "b").read_bytes() == b"whole" + failpoints.HALF
    refused = written(tmp_path / "full", 1, "ENOSPC")
    assert "No space left on device" in refused.stderr
    assert not list((tmp_path / "full").iterdir())
    assert written(tmp_path / "gone", 5, "ENOSPC").returncode == 0  # a full disk lets everything be removed


def test_what_is_not_whole_is_seen(tmp_path: Path) -> None:
    with committed_folder(tmp_path / "case1", {"a": 1}) as staging:
        (staging / "image").write_text("image")
    (tmp_path / "summary.json").write_text("{}")
    whole = digests(tmp_path)
    assert half(tmp_path, whole) == []
    (tmp_path / ".case2.staging-7").mkdir()
    (tmp_path / ".case2.staging-7" / "image").write_text("ima")
    assert half(tmp_path, whole) == []
    (tmp_path / "summary.json").write_text("{")
    (tmp_path / "case1" / "image").write_text("imag")
    assert half(tmp_path, whole) == ["case1/image", "summary.json"]


@pytest.mark.parametrize(
    ("trouble", "ended", "wrong"),
    [
        (Trouble(at=3), Ended(code=-9, said=""), 0),
        (Trouble(at=3), Ended(code=1, said="error: a bug"), 1),
        (Trouble(at=3, how="ENOSPC"), Ended(code=6, said="error: a: no space left on the disk [E]\n"), 0),
        (Trouble(at=3, how="ENOSPC"), Ended(code=4, said="error: 1 of 2 patients failed"), 1),
        (Trouble(at=3, how="ENOSPC"), Ended(code=6, said="error: no space\nerror: no space\n"), 1),
        (Trouble(signals=((0.1, 15),)), Ended(code=143, said="", seconds=0.2), 0),
        (Trouble(signals=((0.1, 15),)), Ended(code=143, said="", seconds=11.0), 1),
        (Trouble(signals=((0.1, 2),)), Ended(code=1, said="Traceback"), 1),
    ],
)
def test_exits_are_judged(trouble: Trouble, ended: Ended, wrong: int) -> None:
    row = Row(command="predict", how=trouble.how)
    judge(row, trouble, ended)
    assert len(row.wrong) == wrong


def test_points_are_spread_from_the_first_to_the_last() -> None:
    assert spread(range(1, 106), 4) == [1, 36, 70, 105]
    assert spread([1, 2], 0) == spread([1, 2], 9) == [1, 2]


def test_the_table_counts_points(tmp_path: Path) -> None:
    row = Row(command="predict", how="torn", writes=80, points=30, wrong=["12: exit 1"])
    text = crash_loop.told([row])
    assert "| predict | killed with half a file | 80 | 30 | 0 | 0 | 1 |" in text
    assert "30 points in all." in text
    assert tmp_path.exists()


def loop(folder: Path, cohort: Manifest, patients: int, *words: str) -> list[dict[str, object]]:
    """Run the script on phantoms that are there already; return its rows."""
    shutil.copytree(cohort.path.parent, folder / f"cohort{patients}")
    command = [sys.executable, crash_loop.__file__, "--folder", str(folder), *words]
    done = subprocess.run([*command, "--json", str(folder / "loop.json")], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, object]] = json.loads((folder / "loop.json").read_text())["rows"]
    return rows


def test_a_preparation_that_fails_anywhere_leaves_nothing_and_comes_to_the_same_bytes(
    cohort: Manifest, tmp_path: Path
) -> None:
    hows = ("--hows", "kill=2", "torn=1", "ENOSPC=2")
    rows = loop(tmp_path, cohort, 2, "--commands", "prepare", "--seed", "9", *hows)
    assert [row["points"] for row in rows] == [2, 1, 2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", ["predict", "train", "crossval"])
def test_a_command_that_fails_anywhere_leaves_nothing_and_comes_to_the_same_bytes(
    command: str, tmp_path: Path
) -> None:
    words = [sys.executable, crash_loop.__file__, "--commands", command, "--folder", str(tmp_path)]
    hows = ("--hows", "kill=12", "torn=6", "ENOSPC=6", "EFBIG=4", "signal=4", "--chain", "12")
    done = subprocess.run([*words, *hows], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
