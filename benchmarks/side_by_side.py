"""Run methods side by side: equality first, then CPU and wall seconds, ratio, peak memory, JSON.

Only the standard library is used, so that a peer in an environment of its own can be timed in the same way.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

LIBRARIES = (
    "lymphct", "numpy", "scipy", "numba", "torch", "monai", "SimpleITK", "edt", "connected-components-3d",
    "surface-distance", "openvino", "convexAdam",
)  # fmt: skip
"""Whose versions matter for the figures."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of a table.

    Attributes:
        name: of the library and how it is used.
        compute: the work; what it returns is compared and thrown away.
        error: how far a result is from what it should be; None where the method computes something else.
        limit: largest error; beyond it nothing is timed.
        is_slow: it runs once, cold, instead of as often as the others.

    """

    name: str
    compute: Callable[[], Any]
    error: Callable[[Any], float] | None = None
    limit: float = 0.0
    is_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured of a method.

    Attributes:
        method: its name.
        cpu: seconds, median.
        wall: seconds, median.
        extra_mib: largest memory beyond what stood before and, of an array, the result; None off Linux.
        error: of the first run, which is not timed; None where there is nothing to compare with.

    """

    method: str
    cpu: float
    wall: float
    extra_mib: float | None
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """The methods of one task; the first row is ours."""

    title: str
    rows: list[Timing]
    facts: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Return the table for a terminal; ratio = CPU seconds over ours."""
        head = f"{'method':<42}{'CPU s':>9}{'wall s':>9}{'ratio':>8}{'MiB more':>10}{'error':>10}"
        lines = [self.title, head]
        for row in self.rows:
            extra = "-" if row.extra_mib is None else f"{row.extra_mib:.0f}"
            error = "-" if row.error is None else f"{row.error:.1e}"
            ratio = f"{row.cpu / self.rows[0].cpu:.1f}"
            lines.append(f"{row.method:<42}{row.cpu:>9.4f}{row.wall:>9.4f}{ratio:>8}{extra:>10}{error:>10}")
        return "\n".join(lines)


def compare(title: str, methods: Sequence[Method], runs: int, **facts: object) -> Table:
    """Time methods one after another, the first being ours; leave the program when results are not equal."""
    first = [_first_run(method) for method in methods]
    apart = [
        f"{method.name}: error {row.error:.2e} above {method.limit:.0e}"
        for method, row in zip(methods, first, strict=True)
        if row.error is not None and not row.error <= method.limit
    ]
    if apart:
        sys.exit(f"{title}: results differ, nothing is timed: " + "; ".join(apart))
    rows = []
    for method, row in zip(methods, first, strict=True):
        if method.is_slow:
            rows.append(row)
        else:
            cpu, wall = median_seconds(method.compute, runs)
            rows.append(replace(row, cpu=cpu, wall=wall))
    return Table(title=title, rows=rows, facts={"runs": runs, **facts})


def _first_run(method: Method) -> Timing:
    """Warm up, watch the memory and compare."""
    if not method.is_slow:
        method.compute()  # compiles, or reads the compiled code: neither is the method's memory
    _return_memory()
    reset_peak()
    before = memory("VmRSS")
    starts = (time.process_time(), time.perf_counter())
    found = method.compute()
    cpu, wall = time.process_time() - starts[0], time.perf_counter() - starts[1]
    peak = memory("VmHWM")
    extra = None
    if before is not None and peak is not None:
        extra = max(peak - before - getattr(found, "nbytes", 0) / 2**20, 0.0)
    error = None if method.error is None else method.error(found)
    return Timing(method=method.name, cpu=cpu, wall=wall, extra_mib=extra, error=error)


def median_seconds(work: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return median CPU and wall seconds of `runs` runs."""
    cpu, wall = [], []
    for _ in range(runs):
        starts = (time.process_time(), time.perf_counter())
        work()
        cpu.append(time.process_time() - starts[0])
        wall.append(time.perf_counter() - starts[1])
    return (statistics.median(cpu), statistics.median(wall))


def _return_memory() -> None:
    """Give memory back that nothing uses: a method that took it again would seem to need none."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Let the kernel measure the peak of memory anew (Linux; elsewhere memory is not reported)."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")


def memory(entry: str) -> float | None:
    """Return an entry of the process's status, MiB; None off Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024


def parser(description: str, shape: tuple[int, int, int]) -> argparse.ArgumentParser:
    """Return the options all benchmarks share."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--shape", type=int, nargs=3, default=shape, help="voxels along i, j, k")
    options.add_argument("--runs", type=int, default=5, help="timed runs after the first two")
    options.add_argument("--json", type=Path, help="file for the numbers")
    with contextlib.suppress(ImportError):  # an environment of a peer's, without numba
        from benchmarks.instruction_sets import OPTION, WithoutAvx512  # noqa: PLC0415

        options.add_argument(OPTION, action=WithoutAvx512)
    return options


def finish(tables: Sequence[Table], path: Path | None) -> None:
    """Print the tables and write the JSON."""
    print("\n\n".join(table.text() for table in tables))
    print(where())
    if path is not None:
        write_record(path, tables=[asdict(table) for table in tables])


def where() -> str:
    """Return the processor and the instructions that compiled code used, in one line."""
    try:
        from benchmarks.instruction_sets import instruction_set, processor  # noqa: PLC0415 - numba
    except ImportError:
        return platform.machine()
    return f"{processor()}, {instruction_set()}"


def write_record(path: Path, **measured: Any) -> None:  # noqa: ANN401 - whatever a script measures
    """Write what was measured, and on what machine, as JSON."""
    record = {"environment": environment(), **measured}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    """Return what a reader must know of the machine; no names, no paths.

    `load` is the mean number of processes that ran in the last minute, this one included: well above 1, the
    wall seconds are those of a busy machine.
    """
    versions = {}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return {
        "machine": platform.machine(),
        "processor": where(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "libraries": versions,
    }
