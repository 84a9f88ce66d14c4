"""The page that carries its viewer: what is in it, how large it is, and that nothing else may run."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.patient import Multiphase, Node, NodeMap, Prediction
from lymphct.core.terms import NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.report import viewer as viewer_module
from lymphct.report.colors import CLASS_COLORS, UNCALLED_COLOR, UNCERTAIN_COLOR, probability_color
from lymphct.report.context import ReportContext
from lymphct.report.figures import Scene
from lymphct.report.offline import template_text
from lymphct.report.page import patient_page
from lymphct.report.viewer import NIIVUE_SHA256, NIIVUE_VERSION, Viewer, niivue_script, viewer_of

EVIL = "</script><script>alert('1')</script><!--"


class Scripts(HTMLParser):
    """Collect the scripts of a page: their attributes and their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.names: set[str] = set()
        self.inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}
        self.inside = tag == "script"
        if self.inside:
            self.found.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            attrs, text = self.found[-1]
            self.found[-1] = (attrs, text + data)


def made(prediction: Prediction, ct: Multiphase) -> Viewer:
    return viewer_of(Scene.of(prediction, ct), prediction.nodes.nodes)


def facts_of(viewer: Viewer) -> dict[str, Any]:
    return dict(viewer.facts)


def voxels(viewer: Viewer, name: str, kind: type[np.generic] = np.uint8) -> AnyArray:
    """Unpack an image as the program in the page does."""
    content = gzip.decompress(base64.b64decode(viewer.blocks[name]))
    return np.frombuffer(content, dtype=kind).reshape(facts_of(viewer)["shape"], order="F")


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def crowded(prediction: Prediction, count: int) -> Prediction:
    """Return a prediction with many nodes of one voxel each."""
    instances = np.zeros(prediction.nodes.instances.array.shape, dtype=np.int32)
    geometry = prediction.nodes.instances.geometry
    nodes = []
    for label, place in enumerate(np.ndindex(10, 10, 10), start=1):
        if label > count:
            break
        index = (place[0] * 3 + 2, place[1] * 4 + 2, place[2] * 3 + 2)
        instances[index] = label
        x, y, z = geometry.world(index).tolist()
        nodes.append(Node(label=label, volume=8.0, center=(x, y, z), probability=label / count))
    volume = prediction.nodes.instances.with_array(instances)
    return replace(prediction, nodes=NodeMap(instances=volume, nodes=tuple(nodes)))


@pytest.fixture(scope="module")
def viewer(prediction: Prediction, ct: Multiphase) -> Viewer:
    return made(prediction, ct)


@pytest.fixture(scope="module")
def page(prediction: Prediction, ct: Multiphase, context: ReportContext) -> str:
    return patient_page(prediction, ct, context, viewer=True)


def test_niivue_is_the_file_of_its_release_with_its_licence_beside_it() -> None:
    script = niivue_script().encode()
    assert hashlib.sha256(script).hexdigest() == NIIVUE_SHA256
    assert len(script) <= 3_000_000
    licence = template_text("niivue.LICENSE.txt")
    assert f"@niivue/niivue {NIIVUE_VERSION}" in licence
    assert NIIVUE_SHA256 in licence
    assert "Redistribution and use in source and binary forms" in licence


