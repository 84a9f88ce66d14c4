"""The page in a real browser: it shows its pictures, complains about nothing and asks the network nothing."""

from pathlib import Path

import numpy as np
import pytest
from tests.browser import (
    HEIGHT,
    SOFTWARE_GRAPHICS,
    WIDTH,
    Visit,
    needs_chromium,
    seen_by_reader,
    visit,
    with_reader,
)

from lymphct.core.patient import Multiphase, Prediction
from lymphct.evaluation.risk import risk_distributions
from lymphct.report.cohort import cohort_page
from lymphct.report.cohort_rows import Fate
from lymphct.report.context import ReportContext
from lymphct.report.curves import risk_png
from lymphct.report.evaluation_page import (
    EvaluationPage,
    PagePicture,
    PageSection,
    PageTable,
    evaluation_page,
)
from lymphct.report.page import write_patient_page
from lymphct.report.tables import result_record

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> Path:
    return write_patient_page(tmp_path_factory.mktemp("page"), prediction, ct, context)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, page: Path) -> Visit:
    return visit(page, tmp_path_factory.mktemp("visit"))


def test_the_browser_has_nothing_to_complain_about_and_asks_the_network_nothing(shown: Visit) -> None:
    assert shown.console == []
    assert shown.requests == []


def test_the_browser_shows_text_pictures_outlines_and_attention(shown: Visit) -> None:
    assert shown.picture.shape == (HEIGHT, WIDTH, 3)
    darkest, brightest = shown.picture.max(axis=2), shown.picture.min(axis=2)
    assert (brightest > 0.98).mean() > 0.3  # paper
    assert (darkest < 0.02).mean() > 0.02  # air around the body
    red, green, blue = np.moveaxis(shown.picture, 2, 0)
    assert np.count_nonzero((green > 0.8) & (red < 0.4) & (blue < 0.5)) > 300  # tumor
    assert np.count_nonzero((red > 0.9) & (green < 0.4) & (blue < 0.3)) > 300  # predicted positive
    assert np.count_nonzero((blue > 0.9) & (green > 0.6) & (red < 0.4)) > 150  # predicted negative
    assert ((red - blue) > 0.15).mean() > 0.05  # attention


