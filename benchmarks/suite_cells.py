"""How figures and tables of the page are written."""

from collections.abc import Sequence
from typing import Any

Cells = Sequence[str]


def markdown(columns: Cells, rows: Sequence[Cells]) -> str:
    """Return a table; the first column is words, the others are figures."""
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def seconds(value: float) -> str:
    """Return seconds with three digits that matter."""
    if value >= 99.5:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.1g}"


def whole(value: float | None) -> str:
    """Return a rounded figure, or a dash."""
    return "–" if value is None else f"{value:.0f}"


def capital(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def mean(values: Any) -> float:  # noqa: ANN401 - an iterator of JSON numbers
    """Return the mean of some numbers."""
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers)
