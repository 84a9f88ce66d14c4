"""A study of numbers: chains of steps that keep a checkpoint, and their sum."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lymphct.core.errors import InputError
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe
from lymphct.study.tasks.board import TASKS, Board, Doing
from lymphct.study.tasks.graph import Graph, Study, Task
from lymphct.study.tasks.workers import Hands, do_task, run_here, take_next

FORMAT = "toy-1"
STEPS = 5


def lay_study(run: Path, chains: int = 4, seed: int = 0, pause: float = 0.0, bad: str = "") -> Path:
    """Write a study of so many chains of two tasks and one task that adds them up."""
    first = [Task(id=f"draw.{n}", kind="draw", arguments={"number": n}) for n in range(chains)]
    second = [
        Task(id=f"walk.{n}", kind="walk", arguments={"number": n}, after=(f"draw.{n}",), needs_device=True)
        for n in range(chains)
    ]
    total = Task(id="total", kind="total", after=tuple(task.id for task in second))
    facts: dict[str, JSON] = {"seed": seed, "pause": pause, "bad": bad}
    Study(format=FORMAT, facts=facts, graph=Graph([*first, *second, total])).write(run)
    return run


@dataclass(frozen=True)
class ToyStudy:
    run: Path
    study: Study
    threads: int = 1

    @property
    def graph(self) -> Graph:
        return self.study.graph

    def recipe(self, task: Task) -> Recipe:
        return Recipe(
            settings={"seed": self.study.facts["seed"], "kind": task.kind, **task.arguments},
            code=("core.errors",),
        )

    def holds(self, task: Task, folder: Path) -> bool:
        del task, folder
        return True

    def make(self, task: Task, doing: Doing) -> None:
        if task.id == self.study.facts["bad"]:
            msg = "this one never works"
            raise InputError(msg, code="E_TOY", cure="do another")
        {"draw": self._draw, "walk": self._walk, "total": self._total}[task.kind](task, doing)

    def _numbers(self, name: str) -> list[float]:
        return list(read_json(self.run / TASKS / name / "numbers.json"))  # type: ignore[arg-type]

    def _draw(self, task: Task, doing: Doing) -> None:
        rng = np.random.default_rng((int(str(self.study.facts["seed"])), int(str(task.arguments["number"]))))
        time.sleep(float(str(self.study.facts["pause"])))
        write_json(doing.folder / "numbers.json", rng.normal(size=4).tolist())

    def _walk(self, task: Task, doing: Doing) -> None:
        kept = doing.scratch / "numbers.json"
        doing.scratch.mkdir(parents=True, exist_ok=True)
        numbers: list[float] = list(read_json(kept)) if kept.exists() else []  # type: ignore[arg-type]
        start = self._numbers(task.after[0])
        for step in range(len(numbers), STEPS):
            time.sleep(float(str(self.study.facts["pause"])))
            numbers.append((numbers[-1] if numbers else 0.0) * 0.3 + sum(start) * (step + 1))
            write_json(kept, [*numbers])
            with (self.run / "steps.log").open("a") as log:
                log.write(f"{task.id} {step}\n")
        write_json(doing.folder / "numbers.json", [*numbers])

    def _total(self, task: Task, doing: Doing) -> None:
        write_json(doing.folder / "numbers.json", [sum(self._numbers(name)[-1] for name in task.after)])


def open_toy(run: Path) -> ToyStudy:
    return ToyStudy(run, Study.read(run, FORMAT))


def main(words: list[str]) -> None:
    """Take what a plan calls, `crossval RUN --next` or `--task ID`, or a number of processes."""
    run, how = Path(words[1]), words[2]
    board = Board(run, open_toy(run))
    if how == "--next":
        kind: Any = words[4] if words[3:4] == ["--only"] else None
        take_next(board, ("cpu",), kind)
    elif how == "--task":
        do_task(board, words[3], ("cpu",))
    else:
        run_here(run, open_toy, Hands(jobs=int(how), devices=("cpu",)))


if __name__ == "__main__":
    main(sys.argv[1:])
