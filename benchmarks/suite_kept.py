"""What the page says already: sections, goals and machines of measurements whose records are not here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NOT_YET: Final = "Not measured yet."
GOALS_TITLE, MACHINE_TITLE = "Goals", "Machine"
_LOAD: Final = re.compile(r"\(([\d.]+) to ([\d.]+) running processes")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a page says.

    Attributes:
        sections: text below the heading, by its title; the first paragraph says what is measured.
        reached: figure of a goal as it was written, by the name of the goal.
        machines: what the figures of a section were measured on, by the name of the section; under "" where
            the page says the same of all.
        loads: least and largest number of running processes; nothing where the page does not tell.

    """

    sections: Mapping[str, str] = field(default_factory=dict)
    reached: Mapping[str, str] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    loads: tuple[float, ...] = ()

    def tables(self, title: str) -> str | None:
        """Return what was measured for a heading, without the paragraph below it; None where nothing was."""
        paragraphs = self.sections.get(title, "").split("\n\n", 1)
        if len(paragraphs) == 1 or paragraphs[1].startswith(NOT_YET):
            return None
        return paragraphs[1]

    def machine(self, name: str) -> str | None:
        """Return what a section was measured on; None where the page does not tell."""
        return self.machines.get(name, self.machines.get(""))


def kept(text: str) -> Kept:
    """Read back the generated part of a page."""
    parts = [part.partition("\n") for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]
    sections = {title.strip(): body.strip() for title, _, body in parts}
    machine = sections.pop(MACHINE_TITLE, "")
    load = _LOAD.search(machine)
    return Kept(
        sections=sections,
        reached=_reached(sections.pop(GOALS_TITLE, "")),
        machines=_machines(machine),
        loads=tuple(map(float, load.groups())) if load else (),
    )


def _reached(table: str) -> dict[str, str]:
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {row[0]: row[2] for row in rows if len(row) == 4 and row[2] != "–"}


def _machines(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        names, colon, about = line.removeprefix("- ").partition(": ")
        if line.startswith("- ") and colon:
            found |= {name.strip(): about for name in names.split(",")}
        elif line.strip() and not _LOAD.search(line):
            found[""] = line.strip()
    return found
