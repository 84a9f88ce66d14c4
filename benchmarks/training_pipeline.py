"""Share of a training's time in which its network waits for data.

`python benchmarks/training_pipeline.py --store FOLDER [--patients 4] [--iterations 60] [--wait 0.15]
[--threads 2] [--finish cpu device] [--json FILE]`: the network is a wait of so many seconds per iteration,
which takes no processor, as a step on a GPU does. Batches of two two-phase patches of 160×192×80 voxels with
labels and attention are read from the store of `training_store.py` and augmented by the threads. `cpu`
finishes the patches; `device` leaves the images as they were read, to be finished where the network is. The
goal is 5 % at most on two cores. CPU seconds per iteration and the load of the machine are said beside.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record
from benchmarks.training_store import scale_store

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.learned import Learned
from lymphct.cascade.settings import Config
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.patches import PatchSampler
from lymphct.learning.prefetching import prefetched

WARM = 4
"""Iterations that are not counted: compiled loops are loaded, the queue fills."""


def waited(batch: Callable[[int], object], given: argparse.Namespace) -> dict[str, Any]:
    """Return seconds of waiting, of all, and of the processor over the counted iterations."""
    batches = prefetched(batch, range(WARM + given.iterations), given.threads)
    waiting = 0.0
    for number in range(WARM + given.iterations):
        if number == WARM:
            waiting, began, used = 0.0, time.perf_counter(), time.process_time()
        start = time.perf_counter()
        next(batches)
        waiting += time.perf_counter() - start
        time.sleep(given.wait)
    total = time.perf_counter() - began
    return {
        "share": waiting / total,
        "iteration": total / given.iterations,
        "cpu": (time.process_time() - used) / given.iterations,
    }


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--store", type=Path, required=True, help="folder of the patients")
    options.add_argument("--patients", type=int, default=4)
    options.add_argument("--iterations", type=int, default=60)
    options.add_argument("--wait", type=float, default=0.15, help="seconds of the step on a GPU")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--finish", nargs="+", default=["cpu", "device"], choices=["cpu", "device"])
    options.add_argument("--json", type=Path, help="file for the numbers")
    given = options.parse_args()
    torch.set_num_threads(1)
    config = Config()
    learned = Learned(intensity=dict.fromkeys(Phase, DEFAULT_INTENSITY), bands=PAPER_BANDS)
    cohort = scale_store(given.store, given.patients)
    material = Material(patients=cohort, learned=learned, config=config)
    cases = segmentation_cases(material, list(cohort), StageName.NODES)
    patches = config.nodes.sampling.batch_size
    rows = {}
    print(
        f"{'finished on':<14}{'waiting':>10}{'s/iteration':>14}{'CPU s':>9}   load {os.getloadavg()[0]:.1f}"
    )
    for where in given.finish:
        sampler = PatchSampler(cases, config.nodes.sampling, config.nodes.augmentation, 0)
        rows[where] = waited(sampler.batch if where == "cpu" else sampler.raw_batch, given)
        found = rows[where]
        share = f"{100 * found['share']:.1f} %"
        print(f"{where:<14}{share:>10}{found['iteration']:>14.3f}{found['cpu']:>9.3f}", flush=True)
    if given.json is not None:
        write_record(given.json, threads=given.threads, wait=given.wait, patches=patches, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
