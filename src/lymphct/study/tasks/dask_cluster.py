"""The tasks of a study on a dask cluster that is running, whose workers share the disk (extra `cluster`)."""

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lymphct.core.errors import EnvironmentProblemError, LymphctError
from lymphct.study.tasks.board import Board, Open, State
from lymphct.study.tasks.workers import Told, do_task, require_finished

logger = logging.getLogger(__name__)

GPU = "GPU"
"""Resource that a worker names (`dask worker --resources GPU=1`) to be given tasks that run networks."""


def run_on_dask(
    run: Path, open_study: Open, address: str, devices: Sequence[str], told: Told | None = None
) -> None:
    """Do every task that is left on the workers of a cluster; what failed before is tried again.

    Where workers name GPUs, networks run on those workers alone, one task for each GPU they name. A worker
    that is lost costs what its tasks had not kept; the scheduler gives them to others.

    Args:
        run: folder of the study, under the same path on every worker.
        open_study: says what the tasks mean.
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        devices: on which networks run on each worker.
        told: is told of each task that comes to an end.

    Raises:
        EnvironmentProblemError: dask is not installed, or nobody answers at the address.
        CohortPartlyFailedError: tasks failed; the others are done.

    """
    board = Board(run, open_study(run))
    board.forget_failures()
    left = [task for name, task in board.graph.items() if not board.is_done(name)]
    client, as_completed = _connected(address)
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpus = any(GPU in worker.get("resources", {}) for worker in workers)
        futures: dict[str, Any] = {}
        for task in left:
            futures[task.id] = client.submit(
                _remotely,
                open_study,
                str(run.absolute()),
                task.id,
                tuple(devices),
                [futures[name] for name in task.after if name in futures],
                pure=False,
                resources={GPU: 1} if has_gpus and task.needs_device else None,
            )
        names = {future.key: name for name, future in futures.items()}
        for future in as_completed(futures.values()):
            if future.status != "finished":
                logger.debug("%s: %s", names[future.key], future.exception())
            if told is not None:
                told(names[future.key], State.DONE if future.status == "finished" else State.FAILED)
    require_finished(Board(run, board.work))


def _connected(address: str) -> tuple[Any, Any]:
    try:
        distributed: Any = import_module("distributed")  # an extra
    except ImportError as missing:
        msg = "dask is not installed"
        cure = 'pip install "lymphct[cluster]"'
        raise EnvironmentProblemError(msg, code="E_EXTRA", cure=cure) from missing
    try:
        return distributed.Client(address, timeout=20), distributed.as_completed
    except (OSError, TimeoutError, ValueError) as refused:
        msg = f"no dask scheduler answers at {address}"
        cure = "start one (dask scheduler), or check the address"
        raise EnvironmentProblemError(msg, code="E_CLUSTER", cure=cure) from refused


def _remotely(open_study: Open, run: str, name: str, devices: Sequence[str], _before: Sequence[str]) -> str:
    """Do a task on a worker; what it comes after is handed in so that the scheduler waits for it."""
    folder = Path(run)
    try:
        do_task(Board(folder, open_study(folder)), name, devices)
    except LymphctError as error:
        # A plain error travels; the line is kept beside the study.
        raise RuntimeError(str(error)) from None
    return name
