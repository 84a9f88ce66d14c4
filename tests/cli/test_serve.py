"""`lymphct serve` watches a folder, ends by a signal or with `--once`, and says why a study is not done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.serving_studies import drop

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.results.jsonfile import read_json_lines
from lymphct.io.results.locks import locked

PROGRAM = (sys.executable, "-c", "from lymphct.cli.main import run; run()", "serve")


def run(*arguments: str | Path) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, ["serve", *map(str, arguments)])


@pytest.fixture
def places(tmp_path: Path) -> tuple[str | Path, ...]:
    (tmp_path / "in").mkdir()
    return "--watch", tmp_path / "in", "--out", tmp_path / "out", "--settle", "0", "--device", "cpu"


def test_a_doubtful_study_ends_the_run_with_4_and_is_not_done_again(
    tmp_path: Path, places: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    drop(tmp_path / "in" / "s")
    assert run(*places, "--once", "--json") == 4
    said = capsys.readouterr()
    (line,) = map(json.loads, said.out.splitlines())
    assert (line["state"], line["code"], line["files"]) == ("refused", "E_DOUBT", 3)
    assert "not done: 1 of 1 in this run [E_PARTLY]" in said.err
    assert sorted(p.name for p in (tmp_path / "out" / "refused" / line["study"]).iterdir()) == [
        "DONE.json",
        "proposals.csv",
        "refusal.json",
        "series.csv",
    ]
    assert run(*places, "--once") == 0
    assert read_json_lines(tmp_path / "out" / "serve.jsonl") == [line]


def test_what_makes_no_sense_is_told_before_anything_is_made(
    tmp_path: Path, places: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--watch", tmp_path / "none", "--out", tmp_path / "out") == 3
    assert "no such folder to watch" in capsys.readouterr().err
    assert run(*places, "--key", tmp_path / "out" / "key") == 2
    assert run(*places, "--bundle", tmp_path / "none") == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_the_service_itself_loads_no_networks(places: tuple[str | Path, ...]) -> None:
    words = ["serve", *map(str, places), "--once"]
    code = (
        "import sys; from lymphct.cli.main import exit_code, new_app; from lymphct.cli import commands; "
        f"app = new_app(); commands.register(app); code = exit_code(app, {words!r}); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_second_service_is_told_who_works_there(
    tmp_path: Path, places: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "out"):
        assert run(*places, "--once") == 5
    assert f"in use by pid {os.getpid()}" in capsys.readouterr().err


def test_a_signal_ends_the_service_in_time_and_keeps_the_queue(
    tmp_path: Path, places: tuple[str | Path, ...]
) -> None:
    drop(tmp_path / "in" / "s")
    process = subprocess.Popen([*PROGRAM, *map(str, places)], stderr=subprocess.PIPE, text=True)
    work = tmp_path / "out" / ".serve" / "work"
    until = time.monotonic() + 100
    while not (work.is_dir() and list(work.glob("study-*/job.json"))) and time.monotonic() < until:
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 143
    assert said.splitlines()[-1].startswith("terminated - run the same command again")
    assert len(list((tmp_path / "out" / ".serve" / "queue").iterdir())) == 1
    assert not (tmp_path / "out" / "serve.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--title", "A"), "--host and --title have no effect without --listen"),
        (("--listen", "0", "--once"), "--listen has no effect on --once"),
        (("--listen", "0", "--title", "two words"), "an AE title has 1 to 16"),
        (("--listen", "70000"), "65535"),
    ],
)
def test_how_it_listens_must_make_sense(
    places: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(*places, *words) == 2
    assert said in capsys.readouterr().err
