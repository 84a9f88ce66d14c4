import base64
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, NodeMap, Prediction
from lymphct.core.terms import Source, Structure
from lymphct.core.volume import Volume
from lymphct.report.colors import CLASS_COLORS, STRUCTURE_COLORS, UNCALLED_COLOR, hex_color
from lymphct.report.figures import (
    HEAT_OPACITY,
    LARGEST_SIDE,
    Layer,
    Overlays,
    Picture,
    Scene,
    draw,
    gray_png,
    heat_palette,
    heat_png,
    visible_structures,
)
from lymphct.report.planes import Frame, Plane, frame_around, whole_slice


@pytest.fixture(scope="module")
def scene(prediction: Prediction, ct: Multiphase) -> Scene:
    return Scene.of(prediction, ct)


def pixels(png: bytes) -> AnyArray:
    found: AnyArray = np.round(255 * imread(BytesIO(png), format="png"))
    return found


def layer_pixels(layer: Layer | None) -> AnyArray:
    assert layer is not None
    return pixels(base64.b64decode(layer.uri.split(",")[1]))


def axial(scene: Scene, index: int) -> Frame:
    return whole_slice(scene.venous.geometry, Plane.AXIAL, index)


def kinds(picture: Picture) -> list[str]:
    return [outline.kind for outline in picture.outlines]


@pytest.mark.parametrize("name", ["structures", "tumor", "attention"])
def test_an_image_on_another_grid_is_refused(prediction: Prediction, ct: Multiphase, name: str) -> None:
    image: Volume = getattr(prediction, name)
    moved = Volume(array=image.array, geometry=replace(image.geometry, origin=(0.0, 0.0, 0.0)))
    changed: dict[str, Any] = {name: moved}
    with pytest.raises(GeometryMismatchError, match=f"the {name} lies on another voxel grid than the venous"):
        Scene.of(replace(prediction, **changed), ct)


def test_the_window_runs_from_black_to_white() -> None:
    hu = np.array([[-1000.0, -160.0, 40.0, 240.0, 3000.0]])
    assert_array_equal(pixels(gray_png(hu)), [[0, 0, 128, 255, 255]])


def test_attention_is_transparent_at_zero_and_strongest_at_one() -> None:
    found = pixels(heat_png(np.array([[0.0, 0.5, 1.0]])))
    assert_allclose(found[0, :, 3], [0, 127.5 * HEAT_OPACITY, 255 * HEAT_OPACITY], atol=1)
    assert np.all(np.diff(heat_palette()[:, 3].astype(int)) > 0)


