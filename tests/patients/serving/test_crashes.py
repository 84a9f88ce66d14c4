"""A service that is killed at any call that changes the disk loses nothing and does nothing twice."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.killed import WRITING_STEPS, killed_at
from tests.serving_studies import contents, drop

from lymphct.io.results.jsonfile import read_json_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lymphct.patients.serving.serving import Service

    Serving = Callable[..., AbstractContextManager[Service]]


def run_killed_at(at: int, serving: "Serving") -> bool:
    """Serve once in a child process that kills itself at call number `at`; return whether it did."""

    def serve() -> None:
        with serving() as running:
            running.run_once(lambda _: None)

    return killed_at(at, serve, WRITING_STEPS)


def shown(outbox: Path) -> dict[str, str]:
    """Return everything but the service's own files and the log, whose times differ."""
    return {
        name: digest
        for name, digest in contents(outbox).items()
        if not name.startswith(".serve/") and name != "serve.jsonl"
    }


def told(outbox: Path) -> list[tuple[object, ...]]:
    lines = [line for line in read_json_lines(outbox / "serve.jsonl") if isinstance(line, dict)]
    return sorted((str(x["study"]), x["version"], x["attempt"], x["state"]) for x in lines)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_killed_anywhere_the_next_run_brings_everything_to_its_end(
    serving: "Serving", inbox: Path, outbox: Path, stride: int
) -> None:
    for study in (1, 13):
        drop(inbox / str(study), study=study)
    kept = contents(inbox)
    with serving() as running:
        running.run_once(lambda _: None)
    expected, lines = shown(outbox), told(outbox)
    assert len(lines) == 2
    at, kills = 1 - stride, 0
    while True:
        at += stride
        for path in sorted(outbox.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if not run_killed_at(at, serving):
            break
        kills += 1
        visible = {name.partition("/")[0] for name in shown(outbox)}
        assert all(
            {n: d for n, d in shown(outbox).items() if n.startswith(f"{name}/")}
            == {n: d for n, d in expected.items() if n.startswith(f"{name}/")}
            for name in visible
            if name.startswith("study-")
        ), at
        with serving() as running:
            running.run_once(lambda _: None)
            assert running.run_once(lambda _: None) == []
        assert shown(outbox) == expected, at
        assert told(outbox) == lines, at
        assert not [*(outbox / ".serve" / "work").iterdir(), *(outbox / ".serve" / "queue").iterdir()], at
    assert kills > 80 // stride
    assert contents(inbox) == kept
