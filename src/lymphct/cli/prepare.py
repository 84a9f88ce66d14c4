"""`lymphct prepare`: a cohort registered, resampled, with structures and attention, kept for what follows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, Registration, counted, progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prepare")(prepare)


def prepare(
    cohort: Annotated[Path, typer.Argument(help="Manifest, cohort.csv.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the prepared patients; a re-run does what is missing.")
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Models that draw what nobody drew; their spacing, bands and registration hold."),
    ] = None,
    registration: Annotated[
        Registration | None,
        typer.Option(help="Default: as the bundle was trained, else as the settings say."),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Numbering of the structures: lymphct, totalsegmentator or a YAML file.")
    ] = "lymphct",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Register, resample and map the attention of every patient of a cohort, and keep it."""
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest
    from lymphct.io.settings import load_config
    from lymphct.patients.cohort_preparation import PreparationRequest, prepare_all
    from lymphct.patients.one_by_one import SUMMARY_FILE

    manifest = read_manifest(cohort)
    request = PreparationRequest(
        out=out,
        config=load_config(GLOBALS.config, GLOBALS.overrides),
        bundle=None if bundle is None else bundle.resolve(),
        registration=None if registration is None else registration.value,
        labels=label_scheme(labels),
        device=GLOBALS.device,
    )
    with progress_bar("patients", len(manifest.patients)) as advance:
        outcome = prepare_all(manifest, request, jobs=GLOBALS.jobs, progress=advance)
    if as_json:
        typer.echo((out / SUMMARY_FILE).read_text(encoding="utf-8"))
    else:
        for result in outcome.results.values():
            typer.echo(prepared_line(result))
        for name, error in outcome.failures.items():
            typer.echo(f"{name}: failed: {error.cause} [{error.code}]")
    if outcome.failures:
        from lymphct.core.errors import CohortPartlyFailedError

        names = ", ".join(sorted(outcome.failures))
        msg = f"{len(outcome.failures)} of {counted(len(manifest.patients), 'patient')} failed: {names}"
        raise CohortPartlyFailedError(msg, cure="see failures.jsonl")


def prepared_line(result: "Mapping[str, Any]") -> str:
    """Say in one line what was prepared, and below it what a reader must know."""
    found = result["registration"]
    if found is not None:
        phases = "registration flagged" if found["flags"] else f"registered by {found['method']}"
    else:
        phases = "not registered" if result["has_arterial"] else "no arterial phase"
    used, source = len(result["structures_used"]), result["structures"]
    attention = f"attention from {used} structures ({source})" if source else "no structures, no attention"
    lines = [f"{result['patient_id']}: {phases}; {attention}"]
    lines += [f"  notice: {notice['text']}" for notice in result["notices"]]
    return "\n".join(lines)
