"""Published values of other evaluators, reproduced on their data (the marker `data`)."""

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from lymphct.core.arrays import AnyArray, Vector3
from lymphct.evaluation.classification import auc
from lymphct.evaluation.detection import match_instances
from lymphct.evaluation.froc import froc
from lymphct.evaluation.segmentation import label_scores, segmentation_scores
from lymphct.evaluation.statistics import delong
from lymphct.evaluation.surfaces import SurfaceDistances, SurfaceSettings, surface_distances

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no reference data at {DATA}: set LYMPHCT_DATA"),
]


def expected(folder: str, name: str) -> Any:
    return json.loads((DATA / folder / name).read_text())


def image(path: Path) -> tuple[AnyArray, Vector3]:
    file = nib.load(path)
    i, j, k = (float(step) for step in file.header.get_zooms())
    return (np.asanyarray(file.dataobj), (i, j, k))


@pytest.mark.parametrize("algorithm", ["DiceTopK10", "WCE"])
def test_organ_masks_score_as_surface_distance_scored_them(algorithm: str) -> None:
    folder = DATA / "open_evalseg_multiorgan"
    name = f"multiorgan_55_pred_{algorithm}.nii.gz"
    reference = expected("open_evalseg_multiorgan", "reference_metrics.json")["values"]
    truth, spacing = image(folder / "multiorgan_55_gt.nii.gz")
    prediction, _ = image(folder / name)
    settings = SurfaceSettings(definition="elements", tolerance=3.0)
    scores = label_scores(prediction, truth, range(1, 9), spacing, surface=settings)
    for label, ours in scores.items():
        theirs = reference[f"{name}|{label}"]
        assert ours.dice == pytest.approx(theirs["dice"], abs=1e-5)
        assert ours.hd95 == pytest.approx(theirs["hd95"], abs=1e-4)
        assert ours.asd == pytest.approx(theirs["asd"][1], abs=1e-4)
        assert ours.nsd == pytest.approx(theirs["nsd_3mm"], abs=1e-5)
        assert ours.volume_truth_mm3 / 1000 == pytest.approx(theirs["gt_ml"], abs=1e-3)
        assert ours.volume_prediction_mm3 / 1000 == pytest.approx(theirs["pred_ml"], abs=1e-3)
    gallbladder = segmentation_scores(
        prediction == 4, truth == 4, spacing, tolerance=1.0, definition="elements"
    )
    assert gallbladder.nsd == pytest.approx(reference[f"{name}|4"]["nsd_1mm"], abs=1e-5)


def surface_table() -> dict[str, Any]:
    return {case["name"]: case for case in expected("open_surface_distance_table", "expected.json")["cases"]}


def means(distances: SurfaceDistances) -> tuple[float, float]:
    """Return the mean distance from the truth and from the prediction, the order of the table."""
    return (
        float(np.average(distances.truth_to_prediction, weights=distances.truth_weights)),
        distances.asd,
    )


@pytest.mark.parametrize("name", ["3D two voxels 2mm", "3D cubes shifted"])
def test_analytic_masks_have_the_tables_distances(name: str) -> None:
    case = surface_table()[name]
    truth, prediction = np.zeros((2, *case["shape"]), dtype=bool)
    if name == "3D cubes shifted":
        truth[:50], prediction[:51] = True, True
    else:
        truth[50, 60, 70] = prediction[50, 60, 72] = True
    spacing = (float(case["spacing_mm"][0]), float(case["spacing_mm"][1]), float(case["spacing_mm"][2]))
    distances = surface_distances(prediction, truth, spacing, definition="elements")
    assert means(distances) == pytest.approx(case["avg_surface_distance"], abs=5e-4)
    assert distances.hd == pytest.approx(case["hd100"], abs=5e-4)
    assert distances.hd_percentile(95) == pytest.approx(case["hd95"], abs=5e-4)
    assert distances.nsd(1.0) == pytest.approx(case["surface_dice_1mm"], abs=5e-4)
    scores = segmentation_scores(prediction, truth, spacing)
    assert scores.dice == pytest.approx(case["dice"], abs=5e-3)


