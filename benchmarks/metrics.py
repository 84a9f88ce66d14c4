"""Time segmentation scores against MONAI, and instance matching against a loop over masks.

`python benchmarks/metrics.py [--shape 512 512 300] [--runs 5] [--json FILE]`: equality first, then medians of
wall and CPU seconds after a warm-up, and the ratio. Ten organ-like ellipsoids and tubes with wavy errors, and
sixty small instances, generated; nothing is downloaded.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from numba import get_num_threads
from scipy import ndimage

from lymphct.core.arrays import LabelArray, Vector3
from lymphct.evaluation.detection import match_instances
from lymphct.evaluation.segmentation import label_scores

SPACING = (0.68, 0.68, 0.8)
LABELS = tuple(range(1, 11))
# Centre (share of the shape) and radii (share) of ten bodies about as large as the guiding structures.
BODIES = (
    ((0.75, 0.55, 0.55), (0.11, 0.13, 0.17)),
    ((0.52, 0.60, 0.85), (0.02, 0.02, 0.14)),
    ((0.62, 0.35, 0.60), (0.16, 0.10, 0.17)),
    ((0.50, 0.62, 0.45), (0.03, 0.03, 0.44)),
    ((0.50, 0.48, 0.48), (0.16, 0.05, 0.07)),
    ((0.38, 0.48, 0.36), (0.05, 0.06, 0.17)),
    ((0.50, 0.54, 0.30), (0.01, 0.01, 0.20)),
    ((0.60, 0.54, 0.56), (0.10, 0.01, 0.02)),
    ((0.53, 0.45, 0.62), (0.012, 0.06, 0.02)),
    ((0.43, 0.47, 0.55), (0.07, 0.012, 0.02)),
)


def organs(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[LabelArray, LabelArray]:
    """Return a predicted and a true label map whose surfaces differ by smooth waves of a few voxels."""
    axes = [np.arange(n, dtype=np.float32) for n in shape]
    maps = [np.zeros(shape, dtype=np.uint8) for _ in range(2)]
    for label, (center, radii) in enumerate(BODIES, start=1):
        box = tuple(
            slice(max(0, int((c - 1.3 * r) * n) - 4), min(n, int((c + 1.3 * r) * n) + 4))
            for c, r, n in zip(center, radii, shape, strict=True)
        )
        x, y, z = np.meshgrid(*(axis[part] for axis, part in zip(axes, box, strict=True)), indexing="ij")
        level = sum(
            ((w - c * n) / (r * n)) ** 2 for w, c, r, n in zip((x, y, z), center, radii, shape, strict=True)
        )
        for labels in maps:
            phase = rng.uniform(0, 2 * np.pi, 3)
            wave = np.sin(x / 9 + phase[0]) + np.sin(y / 7 + phase[1]) + np.sin(z / 8 + phase[2])
            labels[box][level < 1 + 0.06 * wave] = label
    return (maps[0], maps[1])


def nodes(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[LabelArray, LabelArray]:
    """Return instance maps of sixty true nodes, most found a little displaced, and some false ones."""
    maps = [np.zeros(shape, dtype=np.int32) for _ in range(2)]
    ball = np.linalg.norm(np.indices((17, 17, 17)) - 8.0, axis=0) < 8
    for label in range(1, 61):
        start = rng.integers(16, np.array(shape) - 40)
        moved = start + rng.integers(-3, 4, 3) * (1 + 3 * (label % 7 == 0))
        for labels, corner in zip(maps, (moved, start), strict=True):
            box = labels[tuple(slice(c, c + 17) for c in corner)]
            box[ball & (box == 0)] = label
    return (maps[0], maps[1])


def monai_scores(prediction: LabelArray, truth: LabelArray, spacing: Vector3) -> dict[int, tuple[float, ...]]:
    """Score each class as MONAI's users do: one mask per class."""
    scores: dict[int, tuple[float, ...]] = {}
    for label in LABELS:
        pair = [torch.from_numpy((labels == label)[None, None]) for labels in (prediction, truth)]
        options = {"include_background": True, "spacing": spacing}
        dice = compute_dice(pair[0].float(), pair[1].float(), include_background=True)
        hd = compute_hausdorff_distance(pair[0], pair[1], **options)
        asd = compute_average_surface_distance(pair[0], pair[1], **options)
        scores[label] = (float(dice), float(hd), float(asd))
    return scores


