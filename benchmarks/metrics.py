"""Time Dice, Hausdorff and surface distances of ten classes against MONAI, surface-distance and edt.

`python benchmarks/metrics.py [--shape 512 512 300] [--runs 5] [--json FILE]`. Equality first: MONAI and edt
for boundary voxels, DeepMind's surface-distance for area-weighted elements. Ours gives recall, precision,
both directions, ASSD, HD95 and NSD in the same time.
"""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import edt
import numpy as np
import surface_distance
import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from scipy.ndimage import binary_erosion

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.label_maps import LABELS, SPACING, organs
from benchmarks.side_by_side import Method, compare, finish, parser

from lymphct.core.arrays import BoolArray, LabelArray
from lymphct.evaluation.segmentation import label_scores
from lymphct.evaluation.surfaces import SurfaceDefinition, SurfaceSettings
from lymphct.imaging.components import components_by_label

Scores = dict[int, tuple[float, float, float]]
"""Label → Dice, Hausdorff distance, mean distance from prediction to truth."""
Peers = tuple[tuple[str, Callable[[LabelArray, LabelArray], Scores]], ...]


def ours(prediction: LabelArray, truth: LabelArray, definition: SurfaceDefinition) -> Scores:
    """Score all classes at once."""
    settings = SurfaceSettings(definition=definition)
    scores = label_scores(prediction, truth, LABELS, SPACING, surface=settings)
    return {label: (score.dice, score.hd, score.asd) for label, score in scores.items()}


def monai(prediction: LabelArray, truth: LabelArray) -> Scores:
    """Score each class as MONAI's users do: one mask per class."""
    scores: Scores = {}
    for label in LABELS:
        pair = [torch.from_numpy((labels == label)[None, None]) for labels in (prediction, truth)]
        options = {"include_background": True, "spacing": SPACING}
        dice = compute_dice(pair[0].float(), pair[1].float(), include_background=True)
        hd = compute_hausdorff_distance(pair[0], pair[1], **options)
        asd = compute_average_surface_distance(pair[0], pair[1], **options)
        scores[label] = (float(dice), float(hd), float(asd))
    return scores


def deepmind(prediction: LabelArray, truth: LabelArray) -> Scores:
    """Score each class by surface-distance, which crops to the box of the class itself."""
    scores: Scores = {}
    for label in LABELS:
        true, found = truth == label, prediction == label
        distances = surface_distance.compute_surface_distances(true, found, SPACING)
        dice = surface_distance.compute_dice_coefficient(true, found)
        hd = surface_distance.compute_robust_hausdorff(distances, 100)
        _, asd = surface_distance.compute_average_surface_distance(distances)
        scores[label] = (float(dice), float(hd), float(asd))
    return scores


def edt_on_boxes(prediction: LabelArray, truth: LabelArray) -> Scores:
    """Score each class on its box by the library edt."""
    parts = [components_by_label(labels) for labels in (prediction, truth)]
    scores: Scores = {}
    for label in LABELS:
        rows = [(part, int(np.flatnonzero(part.values == label)[0])) for part in parts]
        start = np.min([part.starts[row] for part, row in rows], axis=0)
        stop = np.max([part.stops[row] for part, row in rows], axis=0)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        found, true = (np.pad(labels[box] == label, 1) for labels in (prediction, truth))
        there, back = _distances(found, true), _distances(true, found)
        dice = 2 * int((found & true).sum()) / (int(found.sum()) + int(true.sum()))
        scores[label] = (dice, max(float(there.max()), float(back.max())), float(there.mean()))
    return scores


def _distances(own: BoolArray, other: BoolArray) -> LabelArray:
    """Return the distance from each boundary voxel of `own` to the nearest one of `other`."""
    edges = [mask & ~binary_erosion(mask) for mask in (own, other)]
    to_other: LabelArray = edt.edt(~edges[1], anisotropy=SPACING, black_border=False, parallel=1)
    return to_other[edges[0]]


def difference(expected: Scores, found: Scores) -> float:
    """Return the largest difference of any score of any class."""
    return max(abs(a - b) for label in LABELS for a, b in zip(expected[label], found[label], strict=True))


def main() -> None:
    options = parser(__doc__ or "", (256, 256, 160)).parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    maps = organs(tuple(options.shape), np.random.default_rng(0))
    tables = []
    rows: tuple[tuple[SurfaceDefinition, Peers], ...] = (
        ("voxels", (("MONAI, a mask per class", monai), ("edt on boxes", edt_on_boxes))),
        ("elements", (("surface-distance, a mask per class", deepmind),)),
    )
    for definition, peers in rows:
        score = partial(ours, *maps, definition)
        error = partial(difference, score())
        methods = [Method(name="lymphct", compute=score)]
        methods += [
            Method(name=name, compute=partial(peer, *maps), error=error, limit=1e-4) for name, peer in peers
        ]
        title = f"Dice, HD, ASD of 10 classes ({definition}), {options.shape} voxels"
        tables.append(compare(title, methods, options.runs, shape=options.shape))
    finish(tables, options.json)


if __name__ == "__main__":
    main()
