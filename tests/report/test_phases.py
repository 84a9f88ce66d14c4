"""Both phases of a slice: the checkerboard alternates, the pictures lie where the slice lies."""

import base64
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_array_equal
from tests.browser import needs_chromium, seen_by_reader, visit, with_reader

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Prediction
from lymphct.core.volume import Volume
from lymphct.report.context import ReportContext
from lymphct.report.figures import Layer, Scene
from lymphct.report.gallery import overview
from lymphct.report.page import patient_page, write_patient_page
from lymphct.report.phases import Phases, checkerboard, field_side, phases_of
from lymphct.report.planes import Frame, Plane


def pixels(layer: Layer) -> AnyArray:
    picture: AnyArray = imread(BytesIO(base64.b64decode(layer.uri.partition(",")[2])))
    return np.round(picture * 255)


def shown(scene: Scene, as_acquired: Volume | None = None) -> tuple[Phases, ...]:
    return phases_of(scene, [anatomy for anatomy, _ in overview(scene).rows], as_acquired)


@pytest.fixture(scope="module")
def scene(prediction: Prediction, ct: Multiphase) -> Scene:
    return Scene.of(prediction, ct)


def test_fields_alternate_and_the_upper_left_one_is_venous() -> None:
    frame = Frame(plane=Plane.AXIAL, index=0, left=0.0, top=0.0, width=60.0, height=30.0)
    assert field_side(frame) == 5.0
    corners = re.findall(r"M([\d.]+) ([\d.]+)h5v5h-5z", checkerboard(frame, 5.0))
    arterial = {(float(x) / 5, float(y) / 5) for x, y in corners}
    assert arterial == {(x, y) for x in range(12) for y in range(6) if (x + y) % 2}
    assert len(corners) == 36


def test_fields_cover_a_frame_that_is_no_multiple_of_them() -> None:
    frame = Frame(plane=Plane.CORONAL, index=0, left=-3.0, top=4.0, width=25.0, height=11.0)
    assert checkerboard(frame, 10.0) == "M7 4h10v10h-10zM-3 14h10v10h-10zM17 14h10v10h-10z"


def test_axial_and_coronal_slice_of_the_overview_are_shown_in_both_phases(scene: Scene) -> None:
    axial, coronal = shown(scene)
    assert (axial.picture.frame.plane, coronal.picture.frame.plane) == (Plane.AXIAL, Plane.CORONAL)
    assert axial.title == "Axial, slice 22 of 40, z = 15 mm"
    assert axial.before is None
    venous = axial.picture.ct
    assert venous is not None
    assert replace(axial.arterial, uri=venous.uri) == venous  # at the same place
    darker = pixels(venous) - pixels(axial.arterial)  # 20 HU of 400 are 12.75 of 255
    assert 12 <= np.median(darker[darker > 0]) <= 14


def test_without_an_arterial_phase_there_is_nothing_to_compare(
    scene: Scene, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    assert shown(replace(scene, arterial=None)) == ()
    page = patient_page(prediction, Multiphase(venous=ct.venous), context)
    assert "Both phases" not in page
    assert "<script>" not in page
    assert "script-src" not in page


@pytest.mark.parametrize("row", [0, 1])
def test_the_phase_before_registration_is_read_where_the_slice_lies(scene: Scene, row: int) -> None:
    """An image on the venous grid gives the same pixels, one that was shifted by voxels shifted ones."""
    assert scene.arterial is not None
    phase = scene.arterial
    here = shown(scene, phase)[row]
    assert here.before is not None
    assert_array_equal(pixels(here.before), pixels(here.arterial))
    geometry = phase.geometry
    moved = replace(geometry, origin=tuple(geometry.world((2, 0, 0)).tolist()))
    there = shown(scene, Volume(array=phase.array, geometry=moved))[row]
    assert there.before is not None
    assert_array_equal(pixels(there.before)[:, 4:], pixels(here.arterial)[:, 2:-2])


def test_the_phase_before_registration_may_lie_on_a_grid_of_its_own(scene: Scene) -> None:
    assert scene.arterial is not None
    own = Geometry(shape=(4, 5, 6), spacing=(3.0, 3.0, 3.0), origin=(500.0, 0.0, 0.0))
    far = Volume(array=np.zeros(own.shape, dtype=np.int16), geometry=own)
    for phases in shown(scene, far):
        assert phases.before is not None
        assert not pixels(phases.before).any()  # air


def test_the_page_shows_the_checkerboard_before_and_after_registration(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    once = patient_page(prediction, ct, context)
    assert once.count(": checkerboard</figcaption>") == 2
    assert "as the networks saw it" in once
    both = patient_page(prediction, ct, replace(context, arterial_as_acquired=ct.arterial))
    assert both.count(": checkerboard, registered</figcaption>") == 2
    assert both.count(": checkerboard before registration</figcaption>") == 2
    assert both.count('class="ct" id="arterial-') == 2  # each picture once; the others point to it
    assert both.count('href="#arterial-1"') == 1


READER = """
const stack = document.querySelector(".curtain .stack");
const slider = stack.querySelector("input");
const at = () => getComputedStyle(stack.querySelector(".over")).clipPath;
const wide = (element) => element.getBoundingClientRect().width;
const told = [slider.hidden, wide(slider) === wide(stack), at()];
slider.focus();
slider.value = 150;
slider.dispatchEvent(new Event("input"));
told.push(document.activeElement === slider, at(), slider.getAttribute("aria-valuetext"));
console.log("SEEN" + JSON.stringify(told));
"""


@needs_chromium
def test_the_curtain_follows_the_slider_without_webgl(
    tmp_path: Path, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    page = write_patient_page(tmp_path, prediction, ct, context)
    page.write_text(with_reader(page.read_text(encoding="utf-8"), READER), encoding="utf-8")
    seen = visit(page, tmp_path, graphics=("--disable-gpu", "--disable-3d-apis"))
    assert seen.requests == []
    assert seen_by_reader(seen) == [
        False, True, "inset(0px 0px 0px 50%)", True, "inset(0px 0px 0px 75%)", "75 % venous",
    ]  # fmt: skip