def our_scores(prediction: LabelArray, truth: LabelArray, spacing: Vector3) -> dict[int, tuple[float, ...]]:
    """Score all classes at once (recall, precision, ASSD, HD95 and NSD come along)."""
    return {
        label: (score.dice, score.hd, score.asd)
        for label, score in label_scores(prediction, truth, LABELS, spacing).items()
    }


def loop_matches(prediction: LabelArray, truth: LabelArray) -> set[tuple[int, int]]:
    """Match as loops do: a mask per node inside its box, IoU with each node it touches, best first."""
    boxes = ndimage.find_objects(truth)
    sizes = np.bincount(prediction.reshape(-1))
    found = []
    for label, box in enumerate(boxes, start=1):
        if box is None:
            continue
        mask = truth[box] == label
        for other in np.unique(prediction[box][mask]):
            both = int(((prediction[box] == other) & mask).sum())
            iou = both / (int(sizes[other]) + int(mask.sum()) - both)
            if other and iou >= 0.3:
                found.append((iou, int(other), label))
    pairs: set[tuple[int, int]] = set()
    for _, p, t in sorted(found, reverse=True):
        if all(p != q and t != u for q, u in pairs):
            pairs.add((p, t))
    return pairs


def our_matches(prediction: LabelArray, truth: LabelArray) -> set[tuple[int, int]]:
    """Match by joint histogram."""
    return {(pair.prediction, pair.truth) for pair in match_instances(prediction, truth).pairs}


def timed(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return median wall and CPU seconds after one run that is not counted."""
    work()
    wall, cpu = [], []
    for _ in range(runs):
        clocks = (time.perf_counter(), time.process_time())
        work()
        wall.append(time.perf_counter() - clocks[0])
        cpu.append(time.process_time() - clocks[1])
    return (statistics.median(wall), statistics.median(cpu))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 160))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    shape = tuple(options.shape)
    rng = np.random.default_rng(0)
    organ_maps, node_maps = organs(shape, rng), nodes(shape, rng)

    theirs, ours = (score(*organ_maps, SPACING) for score in (monai_scores, our_scores))
    apart = max(abs(a - b) for label in LABELS for a, b in zip(theirs[label], ours[label], strict=True))
    same = loop_matches(*node_maps) == our_matches(*node_maps)
    print(f"{shape} voxels; largest difference from MONAI {apart:.1e}; equal matches: {same}")
    if apart > 1e-4 or not same:
        sys.exit("results differ: no times are printed")

    rows = []
    for name, peer, theirs_work, ours_work in (
        (
            "Dice + HD + ASD, 10 classes",
            "MONAI",
            partial(monai_scores, *organ_maps, SPACING),
            partial(our_scores, *organ_maps, SPACING),
        ),
        ("matching, 60 nodes", "loops", partial(loop_matches, *node_maps), partial(our_matches, *node_maps)),
    ):
        theirs_s, ours_s = timed(theirs_work, options.runs), timed(ours_work, options.runs)
        rows.append({"work": name, "peer": peer, "peer_s": theirs_s, "ours_s": ours_s, "shape": shape})
        print(
            f"{name}: {peer} {theirs_s[0]:.3f} s wall, {theirs_s[1]:.3f} s CPU; "
            f"ours {ours_s[0]:.4f} s wall, {ours_s[1]:.4f} s CPU; CPU ratio {theirs_s[1] / ours_s[1]:.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"threads": get_num_threads(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
