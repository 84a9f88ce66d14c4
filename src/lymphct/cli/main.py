"""The command `lymphct`: verbs, long options, one line per error."""

import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS, hoisted, one_line, start_logging
from lymphct.cli.effect import require_effect
from lymphct.core.errors import EnvironmentProblemError, LymphctError, UsageError
from lymphct.io.results.disk import environment_errors


def new_app() -> typer.Typer:
    """Return the program with its global options and without commands."""
    app = typer.Typer(
        name="lymphct",
        help="Find lymph nodes in two-phase abdominal CT, call each positive or negative, and predict the "
        "LN-metastasis status of a patient with pancreatic cancer. For research, not a medical device.",
        epilog="Global options may stand before or after the command.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(set_globals)
    return app


def _print_version(value: bool) -> None:
    if value:
        from lymphct import __version__

        typer.echo(f"lymphct {__version__}")
        raise typer.Exit


def set_globals(
    context: typer.Context,
    config: Annotated[
        str | None, typer.Option(help="Settings: a YAML file, or a preset such as paper or phantom_tiny.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. attention.border=4; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of the numerics, of all processes together; default: as many as may run."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Store the global options; refuse a setting that the command would ignore."""
    del version  # handled by its callback
    GLOBALS.config, GLOBALS.overrides = config, overrides or []
    GLOBALS.device, GLOBALS.jobs, GLOBALS.seed = device, jobs, seed
    GLOBALS.debug, GLOBALS.quiet, GLOBALS.verbose = debug, quiet, verbose
    start_logging()
    _settle_threads(threads)
    require_effect(context.invoked_subcommand or "", GLOBALS.overrides)


def _settle_threads(threads: int | None) -> None:
    """Settle the threads before a library is loaded that would choose them itself."""
    if "--help" in sys.argv:
        return
    from lymphct.io.threads import settle_threads

    settle_threads(threads)


def run(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code (`core.errors`)."""
    from lymphct.cli import commands

    app = new_app()
    commands.register(app)
    sys.exit(exit_code(app, sys.argv[1:] if arguments is None else arguments))


def exit_code(app: typer.Typer, arguments: list[str]) -> int:
    """Run one command of `app`; say on stderr in one line what went wrong; return the exit code."""
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        with environment_errors():
            return _told(int(app(hoisted(arguments), prog_name="lymphct", standalone_mode=False) or 0))
    except (KeyboardInterrupt, typer.Abort):
        return _told(128 + signal.SIGINT)
    except SystemExit as stop:
        return _told(int(stop.code or 0))
    except Exception as error:  # noqa: BLE001 - the last door: whatever arrives becomes one line and a code
        return _report(error)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _told(code: int) -> int:
    """Return an exit code; where a signal stopped the work, say how to go on with it."""
    word = {128 + signal.SIGINT: "interrupted", 128 + signal.SIGTERM: "terminated"}.get(code)
    if word is None:
        return code
    return _fail(word if GLOBALS.go_on is None else f"{word} - {GLOBALS.go_on()}", code)


def _terminated(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def _report(error: Exception) -> int:
    if isinstance(error, LymphctError):
        return _fail(f"error: {error}", error.exit_code)
    if isinstance(error, ImportError):
        msg = f"the library {error.name or '?'} does not load"
        missing = EnvironmentProblemError(msg, code="E_LIBRARY", cure="see `lymphct doctor`")
        return _fail(f"error: {missing}", missing.exit_code)
    # A usage error of the parser, whichever library typer has it from, formats its own message.
    message = getattr(error, "format_message", None)
    if message is None:
        return _fail(f"error: {_bug(error)}", 1)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message(), err=True)
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "lymphct"
    return _fail(f"error: {UsageError(message(), cure=f'see {command} --help')}", UsageError.exit_code)


def _bug(error: Exception) -> LymphctError:
    """Name the type and the place of an unforeseen error; its text stays out, it may quote a file."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    cure = "run it again with --debug and report it"
    return LymphctError(f"this is a bug: {type(error).__name__}{place}", cure=cure)


def _fail(line: str, code: int) -> int:
    if GLOBALS.debug:
        traceback.print_exc()
    typer.echo(one_line(line), err=True)
    return code
