"""The tasks of a study as jobs of SLURM, handed over by submitit (extra `slurm`); nobody waits for them."""

import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.study.tasks.board import Board
from lymphct.study.tasks.exporting import AT_ONCE, PLAN
from lymphct.study.tasks.workers import TaskKind, is_of

logger = logging.getLogger(__name__)

SLURM: Final = "slurm"
"""Name of the executor of submitit, and how a value of `--cluster` begins that means it."""
JOBS: Final = "jobs"
"""Folder within the plan of a study that receives what jobs say."""

_SILENT: Final = "SUBMITIT_LOG_LEVEL"
_NUMBERS: Final[Mapping[str, tuple[str, int]]] = {
    "hours": ("timeout_min", 60),
    "gpus": ("gpus_per_node", 1),
    "cpus": ("cpus_per_task", 1),
    "memory": ("mem_gb", 1),
    "at_once": ("slurm_array_parallelism", 1),
}
"""Word → what submitit calls it, and how many of its units one is."""
_TEXTS: Final[Mapping[str, str]] = {
    "partition": "slurm_partition",
    "account": "slurm_account",
    "qos": "slurm_qos",
    "constraint": "slurm_constraint",
}
_GPUS: Final = _NUMBERS["gpus"][0]
_WITHOUT: Final = "cpu_partition"
"""Word for the partition of the jobs that need no GPU; without it they ask for the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every job of the array asks for.

    Attributes:
        parameters: as submitit calls them.
        without: what jobs ask for instead in whose tasks no network runs, where `parameters` ask for a GPU.
        executor: of submitit; `local` starts the jobs as processes here, all at once, to try it.

    """

    parameters: Mapping[str, str | int] = field(default_factory=dict)
    without: Mapping[str, str | int] = field(default_factory=dict)
    executor: str = SLURM


def read_site(text: str) -> Site:
    """Read `slurm:partition=gpu,gpus=1,hours=24`; a job has 24 hours, and 16 run at once, unless it is said.

    >>> sorted(read_site("slurm:partition=gpu,gpus=1").parameters.items())[0]
    ('gpus_per_node', 1)

    Raises:
        UsageError: a word that is none, or a number that is none.

    """
    parameters: dict[str, str | int] = {"timeout_min": 24 * 60, "slurm_array_parallelism": AT_ONCE}
    elsewhere: dict[str, str | int] = {}
    for part in filter(None, text.partition(":")[2].split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if name in _TEXTS and value:
            parameters[_TEXTS[name]] = value
        elif name == _WITHOUT and value:
            elsewhere[_TEXTS["partition"]] = value
        elif name in _NUMBERS and value.isascii() and value.isdigit() and int(value):
            ours, unit = _NUMBERS[name]
            parameters[ours] = int(value) * unit
        else:
            msg = f"{part.strip()[:40]!r} is nothing a job can ask for"
            texts = ", ".join(f"{n}=TEXT" for n in (*_TEXTS, _WITHOUT))
            cure = f"{texts}, {', '.join(f'{n}=NUMBER' for n in _NUMBERS)}"
            raise UsageError(msg, code="E_SITE", cure=cure)
    return Site(parameters=parameters, without=elsewhere)


@dataclass(frozen=True, slots=True)
class Line:
    """The one line of every job; whatever its number, it does the next ready task."""

    words: tuple[str, ...]

    def __call__(self, _number: int) -> None:
        """Run it; a task that fails is a job that fails."""
        subprocess.run(self.words, check=True)  # noqa: S603 - our own program

    def checkpoint(self, number: int) -> Any:  # noqa: ANN401 - a type of submitit
        """Let a job that meets its time limit, or is preempted, stand in line again: it goes on."""
        return import_module("submitit").helpers.DelayedSubmission(self, number)


def submit(board: Board, words: Sequence[str], site: Site) -> tuple[tuple[Any, ...], ...]:
    """Submit an array with a job for each task that is left, and return the jobs of submitit.

    Where jobs ask for a GPU, tasks in which no network runs are an array of their own that asks for none.
    What failed before is tried again. A job that finds a task under way waits for the next; one that finds
    nothing left ends at once.

    Args:
        board: the study.
        words: of the line that does the next ready task.
        site: what each job asks for.

    Raises:
        EnvironmentProblemError: submitit is not installed, SLURM is not there, or it refuses the jobs.

    """
    kinds: dict[TaskKind | None, Site] = {None: site}
    if _GPUS in site.parameters:
        plain = {name: value for name, value in site.parameters.items() if name != _GPUS}
        kinds = {"networks": site, "others": replace(site, parameters=plain | dict(site.without))}
    executors = {kind: _executor(board, asked) for kind, asked in kinds.items()}
    board.forget_failures()  # only where jobs can be handed over
    return tuple(filter(None, (_array(board, words, executor, kind) for kind, executor in executors.items())))


def _array(
    board: Board,
    words: Sequence[str],
    executor: Any,  # noqa: ANN401 - a type of submitit
    kind: TaskKind | None,
) -> tuple[Any, ...]:
    left = sum(is_of(task, kind) and not board.is_done(name) for name, task in board.graph.items())
    if not left:
        return ()
    line = Line((*words, "--only", kind) if kind else tuple(words))
    try:
        jobs = executor.map_array(line, range(left))
    except (RuntimeError, OSError) as refused:  # submitit tells of sbatch's refusals by its RuntimeError
        msg = f"SLURM refused the jobs: {str(refused).strip().splitlines()[-1][:200]}"
        raise EnvironmentProblemError(msg, code="E_CLUSTER", cure="check what the jobs ask for") from refused
    logger.info("%d jobs were submitted; what they say: %s", left, executor.folder)
    return tuple(jobs)


def _executor(board: Board, site: Site) -> Any:  # noqa: ANN401 - a type of submitit
    # Otherwise it sets up logging anew when it is imported, which closes everybody's handlers.
    os.environ.setdefault(_SILENT, "NOCONFIG")
    try:
        submitit: Any = import_module("submitit")  # an extra
    except ImportError as missing:
        msg = "submitit is not installed"
        raise EnvironmentProblemError(
            msg, code="E_EXTRA", cure='pip install "lymphct[slurm]", or --plan sbatch, which needs nothing'
        ) from missing
    try:
        executor = submitit.AutoExecutor(folder=board.run / PLAN / JOBS, cluster=site.executor)
    except RuntimeError as missing:
        msg = "SLURM is not here: there is no srun"
        cure = "run it where jobs are submitted, or use --plan sbatch"
        raise EnvironmentProblemError(msg, code="E_CLUSTER", cure=cure) from missing
    executor.update_parameters(name="lymphct", **site.parameters)
    return executor
