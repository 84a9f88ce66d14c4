"""The table of a cohort in a real browser: sorted and filtered by mouse and keyboard, fast, and quiet."""

import random
from typing import Any

import pytest
from tests.browser import needs_chromium, seen_by_reader, visit, with_reader

from lymphct.report.cohort import cohort_page
from lymphct.report.cohort_rows import Fate

pytestmark = needs_chromium
PATIENTS = 2000
READER = """
const body = document.querySelector("#cohort tbody");
const headings = [...document.querySelectorAll("#cohort th")];
const column = (n) => [...body.rows].filter((line) => !line.hidden).map((line) => line.cells[n].textContent);
const states = () => headings.map((heading) => heading.getAttribute("aria-sort"));
const sorted = () => states().filter((state) => state !== "none");
const shown = () => document.getElementById("shown").textContent;
const timed = (act) => {
  const began = performance.now();
  act();
  body.offsetHeight;
  return performance.now() - began;
};
const press = (n) => timed(() => headings[n].firstChild.click());
const find = document.getElementById("find");
const type = (text) => {
  find.value = text;
  find.dispatchEvent(new Event("input"));
  return shown();
};
const chip = (name) => {
  document.querySelector(`.chip[data-${name}]`).click();
  return shown();
};
const told = { manifest: column(0).slice(0, 3), milliseconds: [] };
told.at_once = body.rows.length;
told.milliseconds.push(press(2));
told.best = column(2).map(Number);
told.milliseconds.push(press(2), press(2));
document.getElementById("more").click();
told.more = document.getElementById("more").hidden;
told.milliseconds.push(press(2));
told.down = column(2).map(Number); told.down_state = sorted();
told.milliseconds.push(press(2));
told.up = column(2).map(Number); told.up_state = sorted();
press(2);
told.again = column(0).slice(0, 3);
headings[0].firstChild.focus();
told.focused = document.activeElement === headings[0].firstChild;
told.milliseconds.push(press(0));
told.names = column(0);
told.milliseconds.push(timed(() => { told.typed = type("score >= 0.9 nodes<5"); }));
told.scores = column(2).map(Number); told.nodes = column(3).map(Number);
told.words = type("P00017"); told.who = column(0);
told.nobody = type("no such word");
type("");
told.failed = chip('outcome="failed"'); told.notes = column(10);
told.both = chip('outcome="withheld"');
told.noted = chip("noted");
document.getElementById("all").click();
told.all = shown();
console.log("SEEN" + JSON.stringify(told));
"""
"""What a reader does; `told` is what the page answers."""


def fate(n: int, rng: random.Random) -> Fate:
    name = f"p{n:05d}"
    if n % 100 == 7:
        return Fate(patient_id=name, cause="venous.nii.gz: cut short", code="E_TRUNCATED", cure="copy it")
    score = None if n % 100 == 8 else rng.random()
    nodes = rng.randrange(20)
    result: dict[str, Any] = {
        "probability": score,
        "threshold": 0.5,
        "predicted_n_status": None if score is None else int(score >= 0.5),
        "nodes_total": nodes,
        "nodes_positive": nodes // 2,
        "nodes_implausible": 0,
        "largest_positive_volume_mm3": rng.uniform(10, 4000),
        "tumor": {"volume_mm3": 7090.0, "largest_diameter_mm": 29.4, "site_guess": "head/uncinate"},
        "sources": {"structures": "network", "tumor": "network", "nodes": "network"},
        "notices": [{"code": "no_tumor", "text": "none was found", "value": None}] if score is None else [],
        "bundle": {"name": "b", "sha256": "ab" * 32, "is_phantom": False, "notice": ""},
        "versions": {"lymphct": "0.1.0"},
    }
    return Fate(patient_id=name, result=result)


@pytest.fixture(scope="module")
def order() -> list[Fate]:
    rng = random.Random(3)  # noqa: S311 - made-up patients
    fates = [fate(n, rng) for n in range(PATIENTS)]
    rng.shuffle(fates)
    return fates


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, order: list[Fate]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("cohort")
    page = folder / "index.html"
    page.write_text(with_reader(cohort_page(order), READER), encoding="utf-8")
    seen = visit(page, folder, fragment="#patients")
    assert seen.requests == []
    return dict(seen_by_reader(seen))  # nothing else was in the console


def test_a_heading_sorts_down_then_up_then_as_the_manifest_and_unknown_stays_below(
    told: dict[str, Any], order: list[Fate]
) -> None:
    scores = [value for value in told["down"] if value is not None]
    assert scores == sorted(scores, reverse=True)
    assert told["up"][: len(scores)] == sorted(scores)
    for way in ("down", "up"):
        assert told[way][len(scores) :] == [None] * (PATIENTS - len(scores))
    assert (told["down_state"], told["up_state"]) == (["descending"], ["ascending"])
    assert told["again"] == told["manifest"] == [f.patient_id for f in order[:3]]


def test_of_thousands_a_few_hundred_are_laid_out_until_all_are_asked_for(told: dict[str, Any]) -> None:
    assert told["at_once"] == len(told["best"]) == 300
    assert told["best"] == [value for value in told["down"] if value is not None][:300]  # the best of all
    assert told["more"] is True
    assert len(told["down"]) == PATIENTS


def test_text_is_sorted_from_a_to_z_and_headings_take_the_keyboard(told: dict[str, Any]) -> None:
    assert told["names"] == [f"p{n:05d}" for n in range(PATIENTS)]
    assert told["focused"] is True


def test_numbers_and_words_filter(told: dict[str, Any]) -> None:
    assert 0 < len(told["scores"]) < PATIENTS / 10
    assert told["typed"] == f"{len(told['scores'])} of {PATIENTS} patients"
    assert min(told["scores"]) >= 0.9
    assert max(told["nodes"]) < 5
    assert (told["words"], told["who"]) == (f"1 of {PATIENTS} patients", ["p00017"])
    assert told["nobody"] == f"0 of {PATIENTS} patients"


def test_chips_filter_by_outcome_and_by_notices_and_all_comes_back(told: dict[str, Any]) -> None:
    assert told["failed"] == f"20 of {PATIENTS} patients"
    assert set(told["notes"]) == {"venous.nii.gz: cut short "}
    assert told["both"] == f"40 of {PATIENTS} patients"
    assert told["noted"] == f"20 of {PATIENTS} patients"  # who failed has a cause and no notice
    assert told["all"] == f"{PATIENTS} patients"


def test_two_thousand_patients_are_sorted_and_filtered_without_a_wait(told: dict[str, Any]) -> None:
    assert max(told["milliseconds"]) < 10_000  # a fraction of a second, on a machine busy many times over
