"""The page of a cohort says of everybody what became of them, and trusts no text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.report.cohort import BINS, Fate, cohort_page, score_bars

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
    (body,) = re.findall(r'<table class="cohort">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    return [
        [Tags(cell).text.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def row(fate: Fate) -> list[str]:
    (only,) = rows(cohort_page([fate]))
    return only


def test_patients_stand_in_the_order_of_the_manifest_each_with_a_link_to_the_page() -> None:
    page = cohort_page([done("z"), FAILED, done("a", 0.2), EXCLUDED])
    assert [(cells[0], cells[1]) for cells in rows(page)] == [
        ("z", "done"), ("f", "failed"), ("a", "done"), ("x", "excluded"),
    ]  # fmt: skip
    links = [attrs["href"] for tag, attrs in Tags(page).tags if tag == "a"]
    assert links == ["z/report.html", "a/report.html"]  # who has no page has no link


def test_a_row_says_score_call_nodes_tumor_sources_and_notices() -> None:
    assert row(done("a")) == [
        "a", "done", "0.70", "predicted N+", "3 found, 2 positive", "2620",
        "7.09 ml, 29 mm, head/uncinate", "networks", "–",
    ]  # fmt: skip
    notices = [{"code": "no_arterial", "text": "no arterial phase", "value": None}]
    drawn = {"structures": "given", "tumor": "network", "nodes": "given"}
    tumor = {"volume_mm3": 7090.0, "largest_diameter_mm": 29.4, "site_guess": None}
    told = row(done("a", 0.4996, notices=notices, sources=drawn, tumor=tumor, nodes_implausible=1))
    assert told[2:] == [
        "0.4996", "predicted N−", "3 drawn, 2 positive, 1 implausible", "2620",
        "7.09 ml, 29 mm", "drawn: structures, nodes", "no arterial phase",
    ]  # fmt: skip


def test_a_withheld_score_says_why() -> None:
    reason = {"code": "no_tumor", "text": "no tumor was found", "value": None}
    told = row(done("a", None, notices=[reason], tumor=None))
    assert (told[2], told[3], told[6]) == ("–", "withheld: no tumor was found", "none")
    assert row(done("a", None))[3] == "withheld"
    assert row(done("a", 0.9, threshold=None, predicted_n_status=None))[3] == "not called"
    unsearched = {"nodes_total": None, "nodes_positive": None, "largest_positive_volume_mm3": None}
    assert row(done("a", None, **unsearched))[4:6] == ["not searched", "–"]


def test_failures_are_listed_with_cause_and_cure_and_exclusions_with_their_reason() -> None:
    text = Tags(cohort_page([done("a"), FAILED, EXCLUDED])).text
    assert (
        "Failures patient cause cure code f venous.nii.gz: gzip stream ends early copy it E_TRUNCATED" in text
    )
    assert row(EXCLUDED)[-1] == "no consent"
    assert "Failures" not in cohort_page([done("a")])
    assert "– E_BUG" in Tags(cohort_page([Fate(patient_id="f", cause="no result", code="E_BUG")])).text


def test_the_top_counts_everybody() -> None:
    fates = [done("a"), done("b", 0.1), done("c", None), FAILED, EXCLUDED]
    page = cohort_page(fates)
    tiles = re.findall(r"<dt>([^<]*)</dt><dd>(\d+)</dd>", page)
    assert tiles == [
        ("in the manifest", "5"), ("predicted", "3"), ("failed", "1"), ("excluded", "1"),
        ("predicted N+", "1"), ("predicted N−", "1"), ("score withheld", "1"),
    ]  # fmt: skip
    assert "of 2 patients: median 0.40, from 0.10 to 0.70." in Tags(page).text


def test_scores_are_counted_in_bars_over_0_to_1() -> None:
    bars = score_bars([result(p) for p in (0.0, 0.04, 0.52, 0.54, 1.0)] + [result(None)])
    assert len(bars) == BINS
    assert [(i, b.negative, b.positive) for i, b in enumerate(bars) if b.negative + b.positive] == [
        (0, 2, 0), (10, 0, 2), (19, 0, 1),
    ]  # fmt: skip
    assert (bars[10].low, bars[10].high) == (0.5, 0.55)
    assert score_bars([result(None)]) == []


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
    assert "threshold" not in two.replace("threshold of", "")
    assert "No patient has a score." in cohort_page([done("a", None)])


@pytest.mark.parametrize("patients", [1, 1000])
def test_one_patient_and_a_thousand_have_a_page(patients: int) -> None:
    fates = [done(f"p{n:04d}", (n % 100) / 100) for n in range(patients)]
    page = cohort_page(fates)
    assert len(rows(page)) == patients
    assert f"Cohort of {patients} patient{'' if patients == 1 else 's'}" in page
    assert len(page) < 20_000 + 1000 * patients
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
    assert not {"script", "img"} & {tag for tag, _ in tags.tags}
    assert not [name for _, attrs in tags.tags for name in attrs if name.startswith("on") or name == "style"]
    assert tags.text.count(EVIL) >= 12
    (link,) = (attrs["href"] or "" for tag, attrs in tags.tags if tag == "a")
    assert re.fullmatch(r"[A-Za-z0-9_.%-]+/report\.html", link)


def test_the_page_loads_nothing() -> None:
    page = cohort_page([done("a"), FAILED])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-{digest}&#39;" in page
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in Tags(page).tags}
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
