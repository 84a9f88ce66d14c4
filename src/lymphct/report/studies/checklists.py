"""Sheets of CLAIM, TRIPOD+AI and METRICS, filled as far as a run knows; the rest is left visibly open.

A sheet is a YAML file of the package: each item says in our own words what is asked, what a run can answer
(a template over the run's facts), where that stands, and what only authors know.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

SHEETS: Final = ("claim", "tripod_ai", "metrics")
"""Names of the sheets, and of their files."""
OPEN: Final = "☐ authors"
"""Stands before what only authors know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a checklist.

    Attributes:
        number: as the checklist counts.
        part: of a paper it belongs to.
        topic: what is asked.
        says: the answer of a run, with names of facts in braces; empty where no run can answer.
        where: place in the run, likewise.
        open: what only authors know; empty where a run knows all.

    """

    number: str
    part: str
    topic: str
    says: str = ""
    where: str = ""
    open: str = ""

    @property
    def facts(self) -> frozenset[str]:
        """Names of the facts it takes."""
        return _names(self.says) | _names(self.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A checklist: its title, whom to cite, its items."""

    title: str
    citation: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A line as filled.

    Attributes:
        item: the line.
        says: what the run answers; empty where it cannot.
        where: it stands.
        open: what is left to the authors; empty where nothing is.

    """

    item: Item
    says: str
    where: str
    open: str


@cache
def sheet(name: str) -> Sheet:
    """Return a sheet by its name.

    >>> len(sheet("claim").items), len(sheet("metrics").items)
    (44, 30)
    """
    text = files("lymphct").joinpath("bundles", "checklists", f"{name}.yaml").read_text(encoding="utf-8")
    content: Any = yaml.safe_load(text)
    items = tuple(Item(**{key: str(value) for key, value in row.items()}) for row in content["items"])
    return Sheet(title=content["title"], citation=content["citation"], items=items)


def answers(checklist: Sheet, facts: Mapping[str, str]) -> tuple[Answer, ...]:
    """Fill a sheet.

    Args:
        checklist: the sheet.
        facts: what is known of a run, in words; an answer that needs another one is left to the authors.

    """
    return tuple(_answer(item, facts) for item in checklist.items)


def _answer(item: Item, facts: Mapping[str, str]) -> Answer:
    known = all(facts.get(name) for name in _names(item.says))
    says = item.says.format_map(facts) if item.says and known else ""
    where = item.where.format_map(facts) if says and all(map(facts.get, _names(item.where))) else ""
    left = item.open or ("" if says else item.topic)
    return Answer(item=item, says=says, where=where, open=left)


def _names(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def markdown(checklist: Sheet, filled: Sequence[Answer]) -> str:
    """Return a filled sheet as Markdown, what is left open in bold."""
    counted = sum(not answer.open for answer in filled)
    lines = [
        f"# {checklist.title}",
        f"Topics in our own words; the wording that counts is in {checklist.citation}.",
        f"{counted} of {len(filled)} items are answered by the run; **{OPEN}** marks what only authors know.",
        "| item | topic | from this run | where | left open |\n|-|-|-|-|-|\n"
        + "\n".join(
            f"| {a.item.number} | {_cell(f'{a.item.part}: {a.item.topic}')} | {_cell(a.says)} "
            f"| {_cell(a.where)} | {_cell(f'**{OPEN}**: {a.open}' if a.open else '')} |"
            for a in filled
        ),
    ]
    return "\n\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
