"""The graph of a study: small tasks, each after others; it is data (`study.json`)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lymphct.core.errors import InputError, UsageError
from lymphct.io.results.jsonfile import JSON, read_json, write_json

STUDY_FILE: Final = "study.json"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work that is done once, whole or not at all.

    Attributes:
        id: names it, and its folder.
        kind: what is done; whoever runs the task knows what that means.
        arguments: on what.
        after: ids of the tasks whose results it reads.
        needs_device: whether networks run in it, for which a GPU is held where there is one.

    """

    id: str
    kind: str
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    needs_device: bool = False


class Graph(Mapping[str, Task]):
    """Tasks by id, each behind all that it comes after.

    Raises:
        UsageError: two tasks of one id, an id that names no folder, or a task that comes after one that is
            not there or stands behind it.

    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        """Take tasks in an order in which they could be done one by one."""
        self._tasks: dict[str, Task] = {}
        for task in tasks:
            unknown = [name for name in task.after if name not in self._tasks]
            if not _ID.fullmatch(task.id) or task.id in self._tasks or unknown:
                why = (
                    f"comes after {unknown[0]!r}, which is not before it"
                    if unknown
                    else "is taken, or no name"
                )
                msg = f"the task {task.id[:60]!r} {why}"
                raise UsageError(msg, code="E_GRAPH", cure="list each task once, behind what it needs")
            self._tasks[task.id] = task

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


class _StoredTask(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    kind: str
    arguments: dict[str, Any] = {}
    after: tuple[str, ...] = ()
    needs_device: bool = False


class _StoredStudy(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: str
    study: dict[str, Any]
    tasks: tuple[_StoredTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What `study.json` holds.

    Attributes:
        format: which kind of study it is, with its version.
        facts: what its tasks share.
        graph: its tasks.

    """

    format: str
    facts: Mapping[str, JSON]
    graph: Graph

    @classmethod
    def read(cls, run: Path, study_format: str = "") -> Self:
        """Read the study in a folder.

        Raises:
            InputError: there is none, it is damaged, or of another format than the one that is asked for.
            UsageError: its tasks make no graph.

        """
        try:
            stored = _StoredStudy.model_validate(read_json(run / STUDY_FILE))
        except ValidationError as error:
            msg = f"not a study of ours: {error.errors()[0]['msg']}"
            raise InputError(msg, code="E_STUDY", cure="begin it anew").at(file=STUDY_FILE) from error
        if study_format and stored.format != study_format:
            msg = f"a study of the format {stored.format[:40]!r}, not {study_format!r}"
            raise InputError(msg, code="E_STUDY", cure="run it with the version that began it").at(
                file=STUDY_FILE
            )
        tasks = [Task(**task.model_dump()) for task in stored.tasks]
        return cls(format=stored.format, facts=stored.study, graph=Graph(tasks))

    def record(self) -> dict[str, JSON]:
        """Return what the file holds."""
        return {
            "format": self.format,
            "study": dict(self.facts),
            "tasks": [
                {
                    "id": task.id,
                    "kind": task.kind,
                    "arguments": dict(task.arguments),
                    "after": list(task.after),
                    "needs_device": task.needs_device,
                }
                for task in self.graph.values()
            ],
        }

    def write(self, run: Path) -> None:
        """Write the file; a crash leaves the old one or the new one."""
        write_json(run / STUDY_FILE, self.record())
