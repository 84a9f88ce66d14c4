from pathlib import Path

from lymphct.io.results.tail import Tail, looking


def test_lines_are_told_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert tail.lines() == []
    with (tmp_path / "log").open("ab", buffering=0) as log:
        log.write(b"one\ntw")
        assert tail.lines() == [b"one"]
        assert tail.lines() == []
        log.write(b"o\nthree\n")
        assert tail.lines() == [b"two", b"three"]


def test_the_last_look_comes_after_the_block(tmp_path: Path) -> None:
    tail, seen = Tail(tmp_path / "log"), []
    with looking(lambda: seen.extend(tail.lines()), every=60.0):
        (tmp_path / "log").write_text("late\n")
    assert seen == [b"late"]