def test_large_slices_are_averaged_not_skipped() -> None:
    wide = np.full((4, LARGEST_SIDE + 2), -160.0)
    wide[:, ::2] = 240.0
    found = pixels(gray_png(wide))
    assert found.shape == (2, LARGEST_SIDE // 2 + 1)
    assert_array_equal(np.unique(found), [128])


def test_a_large_slice_keeps_its_place_in_mm(prediction: Prediction) -> None:
    shape = (LARGEST_SIDE + 1, 3, 2)
    grid = Geometry(shape=shape, spacing=(0.5, 0.5, 1.0))
    blank = Volume(array=np.zeros(shape, dtype=np.uint8), geometry=grid)
    empty = replace(
        prediction,
        structures=blank,
        tumor=blank,
        attention=blank,
        nodes=NodeMap(instances=blank, nodes=()),
    )
    large = Scene.of(empty, Multiphase(venous=blank))
    picture = draw(large, axial(large, 0), Overlays(), "t")
    assert picture.ct is not None
    # The last column and row are half of their block of two: the picture reaches beyond the frame.
    assert (picture.ct.width, picture.ct.height) == ((LARGEST_SIDE + 2) * 0.5, 4 * 0.5)
    assert picture.frame.width == (LARGEST_SIDE + 1) * 0.5


def test_structures_tumor_and_nodes_are_outlined_in_their_colors(scene: Scene) -> None:
    picture = draw(scene, axial(scene, 15), Overlays(structures=True), "title")
    assert kinds(picture) == ["structure", "structure", "tumor", "node negative"]
    assert picture.outlines[0].color == hex_color(STRUCTURE_COLORS[Structure.AORTA])
    assert picture.outlines[-1].color == "#3cc3ff"
    assert [label.text for label in picture.labels] == ["1"]
    assert picture.title == "title"
    assert (picture.marks.left, picture.marks.top) == ("R", "A")
    assert picture.heat is None


def test_every_outline_has_a_name(scene: Scene) -> None:
    outlines = draw(scene, axial(scene, 15), Overlays(structures=True), "").outlines
    assert [outline.name for outline in outlines] == [
        "aorta",
        "pancreas",
        "tumor",
        "node 1, predicted negative",
    ]
    drawn = replace(scene.nodes[1], class_source=Source.GIVEN)
    again = replace(scene, nodes={1: drawn})
    assert draw(again, axial(scene, 15), Overlays(), "").outlines[-1].name == "node 1, drawn negative"
    nameless = draw(replace(scene, nodes={}), axial(scene, 15), Overlays(), "")
    assert nameless.outlines[-1].name == "node 1"


def test_without_findings_brackets_show_where_the_node_in_focus_is(scene: Scene) -> None:
    overlays = Overlays(findings=False, focus=1)
    (outline,) = draw(scene, axial(scene, 15), overlays, "").outlines
    assert (outline.kind, outline.name) == ("node negative brackets", "node 1, predicted negative")
    assert draw(scene, axial(scene, 25), overlays, "").outlines == ()
    assert draw(scene, axial(scene, 15), Overlays(findings=False), "").outlines == ()


def test_a_number_stands_beside_its_node(scene: Scene) -> None:
    (label,) = draw(scene, axial(scene, 15), Overlays(), "").labels
    # Node 1: center voxel (20, 20), radius 5 mm, pixels of 1.6 × 2.0 mm.
    assert_allclose((label.x, label.y), (20.5 * 1.6 + 5, 20.5 * 2.0 - 5), atol=2.0)


def test_only_what_a_slice_shows_is_listed(scene: Scene) -> None:
    assert visible_structures(scene, axial(scene, 6)) == {Structure.AORTA}
    assert visible_structures(scene, axial(scene, 0)) == frozenset()
    assert Structure.LEFT_KIDNEY in visible_structures(scene, axial(scene, 25))


def test_the_node_in_focus_is_drawn_last_and_others_recede(scene: Scene) -> None:
    instances = scene.instances.array.copy()
    instances[22:24, 20:22, 15] = 2
    both = replace(scene, instances=scene.instances.with_array(instances))
    picture = draw(both, axial(scene, 15), Overlays(focus=1), "")
    assert kinds(picture)[-2:] == ["node positive beside", "node negative"]
    assert [label.text for label in picture.labels] == ["2", "1"]


def test_a_node_without_record_or_class_is_still_drawn(scene: Scene) -> None:
    picture = draw(replace(scene, nodes={}), axial(scene, 15), Overlays(), "")
    assert kinds(picture)[-1] == "node uncalled"
    assert picture.outlines[-1].color == hex_color(UNCALLED_COLOR)
    assert hex_color(UNCALLED_COLOR) not in map(hex_color, CLASS_COLORS.values())


def test_the_arterial_phase_is_shown_on_demand(scene: Scene) -> None:
    frame = axial(scene, 20)
    venous = layer_pixels(draw(scene, frame, Overlays(), "").ct)
    arterial = layer_pixels(draw(scene, frame, Overlays(arterial=True), "").ct)
    # 20 HU less in a window of 400 HU.
    inside = (venous > 20) & (venous < 255)
    assert_allclose((venous - arterial)[inside], 255 * 20 / 400, atol=1)
    single = replace(scene, arterial=None)
    assert_array_equal(layer_pixels(draw(single, frame, Overlays(arterial=True), "").ct), venous)


def test_attention_is_drawn_only_where_there_is_some(scene: Scene) -> None:
    frame = axial(scene, 20)
    heat = layer_pixels(draw(scene, frame, Overlays(attention=True), "").heat)
    # It falls along the working axis i, that is from the patient's right to the left.
    assert heat[0, 0, 3] > heat[0, 40, 3] > heat[0, 59, 3]
    none = replace(scene, attention=scene.attention.with_array(0 * scene.attention.array))
    assert draw(none, frame, Overlays(attention=True), "").heat is None


def test_a_frame_outside_the_image_shows_marks_only(scene: Scene) -> None:
    frame = replace(axial(scene, 20), left=500.0)
    picture = draw(scene, frame, Overlays(structures=True, attention=True), "")
    assert picture.ct is None
    assert picture.heat is None
    assert picture.outlines == ()
    assert picture.marks.right == "L"


def test_outlines_cut_by_the_frame_end_out_of_sight(scene: Scene) -> None:
    frame = frame_around(scene.venous.geometry, Plane.AXIAL, (24, 18, 18), 10.0)
    (tumor,) = (o for o in draw(scene, frame, Overlays(), "").outlines if o.kind == "tumor")
    points = [tuple(map(float, p.split())) for p in tumor.path.strip("MZ").split("L")]
    assert not any(
        frame.left < x < frame.left + frame.width and frame.top < y < frame.top + frame.height
        for x, y in points
    )
