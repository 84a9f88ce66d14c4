"""The code cites the paper in one spelling: whoever searches for `Eq. 3` finds the line that computes it."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lymphct"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts
}

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
        ("learning/patches.py", {"Sec. III-A.1"}),
        ("learning/settings.py", {"Sec. III-A.1", "Sec. IV-A.2"}),
        ("nodes/", {"Sec. III-A.1", "Sec. III-A.2", "Sec. IV-A.2", "Tab. IV"}),
        ("metastasis/", {"Eq. 6", "Eq. 7", "Sec. III-B", "Sec. IV-A.2"}),
        ("anatomy/", {"Sec. III-A.1", "Sec. IV-B", "Sec. IV-C", "Tab. III"}),
        ("imaging/", {"Sec. IV-A.2"}),
        ("evaluation/", {"Sec. IV-D", "Tab. V"}),
        ("phantom/", {"Sec. IV-A.1"}),
        ("registration/", {"Sec. IV-A.2"}),
        ("cascade/", {"Eq. 1", "Eq. 2", "Eq. 3", "Eq. 5", "Eq. 6", "Eq. 7"}),
        ("cascade/patient.py", {"Fig. 2", "Sec. III-A", "Sec. III-B"}),
    ],
)
def test_each_part_of_the_method_is_cited_where_it_is_computed(room: str, citations: set[str]) -> None:
    assert citations <= cited_in(room)


def test_each_numbered_equation_is_cited() -> None:
    assert {f"Eq. {number}" for number in PRINTED["Eq"]} <= cited_in("")


SAYS = {
    "Eq. 1": ("trapezium", "lymphct.attention.score.attention_score"),
    "Eq. 2": ("combination of the maps", "lymphct.attention.score.combine"),
    "Eq. 3": ("Tversky loss", "lymphct.learning.losses.tversky_loss"),
    "Eq. 4": ("cross entropy", "lymphct.learning.losses.cross_entropy"),
    "Eq. 5": ("sum of both losses", "lymphct.learning.losses.segmentation_loss"),
    "Eq. 6": ("concatenat", "lymphct.metastasis.network.StatusNetwork"),
    "Eq. 7": ("fusion with the volume", "lymphct.metastasis.network.VolumeFusion"),
    "Tab. II": ("band", "lymphct.attention.bands.PAPER_BANDS"),
    "Sec. III-A.1": ("informative negatives", "lymphct.learning.patches.PatchSampler"),
    "Sec. III-B": ("texture encoding layer", "lymphct.metastasis.encoding.TextureEncoding"),
}
"""What the paper says where, in a word that the row must hold, and the function that computes it."""

ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGES["docs/equations.md"].splitlines()
    if re.match(r"\| (Eq|Tab|Sec)\. ", line)
]
"""The rows of docs/equations.md: place, what it says, computed by, checked by."""


@pytest.mark.parametrize("place", SAYS)
def test_the_table_says_what_the_paper_says(place: str) -> None:
    words, function = SAYS[place]
    rows = [row for row in ROWS if row[0] == place and words.lower() in row[1].lower()]
    assert len(rows) == 1, f"{place} must be said to be: {words}"
    assert f"`{function}`" in rows[0][2]


@pytest.mark.parametrize(
    ("place", "function"),
    [(row[0], name) for row in ROWS for name in re.findall(r"`(lymphct[\w.]+)`", row[2])],
)
def test_each_function_of_the_table_cites_what_it_computes(place: str, function: str) -> None:
    module, _, name = function.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    text = inspect.getsource(thing if callable(thing) else sys.modules[module])
    assert re.search(rf"{re.escape(place)}(?![.\w-])", text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1][:20]}")
def test_each_test_of_the_table_exists(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert name in {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}


SUBJECTS = {
    r"trapez|\bramps?\b": "1",
    r"distances?\b|\battention\b|\bbands?\b": "12",
    r"(inside|elsewhere|outside).*\b(own|largest)": "2",
    r"tversky|false (posi|nega)tives": "3",
    r"cross.entropy": "4",
    r"\bsum\b|L_CE \+ L_T": "5",
    r"\bloss(es)?\b|stage 1\b": "345",
    r"concat|\bGAP\b|\bTEL\b|texture": "6",
    r"\bfusion|\bfused|volume\b|FC\(BN": "7",
    r"\bpatch(es)?\b|probability": "",
}
"""Which equations a line that cites some may be about, by its words."""

CITED_BY = {
    "1": ("attention/", "cascade/", "patients/", "cli/attention.py", "phantom/surroundings.py"),
    "2": ("attention/", "cascade/", "patients/", "cli/attention.py", "phantom/surroundings.py"),
    "3": ("learning/losses.py", "learning/settings.py", "nodes/segmentation.py", "cascade/"),
    "4": ("learning/losses.py", "learning/settings.py", "nodes/segmentation.py", "cascade/"),
    "5": ("learning/losses.py", "learning/settings.py", "nodes/segmentation.py", "cascade/"),
    "6": ("metastasis/network.py", "metastasis/heads.py", "cascade/"),
    "7": (
        *(f"metastasis/{name}.py" for name in ("network", "settings", "aggregation", "sampling")),
        *(f"metastasis/{name}.py" for name in ("heads", "fusing", "node_score")),
        "cascade/",
    ),
}
"""Where each equation is computed, described or given its numbers; nothing else has a reason to cite it."""


def cited_equations(line: str) -> set[str]:
    """Return the numbers a line cites, `Eq. 3 to Eq. 5` unfolded."""
    ranges = [range(int(a), int(b) + 1) for a, b in re.findall(r"Eq\. (\d) to Eq\. (\d)", line)]
    return {*re.findall(r"Eq\. (\d)", line), *(str(number) for numbers in ranges for number in numbers)}


def is_about_another(line: str) -> bool:
    """Return whether a line cites equations, none of which its words are about."""
    about = [set(numbers) for words, numbers in SUBJECTS.items() if re.search(words, line, re.IGNORECASE)]
    cited = cited_equations(line)
    return bool(cited and about) and not cited & set().union(*about)


def citing_phrases() -> Iterator[tuple[str, str]]:
    """Yield the phrases of each line that cite an equation: sentences, and their parts between semicolons."""
    for name, text in (SOURCES | PAGES).items():
        for line in text.splitlines():
            phrases = re.split(r"(?<=\.) (?=[A-Z][a-z])|; ", line.strip())
            yield from ((name, phrase) for phrase in phrases if cited_equations(phrase))


def test_no_equation_is_cited_beside_the_words_of_another() -> None:
    assert [(name, phrase) for name, phrase in citing_phrases() if is_about_another(phrase)] == []


@pytest.mark.parametrize(
    "line",
    [
        "F_comb = FC(BN(V)) + F (Eq. 6).",
        "volume = positive_volume(nodes)  # mm³, Eq. 6",
        "Return the cross entropy of a batch (Eq. 7).",
        "The mean over the patches is the probability of LN metastasis (Eq. 7).",
        "Weight of false positives (Eq. 4).",
        "Concat(GAP, TEL) of the last features (Eq. 7).",
        "The largest score outside, the own one inside (Eq. 1).",
    ],
)
def test_an_equation_beside_the_words_of_another_would_be_noticed(line: str) -> None:
    assert is_about_another(line)


@pytest.mark.parametrize("number", CITED_BY)
def test_an_equation_is_cited_only_where_it_belongs(number: str) -> None:
    citing = {
        name for name, phrase in citing_phrases() if name in SOURCES and number in cited_equations(phrase)
    }
    assert {name for name in citing if not name.startswith(CITED_BY[number])} == set()
    assert citing


OUTSIDE = re.compile(
    r"\b(METHOD|DESIGN|RELIABILITY|PERFORMANCE|STYLE|PUBLIC_DATA)\b|\b(DATA|DEEDS)\.md|\u00a7|/(work|home|root)/"
)
"""Names of documents that were never part of the project, and their section signs."""


def test_nothing_points_to_a_document_outside_the_project() -> None:
    folders = ("src", "tests", "benchmarks", "docs", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {".py", ".md", ".toml", ".yaml", ".cff", ".txt", ".html", ".css", ".svg", ".sh", ".json"}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (*(path for path in ROOT.iterdir() if path.is_file()), *paths)
        if (path.suffix in texts or path.name in {"Makefile", "run"})
        and path != Path(__file__)
        and not {"_build", "__pycache__"} & {*path.parts}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if OUTSIDE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["(METHOD \u00a76)", "see DATA.md", "limits (RELIABILITY, part 2.1)", "METHOD: so"]
)
def test_a_pointer_out_of_the_project_would_be_noticed(line: str) -> None:
    assert OUTSIDE.search(line)


@pytest.mark.parametrize("line", ["DEEDS at 2 mm", "for method in METHODS:", "The method of Sec. IV-A.2"])
def test_the_name_of_a_method_is_no_such_pointer(line: str) -> None:
    assert not OUTSIDE.search(line)
