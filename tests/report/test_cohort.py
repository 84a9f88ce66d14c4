"""The page of a cohort says of everybody what became of them, and trusts no text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.report.cohort import cohort_page
from lymphct.report.cohort_rows import Fate
from lymphct.report.cohort_scores import BINS, score_bars

EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"
FAILED = Fate(
    patient_id="f", cause="venous.nii.gz: gzip stream ends early", code="E_TRUNCATED", cure="copy it"
)
EXCLUDED = Fate(patient_id="x", exclusion="no consent")


def result(probability: float | None = 0.7, **changes: Any) -> dict[str, Any]:
    status = None if probability is None else int(probability >= 0.5)
    return {
        "probability": probability,
        "threshold": 0.5,
        "predicted_n_status": status,
        "nodes_total": 3,
        "nodes_positive": 2,
        "nodes_implausible": 0,
        "largest_positive_volume_mm3": 2620.4,
        "tumor": {"volume_mm3": 7090.0, "largest_diameter_mm": 29.4, "site_guess": "head/uncinate"},
        "sources": {"structures": "network", "tumor": "network", "nodes": "network"},
        "notices": [{"code": "bundle", "text": "From one center.", "value": None}],
        "bundle": {"name": "b", "sha256": "ab" * 32, "is_phantom": False, "notice": "From one center."},
        "versions": {"lymphct": "0.1.0"},
        **changes,
    }


def done(patient_id: str, probability: float | None = 0.7, **changes: Any) -> Fate:
    return Fate(patient_id=patient_id, result=result(probability, **changes))


class Tags(HTMLParser):
    """Tags, attributes and rows of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def rows(page: str) -> list[list[str]]:
    """Return the cells of the table of patients."""
    (body,) = re.findall(r'<table class="cohort".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    return [
        [Tags(cell).text.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    ]


def row(fate: Fate) -> list[str]:
    (only,) = rows(cohort_page([fate]))
    return only


def test_patients_stand_in_the_order_of_the_manifest_each_with_a_link_to_the_page() -> None:
    page = cohort_page([done("z"), FAILED, done("a", 0.2), EXCLUDED])
    assert [(cells[0], cells[1]) for cells in rows(page)] == [
        ("z", "predicted N+"), ("f", "failed"), ("a", "predicted N−"), ("x", "excluded"),
    ]  # fmt: skip
    table = page[page.index('<table class="cohort"') :]
    links = [attrs["href"] for tag, attrs in Tags(table).tags if tag == "a"]
    assert links == ["z/report.html", "a/report.html"]  # who has no page has no link


def test_a_row_says_outcome_score_nodes_tumor_sources_and_notices() -> None:
    assert row(done("a")) == [
        "a", "predicted N+", "0.70", "3", "2", "2620", "7.09", "29", "head/uncinate", "networks", "–",
    ]  # fmt: skip
    notices = [{"code": "no_arterial", "text": "no arterial phase", "value": None}]
    drawn = {"structures": "given", "tumor": "network", "nodes": "given"}
    tumor = {"volume_mm3": 7090.0, "largest_diameter_mm": 29.4, "site_guess": None}
    told = row(done("a", 0.4996, notices=notices, sources=drawn, tumor=tumor, nodes_implausible=1))
    assert told[1:] == [
        "predicted N−", "0.4996", "3 drawn, 1 implausible", "2", "2620", "7.09", "29", "–",
        "drawn: structures, nodes", "no arterial phase",
    ]  # fmt: skip


def test_a_withheld_score_says_why() -> None:
    reason = {"code": "no_tumor", "text": "no tumor was found", "value": None}
    told = row(done("a", None, notices=[reason], tumor=None))
    assert (told[1], told[2], told[6], told[-1]) == ("score withheld", "–", "none", "no tumor was found")
    assert row(done("a", 0.9, threshold=None, predicted_n_status=None))[1] == "not called"
    unsearched = {"nodes_total": None, "nodes_positive": None, "largest_positive_volume_mm3": None}
    assert row(done("a", None, **unsearched))[3:6] == ["not searched", "–", "–"]


def test_rows_are_sorted_by_numbers_that_the_text_rounds() -> None:
    page = cohort_page([done("a", 0.701234)])
    assert 'data-v="0.701234">0.70<' in page
    assert 'data-v="2620.4">2620<' in page
    assert 'data-v="29.4">29<' in page


def test_a_notice_that_everybody_has_is_said_once_above_the_table() -> None:
    said = [{"code": "no_arterial", "text": "no arterial phase", "value": None}]
    more = [*said, {"code": "no_nodes", "text": "no node was found", "value": None}]
    page = cohort_page([done("a", notices=said), FAILED, done("b", notices=more)])
    assert "Of every predicted patient: no arterial phase." in Tags(page).text
    assert [cells[-1] for cells in rows(page)] == ["–", FAILED.cause, "no node was found"]
    assert page.count('data-noted="1"') == 1
    assert row(done("a", notices=said))[-1] == "no arterial phase"  # one patient is no cohort
    unlike = cohort_page([done("a", notices=said), done("b", notices=[])])
    assert "Of every predicted patient" not in unlike


def test_failures_are_listed_with_cause_and_cure_and_exclusions_with_their_reason() -> None:
    text = Tags(cohort_page([done("a"), FAILED, EXCLUDED])).text
    assert (
        "1 E_TRUNCATED . The same command again tries this patient alone. "
        "patient cause cure code f venous.nii.gz: gzip stream ends early copy it E_TRUNCATED" in text
    )
    assert row(EXCLUDED)[-1] == "no consent"
    assert "<h2>Failures" not in cohort_page([done("a")])
    assert "– E_BUG" in Tags(cohort_page([Fate(patient_id="f", cause="no result", code="E_BUG")])).text


def test_the_top_counts_everybody() -> None:
    fates = [done("a"), done("b", 0.1), done("c", None), FAILED, EXCLUDED]
    page = cohort_page(fates)
    tiles = re.findall(r"<dt[^>]*>([^<]*)</dt><dd>(\d+)</dd>", page)
    assert tiles == [
        ("in the manifest", "5"), ("predicted", "3"), ("failed", "1"), ("excluded", "1"),
        ("predicted N+", "1"), ("predicted N−", "1"), ("score withheld", "1"),
    ]  # fmt: skip
    chips = re.findall(r'data-outcome="(\w+)" aria-pressed="false">[^<]*<b>(\d+)</b>', page)
    assert chips == [
        ("positive", "1"), ("negative", "1"), ("withheld", "1"), ("failed", "1"), ("excluded", "1"),
    ]  # fmt: skip
    assert "of 2 patients: median 0.40, from 0.10 to 0.70." in Tags(page).text


def test_scores_are_counted_in_bars_over_0_to_1() -> None:
    bars = score_bars([result(p) for p in (0.0, 0.04, 0.52, 0.54, 1.0)] + [result(None)])
    assert len(bars) == BINS
    assert [(i, b.negative, b.positive) for i, b in enumerate(bars) if b.negative + b.positive] == [
        (0, 2, 0), (10, 0, 2), (19, 0, 1),
    ]  # fmt: skip
    assert (bars[10].low, bars[10].high) == (0.5, 0.55)
    assert not any(bar.patients for bar in score_bars([result(None)]))


def test_the_distribution_names_its_bars_and_the_threshold() -> None:
    page = cohort_page([done("a", 0.52), done("b", 0.54), done("c", 0.1)])
    assert "<title>0.50 to 0.55: 2 patients</title>" in page
    assert "<title>0.10 to 0.15: 1 patient</title>" in page
    assert "threshold 0.50" in page
    tall, short = (
        re.findall(r'class="positive"[^>]*height="([\d.]+)"', page),
        re.findall(r'class="negative"[^>]*height="([\d.]+)"', page),
    )
    assert (tall, short) == (["120.0"], ["60.0"])
    two = cohort_page([done("a"), done("b", 0.6, threshold=0.4)])
    assert "threshold 0" not in two
    ticks = re.findall(
        r'<a href="([^"]*)" tabindex="-1"><title>([^<]*)</title><path class="(\w+)" d="M([\d.]+) ', page
    )
    assert ticks == [
        ("a/report.html", "a: 0.52", "positive", "362.4"), ("b/report.html", "b: 0.54", "positive", "374.8"),
        ("c/report.html", "c: 0.10", "negative", "102.0"),
    ]  # fmt: skip
    assert "No patient has a score." in cohort_page([done("a", None)])


@pytest.mark.parametrize("patients", [1, 1000])
def test_one_patient_and_a_thousand_have_a_page(patients: int) -> None:
    fates = [done(f"p{n:04d}", (n % 100) / 100) for n in range(patients)]
    page = cohort_page(fates)
    assert len(rows(page)) == patients
    assert f"Cohort of {patients} patient{'' if patients == 1 else 's'}" in page
    assert len(page) < 30_000 + 1000 * patients
    assert page == cohort_page(fates)


def test_text_from_outside_stays_text() -> None:
    hostile = result(
        None,
        notices=[{"code": "no_tumor", "text": EVIL, "value": EVIL}],
        tumor={"volume_mm3": 1.0, "largest_diameter_mm": 1.0, "site_guess": EVIL},
        bundle={"name": EVIL, "sha256": EVIL, "is_phantom": True, "notice": EVIL},
        versions={"lymphct": EVIL},
    )
    page = cohort_page(
        [
            Fate(patient_id=EVIL, result=hostile),
            Fate(patient_id=EVIL, cause=EVIL, code=EVIL, cure=EVIL),
            Fate(patient_id=EVIL, exclusion=EVIL),
        ]
    )
    tags = Tags(page)
    assert [attrs for tag, attrs in tags.tags if tag in {"script", "img"}] == [
        {}
    ]  # the one of the page itself
    assert not [name for _, attrs in tags.tags for name in attrs if name.startswith("on") or name == "style"]
    assert tags.text.count(EVIL) >= 12
    (link,) = (attrs["href"] or "" for tag, attrs in tags.tags if tag == "a")
    assert re.fullmatch(r"[A-Za-z0-9_.%-]+/report\.html", link)


def test_the_page_loads_nothing() -> None:
    page = cohort_page([done("a"), FAILED])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    by_style, by_script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    assert (
        f"default-src &#39;none&#39;; script-src &#39;sha256-{by_script}&#39;; img-src data:; "
        f"style-src &#39;sha256-{by_style}&#39;" in page
    )
    assert not {"link", "iframe", "img"} & {tag for tag, _ in Tags(page).tags}
    assert "http" not in page.replace("http-equiv", "")


def test_what_bundles_say_stands_at_the_top_once() -> None:
    text = Tags(cohort_page([done("a"), done("b")])).text
    assert text.count("From one center.") == 1
    phantom = {"name": "t", "sha256": "00", "is_phantom": True, "notice": PHANTOM_NOTICE}
    notice = [{"code": "bundle", "text": PHANTOM_NOTICE, "value": None}]
    text = Tags(cohort_page([done("a", bundle=phantom, notices=notice)])).text
    assert text.count("trained on synthetic phantoms") == 1
    assert "Not for patients" in text
    assert "Made with bundle t (00), lymphct 0.1.0." in text
