import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.orientation import AxisOrder
from lymphct.core.patient import Multiphase, NodeMap, Notice, Prediction, SearchState
from lymphct.core.terms import PHANTOM_NOTICE, NodeClass, Source, StageName, Structure
from lymphct.core.volume import Volume
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.report.context import ReportContext
from lymphct.report.offline import template_text
from lymphct.report.page import patient_page, write_patient_page
from lymphct.report.planes import display_order

VOID = {"meta", "br", "input"}
EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Collect tags, attributes and text, and check that every tag is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def count(self, tag: str, **wanted: str) -> int:
        return sum(name == tag and wanted.items() <= attrs.items() for name, attrs in self.tags)


def emptied(volume: Volume) -> Volume:
    return volume.with_array(np.zeros_like(volume.array))


def nodeless(prediction: Prediction, **changes: Any) -> Prediction:
    return replace(
        prediction, nodes=NodeMap(instances=emptied(prediction.nodes.instances), nodes=()), **changes
    )


@pytest.fixture(scope="module")
def page(prediction: Prediction, ct: Multiphase, context: ReportContext) -> str:
    return patient_page(prediction, ct, context)


def test_the_page_says_first_what_matters_first(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    bundle = {**context.bundle, "is_phantom": True, "notice": "Made by the demonstration."}
    text = Reader(patient_page(prediction, ct, replace(context, bundle=bundle))).text
    order = [
        "patient case-7",
        "meaningless for patients",
        "Made by the demonstration.",
        "Research use only",
        "one structure is missing",
        "values below −1024 HU",
        "9 of 10 structures",
        "Missing: left gastric artery",
        "predicted N+",
        "largest diameter",
        "head/uncinate",
        "Slices through the tumor",
        "3 found, 2 predicted positive",
        "predicted positive",
        "Node 3",
        "Node 2",
        "Node 1",
        "Checks of the input",
        "Versions",
        "Bundle",
    ]
    place = 0
    for part in order:
        assert part in text[place:], part
        place = text.index(part, place)


def test_a_bundle_of_patients_carries_no_phantom_warning(page: str) -> None:
    assert "synthetic" not in page
    assert "meaningless" not in page
    assert 'role="alert"' not in page


def test_the_sentence_about_phantoms_stands_once(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    bundle = {**context.bundle, "is_phantom": True, "notice": PHANTOM_NOTICE}
    told = replace(prediction, notices=(Notice(code="bundle", text=PHANTOM_NOTICE),))
    text = Reader(patient_page(told, ct, replace(context, bundle=bundle))).text
    assert text.count("trained on synthetic phantoms") == 1
    assert text.count("meaningless for patients") == 1
    assert "Not for patients" in text
    assert "Notices None but what stands above." in text


def test_the_notice_of_any_bundle_is_shown(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    bundle = {**context.bundle, "notice": "Trained on one center."}
    assert '<section class="notice-box">' in patient_page(prediction, ct, replace(context, bundle=bundle))


def test_what_the_bundle_says_is_not_repeated_among_the_notices(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    bundle = {**context.bundle, "notice": "Trained on one center."}
    first, *others = prediction.notices
    again = replace(prediction, notices=(replace(first, text="Trained on one center."), *others))
    found = patient_page(again, ct, replace(context, bundle=bundle))
    assert "<p>Trained on one center.</p>" in found
    assert '<span class="text">Trained on one center.</span>' not in found
    assert all(notice.text in Reader(found).text for notice in others)
    alone = patient_page(replace(again, notices=again.notices[:1]), ct, replace(context, bundle=bundle))
    assert "None but what stands above." in alone


def test_nothing_but_the_pictures_and_the_one_style_may_load(page: str) -> None:
    reader = Reader(page)
    (policy,) = (
        attrs["content"]
        for tag, attrs in reader.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script == template_text("curtain.js")
    by_style, by_script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{by_script}'; img-src data:; "
        f"style-src 'sha256-{by_style}'; base-uri 'none'; form-action 'none'"
    )
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in reader.tags}
    assert not [
        name for _, attrs in reader.tags for name in attrs if name.startswith("on") or name == "style"
    ]
    addresses = [attrs["href"] or "" for _, attrs in reader.tags if "href" in attrs]
    assert addresses
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in addresses)
    assert "http://" not in page
    assert "https://" not in page


def test_links_within_the_page_have_a_target(page: str) -> None:
    reader = Reader(page)
    names = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(names) == len(set(names))
    targets = {
        (attrs["href"] or "")[1:] for _, attrs in reader.tags if (attrs.get("href") or "").startswith("#")
    }
    assert targets <= set(names)
    assert {"ct-1", "ct-2", "node-1", "node-2", "node-3"} <= targets


def test_text_from_outside_stays_text(prediction: Prediction, ct: Multiphase) -> None:
    first, *others = prediction.nodes.nodes
    hostile = replace(
        prediction,
        notices=(Notice(code=EVIL, text=EVIL, value=EVIL),),
        nodes=replace(prediction.nodes, nodes=(replace(first, station=EVIL), *others)),
    )
    context = ReportContext(
        patient_id=EVIL,
        bundle={"name": EVIL, "sha256": EVIL, "is_phantom": True, "notice": EVIL, EVIL: {EVIL: [EVIL]}},
        versions={EVIL: EVIL},
        checks=[{"name": EVIL, "passed": None, "value": EVIL, "text": EVIL}],
    )
    reader = Reader(patient_page(hostile, ct, context))
    assert [attrs for tag, attrs in reader.tags if tag in {"script", "img"}] == [{}]  # the one of the page
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert reader.text.count(EVIL) >= 13


def test_text_that_is_not_unicode_does_not_stop_the_page(
    tmp_path: Path, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    broken = replace(prediction, notices=(Notice(code="c", text="file \udcff"),))
    written = write_patient_page(tmp_path, broken, ct, context).read_text(encoding="utf-8")
    assert "file \\udcff" in written


def test_equal_inputs_give_equal_bytes(
    tmp_path: Path, prediction: Prediction, ct: Multiphase, context: ReportContext, page: str
) -> None:
    path = write_patient_page(tmp_path, prediction, ct, context)
    assert path.name == "report.html"
    assert path.read_bytes() == page.encode()


@pytest.mark.parametrize(
    "order",
    [
        AxisOrder(axes=(1, 2, 0), flipped=(False, True, True)),
        AxisOrder(axes=(1, 0, 2), flipped=(True, True, False)),
    ],
    ids=str,
)
def test_but_for_slice_numbers_the_page_does_not_depend_on_the_axes_of_the_file(
    prediction: Prediction, ct: Multiphase, context: ReportContext, page: str, order: AxisOrder
) -> None:
    assert ct.arterial is not None
    turned = replace(
        prediction,
        structures=order.apply(prediction.structures),
        tumor=order.apply(prediction.tumor),
        attention=order.apply(prediction.attention),
        nodes=replace(prediction.nodes, instances=order.apply(prediction.nodes.instances)),
    )
    phases = Multiphase(venous=order.apply(ct.venous), arterial=order.apply(ct.arterial))
    found = patient_page(turned, phases, context)
    assert re.sub(r"slice \d+ of", "", found) == re.sub(r"slice \d+ of", "", page)


def test_slices_are_numbered_as_in_the_file(ct: Multiphase, page: str) -> None:
    """The displayed axes are axes 1, 2 and 0 of the file; the last two run the other way there."""
    found = {(plane, int(n), int(of)) for plane, n, of in re.findall(r">(\w+), slice (\d+) of (\d+)", page)}
    order = display_order(ct.venous.geometry)
    assert (order.axes, order.flipped) == ((1, 2, 0), (False, True, True))
    assert {(plane, of) for plane, _, of in found} == {("Axial", 40), ("Coronal", 50), ("Sagittal", 60)}
    # Node 2 has its center in voxel (40, 30, 25) of the displayed grid.
    assert {("Axial", 40 - 25, 40), ("Coronal", 50 - 30, 50), ("Sagittal", 41, 60)} <= found


def test_outlines_tell_their_names_to_the_pointer(page: str) -> None:
    names = set(re.findall(r"<path[^>]*><title>([^<]*)</title></path>", page))
    assert {"pancreas", "aorta", "tumor", "node 3, predicted positive", "node 1, predicted negative"} <= names
    outlines = re.findall(r'<path class="outline [^>]*d="M[^>]*>(?!<title>)', page)
    assert all('d="M3 7H23"' in outline for outline in outlines)  # samples of the legend


def test_the_tumor_is_measured(
    prediction: Prediction, ct: Multiphase, context: ReportContext, page: str
) -> None:
    text = Reader(page).text
    volume = np.count_nonzero(prediction.tumor.array) * 8.0 / 1000
    row = "head/uncinate (its center lies right of the middle of the aorta) predicted"
    assert f"{volume:.2f} 20 {row}" in text
    drawn = replace(prediction, sources={StageName.TUMOR: Source.GIVEN})
    assert row.replace("predicted", "drawn") in Reader(patient_page(drawn, ct, context)).text
    two = prediction.tumor.array.copy()
    two[0, 0, 0] = 1
    parts = replace(prediction, tumor=prediction.tumor.with_array(two))
    assert "2 separate parts" in Reader(patient_page(parts, ct, context)).text


def test_without_a_tumor_or_a_vessel_to_place_it_the_page_says_so(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    none = replace(prediction, tumor=emptied(prediction.tumor))
    assert "Tumor None was found." in Reader(patient_page(none, ct, context)).text
    empty = replace(none, sources={StageName.TUMOR: Source.GIVEN})
    assert "Tumor The drawn mask is empty." in Reader(patient_page(empty, ct, context)).text
    lost = replace(prediction, structures=emptied(prediction.structures))
    assert "– (no vessel to tell it by)" in Reader(patient_page(lost, ct, context)).text


def test_the_score_is_worded_as_a_prediction(
    prediction: Prediction, ct: Multiphase, context: ReportContext, page: str
) -> None:
    assert "predicted N+</strong>" in page
    negative = Reader(patient_page(replace(prediction, probability=0.12), ct, context)).text
    assert "0.12 predicted N− Probability" in negative
    uncalled = Reader(patient_page(replace(prediction, threshold=None), ct, context)).text
    assert "not called: the bundle has no threshold" in uncalled
    assert "predicted N+" not in uncalled.replace("N+ and N−", "")


def test_a_score_just_below_the_threshold_does_not_read_as_equal(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    text = Reader(patient_page(replace(prediction, probability=0.4696), ct, context)).text
    assert "0.470 predicted N−" not in text
    assert "0.4696 predicted N− Probability of lymph node metastasis; predicted N+ from 0.4700" in text
    equal = Reader(patient_page(replace(prediction, probability=0.47), ct, context)).text
    assert "0.47 predicted N+ Probability of lymph node metastasis; predicted N+ from 0.47 " in equal


def test_a_withheld_score_says_why(prediction: Prediction, ct: Multiphase, context: ReportContext) -> None:
    reason = Notice(code="no_tumor", text="no tumor was found: the score is withheld")
    withheld = replace(prediction, probability=None, notices=(*prediction.notices, reason))
    text = Reader(patient_page(withheld, ct, context)).text
    assert "Lymph node metastasis withheld no tumor was found: the score is withheld Tumor" in text
    unexplained = Reader(patient_page(replace(prediction, probability=None), ct, context)).text
    assert "withheld No score was computed; the notices above say why." in unexplained


def test_not_searched_is_told_from_none_found(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    unsearched = Reader(patient_page(nodeless(prediction, search=SearchState.NOT_SEARCHED), ct, context))
    assert "not searched : this says nothing" in unsearched.text
    none_found = Reader(patient_page(nodeless(prediction), ct, context))
    assert "none was found" in none_found.text
    for reader in (unsearched, none_found):
        assert reader.count("table", **{"class": "nodes"}) == 0
        assert reader.count("figure") == 4 + 2 * 2


def test_a_patient_without_anything_still_has_a_page(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    bare = nodeless(
        prediction,
        probability=None,
        threshold=None,
        search=SearchState.NOT_SEARCHED,
        structures=emptied(prediction.structures),
        tumor=emptied(prediction.tumor),
        attention=emptied(prediction.attention),
        structures_used=(),
        notices=(),
        seconds={},
    )
    plain_context = replace(context, checks=(), versions={})
    text = Reader(patient_page(bare, Multiphase(venous=ct.venous), plain_context)).text
    assert "Notices None." in text
    assert "0 of 10 structures" in text
    assert "the middle of the image" in text
    assert "Checks" not in text


def test_the_arterial_phase_adds_a_plain_picture_to_each_node(
    prediction: Prediction, ct: Multiphase, context: ReportContext, page: str
) -> None:
    single = Reader(patient_page(prediction, Multiphase(venous=ct.venous), context))
    assert Reader(page).count("figure") == 4 + 2 * 2 + 3 * 5
    assert single.count("figure") == 4 + 3 * 4
    assert Reader(page).text.count(": arterial phase") == 3
    assert ": arterial phase" not in single.text
    # The venous slice is embedded once and shown plain and tinted.
    assert page.count('<use href="#ct-node-') == 3


def test_the_table_holds_every_measure_of_a_node(page: str) -> None:
    text = Reader(page).text
    x, y, z = re.findall(r"8a 60 80 (\S+) (\S+) (\S+)", text)[0]
    assert "predicted negative 0.20" in text
    assert "pancreas 0.0 8a 60 80" in text
    assert x.startswith("−")
    assert all(re.fullmatch(r"−?\d+\.\d", part) for part in (x, y, z))


def test_beyond_forty_nodes_the_table_is_whole_and_pictures_stop(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    first = replace(prediction.nodes.nodes[0], node_class=None, probability=None)
    many = tuple(replace(first, label=label) for label in range(4, 60))
    crowd = replace(prediction, nodes=replace(prediction.nodes, nodes=(*prediction.nodes.nodes, *many)))
    reader = Reader(patient_page(crowd, Multiphase(venous=ct.venous), context))
    assert reader.count("article") == 40
    assert "Pictures of the first 40 of 59 nodes" in reader.text
    assert sum("not called" in word for word in reader.words) == 56 + 37


def test_checks_are_passed_failed_or_not_done(page: str) -> None:
    text = Reader(page).text
    assert "Checks of the input : 1 failed , 1 not done , 1 passed ." in text
    table = text[text.index("what it means") :]
    order = [
        "failed phase_order 12.5 aorta brighter",
        "not done registration – not run",
        "passed hounsfield −1003 air is near",
    ]
    assert [line in table for line in order] == [True, True, True]
    assert sorted(order, key=table.index) == order


def test_a_coarse_phantom_patient_has_a_small_page(tmp_path: Path, context: ReportContext) -> None:
    patient = generate_patient(
        PhantomSettings(size="nano", phase_shift=False, prevalence=1.0), seed=2, index=0
    )
    called = tuple(replace(node, probability=0.5) for node in patient.nodes.nodes)
    found = Prediction(
        probability=0.3,
        threshold=0.5,
        nodes=replace(patient.nodes, nodes=called),
        search=SearchState.SEARCHED,
        structures=patient.structures,
        tumor=patient.tumor,
        attention=patient.tumor.with_array(patient.tumor.array.astype(np.float32)),
        structures_used=(Structure.AORTA,),
        notices=(),
        seconds={},
    )
    ct = Multiphase(venous=patient.venous, arterial=patient.arterial)
    path = write_patient_page(tmp_path, found, ct, context)
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.count("article") == len(called) > 0
    assert any(node.node_class is NodeClass.POSITIVE for node in called)
    assert path.stat().st_size < 400_000
