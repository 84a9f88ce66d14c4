"""Time a training under other load: iterations of a small network, alone and beside busy processes.

`python benchmarks/threads.py [--iterations 40] [--rounds 3] [--json FILE]`: each row trains in a process
of its own, once with nothing beside it and once beside one busy process for each processor, and tells the
median of the rounds. The threads are those of the library as it comes, one thread, and those of `lymphct`
(`io.threads.settle_threads`: as many as the process may use, and waiting ones sleep). On a machine that does
other work as well the column "alone" is not what it says.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

import torch
from benchmarks.side_by_side import write_record

from lymphct.io.threads import COUNTS, usable_threads
from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import SegmentationNetwork

ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "as many as may run, waiting ones sleep (ours)": {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"},
    "as the library comes": {},
    "one thread": dict.fromkeys(COUNTS, "1"),
}
PATCH: Final = (24, 32, 32)


def iterate(count: int) -> float:
    """Return the wall seconds of a training iteration of the network of preset `phantom_nano`."""
    torch.manual_seed(0)
    strides = ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    network = SegmentationNetwork(2, 20, UNetSettings(features=(8, 16, 32), strides=strides))
    image = torch.randn(2, 2, *PATCH)
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        losses = [logits.square().mean() for logits in network(image, None)]
        torch.autograd.backward(torch.stack(losses).sum())
        optimizer.step()

    for _ in range(3):
        step()
    began = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - began) / count


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def measured(settings: Mapping[str, str], iterations: int) -> float:
    """Run the iterations in a process with this environment."""
    plain = {name: value for name, value in os.environ.items() if name not in COUNTS}
    done = subprocess.run(
        [sys.executable, __file__, "--child", "--iterations", str(iterations)],
        env={**plain, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    """Measure every row in turn, so that what changes meanwhile meets all of them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(iterate(options.iterations))
        return
    times: dict[str, dict[str, list[float]]] = {name: {"alone": [], "beside": []} for name in ROWS}
    for _ in range(options.rounds):
        for load, count in (("alone", 0), ("beside", usable_threads())):
            with busy(count):
                for name, settings in ROWS.items():
                    times[name][load].append(measured(settings, options.iterations))
    rows = [
        {"method": name, **{load: statistics.median(found) for load, found in loads.items()}}
        for name, loads in times.items()
    ]
    print_table(rows)
    if options.json:
        facts = {"processor": platform.processor(), "processors": usable_threads(), "rounds": options.rounds}
        write_record(options.json, rows=rows, facts=facts)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print milliseconds an iteration, and how many times those of the best row."""
    best = {load: min(row[load] for row in rows) for load in ("alone", "beside")}
    print(f"{'threads':<48}{'alone, ms':>10}{'ratio':>7}{'beside, ms':>12}{'ratio':>7}")
    for row in rows:
        cells = "".join(
            f"{1000 * row[load]:>{width}.1f}{row[load] / best[load]:>7.2f}"
            for load, width in (("alone", 10), ("beside", 12))
        )
        print(f"{row['method']:<48}{cells}")


if __name__ == "__main__":
    main()
