"""The same work for many patients: one bad patient never stops the others."""

import errno
import os
import resource
import signal
from collections.abc import Callable

import pytest

from lymphct.core.errors import EnvironmentProblemError, InputError, LymphctError
from lymphct.io.processes import Outcome, map_patients


def make_work() -> Callable[[str], str]:
    """Return the function of these tests; made inside a function, it travels to the processes by value."""

    def work(item: str) -> str:
        if item == "bad input":
            message = "gzip stream ends early"
            raise InputError(message, code="E_TRUNCATED", cure="copy it").at(patient="case7", file="a.nii.gz")
        if item == "bug":
            return {"a": "b"}["John Doe"]
        if item == "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if item == "memory":
            raise MemoryError
        if item == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "threads":
            return os.environ.get("OMP_NUM_THREADS", "")
        if item == "limit":
            return str(resource.getrlimit(resource.RLIMIT_AS))
        if item == "large":
            return str(len(bytearray(2**34)))
        return item.upper()

    return work


def check_failures(outcomes: list[Outcome[str, str]]) -> None:
    """Check the outcomes of: good, bad input, bug, full disk, memory, good."""
    assert [outcome.item for outcome in outcomes] == FAILING
    good, bad, bug, disk, memory, last = outcomes
    assert (good.result(), last.result()) == ("A", "Z")
    assert isinstance(bad.error, InputError)
    assert str(bad.error) == "case7: a.nii.gz: gzip stream ends early [E_TRUNCATED] - copy it"
    with pytest.raises(InputError, match="gzip stream ends early"):
        bad.result()
    assert type(bug.error) is LymphctError
    assert bug.error.exit_code == 1
    assert bug.error.cause.startswith("unexpected KeyError at test_processes.py:")
    assert "John Doe" not in str(bug.error)
    assert "KeyError: 'John Doe'" in bug.details
    assert isinstance(disk.error, EnvironmentProblemError)
    assert "no space left" in str(disk.error)
    assert isinstance(memory.error, EnvironmentProblemError)
    assert "out of memory" in str(memory.error)


FAILING = ["a", "bad input", "bug", "full disk", "memory", "z"]


def test_in_one_process_failures_become_values_in_order() -> None:
    check_failures(list(map_patients(make_work(), FAILING)))


def test_in_processes_the_outcomes_are_the_same() -> None:
    check_failures(list(map_patients(make_work(), FAILING, jobs=2)))


def test_outcomes_are_known_as_soon_as_they_are_made() -> None:
    done: list[int] = []
    outcomes = map_patients(done.append, [1, 2, 3])
    assert next(outcomes).item == 1
    assert done == [1]


def test_a_killed_worker_costs_its_own_patient_only() -> None:
    outcomes = list(map_patients(make_work(), ["a", "killed", "b", "c"], jobs=2))
    assert [outcome.value for outcome in outcomes] == ["A", None, "B", "C"]
    assert isinstance(outcomes[1].error, EnvironmentProblemError)
    assert "its process was killed, probably for lack of memory" in str(outcomes[1].error)


def test_workers_use_one_thread_and_their_memory_is_limited() -> None:
    outcomes = list(map_patients(make_work(), ["threads", "large"], jobs=2, memory=2**33))
    assert outcomes[0].value == "1"
    assert isinstance(outcomes[1].error, EnvironmentProblemError)
    assert "out of memory" in str(outcomes[1].error)
    after = list(map_patients(make_work(), ["limit", "limit"], jobs=2))
    assert {outcome.value for outcome in after} == {make_work()("limit")}


def test_without_patients_nothing_is_started() -> None:
    assert list(map_patients(make_work(), [], jobs=2)) == []


def test_an_interruption_is_not_swallowed() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_patients(interrupt, [1, 2]))
