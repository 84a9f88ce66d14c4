"""A table as a paper prints it, in the forms that papers are written in: Markdown, CSV, LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lymphct.report.tables import safe_text

_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "±": r"$\pm$", "−": r"$-$", "–": "--", "×": r"$\times$", "≥": r"$\geq$",
    "≤": r"$\leq$", "²": r"$^2$", "³": r"$^3$", "Δ": r"$\Delta$",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedTable:
    """A table of text.

    Attributes:
        name: of its files, such as `table_6`.
        title: what it shows.
        heading: of its columns; the first names the rows.
        rows: as many cells as the heading has.
        notes: sentences that stand under it, warnings first.

    """

    name: str
    title: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Return it as Markdown, with its title and notes."""
        lines = [[*self.heading], ["-"] * len(self.heading), *self.rows]
        table = "\n".join("| " + " | ".join(map(_markdown_cell, line)) + " |" for line in lines)
        return "\n\n".join([f"**{self.title}**", table, *self.notes]) + "\n"

    def csv(self) -> str:
        """Return it as CSV; no cell reads as a formula. Notes stand in a column of their own."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        note = " ".join(self.notes)
        writer.writerow([*self.heading, *(["notes"] if note else [])])
        for row in self.rows:
            writer.writerow([*map(safe_text, row), *([safe_text(note)] if note else [])])
        return text.getvalue()

    def latex(self) -> str:
        """Return it as a `table` with a `tabular` that needs no package; notes stand under it."""
        columns = "l" + "r" * (len(self.heading) - 1)
        lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (self.heading, *self.rows)]
        notes = [rf"\par\smallskip\footnotesize {latex_text(note)}" for note in self.notes]
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{latex_text(self.title)}}}",
                rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', self.name)}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\hline",
                lines[0],
                r"\hline",
                *lines[1:],
                r"\hline",
                r"\end{tabular}",
                *notes,
                r"\end{table}",
                "",
            ]
        )

    def forms(self) -> dict[str, bytes]:
        """Return the files of the table by name."""
        texts = {"md": self.markdown(), "csv": self.csv(), "tex": self.latex()}
        return {f"{self.name}.{ending}": text.encode("utf-8") for ending, text in texts.items()}


def latex_text(text: str) -> str:
    r"""Return text that LaTeX prints as it is.

    >>> latex_text("5 % of N_+")
    '5 \\% of N\\_+'
    """
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
