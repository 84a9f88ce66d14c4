"""How a study is carried out: here, task by task, on a cluster, by files and jobs of a batch system."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from lymphct.cli.context import GLOBALS

if TYPE_CHECKING:
    from lymphct.study.tasks.submission import Site
    from lymphct.study.tasks.workers import Hands

THIS_PROGRAM: Final = (sys.executable, "-c", "from lymphct.cli.main import run; run()")
"""Words that begin a command line of ours wherever this Python is found."""


class Plan(StrEnum):
    """Batch systems a study is written for."""

    SBATCH = "sbatch"
    SNAKEMAKE = "snakemake"


def do_all(run: Path, hands: "Hands", cluster: str | None) -> None:
    """Do what is left of a study here or on a cluster, and lay out its tables."""
    from lymphct.study.nested.publishing import published
    from lymphct.study.nested.work import open_nested

    if cluster is None:
        from lymphct.study.tasks.workers import run_here

        run_here(run, open_nested, hands, _told)
    else:
        from lymphct.study.tasks.dask_cluster import run_on_dask

        run_on_dask(run, open_nested, cluster, hands.devices, _told)
    published(run)
    typer.echo(str(run / "tables"))


class Only(StrEnum):
    """Tasks that a job takes: those in which networks run, or all others."""

    NETWORKS = "networks"
    OTHERS = "others"


def do_next_task(run: Path, hands: "Hands", only: Only | None = None) -> None:
    """Do one task, waiting for one as long as others are under way; the last one lays out the tables."""
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board, State
    from lymphct.study.tasks.workers import partly_failed, take_next

    board = Board(run, open_nested(run))
    name = take_next(board, hands.devices, None if only is None else only.value)
    is_over = all(map(board.is_done, board.graph))
    is_stuck = name is None and not is_over and State.FAILED in board.states().values()
    if is_stuck or (name is not None and board.state(name) is State.FAILED):
        raise partly_failed(board)
    typer.echo("nothing is left" if name is None else name)
    _publish_if(run, is_over=is_over)


def do_one(run: Path, name: str, hands: "Hands") -> None:
    """Do a task by its id."""
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board
    from lymphct.study.tasks.workers import do_task

    board = Board(run, open_nested(run))
    do_task(board, name, hands.devices)
    typer.echo(name)
    _publish_if(run, is_over=all(map(board.is_done, board.graph)))


def _publish_if(run: Path, *, is_over: bool) -> None:
    from lymphct.study.nested.publishing import published

    if is_over:
        published(run)


def lay_plan(run: Path, plan: Plan) -> None:
    """Write the file of a batch system, in which this very program is called."""
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board
    from lymphct.study.tasks.exporting import write_plan

    typer.echo(str(write_plan(Board(run, open_nested(run)), plan.value, shlex.join(THIS_PROGRAM))))


def site_of(cluster: str | None) -> "Site | None":
    """Return what jobs of SLURM ask for, where the cluster is one."""
    if cluster is None or cluster.partition(":")[0] != "slurm":
        return None
    from lymphct.study.tasks.submission import read_site

    return read_site(cluster)


def submit_jobs(run: Path, site: "Site") -> None:
    """Hand the tasks that are left over to SLURM; nobody waits for them."""
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board
    from lymphct.study.tasks.submission import submit

    line = (*THIS_PROGRAM, "crossval", str(run.absolute()), "--next")
    arrays = submit(Board(run, open_nested(run)), line, site)
    for jobs in arrays:
        typer.echo(jobs[0].job_id.partition("_")[0])
    if not arrays:
        typer.echo("nothing is left")


def _told(name: str, state: str) -> None:
    if not GLOBALS.quiet:
        typer.echo(f"{name}: {state}", err=True)
