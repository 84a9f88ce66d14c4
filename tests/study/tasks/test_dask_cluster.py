"""The tasks of a study on a dask cluster."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.study.tasks.test_workers import digests
from tests.study.tasks.toy_study import lay_study, open_toy

from lymphct.core.errors import CohortPartlyFailedError, EnvironmentProblemError
from lymphct.study.tasks.dask_cluster import run_on_dask
from lymphct.study.tasks.workers import Hands, run_here


def test_a_cluster_of_workers_makes_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    expected = lay_study(tmp_path / "here", chains=3)
    run_here(expected, open_toy, Hands(devices=("cpu",)))
    run = lay_study(tmp_path / "dask", chains=3, bad="walk.1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", resources={"GPU": 1}
    ) as cluster:
        with pytest.raises(CohortPartlyFailedError, match=r"1 of 7 tasks failed and 1 are left"):
            run_on_dask(run, open_toy, cluster.scheduler_address, ("cpu",))
        lay_study(run, chains=3)
        told: list[str] = []
        run_on_dask(run, open_toy, cluster.scheduler_address, ("cpu",), lambda name, _: told.append(name))
    assert sorted(told) == ["total", "walk.1"]
    assert digests(run) == digests(expected)


def test_workers_that_are_killed_change_no_byte(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    expected = lay_study(tmp_path / "here", chains=4)
    run_here(expected, open_toy, Hands(devices=("cpu",)))
    run = lay_study(tmp_path / "dask", chains=4, pause=0.1)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address

        def kill() -> None:
            for _ in range(2):
                time.sleep(1.0)
                with suppress(OSError, KeyError, AttributeError):  # between two lives
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with suppress(CohortPartlyFailedError):
            run_on_dask(run, open_toy, address, ("cpu",))
        killer.join()
        run_on_dask(run, open_toy, address, ("cpu",))
    assert digests(run) == digests(expected)


def test_nobody_at_the_address_is_said(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    run = lay_study(tmp_path)
    with pytest.raises(EnvironmentProblemError, match="no dask scheduler answers at nowhere"):
        run_on_dask(run, open_toy, "nowhere", ("cpu",))


def test_without_dask_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    run = lay_study(tmp_path)
    with pytest.raises(EnvironmentProblemError, match=r"dask is not installed .*lymphct.cluster"):
        run_on_dask(run, open_toy, "tcp://127.0.0.1:8786", ("cpu",))
