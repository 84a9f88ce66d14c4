"""`lymphct predict`: one patient from options, or a whole manifest."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, patient_bar
from lymphct.cli.options import AsJson, DryRun, Labels, Registration
from lymphct.cli.outcomes import report_outcome
from lymphct.cli.outlooks import after_reading, end_dry_run, settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lymphct.io.manifest import Manifest
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
    venous: Annotated[Path | None, typer.Option(help="Venous phase: NIfTI file or DICOM folder.")] = None,
    arterial: Annotated[Path | None, typer.Option(help="Arterial phase: NIfTI file or DICOM folder.")] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Label map of organs and vessels, or a folder of <structure>.nii.gz.")
    ] = None,
    labels: Labels = "lymphct",
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
    dry_run: DryRun = False,
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
    given = {
        "venous": venous,
        "arterial": arterial,
        "structures": structures,
        "tumor": tumor,
        "nodes": nodes,
    }
    from lymphct.io.manifest import read_manifest
    from lymphct.patients.foresight import foresee_prediction

    manifest = (
        read_manifest(cohort)
        if cohort is not None
        else _one_patient(patient_id, {name: path for name, path in given.items() if path is not None})
    )
    is_single = cohort is None
    outlook = foresee_prediction(manifest, request, out, single=is_single, jobs=GLOBALS.jobs)
    if dry_run:
        end_dry_run(after_reading(outlook, manifest, scheme), as_json=as_json)
    settle(outlook)
    if is_single:
        _predict_one(manifest, request, out, as_json=as_json)
    else:
        _predict_manifest(manifest, request, out, as_json=as_json)


def _one_patient(patient_id: str, given: "Mapping[str, Path]") -> "Manifest":
    from lymphct.io.manifest import Manifest, PatientRecord

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
    return Manifest(path=Path("options"), columns=(), patients=(record,))


def _predict_one(manifest: "Manifest", request: "PredictionRequest", out: Path, *, as_json: bool) -> None:
    from lymphct.patients.prediction import predict_single

    with patient_bar("patients", 1) as bar:
        result = predict_single(manifest.patients[0], request, out, begun=bar.begun)
    typer.echo(json.dumps(result) if as_json else summary_line(result))


def _predict_manifest(
    manifest: "Manifest", request: "PredictionRequest", out: Path, *, as_json: bool
) -> None:
    from lymphct.patients.prediction import predict_cohort

    GLOBALS.go_on = lambda: "run the same command again: results that are whole are kept"
    with patient_bar("patients", len(manifest.patients)) as bar:
        outcome = predict_cohort(
            manifest, request, out, jobs=GLOBALS.jobs, progress=bar.done, begun=bar.begun
        )
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
