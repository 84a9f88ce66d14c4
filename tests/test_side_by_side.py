"""Benchmarks compare before they time, and say what they measured."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import attention_map, components, matching, metrics, resampling
from benchmarks.side_by_side import Method, Table, Timing, compare, finish, where


def timing(method: str, cpu: float) -> Timing:
    return Timing(method=method, cpu=cpu, wall=cpu, extra_mib=None, error=None)


def test_results_that_differ_are_not_timed() -> None:
    runs = []
    methods = [
        Method(name="ours", compute=lambda: runs.append(1)),
        Method(name="wrong", compute=lambda: 1.0, error=lambda found: found - 0.5, limit=0.1),
        Method(name="unknown", compute=lambda: 1.0, error=lambda _: float("nan"), limit=0.1),
    ]
    with pytest.raises(SystemExit, match=r"wrong: error 5\.00e-01 above 1e-01; unknown: error nan"):
        compare("work", methods, runs=50)
    assert len(runs) == 2


def test_each_method_runs_as_often_as_asked_and_a_slow_one_once() -> None:
    runs: list[str] = []
    methods = [
        Method(name="quick", compute=lambda: runs.append("quick")),
        Method(name="slow", compute=lambda: runs.append("slow"), is_slow=True),
    ]
    table = compare("work", methods, runs=3, shape=(1, 2, 3))
    assert (runs.count("quick"), runs.count("slow")) == (5, 1)
    assert [row.method for row in table.rows] == ["quick", "slow"]
    assert table.facts == {"runs": 3, "shape": (1, 2, 3)}


def test_the_memory_of_a_method_is_what_it_needs_beside_its_result() -> None:
    def greedy() -> Any:
        return (np.ones(2**22) + np.ones(2**22))[: 2**21].copy()

    kept = [bytearray(2**16) for _ in range(2**11)]
    last = kept.pop()
    del kept  # 128 MiB that the C library holds on to, below what is still in use
    row = compare("work", [Method(name="greedy", compute=greedy)], runs=1).rows[0]
    assert len(last) == 2**16
    assert row.extra_mib is None or 40 < row.extra_mib < 120


def test_ratios_are_those_of_cpu_seconds_over_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table(title="work", rows=[timing("ours", 0.5), timing("peer", 2.0)])
    finish([table], tmp_path / "numbers.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == where()
    assert lines[-2].split() == ["peer", "2.0000", "2.0000", "4.0", "-", "-"]
    record = json.loads((tmp_path / "numbers.json").read_text())
    assert record["tables"][0]["rows"][1]["cpu"] == 2.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("script", [attention_map, components, matching, metrics, resampling])
def test_every_script_finds_equal_results_on_a_small_image(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["benchmark", "--shape", "72", "72", "60", "--runs", "1", "--json", str(tmp_path / "b.json")]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    tables = json.loads((tmp_path / "b.json").read_text())["tables"]
    assert all(len(table["rows"]) > 1 for table in tables)
    assert all(row["cpu"] >= 0 for table in tables for row in table["rows"])
