"""`lymphct annotate`: predictions out to a reader in 3D Slicer or OHIF, and corrections back as a cohort."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted, patient_bar
from lymphct.cli.options import AsJson, CohortFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lymphct.io.manifest import Manifest
    from lymphct.patients.annotation.corrected_cohort import TakenBack
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
        typer.Option(help="Folder that predict made of the cohort; without it OUT/_results is predicted."),
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
    source: Annotated[
        Path | None,
        typer.Option("--import", help="Take corrections back: the folder that was handed out to readers."),
    ] = None,
    reader: Annotated[str, typer.Option(help="With --import: initials of the reader, for the log.")] = "",
    reviewed: Annotated[
        str,
        typer.Option(
            metavar="IDS",
            help="With --import: patients whose lymph nodes were seen and are right, though nothing was "
            "saved; separated by commas.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Hand predictions out for correction, the most uncertain first; take corrections back as a cohort."""
    _require_fitting(
        {"--results": results, "--bundle": bundle, "--top": top, "--ohif": ohif},
        {"--reader": reader, "--reviewed": reviewed},
        is_import=source is not None,
    )
    from lymphct.io.manifest import read_manifest

    manifest = read_manifest(cohort)
    if source is None:
        _export(manifest, out, (results, bundle), top=top, ohif=ohif, as_json=as_json)
    else:
        names = frozenset(name.strip() for name in reviewed.split(",") if name.strip())
        _import(manifest, (source, out), reader, names, as_json=as_json)


def _require_fitting(
    exporting: "Mapping[str, object]", importing: "Mapping[str, object]", *, is_import: bool
) -> None:
    """Refuse options that do nothing in this direction."""
    from lymphct.core.errors import UsageError

    given = [name for name, value in (exporting if is_import else importing).items() if value]
    if given:
        msg = f"{given[0]} has no effect {'on' if is_import else 'without'} --import"
        raise UsageError(msg, code="E_NO_EFFECT", cure="leave it out")
    if is_import and not importing["--reader"]:
        msg = "--import needs --reader: the log says who corrected"
        raise UsageError(msg, cure="give initials, such as --reader AB")


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
        results = out / "_results"  # no id begins so
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
    from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort

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
        told = f"uncertainty {doubt.total:.2f} of 3; least sure nodes: {nodes or 'none'}{kept}"
        lines.append(f"{doubt.patient_id}: {told}")
    if len(shown) > SHOWN:
        lines.append(f"and {len(shown) - SHOWN} more")
    return lines


def _import(
    manifest: "Manifest", folders: tuple[Path, Path], reader: str, reviewed: frozenset[str], *, as_json: bool
) -> None:
    from lymphct.cli.outcomes import report_failures
    from lymphct.patients.annotation.corrected_cohort import take_back
    from lymphct.patients.annotation.taking_back import TakeBack

    source, out = folders
    GLOBALS.go_on = lambda: "run the same command again: patients that are taken back are kept"
    request = TakeBack(source=source, out=out, reader=reader, reviewed=reviewed)
    with patient_bar("patients", len(manifest.patients)) as bar:
        taken = take_back(manifest, request, jobs=GLOBALS.jobs, progress=bar.done)
    if as_json:
        typer.echo(json.dumps(_import_record(taken), sort_keys=True))
    else:
        for line in _import_lines(taken):
            typer.echo(line)
    report_failures(taken.outcome)


def _import_record(taken: "TakenBack") -> dict[str, Any]:
    results = taken.outcome.results
    return {
        "manifest": str(taken.manifest),
        "logged": sum(taken.logged.values()),
        "patients": {
            name: {key: result[key] for key in ("masks", "changes", "notices")}
            for name, result in results.items()
        },
        "failed": {name: str(error) for name, error in taken.outcome.failures.items()},
    }


def _import_lines(taken: "TakenBack") -> list[str]:
    from lymphct.patients.annotation.corrected_cohort import counts

    lines = []
    for name, result in taken.outcome.results.items():
        kinds = ", ".join(f"{number} {kind}" for kind, number in counts({name: result}).items())
        told = kinds if name in taken.logged and kinds else "as taken back before"
        lines.append(f"{name}: {', '.join(result['masks'])}: {told}")
        lines += [f"  notice: {notice}" for notice in result["notices"]]
    lines += [f"{name}: refused: {error}" for name, error in taken.outcome.failures.items()]
    lines.append(f"{counted(sum(taken.logged.values()), 'line')} added to annotations.jsonl")
    if taken.manifest.exists():
        lines.append(str(taken.manifest))
    return lines
