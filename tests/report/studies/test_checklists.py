"""Sheets of the three checklists: whole, filled from facts, open where only authors know."""

import pytest

from lymphct.report.studies.checklists import OPEN, SHEETS, Item, Sheet, answers, markdown, sheet

COUNTS = {"claim": 44, "tripod_ai": 52, "metrics": 30}
KNOWN = {
    "balance", "centers", "chosen", "cohorts", "comparators", "config", "controls", "ensemble", "excluded",
    "external", "failures", "folds", "goal", "lacking", "masks", "metrics", "model", "negatives", "page",
    "patches", "patients", "performance", "positives", "predictions", "preprocessing", "radiomics", "setup",
    "start", "statistics", "tables", "thresholds", "training", "version", "versions",
}  # fmt: skip
"""Facts that a run tells."""


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_is_whole_and_asks_for_facts_that_a_run_has(name: str) -> None:
    items = sheet(name).items
    assert len(items) == COUNTS[name]
    assert len({item.number for item in items}) == len(items)
    assert all(item.says or item.open for item in items)
    assert set().union(*(item.facts for item in items)) <= KNOWN


@pytest.mark.parametrize("name", SHEETS)
def test_a_run_that_knows_everything_leaves_to_authors_what_is_theirs(name: str) -> None:
    items = sheet(name)
    filled = answers(items, dict.fromkeys(KNOWN, "known"))
    assert all(bool(answer.says) == bool(answer.item.says) for answer in filled)
    assert all(answer.open == answer.item.open for answer in filled)
    assert any(answer.open for answer in filled)  # no run knows who paid for it


def test_an_answer_that_lacks_a_fact_is_left_open() -> None:
    item = Item(number="1", part="data", topic="centers", says="in {centers}", where="{setup}")
    (known,) = answers(Sheet(title="", citation="", items=(item,)), {"centers": "A | B", "setup": "x.json"})
    assert (known.says, known.where, known.open) == ("in A | B", "x.json", "")
    (unknown,) = answers(Sheet(title="", citation="", items=(item,)), {"centers": ""})
    assert (unknown.says, unknown.where, unknown.open) == ("", "", "centers")


def test_markdown_shows_what_is_open_and_keeps_its_table() -> None:
    item = Item(number="1", part="data", topic="centers", says="in {centers}", open="years")
    one = Sheet(title="A sheet", citation="Somebody 2024", items=(item,))
    text = markdown(one, answers(one, {"centers": "A | B\nC"}))
    assert text.startswith("# A sheet\n")
    assert "in A \\| B C" in text
    assert f"**{OPEN}**: years" in text
    assert "0 of 1 items are answered by the run" in text
