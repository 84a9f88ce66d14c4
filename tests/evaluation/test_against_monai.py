"""MONAI defines Dice, HD, HD95, ASD, ASSD and NSD as `definition="voxels"` does; here they are equal."""

import numpy as np
import pytest
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy import ndimage

from lymphct.core.arrays import Vector3
from lymphct.evaluation.segmentation import segmentation_scores


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("seed", "spacing", "shift"),
    [(0, (0.68, 0.68, 0.8), 2), (1, (3.0, 0.9, 0.7), 1), (2, (0.8, 0.8, 5.0), 9)],
)
def test_scores_equal_those_of_monai(seed: int, spacing: Vector3, shift: int) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(30, 36, 24)), 4)
    truth = field > 0.02
    prediction = (
        np.roll(field, shift, axis=1) + 0.3 * ndimage.gaussian_filter(rng.normal(size=field.shape), 3) > 0.02
    )
    pair = [torch.from_numpy(mask[None, None]) for mask in (prediction, truth)]
    options = {"include_background": True, "spacing": spacing}
    ours = segmentation_scores(prediction, truth, spacing, tolerance=1.0)
    theirs = {
        "dice": compute_dice(pair[0].float(), pair[1].float()),
        "hd": compute_hausdorff_distance(pair[0], pair[1], **options),
        "hd95": compute_hausdorff_distance(pair[0], pair[1], percentile=95, **options),
        "asd": compute_average_surface_distance(pair[0], pair[1], **options),
        "assd": compute_average_surface_distance(pair[0], pair[1], symmetric=True, **options),
        "nsd": compute_surface_dice(pair[0], pair[1], class_thresholds=[1.0], **options),
    }
    for name, value in theirs.items():
        assert getattr(ours, name) == pytest.approx(float(value), abs=1e-4), name
