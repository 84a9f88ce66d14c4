"""Tables of other evaluators, reproduced by the commands: their files in, their numbers out."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from lymphct.core.arrays import AnyArray

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no reference data at {DATA}: set LYMPHCT_DATA"),
]

Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(lymphct: Callable[..., Any], tmp_path: Path) -> Evaluate:
    """Return the command: kind, prediction and truth in, the record out."""

    def command(kind: str, prediction: Path, truth: Path, *options: object) -> Any:
        files = ("--prediction", prediction, "--truth", truth, "--out", tmp_path / "out")
        result = lymphct("evaluate", kind, *files, *options, "--json")
        assert result.code == 0, result.err
        return json.loads(result.out)

    return command


def expected(folder: str, name: str) -> Any:
    return json.loads((DATA / folder / name).read_text())


def write(path: Path, array: AnyArray, spacing: tuple[float, ...]) -> Path:
    nib.save(nib.Nifti1Image(array.astype(np.uint8), np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize("algorithm", ["DiceTopK10", "WCE"])
def test_organ_masks_score_as_surface_distance_scored_them(evaluate: Evaluate, algorithm: str) -> None:
    folder = DATA / "open_evalseg_multiorgan"
    name = f"multiorgan_55_pred_{algorithm}.nii.gz"
    files = (folder / name, folder / "multiorgan_55_gt.nii.gz")
    reference = expected("open_evalseg_multiorgan", "reference_metrics.json")["values"]
    options = ("--surface", "elements", "--tolerance")
    at_3_mm = evaluate("segmentation", *files, *options, 3)["cases"]["multiorgan_55_gt"]
    at_1_mm = evaluate("segmentation", *files, *options, 1)["cases"]["multiorgan_55_gt"]
    assert set(at_3_mm) == {str(label) for label in range(1, 9)}
    for label, ours in at_3_mm.items():
        theirs = reference[f"{name}|{label}"]
        assert ours["dice"] == pytest.approx(theirs["dice"], abs=1e-5)
        assert ours["hd95"] == pytest.approx(theirs["hd95"], abs=1e-4)
        assert [ours["asd_from_truth"], ours["asd"]] == pytest.approx(theirs["asd"], abs=1e-4)
        assert ours["nsd"] == pytest.approx(theirs["nsd_3mm"], abs=1e-5)
        assert at_1_mm[label]["nsd"] == pytest.approx(theirs["nsd_1mm"], abs=1e-5)
        assert ours["volume_truth_mm3"] / 1000 == pytest.approx(theirs["gt_ml"], abs=1e-3)
        assert ours["volume_prediction_mm3"] / 1000 == pytest.approx(theirs["pred_ml"], abs=1e-3)


def test_a_mask_against_itself_is_perfect(evaluate: Evaluate) -> None:
    truth = DATA / "open_evalseg_multiorgan" / "multiorgan_55_gt.nii.gz"
    labels = evaluate("segmentation", truth, truth, "--surface", "elements")["labels"]
    assert {scores["pooled"]["dice"] for scores in labels.values()} == {1.0}
    assert {scores["mean"]["hd"]["mean"] for scores in labels.values()} == {0.0}


def surface_table() -> dict[str, Any]:
    return {case["name"]: case for case in expected("open_surface_distance_table", "expected.json")["cases"]}


@pytest.mark.parametrize("name", ["3D two voxels 2mm", "3D cubes shifted"])
def test_analytic_masks_have_the_tables_distances(evaluate: Evaluate, tmp_path: Path, name: str) -> None:
    case = surface_table()[name]
    truth, prediction = np.zeros((2, *case["shape"]), dtype=bool)
    if name == "3D cubes shifted":
        truth[:50], prediction[:51] = True, True
    else:
        truth[50, 60, 70] = prediction[50, 60, 72] = True
    files = [
        write(tmp_path / f"{role}.nii.gz", mask, case["spacing_mm"])
        for role, mask in (("p", prediction), ("t", truth))
    ]
    ours = evaluate("segmentation", *files, "--surface", "elements", "--tolerance", 1)["cases"]["t"]["1"]
    assert [ours["asd_from_truth"], ours["asd"]] == pytest.approx(case["avg_surface_distance"], abs=5e-4)
    assert (ours["hd"], ours["hd95"]) == pytest.approx((case["hd100"], case["hd95"]), abs=5e-4)
    assert ours["nsd"] == pytest.approx(case["surface_dice_1mm"], abs=5e-4)
    assert ours["dice"] == pytest.approx(case["dice"], abs=5e-3)


@pytest.mark.parametrize("name", ["empty pred (2D/3D)", "empty gt", "both empty"])
def test_empty_masks_score_as_in_the_table(evaluate: Evaluate, tmp_path: Path, name: str) -> None:
    case = surface_table()[name]
    full, empty = np.ones((4, 4, 4)), np.zeros((4, 4, 4))
    masks = {"empty pred (2D/3D)": (empty, full), "empty gt": (full, empty), "both empty": (empty, empty)}
    files = [
        write(tmp_path / f"{role}.nii.gz", mask, (1, 1, 1))
        for role, mask in zip("pt", masks[name], strict=True)
    ]
    record = evaluate("segmentation", *files, "--surface", "elements", "--tolerance", 1, "--label", 1)
    mean = record["labels"]["1"]["mean"]

    def told(score: str) -> str | float:
        return (
            "nan" if mean[score]["undefined"] else "inf" if mean[score]["infinite"] else mean[score]["mean"]
        )

    assert [told("asd_from_truth"), told("asd")] == case["avg_surface_distance"]
    assert (told("nsd"), told("dice")) == (case["surface_dice_1mm"], case["dice"])
    # Of two empty masks the table says inf; ours is undefined, so that they do not spoil an average.
    distance = "nan" if name == "both empty" else "inf"
    assert (told("hd"), told("hd95")) == (distance, distance)


def test_lesions_are_matched_as_picai_eval_matched_them(evaluate: Evaluate, tmp_path: Path) -> None:
    reference = expected("open_picai_eval_lesion", "metrics-expected.json")
    for role in ("detection_map", "label"):
        (tmp_path / role).mkdir()
        for number in range(10):
            source = DATA / "open_picai_eval_lesion" / "maps" / f"case-{number}_{role}.nii.gz"
            shutil.copy(source, tmp_path / role / f"case-{number}.nii.gz")
    options = ("--confidence", "--ignore-duplicates", "--iou", 0.1)
    record = evaluate("instances", tmp_path / "detection_map", tmp_path / "label", *options)
    for name, theirs in reference["lesion_results"].items():
        ours = record["cases"][name]
        confidence = ours["confidences"]
        rows = [(1, confidence[str(match["prediction"])], match["iou"]) for match in ours["matches"]]
        rows += [(1, 0.0, 0.0) for _ in ours["missed"]]
        rows += [(0, confidence[str(label)], 0.0) for label in ours["spurious"]]
        assert sorted(rows) == [pytest.approx(tuple(row), abs=1e-6) for row in sorted(theirs)], name
        assert max(confidence.values(), default=0.0) == reference["case_pred"][name]
    pooled = record["pooled"]
    assert pooled["true_positives"] + pooled["false_negatives"] == reference["num_lesions"]
    assert record["confidence"]["average_precision"] == pytest.approx(reference["AP"])
    assert record["confidence"]["case_auc"] == reference["auroc"]
