"""`lymphct annotate`: predictions out to a reader in 3D Slicer or OHIF, and corrections back as a cohort."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted, patient_bar
from lymphct.cli.options import AsJson, CohortFile

if TYPE_CHECKING:
    from lymphct.io.manifest import Manifest
    from lymphct.patients.annotation.handing_out import HandedOut

SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("annotate")(annotate)


def annotate(
    cohort: CohortFile,
    out: Annotated[
        Path, typer.Option(help="Folder for the readers; with --import the folder of the corrected cohort.")
    ],
    results: Annotated[
        Path | None,
        typer.Option(help="Folder that predict made of the cohort; without it OUT/results is predicted."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Models to predict with; default: the shipped phantom bundle.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Export the N patients the models are least sure of.")
    ] = None,
    ohif: Annotated[
        bool,
        typer.Option(
            "--ohif", help="Add the lymph nodes as DICOM SEG, for OHIF; the venous phase must be DICOM."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hand predictions out for correction, the most uncertain first."""
    from lymphct.io.manifest import read_manifest

    manifest = read_manifest(cohort)
    _export(manifest, out, (results, bundle), top=top, ohif=ohif, as_json=as_json)


def _export(
    manifest: "Manifest",
    out: Path,
    source: tuple[Path | None, Path | None],
    *,
    top: int | None,
    ohif: bool,
    as_json: bool,
) -> None:
    from lymphct.cli.outcomes import report_failures
    from lymphct.core.errors import UsageError
    from lymphct.patients.annotation.exporting import Export
    from lymphct.patients.annotation.handing_out import hand_out

    results, bundle = source
    if results is not None and bundle is not None:
        msg = "--bundle has no effect on --results: they are predicted already"
        raise UsageError(msg, code="E_NO_EFFECT", cure="leave out one of them")
    if results is None:
        results = out / "results"
        _predict(manifest, bundle, results)
    GLOBALS.go_on = lambda: "run the same command again: patients that are exported are kept"
    with patient_bar("patients", len(manifest.patients)) as bar:
        done = hand_out(
            manifest,
            Export(out=out, results=results, dicom=ohif),
            top=top,
            jobs=GLOBALS.jobs,
            progress=bar.done,
        )
    if as_json:
        typer.echo(json.dumps(_export_record(done), sort_keys=True))
    else:
        for line in _export_lines(done):
            typer.echo(line)
        typer.echo(str(out / "worklist.csv"))
    report_failures(done.outcome)


def _predict(manifest: "Manifest", bundle: Path | None, results: Path) -> None:
    from lymphct.io.models.bundles import shipped_bundle_path
    from lymphct.io.threads import threads_of_each
    from lymphct.patients.prediction import PredictionRequest, predict_cohort

    request = PredictionRequest(
        bundle=(bundle or shipped_bundle_path()).resolve(),
        config=chosen_config(),
        device=GLOBALS.device,
        threads=threads_of_each(GLOBALS.jobs),
    )
    GLOBALS.go_on = lambda: "run the same command again: results that are whole are kept"
    with patient_bar("patients", len(manifest.patients)) as bar:
        predict_cohort(manifest, request, results, jobs=GLOBALS.jobs, progress=bar.done, begun=bar.begun)


def _export_record(done: "HandedOut") -> dict[str, Any]:
    return {
        "patients": [
            {
                "patient_id": doubt.patient_id,
                "uncertainty": round(doubt.total, 4),
                "exported": doubt.patient_id in done.outcome.results,
                "edited": list(done.outcome.results.get(doubt.patient_id, {}).get("edited", ())),
            }
            for doubt in done.order
        ],
        "failed": {name: str(error) for name, error in done.outcome.failures.items()},
    }


def _export_lines(done: "HandedOut") -> list[str]:
    exported = done.outcome.results
    lines = [f"{counted(len(exported), 'patient')} exported, the most uncertain first:"]
    shown = [doubt for doubt in done.order if doubt.patient_id in exported]
    for doubt in shown[:SHOWN]:
        nodes = " ".join(map(str, list(doubt.by_node)[:3]))
        kept = ", corrections kept" if exported[doubt.patient_id]["edited"] else ""
        lines.append(
            f"{doubt.patient_id}: uncertainty {doubt.total:.2f} of 3; least sure nodes: {nodes or 'none'}{kept}"
        )
    if len(shown) > SHOWN:
        lines.append(f"and {len(shown) - SHOWN} more")
    return lines
