"""The end of a study: its predictions, tables and report where people look for them."""

from pathlib import Path

from lymphct.io.results.disk import replace_file
from lymphct.io.results.store import DONE_FILE, TIMINGS_FILE
from lymphct.study.nested.building import MASKS, PREDICTIONS, REPORT, TABLES
from lymphct.study.tasks.board import TASKS


def published(run: Path) -> tuple[Path, ...]:
    """Copy the results of the last tasks into the folder of the study; return the files.

    Files that are the same already are left alone.
    """
    found = []
    for task, place in ((PREDICTIONS, run), (TABLES, run / TABLES), (MASKS, run / TABLES), (REPORT, run)):
        folder = run / TASKS / task
        for file in sorted(folder.rglob("*")):
            if file.is_dir() or file.name in {DONE_FILE, TIMINGS_FILE}:
                continue
            target = place / file.relative_to(folder)
            content = file.read_bytes()
            if not target.exists() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(target, content)
            found.append(target)
    return tuple(found)
