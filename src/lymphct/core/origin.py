"""Where a cohort comes from: whose data it is, under which licence, and what to cite."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from lymphct.core.settings import Settings

Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A line of text without control characters."""


class Origin(Settings):
    """A data set that patients come from, as `source.json` beside a manifest and a bundle's card tell it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """Short name. Not stated in the paper; that of the layout the cohort was imported by."""
    title: Line
    """Name for readers. Not stated in the paper; the data set's own."""
    licence: Annotated[Line, Field(min_length=1)]
    """Licence of the data. Not stated in the paper; as the data set's page says."""
    non_commercial: bool
    """Whether the licence forbids commercial use. Not stated in the paper; read from the licence."""
    citation: Annotated[Line, Field(min_length=1)]
    """What to cite. Not stated in the paper; as the data set's page asks."""
    url: Line = ""
    """Page of the data set. Not stated in the paper; where it can be had."""


def united(*groups: Iterable[Origin]) -> tuple[Origin, ...]:
    """Return all origins, each once, by name; of two that differ under one name both stay."""
    every = {origin.model_dump_json(): origin for group in groups for origin in group}
    return tuple(sorted(every.values(), key=lambda origin: (origin.name, origin.model_dump_json())))


def licence_lines(origins: Iterable[Origin]) -> list[str]:
    """Return what a reader must know of the licences: a line per data set, then what follows for a model."""
    found = list(origins)
    lines = [
        f"- {o.title}{f' ({o.url})' if o.url else ''}: {o.licence}"
        f"{', **non-commercial**' if o.non_commercial else ''}. Cite: {o.citation}"
        for o in found
    ]
    closed = [o.title for o in found if o.non_commercial]
    if closed:
        lines.append(
            f"- **Not for commercial use**: so are the data of {', '.join(closed)}, and what was trained on "
            "them stays so."
        )
    return lines
