"""`lymphct predict`: one patient from options, or a whole manifest."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, progress_bar
from lymphct.cli.options import AsJson, Labels, Registration
from lymphct.cli.outcomes import report_outcome
from lymphct.core.terms import StageName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lymphct.patients.prediction import PredictionRequest

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def _known_mask(only: StageName | None) -> StageName | None:
    if only in {StageName.IDENTIFICATION, StageName.METASTASIS}:
        msg = f"{only.value} draws no mask; one of structures, tumor, nodes"
        raise typer.BadParameter(msg)
    return only


def _points(given: "Sequence[str]", only: StageName | None) -> dict[str, float]:
    if not given:
        return {}
    from lymphct.cascade.operating_points import OPERATING_POINTS, operating_point
    from lymphct.core.errors import UsageError

    points: dict[str, float] = {}
    stages = list(StageName)
    for name, value in map(operating_point, given):
        if name in points:
            msg = f"the operating point {name} is given twice"
            raise UsageError(msg, code="E_OPERATING_POINT", cure="give one value")
        if only is not None and stages.index(OPERATING_POINTS[name].stage) > stages.index(only):
            msg = f"the operating point {name} has no effect on --only {only}"
            raise UsageError(msg, code="E_NO_EFFECT", cure="leave out one of them")
        points[name] = value
    return points


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
    operating_points: Annotated[
        list[str] | None,
        typer.Option(
            "--operating-point",
            metavar="NAME=VALUE",
            help="Another value than the bundle's of node_voxel, node_min_volume_mm3, node_positive or "
            "patient; repeatable, said in the result.",
        ),
    ] = None,
    only: Annotated[
        StageName | None,
        typer.Option(
            metavar="structures|tumor|nodes",
            callback=_known_mask,
            help="Masks of this stage and of those it needs, no score; the bundle needs no other part.",
        ),
    ] = None,
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
        only=only,
        operating_points=_points(operating_points or [], only),
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
    found, positive = result["nodes_total"], result["nodes_positive"]
    calls = "not called" if positive is None else f"{positive} predicted positive"
    nodes = "nodes not searched" if found is None else f"{found} nodes, {calls}"
    used, missing = len(result["structures_used"]), len(result["structures_missing"])
    lines = [f"{result['patient_id']}: {score}; {nodes}; {used} of {used + missing} guiding structures"]
    lines += [f"  notice: {notice['text']}" for notice in result["notices"]]
    return "\n".join(lines)
