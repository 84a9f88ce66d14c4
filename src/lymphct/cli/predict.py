"""`lymphct predict`: one patient from options, or a whole manifest."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, progress_bar
from lymphct.cli.options import IMAGE, AsJson, Labels, Registration
from lymphct.cli.outcomes import report_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lymphct.patients.prediction import PredictionRequest

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    cohort: Annotated[
        Path | None, typer.Argument(help="Manifest, cohort.csv; instead of the options of one patient.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    venous: Annotated[Path | None, typer.Option(help=f"Venous phase: {IMAGE}.")] = None,
    arterial: Annotated[Path | None, typer.Option(help=f"Arterial phase: {IMAGE}.")] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Label map of organs and vessels, or a folder of <structure>.nii.gz.")
    ] = None,
    labels: Labels = "auto",
    tumor: Annotated[Path | None, typer.Option(help="Tumor mask.")] = None,
    nodes: Annotated[Path | None, typer.Option(help="Drawn lymph nodes instead of stage 1.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Models; default: the shipped phantom bundle.")] = None,
    registration: Annotated[
        Registration | None,
        typer.Option(help="Arterial to venous phase; default: as the bundle was trained."),
    ] = None,
    patient_id: Annotated[
        str, typer.Option(help="Pseudonym in results; never taken from files.")
    ] = "patient",
    fill_structures: Annotated[
        bool, typer.Option("--fill-structures", help="Let the model add structures the file lacks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find and call lymph nodes, predict the LN-metastasis status."""
    if out is None:
        msg = "--out is needed"
        raise typer.BadParameter(msg)
    if (cohort is None) == (venous is None):
        msg = "give either a manifest or --venous"
        raise typer.BadParameter(msg)
    config = chosen_config()
    from lymphct.io.images.labels import label_scheme

    scheme = label_scheme(labels)
    from lymphct.io.models.bundles import shipped_bundle_path
    from lymphct.patients.prediction import PredictionRequest

    request = PredictionRequest(
        bundle=(bundle or shipped_bundle_path()).resolve(),
        config=config,
        labels=scheme,
        fill_structures=fill_structures,
        registration=None if registration is None else registration.value,
        device=GLOBALS.device,
        threads=GLOBALS.jobs if cohort is None else 1,
    )
    if cohort is not None:
        _predict_manifest(cohort, request, out, as_json=as_json)
        return
    given = {
        "venous": venous,
        "arterial": arterial,
        "structures": structures,
        "tumor": tumor,
        "nodes": nodes,
    }
    result = _predict_one(patient_id, {k: v for k, v in given.items() if v is not None}, request, out)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo(summary_line(result))


def _predict_one(
    patient_id: str, given: "Mapping[str, Path]", request: "PredictionRequest", out: Path
) -> dict[str, Any]:
    from lymphct.io.manifest import PatientRecord
    from lymphct.patients.prediction import predict_single

    cells = {"patient_id": patient_id, **{name: str(path) for name, path in given.items()}}
    record = PatientRecord(
        patient_id=patient_id,
        venous=given["venous"],
        arterial=given.get("arterial"),
        structures=given.get("structures"),
        tumor=given.get("tumor"),
        nodes=given.get("nodes"),
        cells=cells,
    )
    return predict_single(record, request, out)


def _predict_manifest(cohort: Path, request: "PredictionRequest", out: Path, *, as_json: bool) -> None:
    from lymphct.io.manifest import read_manifest
    from lymphct.patients.prediction import predict_cohort

    manifest = read_manifest(cohort)
    with progress_bar("patients", len(manifest.patients)) as advance:
        outcome = predict_cohort(manifest, request, out, jobs=GLOBALS.jobs, progress=advance)
    report_outcome(outcome, out, summary_line, as_json=as_json)


def summary_line(result: "Mapping[str, Any]") -> str:
    """Say in one line what a result record says."""
    probability = result["probability"]
    score = (
        "score withheld"
        if probability is None
        else f"probability of LN metastasis {probability:.3f} (threshold {result['threshold']:.3f})"
    )
    found = result["nodes_total"]
    nodes = (
        "nodes not searched"
        if found is None
        else f"{found} nodes, {result['nodes_positive']} predicted positive"
    )
    used, missing = len(result["structures_used"]), len(result["structures_missing"])
    lines = [f"{result['patient_id']}: {score}; {nodes}; {used} of {used + missing} guiding structures"]
    lines += [f"  notice: {notice['text']}" for notice in result["notices"]]
    return "\n".join(lines)
