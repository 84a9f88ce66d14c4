"""`lymphct predict`: one patient from options, or a whole manifest."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from lymphct.cli.context import GLOBALS, chosen_config, patient_bar
from lymphct.cli.options import (
    IMAGE,
    AsJson,
    DryRun,
    Labels,
    PatientTimeout,
    Registration,
    RequireSignature,
    signed_digest,
)
from lymphct.cli.outcomes import report_outcome
from lymphct.cli.outlooks import after_reading, end_dry_run, settle
from lymphct.cli.predicted import summary_line, told_once
from lymphct.core.terms import StageName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lymphct.io.images.labels import Scheme
    from lymphct.io.manifest import Manifest
    from lymphct.patients.predicting.dicom_objects import DicomObjects
    from lymphct.patients.predicting.prediction import PredictionRequest
    from lymphct.patients.sources.naming import NamedSource

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict", cls=FillingCommand)(predict)


class FillingCommand(TyperCommand):
    """A command whose `--fill-structures` may stand alone: then it means the model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own, which it hides
        """Give the bare option its value; a manifest behind it is not one."""
        return super().parse_args(ctx, [word for place in range(len(args)) for word in _valued(args, place)])


def _valued(args: "Sequence[str]", place: int) -> list[str]:
    """Return a word of the command line, with a value behind it where it lacks one.

    >>> _valued(["--fill-structures", "cohort.csv"], 0)
    ['--fill-structures', 'bundle']
    >>> _valued(["--fill-structures", "trace"], 0)
    ['--fill-structures']
    """
    word, after = args[place], args[place + 1] if place + 1 < len(args) else "-"
    is_bare = word == "--fill-structures" and (after.startswith("-") or after.endswith(".csv"))
    return [word, "bundle"] if is_bare else [word]


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
    venous: Annotated[Path | None, typer.Option(help=f"Venous phase: {IMAGE}.")] = None,
    arterial: Annotated[Path | None, typer.Option(help=f"Arterial phase: {IMAGE}.")] = None,
    structures: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCES",
            help="Label map of organs and vessels, a folder of <structure>.nii.gz, or sources by name "
            "(lymphct structures --list), most trusted first; {patient} stands for the id.",
        ),
    ] = None,
    labels: Labels = "auto",
    tumor: Annotated[Path | None, typer.Option(help="Tumor mask.")] = None,
    nodes: Annotated[Path | None, typer.Option(help="Drawn lymph nodes instead of stage 1.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Models; default: the shipped phantom bundle.")] = None,
    require_signature: RequireSignature = None,
    registration: Annotated[
        Registration | None,
        typer.Option(help="Arterial to venous phase; default: as the bundle was trained."),
    ] = None,
    patient_id: Annotated[
        str, typer.Option(help="Pseudonym in results; never taken from files.")
    ] = "patient",
    fill_structures: Annotated[
        str | None,
        typer.Option(
            "--fill-structures",
            metavar="[SOURCES]",
            help="Sources that add structures the others lack, such as trace; without a value, the model.",
        ),
    ] = None,
    given: Annotated[
        str,
        typer.Option(
            help="With a manifest: which of its masks are used instead of the networks, such as "
            "structures,tumor; without it the images alone are."
        ),
    ] = "",
    patient_timeout: PatientTimeout = None,
    dry_run: DryRun = False,
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
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Add the result as DICOM SEG, parametric map and SR on the frames of the venous series, "
            "which must be DICOM; they carry the patient's tags.",
        ),
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
    if dicom and only is not None:
        msg = "--dicom has no effect on --only: nobody called the lymph nodes"
        raise typer.BadParameter(msg)
    if patient_timeout is not None and cohort is None:
        msg = "--patient-timeout goes with a manifest; one patient may be killed at any time"
        raise typer.BadParameter(msg)
    columns = _given_columns(given, cohort)
    config = chosen_config()
    from lymphct.io.images.labels import label_scheme

    scheme = label_scheme(labels)
    brought = _structures(structures, fill_structures, scheme, columns, single=cohort is None)
    from lymphct.io.models.bundles import shipped_bundle_path
    from lymphct.io.threads import threads_of_each
    from lymphct.patients.predicting.prediction import PredictionRequest

    models = (bundle or shipped_bundle_path()).resolve()
    request = PredictionRequest(
        bundle=models,
        signed=signed_digest(models, require_signature),
        config=config,
        labels=scheme,
        fill_structures=brought.filled,
        sources=brought.sources,
        registration=None if registration is None else registration.value,
        device=GLOBALS.device,
        threads=threads_of_each(1 if cohort is None else GLOBALS.jobs),
        given=columns,
        only=only,
        operating_points=_points(operating_points or [], only),
        afterwards=_dicom_objects() if dicom else None,
        patient_timeout=patient_timeout,
    )
    files = {
        "venous": venous,
        "arterial": arterial,
        "structures": brought.path,
        "tumor": tumor,
        "nodes": nodes,
    }
    from lymphct.io.manifest import read_manifest
    from lymphct.patients.foresight.foreseeing import foresee_prediction
    from lymphct.patients.predicting.prediction import images_of

    manifest = (
        images_of(read_manifest(cohort), columns)
        if cohort is not None
        else _one_patient(patient_id, {name: path for name, path in files.items() if path is not None})
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


def _dicom_objects() -> "DicomObjects":
    from lymphct.patients.predicting.dicom_objects import DicomObjects

    return DicomObjects()


def _given_columns(given: str, cohort: Path | None) -> tuple[str, ...]:
    columns = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    unknown = [name for name in columns if name not in {"structures", "tumor", "nodes"}]
    if unknown:
        msg = f"--given takes structures, tumor and nodes, got {unknown[0]!r}"
        raise typer.BadParameter(msg)
    if columns and cohort is None:
        msg = "--given goes with a manifest; for one patient give --structures, --tumor, --nodes"
        raise typer.BadParameter(msg)
    return columns


class _Brought(NamedTuple):
    """Structures as asked for: a plain file of one patient, sources, and whether the model fills the rest."""

    path: Path | None
    sources: "tuple[NamedSource, ...]"
    filled: bool


def _structures(
    given: str | None, fill: str | None, scheme: "Scheme", columns: "Sequence[str]", *, single: bool
) -> _Brought:
    from lymphct.core.errors import UsageError
    from lymphct.patients.sources.naming import FILES, MODEL, named_sources, require_patient_in_paths

    first = named_sources(given or "", labels=scheme)
    if given is not None and not single and "structures" in columns:
        msg = "--structures and --given structures both say where the structures come from"
        raise UsageError(msg, code="E_SOURCE", cure="leave out one; --fill-structures goes with either")
    later = named_sources(fill or "", labels=scheme)
    twice = [source.text for source in later if source in first]
    if twice:
        msg = f"the source {twice[0]} is given twice"
        raise UsageError(msg, code="E_SOURCE", cure="leave one out")
    filled = bool(later) and (later[-1].name, later[-1].path) == (MODEL, "")
    later = later[:-1] if filled else later
    if not single:
        require_patient_in_paths((*first, *later))
    if single and len(first) == 1 and first[0].name == FILES and "{patient}" not in first[0].path:
        return _Brought(Path(first[0].path), later, filled)
    return _Brought(None, (*first, *later), filled)


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
    from lymphct.patients.predicting.prediction import predict_single

    with patient_bar("patients", 1) as bar:
        result = predict_single(manifest.patients[0], request, out, begun=bar.begun)
    typer.echo(json.dumps(result) if as_json else summary_line(result))


def _predict_manifest(
    manifest: "Manifest", request: "PredictionRequest", out: Path, *, as_json: bool
) -> None:
    from lymphct.patients.predicting.prediction import predict_cohort

    GLOBALS.go_on = lambda: "run the same command again: results that are whole are kept"
    with patient_bar("patients", len(manifest.patients)) as bar:
        outcome = predict_cohort(
            manifest, request, out, jobs=GLOBALS.jobs, progress=bar.done, begun=bar.begun
        )
    described = summary_line if as_json else told_once(outcome)
    report_outcome(outcome, out, described, as_json=as_json)
