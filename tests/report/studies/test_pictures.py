"""Figures of a study: the same bytes each time, whole in both forms, and showing what they say."""

from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np

from lymphct.attention.bands import PAPER_BANDS
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.evaluation.classification import roc_curve
from lymphct.report.studies.anatomy import anatomy_drawing
from lymphct.report.studies.pictures import attention_drawing, roc_drawing
from lymphct.report.studies.surfaces import Surface, rendered_surfaces

PNG = b"\x89PNG\r\n\x1a\n"


def texts(svg: bytes) -> str:
    return " ".join(ET.fromstring(svg).itertext())  # noqa: S314 - ours


def test_a_roc_figure_names_every_method_and_is_the_same_whatever_the_style() -> None:
    curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    curves = {"tumor": (curve, "AUC 0.75 (n = 4)"), "combined": (curve, "AUC 0.75 (n = 4)")}
    first = roc_drawing("figure_5a", "ROC of the ablation", curves)
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30}):
        second = roc_drawing("figure_5a", "ROC of the ablation", curves)
    assert first == second
    assert first.png.startswith(PNG)
    assert "tumor: AUC 0.75 (n = 4)" in texts(first.svg)
    assert sorted(first.forms()) == ["figure_5a.png", "figure_5a.svg"]


def test_the_figure_of_attention_names_the_ten_structures() -> None:
    found = attention_drawing(PAPER_BANDS, 3.0, "Tab. II")
    assert all(structure.title in texts(found.svg) for structure in PAPER_BANDS)
    assert found.caption.endswith(", Tab. II")


def volume(shape: tuple[int, int, int]) -> Volume:
    return Volume(array=np.zeros(shape, np.uint8), geometry=Geometry(shape=shape, spacing=(1.0, 1.0, 1.0)))


def test_what_is_in_front_hides_what_is_behind_and_left_is_on_the_right() -> None:
    grid = volume((40, 40, 40))
    front, behind, left = (np.zeros(grid.array.shape, dtype=bool) for _ in range(3))
    front[5:15, 5:10, 10:30] = True  # anterior
    behind[8:12, 25:30, 15:25] = True  # in its shadow
    left[30:36, 10:20, 12:28] = True  # to the patient's left
    picture = rendered_surfaces(
        grid,
        [
            Surface(mask=behind, color=(0, 0, 1)),
            Surface(mask=front, color=(1, 0, 0)),
            Surface(mask=left, color=(0, 1, 0)),
            Surface(mask=np.zeros_like(left), color=(0, 0, 0)),
        ],
        turn=0,
        tilt=0,
    )
    red = (picture[..., 0] > 0.2) & (picture[..., 1] < 0.05)
    green = (picture[..., 1] > 0.2) & (picture[..., 0] < 0.05)
    blue = (picture[..., 2] > 0.2) & (picture[..., 0] < 0.05)
    assert red.any()
    assert not blue.any()
    assert np.argwhere(green)[:, 1].min() > np.argwhere(red)[:, 1].max()
    half = rendered_surfaces(
        grid, [Surface(mask=front, color=(1, 0, 0), opacity=0.4), Surface(mask=behind, color=(0, 0, 1))],
        turn=0, tilt=0,
    )  # fmt: skip
    assert ((half[..., 2] > half[..., 0]) & (half[..., 0] > 0.1)).any()  # blue shines through


def test_head_is_up_and_nothing_makes_a_white_picture() -> None:
    grid = volume((20, 20, 60))
    high, low = (np.zeros(grid.array.shape, dtype=bool) for _ in range(2))
    high[5:10, 5:10, 45:55] = True
    low[5:10, 5:10, 5:15] = True
    picture = rendered_surfaces(
        grid, [Surface(mask=high, color=(1, 0, 0)), Surface(mask=low, color=(0, 0, 1))], turn=0, tilt=0
    )
    rows_of = {n: np.argwhere(picture[..., n] > picture[..., 2 - n] + 0.2)[:, 0].mean() for n in (0, 2)}
    assert rows_of[0] < rows_of[2]
    assert rendered_surfaces(grid, []).min() == 1.0


def test_a_patient_is_drawn_with_what_is_there_and_nothing_else() -> None:
    grid = volume((24, 24, 24))
    labels = grid.array.copy()
    labels[2:8, 10:16, 2:22] = Structure.AORTA
    labels[10:16, 4:8, 8:16] = Structure.PANCREAS
    instances = grid.array.astype(np.int32)
    instances[18:21, 4:7, 4:7] = 1
    node = Node(label=1, volume=27.0, center=(0.0, 0.0, 0.0), node_class=NodeClass.POSITIVE)
    nodes = NodeMap(instances=grid.with_array(instances), nodes=(node,))
    drawn = anatomy_drawing(grid.with_array(labels), None, nodes)
    said = texts(drawn.svg)
    assert all(name in said for name in ("aorta", "pancreas", "positive lymph node"))
    assert "spleen" not in said
    assert "tumor" not in said
    assert drawn == anatomy_drawing(grid.with_array(labels), None, nodes)
