"""Time the matching of instances by IoU against loops over masks and, in its own environment, panoptica.

`python benchmarks/matching.py [--shape 512 512 300] [--runs 5] [--json FILE] [--panoptica PYTHON]`: sixty
nodes, most found a little displaced. PYTHON is an interpreter that has panoptica (`pip install panoptica` in
a fresh environment; it demands other versions than ours); without it that row is left out.
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.label_maps import nodes
from benchmarks.side_by_side import Method, Timing, compare, finish, parser

from lymphct.core.arrays import LabelArray
from lymphct.evaluation.detection import match_instances

IOU = 0.3


def ours(prediction: LabelArray, truth: LabelArray) -> set[tuple[int, int]]:
    """Match by joint histogram."""
    return {(pair.prediction, pair.truth) for pair in match_instances(prediction, truth, iou=IOU).pairs}


def by_loops(prediction: LabelArray, truth: LabelArray) -> set[tuple[int, int]]:
    """Match as loops do: a mask per node inside its box, IoU with each node it touches, best first."""
    sizes = np.bincount(prediction.reshape(-1))
    found = []
    for label, box in enumerate(ndimage.find_objects(truth), start=1):
        if box is None:
            continue
        mask = truth[box] == label
        for other in np.unique(prediction[box][mask]):
            both = int(((prediction[box] == other) & mask).sum())
            iou = both / (int(sizes[other]) + int(mask.sum()) - both)
            if other and iou >= IOU:
                found.append((iou, int(other), label))
    pairs: set[tuple[int, int]] = set()
    for _, p, t in sorted(found, reverse=True):
        if all(p != q and t != u for q, u in pairs):
            pairs.add((p, t))
    return pairs


def by_panoptica(prediction: LabelArray, truth: LabelArray, python: str, runs: int) -> list[Timing]:
    """Run panoptica on the same maps; its counts and mean IoU must be ours."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "prediction.npy", prediction)
        np.save(Path(folder) / "truth.npy", truth)
        script = Path(__file__).with_name("panoptica_matching.py")
        done = subprocess.run(
            [python, str(script), folder, str(runs)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"panoptica did not run: {done.stderr[-500:]}")
    record = json.loads(done.stderr[done.stderr.index('{"match"') :])
    matches = match_instances(prediction, truth, iou=IOU, rule="greedy")
    mean = float(np.mean([pair.iou for pair in matches.pairs]))
    expected = [matches.true_positives, matches.false_positives, matches.false_negatives, mean]
    error = float(np.abs(np.subtract(record["found"], expected)).max())
    if not error <= 1e-6:
        sys.exit(f"panoptica found {record['found']}, ours {expected}: nothing is timed")
    return [
        Timing(
            method=f"panoptica, {name}",
            cpu=record[key]["seconds"][0],
            wall=record[key]["seconds"][1],
            extra_mib=record[key]["extra_mib"],
            error=error,
        )
        for key, name in (("match", "matching alone"), ("evaluate", "evaluate"))
    ]


def main() -> None:
    options = parser(__doc__ or "", (512, 512, 300))
    options.add_argument("--panoptica", metavar="PYTHON", help="interpreter that has panoptica")
    chosen = options.parse_args()
    maps = [labels.astype(np.uint16) for labels in nodes(tuple(chosen.shape), np.random.default_rng(0))]
    expected = ours(*maps)
    methods = [
        Method(name="lymphct", compute=partial(ours, *maps)),
        Method(
            name="loops over boxes",
            compute=partial(by_loops, *maps),
            error=lambda found: float(len(found ^ expected)),
        ),
    ]
    title = f"matching of 60 nodes, IoU {IOU}, {chosen.shape} voxels"
    table = compare(title, methods, chosen.runs, shape=chosen.shape)
    if chosen.panoptica:
        table.rows.extend(by_panoptica(maps[0], maps[1], chosen.panoptica, chosen.runs))
    finish([table], chosen.json)


if __name__ == "__main__":
    main()
