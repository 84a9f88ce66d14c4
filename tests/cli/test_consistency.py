"""`lymphct consistency`: what it prints, and when it fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Program = Callable[..., Any]

RIGHT = "method,positives,negatives,accuracy,sensitivity,specificity\nours,40,60,0.630,0.525,0.700\n"


def test_without_a_table_the_papers_own_are_checked(lymphct: Program) -> None:
    done = lymphct("consistency")
    assert done.code == 0
    assert "table_7: 16 rows" in done.out
    assert "  external 2, ResNet2D: unlikely: the interval of accuracy 0.650 is 0.300 wide" in done.out
    assert "  external 1: no number of patients fits every row: 39 N+ and 93 N- fit ClsfromPDAC" in done.out
    strict = lymphct("consistency", "--strict", "--json")
    assert strict.code == 3
    record = json.loads(strict.out)
    assert record["certain"] < record["findings"]
    assert f"{record['certain']} cannot be, {record['findings'] - record['certain']} unlikely" in done.out


def test_a_table_that_is_right_passes_and_a_bad_one_is_an_error_line(
    lymphct: Program, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text(RIGHT)
    done = lymphct("consistency", tmp_path / "mine.csv", "--strict")
    assert (done.code, done.out.splitlines()[0]) == (0, "mine: 1 row, no findings")
    (tmp_path / "mine.csv").write_text(RIGHT.replace("0.525", "52.5"))
    bad = lymphct("consistency", tmp_path / "mine.csv")
    assert bad.code == 3
    assert bad.err.startswith("error: mine.csv: line 2: sensitivity is '52.5'")
    assert lymphct("consistency", tmp_path / "none.csv").code == 3