def test_the_page_of_a_cohort_is_as_quiet(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    result = result_record(prediction, context)
    fates = [Fate(patient_id="a", result=result), Fate(patient_id="b", cause="cut short", code="E_TRUNCATED")]
    page = tmp_path / "index.html"
    page.write_text(cohort_page(fates), encoding="utf-8")
    seen = visit(page, tmp_path)
    assert (seen.console, seen.requests) == ([], [])
    red, green, blue = np.moveaxis(seen.picture, 2, 0)
    bar = (abs(red - 0xC4 / 255) < 0.02) & (abs(green - 0x55 / 255) < 0.02) & (abs(blue - 0x2D / 255) < 0.02)
    assert np.count_nonzero(bar) > 1000  # the one score, above its threshold


INTRUDER = '<script>1</script><img alt="" src="http://localhost:9/x.png">'


def test_a_script_or_a_foreign_picture_would_be_noticed(tmp_path: Path, page: Path) -> None:
    """The browser enforces the policy, and this test would see a request if it did not."""
    text = page.read_text(encoding="utf-8").replace("<main>", f"<main>{INTRUDER}")
    guarded, open_to_all = tmp_path / "guarded.html", tmp_path / "open.html"
    guarded.write_text(text, encoding="utf-8")
    open_to_all.write_text(text.replace("Content-Security-Policy", "X"), encoding="utf-8")
    refused = visit(guarded, tmp_path)
    said = " ".join(refused.console)
    assert "inline script" in said
    assert "img-src" in said
    assert "http://localhost:9/x.png" not in refused.requests
    assert "http://localhost:9/x.png" in visit(open_to_all, tmp_path).requests


def test_the_page_of_a_cohort_shows_its_pictures_and_asks_the_network_nothing(tmp_path: Path) -> None:
    risks = risk_distributions([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])
    table = PageTable(caption="Discrimination", heading=("", "AUC"), rows=[("all", "0.750")])
    section = PageSection(
        title="N status", pictures=[PagePicture(caption="Score", png=risk_png(*risks))], tables=[table]
    )
    content = EvaluationPage(
        title="Evaluation",
        bundles=[{"is_phantom": True, "notice": ""}],
        stamps=["a stamp"],
        sections=[section],
        facts={"bundle": "b"},
    )
    path = tmp_path / "report.html"
    path.write_text(evaluation_page(content), encoding="utf-8")
    shown = visit(path, tmp_path)
    assert (shown.console, shown.requests) == ([], [])
    red, green, blue = np.moveaxis(shown.picture, 2, 0)
    assert np.count_nonzero((red > 0.7) & (green < 0.45) & (blue < 0.45)) > 2000  # N+
    assert np.count_nonzero((blue > 0.6) & (red < 0.4)) > 2000  # N-


READER = """
const panel = document.getElementById("viewer");
const said = [];
const note = (what) => said.push([what, panel.dataset.node, panel.dataset.place]);
const press = (key) => panel.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const words = (button) => [...button.childNodes].find((n) => n.nodeType === Node.TEXT_NODE).data;
const pressed = (id) => [...document.querySelectorAll(`#${id} [aria-pressed=true]`)].map(words);
const wait = setInterval(() => {
  if (!panel.dataset.place) return;
  clearInterval(wait);
  note("opened");
  document.querySelectorAll("#viewer-nodes li")[1].click();
  note("row of the list");
  press("ArrowUp");
  note("key up");
  press("ArrowDown");
  press("ArrowDown");
  note("keys down");
  document.querySelectorAll("tr[data-node]")[1].click();
  setTimeout(() => {
    note("row of the table");
    press("l");
    press("1");
    press("f");
    said.push(pressed("viewer-windows"), pressed("viewer-layers"));
    said.push(document.getElementById("viewer-place").textContent);
    ["1", "2", "a"].forEach(press);
    press("Escape");
    said.push(panel.hidden);
    document.getElementById("viewer-open").click();
    said.push(panel.hidden);
    console.log("SEEN" + JSON.stringify(said));
  }, 500);
}, 100);
"""
"""What a reader does, as a script that the test lets into the page."""


@pytest.fixture(scope="module")
def looked_through(
    tmp_path_factory: pytest.TempPathFactory, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> Visit:
    folder = tmp_path_factory.mktemp("viewer")
    page = write_patient_page(folder, prediction, ct, context, viewer=True)
    page.write_text(with_reader(page.read_text(encoding="utf-8"), READER), encoding="utf-8")
    return visit(page, folder, fragment="#viewer&node=1", graphics=SOFTWARE_GRAPHICS)


def test_the_crosshair_of_the_viewer_follows_rows_and_keys(
    looked_through: Visit, prediction: Prediction
) -> None:
    assert looked_through.requests == []
    said = seen_by_reader(looked_through)
    centers = {str(node.label): node.center for node in prediction.nodes.nodes}
    places = {what: (node, [float(x) for x in place.split()]) for what, node, place in said[:5]}
    assert {what: node for what, (node, _) in places.items()} == {
        "opened": "1",
        "row of the list": "2",
        "key up": "3",
        "keys down": "1",
        "row of the table": "2",
    }
    for node, place in places.values():
        assert np.abs(np.asarray(place) - centers[node]).max() < 1.3  # half a voxel
    windows, layers, words, closed, opened_again = said[5:]
    assert (windows, closed, opened_again) == (["liver"], True, False)
    assert layers == ["attention", "structures", "tumor", "nodes by probability"]
    assert "node 2" in words
    assert "venous 80 HU" in words


def test_the_viewer_shows_both_phases_and_nodes_in_their_colours(looked_through: Visit) -> None:
    red, green, blue = np.moveaxis(looked_through.picture, 2, 0)
    darkest = looked_through.picture.max(axis=2)
    assert (darkest < 0.12).mean() > 0.3  # a dark panel over the page
    assert np.count_nonzero((red > 0.9) & (green > 0.75) & (green < 0.9) & (blue < 0.5)) > 100  # crosshair
    assert np.count_nonzero((green > red + 0.2) & (green > blue + 0.2)) > 300  # tumor
    gray = (abs(red - green) < 0.02) & (abs(green - blue) < 0.02) & (red > 0.3)
    assert gray.mean() > 0.02  # CT


def test_without_graphics_the_page_says_where_its_pictures_are(
    tmp_path: Path, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    page = write_patient_page(tmp_path, prediction, ct, context, viewer=True)
    probe = "const is = (id) => document.getElementById(id).hidden;"
    probe += 'document.getElementById("viewer-open").click();'
    probe += 'console.log("SEEN" + JSON.stringify([is("viewer-door"), is("viewer-absent")]));'
    page.write_text(with_reader(page.read_text(encoding="utf-8"), probe), encoding="utf-8")
    seen = visit(page, tmp_path, graphics=("--disable-gpu", "--disable-3d-apis"))
    (line,) = [line for line in seen.console if "SEEN" in line]
    assert "SEEN[true,false]" in line
    assert seen.requests == []
    assert (seen.picture.min(axis=2) > 0.98).mean() > 0.3  # the page itself is there as ever
