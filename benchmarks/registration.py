"""Measure DEEDS on pairs of a real CT with a known deformation: seconds, memory, errors.

`python benchmarks/registration.py --pair-script make_pair.py --ct ct.nii.gz --seg seg.nii.gz --z0 82 [--seeds
0 1 2 3 4] [--json FILE]`. The script makes fixed.nii.gz, moving.nii.gz, seg_fixed.nii.gz, seg_moving.nii.gz,
body_fixed.nii.gz and u_true.npy (3, i, j, k; voxels, pull-back) of a seed; nothing is downloaded. Beside ours
run the program of the authors, if DEEDS_BIN names it, and convexAdam, if it is installed. Every method has a
process of its own for every seed, compiled or loaded before its time starts. The table shows medians over the
seeds; ratio = CPU seconds over ours. Below it stand the processor and the instructions it used;
`--without-avx512` compiles ours as for a processor with AVX2 alone. `--command` times `lymphct register` as a
whole. `--compile` measures in addition what the first run of all costs.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy.ndimage import binary_erosion, map_coordinates

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.instruction_sets import OPTION, WithoutAvx512
from benchmarks.side_by_side import where, write_record

from lymphct.core.arrays import AnyArray, BoolArray, FloatArray
from lymphct.registration.deeds import ControlField, deeds
from lymphct.registration.deeds_settings import DeedsSettings
from lymphct.registration.field import dense, jacobian_determinant

OURS = "lymphct"
ORIGINAL = "DEEDS, original"
CONVEXADAM = "convexAdam"
NOTHING = "none"
CUT = 30.0
"""mm below the upper end of the image, where organs are cut and have no counterpart."""
COLUMNS = {
    "cpu": "CPU s",
    "wall": "wall s",
    "peak_mib": "MiB",
    "body_mean": "body",
    "body_p95": "p95",
    "organ_mean": "organ",
    "organ_inner_mean": "inner",
    "dice": "Dice",
    "folded_percent": "fold %",
    "least_jacobian": "min J",
}

PROGRAM = "from lymphct.cli.main import run; run()"

Found = tuple[FloatArray, ControlField | None]
"""Displacement of every voxel, and of the control points where there are any."""


def by_ours(fixed: FloatArray, moving: FloatArray, threads: int) -> Found:
    """Register with the defaults."""
    field = deeds(fixed, moving, threads=threads).forward
    return dense(field, volume_shape(fixed), threads=threads), field


def by_original(fixed: FloatArray, moving: FloatArray, threads: int) -> Found:
    """Call the program of the authors through files."""
    from lymphct.io.deeds_binary import DeedsBinary  # noqa: PLC0415 - its rooms would count as our memory

    settings = DeedsSettings()
    nodes = DeedsBinary.from_environment(threads=threads)(fixed, moving, settings)
    field = ControlField(nodes, settings.grid_spacing[-1])
    return dense(field, volume_shape(fixed)), field


def by_convexadam(fixed: FloatArray, moving: FloatArray, threads: int) -> Found:
    """Run convexAdam on the processor."""
    import torch  # noqa: PLC0415 - only the child that needs it pays for it

    from lymphct.registration import convexadam  # noqa: PLC0415 - the same

    torch.set_num_threads(threads)
    return convexadam.solve(fixed, moving), None


def by_nothing(fixed: FloatArray, moving: FloatArray, threads: int) -> Found:
    """Leave the moving image where it is."""
    del moving, threads
    return np.zeros((3, *fixed.shape), dtype=np.float32), None


METHODS: dict[str, Callable[[FloatArray, FloatArray, int], Found]] = {
    NOTHING: by_nothing,
    OURS: by_ours,
    ORIGINAL: by_original,
    CONVEXADAM: by_convexadam,
}


def volume_shape(image: AnyArray) -> tuple[int, int, int]:
    return image.shape[0], image.shape[1], image.shape[2]


def read(folder: Path, name: str) -> AnyArray:
    image: Any = nibabel.load(folder / f"{name}.nii.gz")
    return np.asarray(image.dataobj)


def measure(method: str, folder: Path, threads: int) -> dict[str, float]:
    """Time one method on one pair and score what it finds; runs in a process of its own."""
    fixed, moving = (read(folder, name).astype(np.float32) for name in ("fixed", "moving"))
    work = METHODS[method]
    if method != ORIGINAL:
        middle = tuple(slice(n // 2 - 24, n // 2 + 24) for n in fixed.shape)
        work(fixed[middle].copy(), moving[middle].copy(), threads)  # compiles, or loads the library
    cpu, wall = cpu_seconds(), time.perf_counter()
    found, field = work(fixed, moving, threads)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"cpu": cpu, "wall": wall, "peak_mib": peak / 1024, **score(found, field, folder)}


def cpu_seconds() -> float:
    """Return the seconds of this process and of the ones it waited for."""
    return sum(os.times()[:4])


def score(found: FloatArray, field: ControlField | None, folder: Path) -> dict[str, float]:
    """Compare with the true field: mm, Dice, folding."""
    image: Any = nibabel.load(folder / "fixed.nii.gz")
    spacing = float(image.header.get_zooms()[0])
    truth, labels = np.load(folder / "u_true.npy"), read(folder, "seg_fixed")
    error = np.linalg.norm(found - truth, axis=0) * spacing
    body = binary_erosion(read(folder, "body_fixed") > 0, iterations=2)
    organs = np.isin(labels, organ_labels(labels))
    inner = organs.copy()
    inner[:, :, -round(CUT / spacing) :] = False
    volumes = [jacobian_determinant(found)]
    if field is not None:
        volumes.append(jacobian_determinant(field.displacement / np.float32(field.spacing)))
    return {
        "body_mean": float(error[body].mean()),
        "body_p95": float(np.percentile(error[body], 95)),
        "organ_mean": mean_or_nan(error, organs),
        "organ_inner_mean": mean_or_nan(error, inner),
        "dice": mean_dice(labels, carried(read(folder, "seg_moving"), found)),
        "folded_percent": max(100.0 * float((volume <= 0).mean()) for volume in volumes),
        "least_jacobian": min(float(volume.min()) for volume in volumes),
    }


def organ_labels(labels: AnyArray) -> list[int]:
    """Abdominal organs and vessels among the numbers of TotalSegmentator."""
    wanted = (*range(1, 10), 19, 20, 52, 63, 64)
    return [label for label in wanted if (labels == label).any()]


def mean_or_nan(error: AnyArray, where: BoolArray) -> float:
    return float(error[where].mean()) if where.any() else float("nan")


def carried(labels: AnyArray, displacement: FloatArray) -> AnyArray:
    at = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in labels.shape], indexing="ij"))
    at += displacement
    moved: AnyArray = map_coordinates(labels, at, order=0, mode="nearest")
    return moved


def mean_dice(truth: AnyArray, found: AnyArray) -> float:
    scores = []
    for label in organ_labels(truth):
        one, other = truth == label, found == label
        both = int(one.sum()) + int(other.sum())
        if both > 200:
            scores.append(2 * int((one & other).sum()) / both)
    return statistics.mean(scores) if scores else float("nan")


def in_child(*arguments: str, **environment: str) -> dict[str, float]:
    """Run this script for one measurement and read what it prints last."""
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**limits, **os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def make_pair(options: argparse.Namespace, seed: int, folder: Path) -> Path:
    target = folder / f"seed{seed}"
    arguments = ["--ct", options.ct, "--out", target, "--seed", seed, "--spacing", options.spacing]
    if options.seg is not None:
        arguments += ["--seg", options.seg, "--z0", options.z0]
    command = [sys.executable, options.pair_script, *arguments]
    subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, check=True)
    return target


def available() -> list[str]:
    methods = [NOTHING, OURS]
    if os.environ.get("DEEDS_BIN"):
        methods.append(ORIGINAL)
    if importlib.util.find_spec("convexAdam") is not None:
        methods.append(CONVEXADAM)
    return methods


def first_run_seconds(pair: Path) -> dict[str, float]:
    """CPU seconds of a whole process with an empty compile cache, and of the next one."""
    with tempfile.TemporaryDirectory() as cache:
        arguments = ("--child", OURS, "--pair", str(pair), "--start-only")
        first, second = (in_child(*arguments, NUMBA_CACHE_DIR=cache)["cpu"] for _ in range(2))
    return {"first_start_cpu": first, "later_start_cpu": second}


def command_seconds(pair: Path, threads: int, runs: int = 3) -> float:
    """CPU seconds of `lymphct register` on a pair: reading, registering, measuring, writing; median."""
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        for run in range(runs + 1):  # the first one compiles
            words = ["--jobs", str(threads), "register", "--out", str(Path(name) / str(run))]
            words += ["--fixed", str(pair / "fixed.nii.gz"), "--moving", str(pair / "moving.nii.gz")]
            before = cpu_seconds()
            subprocess.run([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL, check=True)
            seconds.append(cpu_seconds() - before)
    return statistics.median(seconds[1:])


def start_only() -> dict[str, float]:
    """Register a small array, which compiles all there is to compile."""
    image = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    before = cpu_seconds()
    deeds(image, image)
    return {"cpu": cpu_seconds() - before}


def print_table(rows: dict[str, dict[str, float]]) -> None:
    print(f"{'median of seeds':<18}" + "".join(f"{name:>9}" for name in COLUMNS.values()) + f"{'ratio':>8}")
    for method, row in rows.items():
        ratio = row["cpu"] / rows[OURS]["cpu"]
        numbers = "".join(
            f"{row[key]:>9.{1 if key in {'cpu', 'wall', 'peak_mib'} else 4}f}" for key in COLUMNS
        )
        print(f"{method:<18}{numbers}{ratio:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair-script", type=Path)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--seg", type=Path)
    parser.add_argument("--z0", type=int, default=0, help="first slice that the segmentation covers")
    parser.add_argument("--spacing", type=float, default=2.0, help="mm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="measure the first run of all, too")
    parser.add_argument("--command", action="store_true", help="time the whole command, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument(OPTION, action=WithoutAvx512)
    for name in ("--child", "--pair"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--start-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        small = options.start_only
        numbers = start_only() if small else measure(options.child, Path(options.pair), options.threads)
        print(json.dumps(numbers))
        return
    if options.pair_script is None or options.ct is None:
        parser.error("--pair-script and --ct are needed")
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in available()}
    with tempfile.TemporaryDirectory() as name:
        for seed in options.seeds:
            pair = make_pair(options, seed, Path(name))
            for method, results in runs.items():
                arguments = ("--child", method, "--pair", str(pair), "--threads", str(options.threads))
                results.append(in_child(*arguments))
                print(f"seed {seed}, {method}: {results[-1]['cpu']:.1f} CPU s", file=sys.stderr)
        whole = command_seconds(pair, options.threads) if options.command else None
        started = first_run_seconds(pair) if options.compile else {}
    medians = {
        method: {key: statistics.median(run[key] for run in results) for key in COLUMNS}
        for method, results in runs.items()
    }
    print_table(medians)
    print(where())
    if whole is not None:
        print(
            f"CPU s of lymphct register {whole:.1f}, "
            f"{whole / medians[OURS]['cpu']:.2f} times the registration alone"
        )
    if started:
        print(
            "CPU s of the first start {first_start_cpu:.1f}, of a later one {later_start_cpu:.1f}".format(
                **started
            )
        )
    if options.json:
        write_record(
            options.json,
            seeds=options.seeds,
            spacing=options.spacing,
            runs=runs,
            medians=medians,
            command_cpu=whole,
            **started,
        )


if __name__ == "__main__":
    main()
