"""`lymphct consistency`: the arithmetic of printed tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lymphct.cli.context import counted
from lymphct.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("consistency")(consistency)


def consistency(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(
            help="CSV: method, cohort, positives, negatives, then balanced_accuracy, auc, accuracy, "
            "sensitivity and specificity from 0 to 1, each with _low and _high. Without one: the paper's "
            "own, Tab. VI and Tab. VII."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 when something does not fit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which figures of printed tables cannot be true together, and which are unlikely."""
    from lymphct.scoring.consistency import check_tables

    record = check_tables(tables or [])
    typer.echo(json.dumps(record) if as_json else "\n".join(_lines(record)))
    if strict and record["findings"]:
        raise typer.Exit(3)


def _lines(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for table in record["tables"]:
        found = table["findings"]
        lines.append(f"{table['table']}: {counted(table['rows'], 'row')}, {counted(len(found), 'finding')}")
        for finding in found:
            place = ", ".join(name for name in (finding["cohort"], finding["method"]) if name)
            unlikely = "" if finding["certain"] else "unlikely: "
            lines.append(f"  {place or 'all rows'}: {unlikely}{finding['text']}")
    certain, unlikely = record["certain"], record["findings"] - record["certain"]
    return [*lines, f"{certain} cannot be, {unlikely} unlikely, of figures of one set of patients per cohort"]