def test_only_the_programs_of_the_page_may_run_and_nothing_may_load(page: str) -> None:
    scripts = Scripts(page)
    running = [text for attrs, text in scripts.found if attrs.get("type") is None]
    assert running == [template_text("curtain.js"), template_text("viewer.js")]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy.replace("&#39;", "'") == (
        f"default-src 'none'; script-src {' '.join(map(digest, [*running, niivue_script()]))}; "
        f"img-src data:; style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )
    assert not [name for name in scripts.names if name.startswith("on") or name in {"style", "src"}]
    assert "http://" not in page
    assert "https://" not in page


def test_niivue_makes_up_most_of_a_small_page(page: str, viewer: Viewer) -> None:
    program = len(viewer.blocks["niivue"])
    assert 1_000_000 < program < 1_100_000
    assert len(page) - program < 600_000


def test_images_and_program_come_back_from_the_page_as_they_went_in(page: str, viewer: Viewer) -> None:
    inert = {str(attrs["id"]): text for attrs, text in Scripts(page).found if "id" in attrs}
    assert json.loads(inert.pop("viewer-facts"))["hu"] == {"low": -200.0, "step": 4.0}
    blocks = {f"viewer-block-{name}" for name in viewer.blocks}
    assert set(inert) == blocks
    assert gzip.decompress(base64.b64decode(inert["viewer-block-niivue"])).decode() == niivue_script()
    assert {name.removeprefix("viewer-block-") for name in blocks} == {
        "venous", "arterial", "attention", "structures", "tumor", "nodes", "niivue",
    }  # fmt: skip


def grid_of(viewer: Viewer) -> Geometry:
    """Read the grid from the matrix of the page: NIfTI's x and y point the other way."""
    affine = np.diag([-1, -1, 1, 1]) @ np.asarray(facts_of(viewer)["affine"])
    return Geometry.from_affine(affine, facts_of(viewer)["shape"])


def test_small_images_keep_their_voxels_and_their_place(
    viewer: Viewer, prediction: Prediction, ct: Multiphase
) -> None:
    scene = Scene.of(prediction, ct)
    assert scene.arterial is not None
    grid = grid_of(viewer)
    start = np.round(scene.venous.geometry.index(grid.world((0, 0, 0)))).astype(int)
    box = tuple(slice(first, first + size) for first, size in zip(start, grid.shape, strict=True))
    for name, image in (("venous", scene.venous), ("arterial", scene.arterial)):
        hu = -200.0 + 4.0 * voxels(viewer, name)
        assert np.abs(hu - np.clip(image.array[box], -200, 700)).max() <= 2
    assert (voxels(viewer, "structures") == scene.structures.array[box]).all()
    assert (voxels(viewer, "tumor") == scene.tumor.array[box]).all()
    assert (voxels(viewer, "nodes") == scene.instances.array[box]).all()
    shares = voxels(viewer, "attention") / facts_of(viewer)["attention"]["levels"]
    assert np.abs(shares - scene.attention.array[box]).max() <= 0.5 / 32 + 1e-6
    # Everything found lies inside the box.
    assert np.count_nonzero(voxels(viewer, "structures")) == np.count_nonzero(scene.structures.array)


def test_nodes_are_numbered_as_in_the_table_and_coloured_by_probability(viewer: Viewer) -> None:
    rows = facts_of(viewer)["nodes"]
    assert [row["label"] for row in rows] == [1, 2, 3]
    assert [row["probability"] for row in rows] == ["0.20", "0.71", "0.93"]
    assert rows[1]["about"] == "12.0 mm short axis, station 13"
    for value, row in enumerate(rows, start=1):
        places = np.argwhere(voxels(viewer, "nodes") == value)
        center = grid_of(viewer).world(places.mean(axis=0))
        assert np.abs(center - row["center"]).max() < 1.0
        assert tuple(row["color"]) == probability_color(float(row["probability"]))


def test_colours_of_probabilities_run_from_class_to_class() -> None:
    assert probability_color(0.0) == CLASS_COLORS[NodeClass.NEGATIVE]
    assert probability_color(1.0) == CLASS_COLORS[NodeClass.POSITIVE]
    assert probability_color(0.5) == UNCERTAIN_COLOR
    assert probability_color(None) == UNCALLED_COLOR
    assert probability_color(0.25) == (158, 214, 208)


def test_a_page_that_would_be_too_large_gets_coarser_voxels_and_says_so(
    prediction: Prediction, ct: Multiphase, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "(as acquired)" in viewer.reduced
    monkeypatch.setattr(viewer_module, "MOST_BYTES", 12_000)
    smaller = made(crowded(prediction, 60), ct)
    taken = sum(len(base64.b64decode(smaller.blocks[name])) for name in ("venous", "arterial"))
    assert 3_000 < taken <= 12_000
    assert "mm (acquired 1.60 × 2.00 × 2.50), densities from −200" in smaller.reduced
    assert "from −200 to 700 HU in steps of 4 HU" in smaller.reduced
    assert min(grid_of(smaller).spacing) > 2.4
    # No node is lost, though each has one voxel of a much finer image.
    assert set(np.unique(voxels(smaller, "nodes"))) == set(range(61))


def test_images_of_too_many_voxels_are_reduced_however_well_they_compress(
    prediction: Prediction, ct: Multiphase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_module, "MOST_VOXELS", 5_000)
    flat = Multiphase(venous=ct.venous.with_array(np.zeros_like(ct.venous.array)))
    assert np.prod(facts_of(made(prediction, flat))["shape"]) <= 5_000


@pytest.mark.parametrize(("count", "kind"), [(60, np.uint8), (255, np.uint8), (300, np.uint16)])
def test_any_number_of_nodes_has_its_numbers(
    prediction: Prediction, ct: Multiphase, count: int, kind: type[np.generic]
) -> None:
    many = made(crowded(prediction, count), ct)
    assert facts_of(many)["uint16"] == (kind is np.uint16)
    assert len(facts_of(many)["nodes"]) == count
    assert set(np.unique(voxels(many, "nodes", kind))) == set(range(count + 1))


def test_a_venous_phase_alone_and_no_nodes_are_shown_as_well(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    nodeless = crowded(prediction, 0)
    single = Multiphase(venous=ct.venous)
    seen = made(nodeless, single)
    assert "arterial" not in seen.blocks
    assert facts_of(seen)["nodes"] == []
    assert not voxels(seen, "nodes").any()
    assert seen.reduced.startswith("The venous phase is reduced")
    assert 'id="viewer-block-arterial"' not in patient_page(nodeless, single, context, viewer=True)


def test_where_nothing_was_found_the_body_is_shown(prediction: Prediction, ct: Multiphase) -> None:
    def emptied(volume: Volume) -> Volume:
        return volume.with_array(np.zeros_like(volume.array))

    bare = replace(
        crowded(prediction, 0), structures=emptied(prediction.structures), tumor=emptied(prediction.tumor)
    )
    shown = made(bare, ct)
    assert facts_of(shown)["structures"] == []
    assert not facts_of(shown)["tumor"]["found"]
    assert (voxels(shown, "venous") > 0).mean() > 0.4


def test_the_viewer_does_not_depend_on_the_axes_of_the_file(
    prediction: Prediction, ct: Multiphase, viewer: Viewer
) -> None:
    order = AxisOrder(axes=(1, 2, 0), flipped=(False, True, True))
    assert ct.arterial is not None
    turned = replace(
        prediction,
        structures=order.apply(prediction.structures),
        tumor=order.apply(prediction.tumor),
        attention=order.apply(prediction.attention),
        nodes=replace(prediction.nodes, instances=order.apply(prediction.nodes.instances)),
    )
    phases = Multiphase(venous=order.apply(ct.venous), arterial=order.apply(ct.arterial))
    assert made(turned, phases) == viewer


def test_equal_inputs_give_equal_pages(
    prediction: Prediction, ct: Multiphase, context: ReportContext, page: str
) -> None:
    assert patient_page(prediction, ct, context, viewer=True) == page


def test_text_from_outside_cannot_leave_the_facts(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    first, *others = prediction.nodes.nodes
    hostile = replace(
        prediction, nodes=replace(prediction.nodes, nodes=(replace(first, station=EVIL), *others))
    )
    scripts = Scripts(patient_page(hostile, ct, replace(context, patient_id=EVIL), viewer=True))
    assert [text for attrs, text in scripts.found if attrs.get("type") is None] == [
        template_text("curtain.js"),
        template_text("viewer.js"),
    ]
    (facts,) = (json.loads(text) for attrs, text in scripts.found if attrs.get("id") == "viewer-facts")
    assert any(EVIL in node["about"] for node in facts["nodes"])


def test_vessels_are_told_from_organs(viewer: Viewer) -> None:
    tubes = {each["name"]: each["tube"] for each in facts_of(viewer)["structures"]}
    assert tubes == {
        Structure.AORTA.title: True, Structure.PANCREAS.title: False, Structure.LEFT_KIDNEY.title: False,
    }  # fmt: skip
