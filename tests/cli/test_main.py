import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from lymphct.cli.context import GLOBALS, hoisted, one_line, patient_bar
from lymphct.cli.main import exit_code, new_app, run
from lymphct.core.errors import (
    CohortPartlyFailedError,
    EnvironmentProblemError,
    InputError,
    LymphctError,
    ModelError,
    OutputInUseError,
    UsageError,
)

Program = Callable[..., Any]


def app_that(action: Callable[[], None]) -> typer.Typer:
    """Return the program with one command, `act`."""
    app = new_app()
    app.command("act")(action)
    app.command("other")(lambda: None)
    return app


def raising(error: BaseException) -> typer.Typer:
    def act() -> None:
        raise error

    return app_that(act)


def test_the_version_is_that_of_the_package(lymphct: Program) -> None:
    result = lymphct("--version")
    assert (result.code, result.out) == (0, f"lymphct {version('lymphct')}\n")


def test_no_command_at_all_shows_the_help_and_counts_as_a_wrong_use(lymphct: Program) -> None:
    result = lymphct()
    assert result.code == 2
    assert "Usage: lymphct [OPTIONS] COMMAND" in result.err


def test_every_command_of_the_design_is_offered(lymphct: Program) -> None:
    shown = lymphct("--help").out
    for command in (
        "demo",
        "doctor",
        "phantom",
        "check",
        "attention",
        "train",
        "predict",
        "evaluate",
        "models",
    ):
        assert f"\n  {command} " in shown, command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["check"], "Missing argument"),
        (["check", "x.csv", "--nonsense"], "No such option"),
        (["check", "x.csv", "--config"], "'--config' requires an argument"),
        (["check", "x.csv", "--jobs", "none"], "Invalid value for '--jobs'"),
        (["check", "x.csv", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["phantom", "x", "--size", "huge"], "Invalid value for '--size'"),
    ],
)
def test_a_wrong_use_is_one_line_with_code_2(lymphct: Program, arguments: list[str], words: str) -> None:
    result = lymphct(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert words in result.err
    assert "[E_USAGE] - see lymphct" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (LymphctError, 1),
        (UsageError, 2),
        (InputError, 3),
        (CohortPartlyFailedError, 4),
        (OutputInUseError, 5),
        (EnvironmentProblemError, 6),
        (ModelError, 7),
    ],
)
def test_each_error_ends_in_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], kind: type[LymphctError], code: int
) -> None:
    error = kind("too\nbad", code="E_X", cure="mend it").at(patient="p1", file="a.nii.gz")
    assert exit_code(raising(error), ["act"]) == code
    assert capsys.readouterr().err == "error: p1: a.nii.gz: too\\nbad [E_X] - mend it\n"


def test_a_bug_is_one_line_that_names_its_place_and_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(KeyError("Name^Patient")), ["act"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: this is a bug: KeyError at test_main.py:")
    assert "Patient" not in shown
    assert shown.count("\n") == 1


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(InputError("bad")), ["act", "--debug"]) == 3
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert shown.endswith("error: bad [E_INPUT]\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory [E_MEMORY]"),
        (OSError(errno.ENOSPC, "No space left", "/somewhere/out.nii.gz"), "out.nii.gz: no space left"),
        (ModuleNotFoundError("No module named 'monai'", name="monai"), "the library monai does not load"),
    ],
)
def test_refusals_of_the_machine_have_code_6(
    capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    assert exit_code(raising(error), ["act"]) == 6
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


def test_an_interrupt_from_the_keyboard_has_code_130() -> None:
    assert exit_code(raising(KeyboardInterrupt()), ["act"]) == 130


def test_an_abort_at_a_prompt_has_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(typer.Abort()), ["act"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_termination_has_code_143_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    app = app_that(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert exit_code(app, ["act"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_who_is_interrupted_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        GLOBALS.go_on = lambda: "run the same command again"
        raise KeyboardInterrupt

    assert exit_code(app_that(act), ["act"]) == 130
    assert capsys.readouterr().err == "interrupted - run the same command again\n"

    def end() -> None:
        GLOBALS.go_on = lambda: "add --resume"
        os.kill(os.getpid(), signal.SIGTERM)

    assert exit_code(app_that(end), ["act"]) == 143
    assert capsys.readouterr().err == "terminated - add --resume\n"


def test_a_line_of_the_log_does_not_break_a_bar(terminal: Any) -> None:
    with terminal, patient_bar("patients", 3) as bar:
        bar.done("p1")
        assert bar.begun is not None
        bar.begun("p2", "nodes")
        logging.getLogger("lymphct").warning("p2: phases look swapped")
        typer.echo("a line of typer", err=True)
    assert "patients: p2: nodes" in terminal.text
    assert "1/3" in terminal.text
    assert terminal.alone("WARNING p2: phases look swapped")
    assert terminal.alone("a line of typer")


def test_global_options_may_stand_anywhere() -> None:
    seen = []
    app = app_that(lambda: seen.append((GLOBALS.seed, GLOBALS.jobs, GLOBALS.overrides, GLOBALS.quiet)))
    for arguments in (
        ["--seed", "3", "--jobs=2", "--set", "a=1", "--set", "b=2", "-q", "act"],
        ["act", "--seed", "3", "--jobs=2", "--set", "a=1", "--set", "b=2", "-q"],
        ["--set", "a=1", "act", "-q", "--set", "b=2", "--seed", "3", "--jobs=2"],
    ):
        assert exit_code(app, arguments) == 0
    assert seen == [(3, 2, ["a=1", "b=2"], True)] * 3


def test_behind_a_double_dash_nothing_is_an_option() -> None:
    assert hoisted(["check", "--", "--seed", "-v"]) == ["check", "--", "--seed", "-v"]


def test_text_from_outside_cannot_drive_the_terminal() -> None:
    assert one_line("a\x1b[2Jb\rc") == "a\\x1b[2Jb\\rc"


def test_the_program_ends_with_the_code_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["nonsense"])
    assert stop.value.code == 2
    assert "No such command" in capsys.readouterr().err


def test_help_loads_no_heavy_library() -> None:
    heavy = ("torch", "monai", "numpy", "numba", "scipy", "pandas", "nibabel", "pydantic", "yaml", "rich")
    script = (
        "import sys; from lymphct.cli.main import run\n"
        "try: run(['--help'])\n"
        f"except SystemExit as stop: print([m for m in {heavy!r} if m in sys.modules], stop.code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    asked = {"_LYMPHCT_COMPLETE": "complete_bash", "COMP_WORDS": "lymphct ch", "COMP_CWORD": "1"}
    script = "from lymphct.cli.main import run; run([])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env=os.environ | asked, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == ["check"]


def test_a_terminated_run_leaves_whole_results_only(tmp_path: Path) -> None:
    arguments = ["phantom", str(tmp_path / "c"), "--patients", "200", "--size", "nano"]
    script = f"from lymphct.cli.main import run; run({arguments!r})"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("c/phantom-*/DONE.json")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    folders = [path for path in (tmp_path / "c").iterdir() if path.is_dir()]
    assert folders
    assert all((folder / "DONE.json").is_file() for folder in folders)
