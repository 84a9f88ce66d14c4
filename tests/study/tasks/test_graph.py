"""A graph of tasks is data, and only such graphs are taken as can be worked through."""

from pathlib import Path

import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.study.tasks.graph import STUDY_FILE, Graph, Study, Task


def test_a_study_comes_back_from_its_file(tmp_path: Path) -> None:
    tasks = [
        Task(id="b", kind="x", arguments={"fold": 1, "names": ["p", "q"]}),
        Task(id="a", kind="y", after=("b",), needs_device=True),
    ]
    study = Study(format="f-1", facts={"seed": 3}, graph=Graph(tasks))
    study.write(tmp_path)
    again = Study.read(tmp_path, "f-1")
    assert list(again.graph.values()) == tasks  # in their order, not that of their names
    assert again.facts == {"seed": 3}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (
            [Task(id="a", kind="x", after=("b",)), Task(id="b", kind="x")],
            "comes after 'b', which is not before",
        ),
        ([Task(id="a", kind="x"), Task(id="a", kind="y")], "is taken, or no name"),
        ([Task(id="../a", kind="x")], "is taken, or no name"),
    ],
)
def test_what_is_no_graph_is_refused(tasks: list[Task], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Graph(tasks)


def test_another_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Study.read(tmp_path)
    Study(format="f-1", facts={}, graph=Graph([])).write(tmp_path)
    with pytest.raises(InputError, match="of the format 'f-1', not 'g-1'"):
        Study.read(tmp_path, "g-1")
    (tmp_path / STUDY_FILE).write_text('{"format": "f-1", "tasks": []}')
    with pytest.raises(InputError, match="not a study of ours"):
        Study.read(tmp_path)
