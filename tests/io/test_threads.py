"""Numerics use the processors a process may use, and waiting threads sleep."""

import os
import subprocess
import sys

import joblib
import pytest
import torch

from lymphct.io.threads import COUNTS, settle_threads, threads_of_each, usable_threads


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COUNTS, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards, whatever a test makes of it
        monkeypatch.delenv(name)


def test_as_many_as_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    settle_threads(None)
    assert {os.environ[name] for name in COUNTS} == {"3"}
    assert usable_threads() == 3


def test_what_the_users_environment_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    settle_threads(None)
    assert usable_threads() == 5
    assert os.environ["MKL_NUM_THREADS"] == "5"
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_number_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before = torch.get_num_threads()
    try:
        settle_threads(2)
        assert torch.get_num_threads() == 2  # loaded already
    finally:
        torch.set_num_threads(before)
    assert usable_threads() == 2


@pytest.mark.parametrize("text", ["", "0", "many", "4,2"])
def test_nonsense_in_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert usable_threads() == 3


def test_processes_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [threads_of_each(jobs) for jobs in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_waiting_threads_sleep_in_every_command() -> None:
    code = (
        "import os, sys\n"
        "from lymphct.cli.main import run\n"
        "sys.argv = ['lymphct', 'config', 'show', '--threads', '1']\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        "import torch\n"
        "print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 PASSIVE"
