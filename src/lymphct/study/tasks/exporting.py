"""A study for batch systems: files that run as they are, without a service of ours (`--plan`)."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from lymphct.core.errors import UsageError
from lymphct.io.results.disk import replace_file
from lymphct.study.tasks.board import Board
from lymphct.study.tasks.graph import Graph

PLAN: Final = "plan"
"""Folder of the files within a study."""
AT_ONCE: Final = 16
"""Jobs of an array that run at the same time; written into the file, where it can be changed."""


def write_plan(board: Board, kind: str, program: str) -> Path:
    """Write the file of a batch system and return it; what failed before will be tried again.

    Args:
        board: the study.
        kind: one of `PLANS`.
        program: words that begin a command line of ours.

    Raises:
        UsageError: another kind.

    """
    if kind not in PLANS:
        msg = f"there is no plan for {kind[:40]!r}"
        raise UsageError(msg, cure=f"one of {', '.join(PLANS)}")
    board.forget_failures()
    name, text = PLANS[kind]
    left = sum(not board.is_done(task) for task in board.graph)
    path = board.run / PLAN / name
    replace_file(path, text(board.graph, board.run.absolute(), program, left).encode())
    return path


def _sbatch(graph: Graph, run: Path, program: str, left: int) -> str:
    """Return a job array of identical lines: each does the next ready task, whatever its number."""
    del graph
    folder = shlex.quote(str(run))
    return f"""\
#!/bin/bash
# sbatch {shlex.quote(str(run / PLAN / "study.sbatch"))}
# Every job does the next ready task. Add what the site asks for: partition, account, --gres=gpu:1.
# A job that meets its time limit costs the unfinished epoch of its task; submit the same file again to go on.
#SBATCH --job-name=lymphct
#SBATCH --array=1-{max(left, 1)}%{AT_ONCE}
#SBATCH --time=24:00:00
#SBATCH --output={run / PLAN}/job-%A_%a.log
exec {program} crossval {folder} --next
"""


def _snakemake(graph: Graph, run: Path, program: str, left: int) -> str:
    """Return a Snakefile with a rule for each task; its outputs are flags, the results are ours."""
    del left
    folder = shlex.quote(str(run))
    rules = [
        f"# snakemake --snakefile {shlex.quote(str(run / PLAN / 'Snakefile'))} --cores 4",
        "rule all:",
        f"    input: {', '.join(_flag(run, name) for name in graph)}",
        "",
    ]
    for number, (name, task) in enumerate(graph.items(), start=1):
        inputs = ", ".join(_flag(run, other) for other in task.after)
        command = f"{program} crossval {folder} --task {shlex.quote(name)}"
        rules += [
            f"rule task{number}:",
            f"    name: {_quoted(name)}",
            *([f"    input: {inputs}"] if inputs else []),
            f"    output: touch({_flag(run, name)})",
            *(["    resources: gpu=1"] if task.needs_device else []),
            f"    shell: {_quoted(command.replace('{', '{{').replace('}', '}}'))}",
            "",
        ]
    return "\n".join(rules)


def _flag(run: Path, name: str) -> str:
    return _quoted(str(run / PLAN / "done" / name))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


PLANS: Final[Mapping[str, tuple[str, Callable[[Graph, Path, str, int], str]]]] = {
    "sbatch": ("study.sbatch", _sbatch),
    "snakemake": ("Snakefile", _snakemake),
}
"""Name of the plan → its file, and what stands in it."""
