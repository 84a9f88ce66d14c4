"""Looks at every series that may be a phase, each in a process of its own; what was seen is kept."""

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.series_worker import SeriesWorker
from lymphct.io.images.limits import LookLimits
from lymphct.io.results.fingerprints import code_version
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.patients.exports.grouping import Series
from lymphct.patients.exports.phases import Judged, judged, refused

LOOKS_FOLDER: Final = "looks"
CODE: Final = "io.images.dicom.series_child"
"""Module whose code decides what is seen in a series."""
_PASSING: Final = ("E_LIMITS", "E_MEMORY", "E_BUG")
"""Refusals that another run may not meet."""


class Workers:
    """Child processes that are lent to threads, one each."""

    def __init__(self, workers: Iterable[SeriesWorker]) -> None:
        self._free: queue.SimpleQueue[SeriesWorker] = queue.SimpleQueue()
        for worker in workers:
            self._free.put(worker)

    @contextmanager
    def one(self) -> Iterator[SeriesWorker]:
        """Lend a process until the block ends."""
        worker = self._free.get()
        try:
            yield worker
        finally:
            self._free.put(worker)


@contextmanager
def workers(jobs: int, limits: LookLimits | None = None) -> Iterator[tuple[Workers, ThreadPoolExecutor]]:
    """Yield child processes, and threads that wait for them; all end with the block."""
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(jobs)
        # Where the block is left early nothing more begins, what runs is killed, and its threads end.
        stack.callback(pool.shutdown, wait=True)
        started = [stack.enter_context(SeriesWorker(limits)) for _ in range(jobs)]
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        yield Workers(started), pool


def looked_at(
    series: Sequence[Series],
    out: Path,
    crew: tuple[Workers, ThreadPoolExecutor],
    *,
    resample: bool = False,
    watched: Callable[[int], object] | None = None,
) -> list[Judged]:
    """Judge series; what was seen of those that did not change since is not looked at again.

    Args:
        series: all of them; those with a reason against them are not opened.
        out: folder of the cohort, where what was seen is kept.
        crew: processes and threads.
        resample: accept tilted and uneven stacks.
        watched: called with 1 after each.

    """
    lent, pool = crew

    def judge(one: Series) -> Judged:
        if one.reason:
            found = refused(one, one.reason, is_lost=one.is_lost)
        else:
            found = _judged(one, out, lent, resample)
        if watched is not None:
            watched(1)
        return found

    return list(pool.map(judge, series))


def _judged(series: Series, out: Path, lent: Workers, resample: bool) -> Judged:  # noqa: FBT001 - passed through
    kept = out / LOOKS_FOLDER / f"{series.key}.json"
    origin = [series.stamp, resample, code_version(CODE)]
    record = _kept(kept, origin)
    if record is None:
        try:
            with lent.one() as worker:
                record = {
                    "of": origin,
                    "look": dict(worker.look(series.files, stack=series.tags.stack, resample=resample)),
                }
        except InputError as error:
            record = {"of": origin, "refused": [error.cause, error.code]}
        if record.get("refused", ("", ""))[1] not in _PASSING:
            write_json(kept, record)
    if "refused" in record:
        cause, code = record["refused"]
        # What is too small or too short for an abdomen is none; all else may be one that is damaged.
        return refused(series, f"{cause} [{code}]", is_lost=code != "E_ANATOMY")
    return judged(series, record["look"])


def _kept(path: Path, origin: list[Any]) -> dict[str, Any] | None:
    try:
        record: Any = read_json(path)
    except InputError:
        return None
    return record if isinstance(record, dict) and record.get("of") == origin else None
