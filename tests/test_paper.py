"""The code cites the paper in one spelling: whoever searches for `Eq. 3` finds the line that computes it."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "lymphct"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}

CITATION = re.compile(r"\b(Sec|Eq|Tab|Fig)\. ([0-9IVX]+(?:-[A-Z](?:\.[0-9])?)?)")
PRINTED = {
    "Sec": {"I", "II", "III", "III-A", "III-A.1", "III-A.2", "III-B", "IV", "IV-A", "IV-A.1", "IV-A.2"}
    | {f"IV-{letter}" for letter in "BCDEF"},
    "Eq": {str(number) for number in range(1, 8)},
    "Tab": {"I", "II", "III", "IV", "V", "VI", "VII"},
    "Fig": {str(number) for number in range(1, 6)},
}
"""Everything in the paper that can be cited."""

ABSENT = {
    "no space": r"\b(Sec|Eq|Tab|Fig)\.[0-9IVX(]",
    "no period": r"\b(Sec|Eq|Tab|Fig)s? [0-9IVX]+\b",
    "plural": r"\b(Secs|Eqs|Tabs|Figs)\.",
    "lower case": r"\b(sec|eq|tab|fig)\. ?[0-9IVX]",
    "spelled out": r"\b(Section|Equation|Table|Figure)s? [0-9IVX]+\b",
    "number in brackets": r"\b(Eq\.|Equation) ?\(\d",
    "another short form": r"\b(Eqn|Sect|Tbl)\b",
    "broken by the end of a line": r"\b(Sec|Eq|Tab|Fig)\.$",
    "Arabic number of a table": r"\bTab\. \d",
}
"""Spellings a search for `Eq. 3` or `Tab. II` would miss."""


def cited_in(room: str) -> set[str]:
    """Return what the sources below a room cite."""
    texts = [text for name, text in SOURCES.items() if name.startswith(room)]
    assert texts, f"there is no room {room}"
    return {f"{kind}. {number}" for text in texts for kind, number in CITATION.findall(text)}


@pytest.mark.parametrize("fault", ABSENT)
def test_no_citation_has_another_spelling(fault: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in SOURCES.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(ABSENT[fault], line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "Eq.3",
        "Eq 3",
        "Eqs. 3 and 4",
        "eq. 3",
        "Equation 3",
        "Eq. (3)",
        "Eqn. 3",
        "as in Eq.",
        "Tab. 2",
        "Table II",
    ],
)
def test_a_wrong_spelling_would_be_noticed(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in ABSENT.values())


def test_every_citation_exists_in_the_paper() -> None:
    unknown = [
        f"{name}: {kind}. {number}"
        for name, text in SOURCES.items()
        for kind, number in CITATION.findall(text)
        if number not in PRINTED[kind]
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("room", "citations"),
    [
        ("attention/", {"Eq. 1", "Eq. 2", "Tab. II", "Sec. III-A.1"}),
        ("learning/losses.py", {"Eq. 3", "Eq. 4", "Eq. 5"}),
        ("learning/patches.py", {"Sec. III-A.1", "Sec. IV-A.2"}),
        ("nodes/", {"Sec. III-A.1", "Sec. III-A.2", "Sec. IV-A.2", "Tab. IV"}),
        ("metastasis/", {"Eq. 6", "Eq. 7", "Sec. III-B", "Sec. IV-A.2"}),
        ("anatomy/", {"Sec. III-A.1", "Sec. IV-B", "Sec. IV-C", "Tab. III"}),
        ("imaging/", {"Sec. IV-A.2"}),
        ("evaluation/", {"Sec. IV-D", "Tab. V"}),
        ("phantom/", {"Sec. IV-A.1"}),
        ("workflow/patient.py", {"Fig. 2", "Sec. III-A", "Sec. III-B", "Eq. 6", "Eq. 7"}),
    ],
)
def test_each_part_of_the_method_is_cited_where_it_is_computed(room: str, citations: set[str]) -> None:
    assert citations <= cited_in(room)


def test_each_numbered_equation_is_cited() -> None:
    assert {f"Eq. {number}" for number in PRINTED["Eq"]} <= cited_in("")