def test_empty_masks_score_as_in_the_table_but_two_of_them_have_no_distance() -> None:
    table = surface_table()
    full, empty = np.ones((4, 4, 4), dtype=bool), np.zeros((4, 4, 4), dtype=bool)
    for name, prediction, truth in (("empty pred (2D/3D)", empty, full), ("empty gt", full, empty)):
        scores = segmentation_scores(prediction, truth, (1.0, 1.0, 1.0), definition="elements")
        case = table[name]
        assert scores.asd == pytest.approx(float(case["avg_surface_distance"][1]), nan_ok=True)
        assert scores.hd == float(case["hd100"])
        assert scores.hd95 == float(case["hd95"])
        assert (scores.nsd, scores.dice) == (case["surface_dice_1mm"], case["dice"])
    both, case = segmentation_scores(empty, empty, (1.0, 1.0, 1.0)), table["both empty"]
    assert np.isnan([both.dice, both.nsd, both.asd]).all()
    assert (case["dice"], case["surface_dice_1mm"], case["avg_surface_distance"]) == (
        "nan",
        "nan",
        ["nan"] * 2,
    )
    # The table says inf here; ours is NaN, so that two empty masks do not spoil an average.
    assert np.isnan(both.hd)


def lesion_case(number: int) -> tuple[AnyArray, dict[int, float], AnyArray]:
    """Return candidates (26-connected parts of one confidence), their confidences and the true lesions."""
    maps = DATA / "open_picai_eval_lesion" / "maps"
    detection, _ = image(maps / f"case-{number}_detection_map.nii.gz")
    label, _ = image(maps / f"case-{number}_label.nii.gz")
    everywhere = np.ones((3, 3, 3))
    candidates, n = ndimage.label(detection > 0, everywhere)
    if len(np.unique(detection)) > 2:  # candidates of different confidence touch: each is its own
        candidates, n = detection.astype(int), int(detection.max())
    confidence = {part: float(detection[candidates == part].max()) for part in range(1, n + 1)}
    return (candidates, confidence, ndimage.label(label > 0, everywhere)[0])


def test_lesions_are_matched_as_picai_eval_matched_them() -> None:
    reference = expected("open_picai_eval_lesion", "metrics-expected.json")
    matches, scores = [], []
    for number in range(10):
        candidates, confidence, lesions = lesion_case(number)
        match = match_instances(candidates, lesions, iou=0.1)
        matches.append(match)
        scores.append(confidence)
        rows = [(1, confidence[pair.prediction], pair.iou) for pair in match.pairs]
        rows += [(1, 0.0, 0.0)] * match.false_negatives
        rows += [(0, confidence[label], 0.0) for label in match.spurious if label not in match.duplicates]
        theirs = [tuple(row) for row in reference["lesion_results"][f"case-{number}"]]
        assert sorted(rows) == [pytest.approx(row, abs=1e-6) for row in sorted(theirs)]
    curve = froc(matches, scores, ignore_duplicates=True)
    assert sum(len(match.truth_voxels) for match in matches) == reference["num_lesions"]
    assert curve.average_precision == pytest.approx(reference["AP"])
    certainty = [max(score.values(), default=0.0) for score in scores]
    has_lesion = [int(bool(match.truth_voxels)) for match in matches]
    assert auc(has_lesion, certainty) == reference["auroc"]


def test_delongs_variance_on_iris_is_the_published_one() -> None:
    reference = expected("open_delong_iris", "expected.json")["delong_variance_of_auc"]
    data = load_iris()
    x_train, x_test, y_train, y_test = train_test_split(
        data.data, (data.target == 1).astype(int), test_size=0.8, random_state=42
    )
    model = LogisticRegression(solver="lbfgs").fit(x_train, y_train)
    variance = delong(y_test, model.predict_proba(x_test)[:, 1]).variance
    assert variance == pytest.approx(reference, rel=1e-3)
