"""`lymphct structures`: where masks of organs and vessels can come from."""

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lymphct.cli.options import AsJson

if TYPE_CHECKING:
    from lymphct.io.images.known_sources import KnownSource


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("structures")(structures)


def structures(
    listed: Annotated[
        bool, typer.Option("--list", help="Print every source with what it covers and its licence.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which sources of structures there are: for --structures and --fill-structures of predict."""
    from lymphct.io.images.known_sources import known_sources

    if not (listed or as_json):
        msg = "give --list"
        raise typer.BadParameter(msg)
    rows = list(known_sources().values())
    typer.echo(json.dumps([row.record() for row in rows]) if as_json else "\n".join(map(_shown, rows)))


COMMERCIAL: Final = {True: "non-commercial only", False: "commercial use allowed", None: "see the licence"}


def markdown_table() -> str:
    """Return the table as a page of the documentation shows it."""
    from lymphct.io.images.known_sources import known_sources

    lines = ["| source | what | guiding | tumor | phases | licence | use |", "|-|-|-|-|-|-|-|"]
    for row in known_sources().values():
        tumor = "yes" if row.tumor else "no"
        cells = (f"`{row.name}`", row.what, row.coverage, tumor, row.phases, row.licence)
        lines.append(f"| {' | '.join(cells)} | {COMMERCIAL[row.non_commercial]} |")
    return "\n".join(lines)


def _shown(row: "KnownSource") -> str:
    lines = [
        f"{row.name}: {row.what}",
        f"  guiding structures {row.coverage}; tumor {'yes' if row.tumor else 'no'}; phases: {row.phases}",
        f"  licence: {row.licence} ({COMMERCIAL[row.non_commercial]})",
        f"  how: {row.obtained}",
    ]
    lines += [f"  covers: {', '.join(s.label for s in row.covers)}"] if row.covers else []
    lines += [f"  in part alone: {', '.join(s.label for s in row.partly)}"] if row.partly else []
    lines += [f"  command: {row.command}"] if row.command else []
    lines += [f"  note: {row.note}"] if row.note else []
    return "\n".join([*lines, f"  cite: {row.citation}"])
