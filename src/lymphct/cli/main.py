"""The command `lymphct`: verbs, long options, one line per error."""

import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS, hoisted, start_logging
from lymphct.core.errors import LymphctError

app = typer.Typer(
    name="lymphct",
    help="Find lymph nodes in two-phase abdominal CT, call each positive or negative, and predict the "
    "LN-metastasis status of a patient with pancreatic cancer. For research, not a medical device.",
    epilog="Global options may stand before or after the command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:
    if value:
        from lymphct import __version__

        typer.echo(f"lymphct {__version__}")
        raise typer.Exit


@app.callback()
def set_globals(
    config: Annotated[
        str | None,
        typer.Option(help="Settings: a YAML file, or a preset (paper, phantom_tiny, phantom_nano)."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. nodes.threshold=0.4; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that work side by side.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings.")] = False,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Store the global options."""
    del version  # handled by its callback
    GLOBALS.config, GLOBALS.overrides = config, overrides or []
    GLOBALS.device, GLOBALS.jobs, GLOBALS.seed = device, jobs, seed
    GLOBALS.debug, GLOBALS.quiet, GLOBALS.verbose = debug, quiet, verbose
    start_logging()


def run(arguments: list[str] | None = None) -> None:
    """Run one command and leave with the exit code of DESIGN §3."""
    from lymphct.cli import commands

    commands.register(app)
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(_exit_code(hoisted(sys.argv[1:] if arguments is None else arguments)))


def _exit_code(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False)
    except LymphctError as error:
        return _fail(f"error: {error}", error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except MemoryError:
        return _fail("error: out of memory [E_MEMORY] - close other programs or lower --jobs", 6)
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:
        # Usage errors of the parser know their message and their exit code 2.
        show = getattr(error, "show", None)
        if show is not None:
            show()
            return int(getattr(error, "exit_code", 2))
        name = type(error).__name__
        return _fail(
            f"error: this is a bug: {name}: {error} [E_BUG] - run again with --debug and report it", 1
        )
    return int(code or 0)


def _fail(line: str, code: int) -> int:
    if GLOBALS.debug:
        traceback.print_exc()
    print(line.replace("\n", " "), file=sys.stderr)
    return code


def _terminated(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
