"""The same work for many patients, in turn or in processes; a bad patient never stops the others."""

import logging
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from lymphct.core.errors import EnvironmentProblemError, LymphctError
from lymphct.core.system import limited_memory
from lymphct.io.in_time import Lost, in_time
from lymphct.io.results.disk import environment_errors
from lymphct.io.threads import threads_of_each

logger = logging.getLogger(__name__)

# Where psutil is installed, loky replaces workers that grew by 300 MB, as any that loads networks does.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Value]):
    """What became of one item.

    Attributes:
        item: the item.
        value: what the function returned; None when it failed.
        error: why it failed; None when it did not. An error that is no `LymphctError` is a bug of ours and
            arrives as a plain `LymphctError` (exit code 1) that names its type and place.
        details: the traceback of a failure, for `--debug` only: it may hold text from files.

    """

    item: Item
    value: Value | None = None
    error: LymphctError | None = None
    details: str = ""

    def result(self) -> Value:
        """Return the value.

        Raises:
            LymphctError: the work failed; the recorded error.

        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value] # without an error the value is what the function returned


def map_patients(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    memory: int | None = None,
    seconds: float | None = None,
) -> Iterator[Outcome[Item, Value]]:
    """Yield the outcome of `function` for each item, in the order of the items, as soon as it is known.

    With one job and no limit of time the work is done in this process. Otherwise it is done in worker
    processes, which share the threads for numerics; one that is killed (usually for lack of memory) costs its
    own item only, and so does one that takes too long.

    Args:
        function: called with each item; sees no state of this process when there is more than one job.
        items: the patients.
        jobs: how many to work on at the same time.
        memory: address space a worker may use, bytes; None = no limit. Has no effect with one job, nor on
            Windows.
        seconds: by the clock, for one item; then its worker is killed with all it started (`E_TIMEOUT`).
            None = no limit.

    """
    waiting = list(items)
    if seconds is not None:
        yield from _in_time(function, waiting, (jobs, memory), seconds)
        return
    if jobs == 1:
        for item in waiting:
            yield _attempt(function, item)
        return
    while waiting:
        try:
            for outcome in _in_processes(function, waiting, jobs, memory):
                del waiting[0]
                yield outcome
        except TerminatedWorkerError:
            # Nobody knows which of the items under way it was: the first runs alone, then the rest.
            yield _alone(function, waiting.pop(0), memory)


def _in_processes(
    function: Callable[[Item], Value], items: list[Item], jobs: int, memory: int | None
) -> Iterator[Outcome[Item, Value]]:
    calls = [joblib.delayed(_attempt_limited)(function, item, memory) for item in items]
    with joblib.parallel_config(backend="loky", inner_max_num_threads=threads_of_each(jobs)):
        # Few calls ahead: after the loss of a worker what was under way is done again.
        outcomes = joblib.Parallel(n_jobs=jobs, return_as="generator", pre_dispatch=jobs, batch_size=1)(calls)
    try:
        for outcome in outcomes:  # noqa: UP028 - `yield from` would close it before the filter below
            yield outcome
    finally:
        # Whoever leaves early wants no more: joblib would advise him to adjust its iterator.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()


def _alone(function: Callable[[Item], Value], item: Item, memory: int | None) -> Outcome[Item, Value]:
    try:
        return next(_in_processes(function, [item], 2, memory))
    except TerminatedWorkerError:
        return Outcome(item, error=_killed())


def _killed() -> LymphctError:
    msg = "its process was killed, probably for lack of memory"
    return EnvironmentProblemError(msg, code="E_MEMORY", cure="use fewer jobs")


def _in_time(
    function: Callable[[Item], Value], items: list[Item], team: tuple[int, int | None], seconds: float
) -> Iterator[Outcome[Item, Value]]:
    jobs, memory = team
    work = partial(_attempt_limited, function, memory=memory)
    hands = (jobs, threads_of_each(jobs))
    for item, found in zip(items, in_time(work, items, hands=hands, seconds=seconds), strict=True):
        if found is Lost.KILLED:
            yield Outcome(item, error=_killed())
        elif found is Lost.LATE:
            msg = f"stopped after {seconds:g} s, the limit of one patient"
            cure = "look at its images, or allow more time"
            yield Outcome(item, error=EnvironmentProblemError(msg, code="E_TIMEOUT", cure=cure))
        else:
            yield found


def _attempt_limited(
    function: Callable[[Item], Value], item: Item, memory: int | None
) -> Outcome[Item, Value]:
    if memory is None:
        return _attempt(function, item)
    with limited_memory(memory):  # the process goes on to other work
        return _attempt(function, item)


def _attempt(function: Callable[[Item], Value], item: Item) -> Outcome[Item, Value]:
    try:
        with environment_errors():
            return Outcome(item, value=function(item))
    except LymphctError as error:
        return Outcome(item, error=error, details=traceback.format_exc())
    except Exception as bug:  # noqa: BLE001 - recorded as a bug of this item; the other patients go on
        return Outcome(item, error=_recorded(bug), details=traceback.format_exc())


def _recorded(bug: Exception) -> LymphctError:
    """Name the type and the place of an unforeseen error; its text stays out, it may quote a file."""
    frames = traceback.extract_tb(bug.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    cure = "run it with --debug and report it"
    return LymphctError(f"unexpected {type(bug).__name__}{place}", cure=cure)
