"""The pictures of an evaluation: they show what they say, and are the same bytes every time."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from lymphct.core.arrays import AnyArray
from lymphct.evaluation.calibration import CalibrationCurve
from lymphct.evaluation.classification import roc_curve
from lymphct.evaluation.froc import Froc
from lymphct.evaluation.net_benefit import net_benefit
from lymphct.evaluation.risk import risk_distributions
from lymphct.report.curves import DOTS, SIZE, calibration_png, decision_png, froc_png, risk_png, roc_png

LABELS = [0, 0, 0, 1, 0, 1, 1, 1]
RISKS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9]
POINTS = np.linspace(0.1, 0.9, 9)
CURVE = CalibrationCurve(POINTS, POINTS**2, POINTS**2 - 0.1, np.where(POINTS > 0.8, np.nan, POINTS))


def froc_of(false_positives: list[float], sensitivity: list[float]) -> Froc:
    points = np.array([false_positives, sensitivity])
    return Froc(
        thresholds=1 - points[1], sensitivity=points[1], false_positives=points[0], precision=points[1]
    )


PICTURES = {
    "froc": froc_png({"stage 1": froc_of([0.0, 0.2, 1.5], [0.4, 0.6, 0.9]), "both": froc_of([0.0], [1.0])}),
    "roc": roc_png({"all": roc_curve(LABELS, RISKS), "center A": roc_curve(LABELS[:6], RISKS[:6])}),
    "calibration": calibration_png(CURVE),
    "decision": decision_png(net_benefit(LABELS, RISKS)),
    "risk": risk_png(*risk_distributions(LABELS, RISKS)),
}


def pixels(png: bytes) -> AnyArray:
    return np.asarray(imread(BytesIO(png), format="png"))[..., :3]


def blue(png: bytes) -> AnyArray:
    red, _, found = np.moveaxis(pixels(png), 2, 0)
    is_blue: AnyArray = (found > 0.6) & (red < 0.35)
    return is_blue


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_its_size_white_paper_and_a_blue_curve(name: str) -> None:
    shown = pixels(PICTURES[name])
    assert shown.shape == (round(SIZE[1] * DOTS), round(SIZE[0] * DOTS), 3)
    assert (shown.min(axis=2) > 0.99).mean() > 0.5
    assert blue(PICTURES[name]).sum() > 500


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_holds_no_metadata_but_its_density(name: str) -> None:
    for chunk in (b"tEXt", b"iTXt", b"tIME"):
        assert chunk not in PICTURES[name]


def test_the_style_of_a_user_changes_no_picture() -> None:
    with mpl.rc_context({"axes.facecolor": "black", "lines.linewidth": 9.0, "font.size": 30.0}):
        assert decision_png(net_benefit(LABELS, RISKS)) == PICTURES["decision"]


def test_a_perfect_roc_curve_runs_along_the_upper_left_corner() -> None:
    perfect = blue(roc_png({"all": roc_curve([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])}))
    useless = blue(roc_png({"all": roc_curve([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])}))
    corner = (slice(0, perfect.shape[0] // 4), slice(0, perfect.shape[1] // 3))
    assert perfect[corner].sum() > 1000
    assert useless[corner].sum() == 0


def test_a_froc_curve_is_a_stair_that_ends_where_its_candidates_end() -> None:
    short = blue(froc_png({"all": froc_of([0.0, 0.25], [0.5, 0.9])}))
    long = blue(froc_png({"all": froc_of([0.0, 0.25, 8.0], [0.5, 0.9, 0.9])}))
    above_legend = slice(0, short.shape[0] // 2)
    rightmost = [np.flatnonzero(found[above_legend].any(axis=0)).max() for found in (short, long)]
    assert rightmost[0] < 0.5 * short.shape[1] < 0.9 * short.shape[1] < rightmost[1]
    # Level at 0.5 up to 1/4, then level at 0.9: no slope, whose every row would hold a little.
    rows = np.flatnonzero(long.sum(axis=1) > 60)
    levels = np.split(rows, np.flatnonzero(np.diff(rows) > 20) + 1)
    assert [len(level) < 8 for level in levels] == [True, True, *[True] * (len(levels) - 2)]
    assert levels[0].max() < 0.25 * long.shape[0] < levels[1].min() < 0.6 * long.shape[0]


def test_a_froc_curve_without_candidates_can_be_drawn() -> None:
    assert froc_png({"all": froc_of([], [])}).startswith(b"\x89PNG")


def test_positives_stand_above_the_line_and_negatives_below() -> None:
    shown = pixels(risk_png(*risk_distributions([0] * 30 + [1] * 30, [0.2] * 30 + [0.8] * 30)))
    red, _, found = np.moveaxis(shown, 2, 0)
    is_red, is_blue = (red > 0.6) & (found < 0.5), (found > 0.6) & (red < 0.5)
    left = shown.shape[1] // 2  # the legend lies in the right half
    assert np.flatnonzero(is_blue[:, :left].any(axis=1)).min() > 0.4 * shown.shape[0]
    assert np.flatnonzero(is_red[:, left:].sum(axis=1) > 20).max() < 0.6 * shown.shape[0]


def test_an_outcome_without_patients_can_be_drawn() -> None:
    assert risk_png(*risk_distributions([1, 1], [0.2, 0.8])).startswith(b"\x89PNG")
