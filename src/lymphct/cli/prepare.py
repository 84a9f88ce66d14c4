"""`lymphct prepare`: a cohort registered, resampled, with structures and attention, kept for what follows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, patient_bar
from lymphct.cli.effect import refuse_settings
from lymphct.cli.options import AsJson, CohortFile, DryRun, Labels, PatientTimeout, Registration, Rehash
from lymphct.cli.outcomes import report_outcome
from lymphct.cli.outlooks import after_reading, end_dry_run, settle

if TYPE_CHECKING:
    from collections.abc import Mapping


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prepare")(prepare)


def prepare(
    cohort: CohortFile,
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
    labels: Labels = "auto",
    rehash: Rehash = False,
    patient_timeout: PatientTimeout = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register, resample and map the attention of every patient of a cohort, and keep it."""
    config = chosen_config()
    if bundle is not None:
        given = ["imaging.spacing", "registration.method"]
        refuse_settings(GLOBALS.overrides, given, "the bundle's holds", "leave it out, or --bundle")
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest

    scheme = label_scheme(labels)
    manifest = read_manifest(cohort)
    from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort

    request = PreparationRequest(
        out=out,
        config=config,
        bundle=None if bundle is None else bundle.resolve(),
        registration=None if registration is None else registration.value,
        labels=scheme,
        device=GLOBALS.device,
        rehash=rehash,
        patient_timeout=patient_timeout,
    )
    from lymphct.patients.foresight.foreseeing import foresee_preparation

    outlook = foresee_preparation(manifest, request, jobs=GLOBALS.jobs)
    if dry_run:
        end_dry_run(after_reading(outlook, manifest, scheme), as_json=as_json)
    settle(outlook)
    GLOBALS.go_on = lambda: "run the same command again: patients that are prepared are kept"
    with patient_bar("patients", len(manifest.patients)) as bar:
        outcome = prepare_cohort(manifest, request, jobs=GLOBALS.jobs, progress=bar.done, begun=bar.begun)
    report_outcome(outcome, out, prepared_line, as_json=as_json)


def prepared_line(result: "Mapping[str, Any]") -> str:
    """Say in one line what was prepared, and below it what a reader must know."""
    found = result["registration"]
    if found is not None:
        phases = "registration flagged" if found["flags"] else f"registered by {found['method']}"
    else:
        phases = "not registered" if result["has_arterial"] else "no arterial phase"
    used, source = len(result["structures_used"]), result["structures"]
    if result["structure_sources"]:
        source = ", ".join(dict.fromkeys(result["structure_sources"].values()))
    attention = f"attention from {used} structures ({source})" if source else "no structures, no attention"
    lines = [f"{result['patient_id']}: {phases}; {attention}"]
    lines += [f"  notice: {notice['text']}" for notice in result["notices"]]
    return "\n".join(lines)
