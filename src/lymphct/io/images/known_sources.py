"""The table of tools and data sets whose masks can be brought: what each covers, under which terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from lymphct.core.origin import Origin
from lymphct.core.terms import GUIDING_STRUCTURES, STRUCTURES_BY_NAME, Structure

TABLE: Final = "mask_sources.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSource:
    """A tool, a data set, or a way of making masks.

    Attributes:
        name: how a command names it.
        what: one line for readers.
        covers: structures it tells; None for a source that may hold any.
        partly: those of which it shows a part alone.
        numbers: its label numbers by our structure; several may mean one.
        names: its names that differ from ours.
        largest: its largest label number; 0 where it has none.
        tumor: whether it shows tumors of the pancreas, too.
        licence: in words.
        non_commercial: whether commercial use is forbidden; None where that depends or was not verified.
        phases: which it was made on or needs.
        obtained: how.
        command: that makes it, where there is one; else empty.
        citation: whom to cite.
        note: what a reader must know.

    """

    name: str
    what: str
    covers: tuple[Structure, ...] | None
    partly: tuple[Structure, ...]
    numbers: Mapping[int, Structure]
    names: Mapping[str, Structure]
    largest: int
    tumor: bool
    licence: str
    non_commercial: bool | None
    phases: str
    obtained: str
    command: str
    citation: str
    note: str

    @property
    def guiding(self) -> int | None:
        """Number of the ten guiding structures it covers; None for a source that may hold any."""
        return None if self.covers is None else len(set(self.covers) & set(GUIDING_STRUCTURES))

    @property
    def coverage(self) -> str:
        """Return the number as text.

        >>> known_sources()["totalsegmentator"].coverage, known_sources()["files"].coverage
        ('6 of 10', 'any')
        """
        return "any" if self.guiding is None else f"{self.guiding} of {len(GUIDING_STRUCTURES)}"

    @property
    def origin(self) -> Origin | None:
        """Whose work its masks are, for the card of what learns from them; None where no tool is meant."""
        if self.covers is None or not self.numbers:
            return None
        return Origin(
            name=self.name,
            title=f"masks by {self.what}",
            licence=self.licence,
            non_commercial=bool(self.non_commercial),
            citation=self.citation,
        )

    def record(self) -> dict[str, Any]:
        """Return the row as `lymphct structures --list --json` prints it."""
        return {
            "name": self.name,
            "what": self.what,
            "structures": None if self.covers is None else [s.label for s in self.covers],
            "partly": [structure.label for structure in self.partly],
            "guiding": self.guiding,
            "tumor": self.tumor,
            "licence": self.licence,
            "non_commercial": self.non_commercial,
            "phases": self.phases,
            "obtained": self.obtained,
            "command": self.command,
            "citation": self.citation,
            "note": self.note,
        }


@cache
def known_sources() -> Mapping[str, KnownSource]:
    """Return the table by name, in the order of the file."""
    rows: Any = yaml.safe_load(files("lymphct").joinpath("bundles", TABLE).read_text(encoding="utf-8"))
    return {name: _source(name, row) for name, row in rows.items()}


def _source(name: str, row: Mapping[str, Any]) -> KnownSource:
    numbers = {int(number): STRUCTURES_BY_NAME[ours] for number, ours in row.get("numbers", {}).items()}
    told = [STRUCTURES_BY_NAME[ours] for ours in row.get("covers", [])] or list(numbers.values())
    words = ("what", "licence", "phases", "obtained", "command", "citation", "note")
    return KnownSource(
        name=name,
        covers=None if row.get("given") == "any" else tuple(sorted(set(told))),
        partly=tuple(STRUCTURES_BY_NAME[ours] for ours in row.get("partly", [])),
        numbers=numbers,
        names={theirs: STRUCTURES_BY_NAME[ours] for theirs, ours in row.get("names", {}).items()},
        largest=int(row.get("largest", 0)),
        tumor=bool(row["tumor"]),
        non_commercial=row["non_commercial"],
        **{word: str(row[word]) for word in words},
    )
