"""`lymphct evaluate`: masks and scores of any tool against truth."""

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lymphct.cli import evaluate_cohort, scores
from lymphct.cli.context import GLOBALS, counted, progress_bar
from lymphct.cli.table3 import Preset, table3, table3_text

logger = logging.getLogger(__name__)

Prediction = Annotated[Path, typer.Option(help="NIfTI, NRRD or MHA file, or a folder of them.")]
Truth = Annotated[Path, typer.Option(help="NIfTI, NRRD or MHA file, or a folder with the same file names.")]
Out = Annotated[Path, typer.Option(help="Folder of the result; an older one there is replaced.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]


class Surface(StrEnum):
    """What a surface is."""

    VOXELS = "voxels"
    ELEMENTS = "elements"


class Rule(StrEnum):
    """How competing matches are settled."""

    MAXIMUM = "maximum"
    GREEDY = "greedy"


class Components(StrEnum):
    """Which maps are split into connected parts."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Measure masks and scores of any tool against truth.", no_args_is_help=True)
    group.command("segmentation")(segmentation)
    group.command("instances")(instances)
    group.command("status")(scores.status)
    group.command("cohort")(evaluate_cohort.cohort)
    app.add_typer(group, name="evaluate")


def segmentation(
    truth: Annotated[
        Path,
        typer.Option(
            help="NIfTI, NRRD or MHA file, or a folder with the same file names; with --preset a manifest, "
            "cohort.csv, a folder by patient id, or a path with {patient}."
        ),
    ],
    out: Out,
    prediction: Annotated[
        Path | None, typer.Option(help="NIfTI, NRRD or MHA file, or a folder of them.")
    ] = None,
    label: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number to score; repeatable. Default: every number that occurs."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Score organs and vessels by name; both files are numbered as auto (the names they hold, "
            "else ours), lymphct, totalsegmentator or a YAML file says."
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Of the NSD, mm.")] = 2.0,
    surface: Annotated[
        Surface,
        typer.Option(
            help="voxels: boundary voxels, as MONAI; elements: weighted by area, as DeepMind's "
            "surface-distance."
        ),
    ] = Surface.VOXELS,
    preset: Annotated[
        Preset | None,
        typer.Option(help="table3: the ten guiding structures of several methods, as the paper's Tab. III."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="With --preset: a row of each structure, and the folder of its masks, by patient id or as "
            "predict lays them; repeatable.",
            metavar="NAME=FOLDER",
        ),
    ] = None,
    slice_thickness: Annotated[
        float | None,
        typer.Option(min=0.1, help="With --preset: score truth and prediction in slices of so many mm."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Dice, recall, precision and surface distances of label maps, per label, per case and pooled."""
    from lymphct.core.errors import UsageError

    if preset is not None:
        if prediction is not None or label:
            msg = "--preset compares the folders of --method; it takes no --prediction and no --label"
            raise UsageError(msg, cure="give --method NAME=FOLDER for each row")
        found = table3(
            method or (), truth, out, labels=labels, thickness=slice_thickness, surface=surface.value
        )
        typer.echo(json.dumps(found) if as_json else table3_text(found))
        logger.info("written to %s", out)
        return
    if prediction is None or method or slice_thickness is not None:
        msg = (
            "--prediction is missing"
            if prediction is None
            else "--method and --slice-thickness need --preset"
        )
        raise UsageError(msg, cure="give --prediction, or --preset table3 --method NAME=FOLDER")
    from lymphct.evaluation.surfaces import SurfaceSettings
    from lymphct.io.images.labels import label_scheme
    from lymphct.scoring.evaluation import pair_files
    from lymphct.scoring.segmentation import SegmentationRequest, evaluate_segmentation

    if label and labels is not None:
        msg = "--label and --labels exclude each other"
        raise UsageError(msg, cure="give numbers, or how the structures are numbered")
    request = SegmentationRequest(
        labels=tuple(sorted(set(label or ()))),
        scheme=None if labels is None else label_scheme(labels),
        surface=SurfaceSettings(tolerance=tolerance, definition=surface.value),
    )
    pairs = pair_files(prediction, truth)
    with progress_bar("cases", len(pairs)) as advance:
        record = evaluate_segmentation(pairs, request, out, jobs=GLOBALS.jobs, progress=advance)
    typer.echo(json.dumps(record) if as_json else _segmentation_table(record))
    logger.info("written to %s", out)


def _segmentation_table(record: dict[str, Any]) -> str:
    lines = [f"{'label':34}{'cases':>6}{'Dice':>8}{'pooled':>8}{'ASD mm':>8}{'HD95 mm':>9}"]
    labels = record["labels"]
    for name in sorted(labels, key=lambda name: name.zfill(9) if name.isdigit() else name):
        scores = labels[name]
        mean = {metric: scores["mean"][metric]["mean"] for metric in ("dice", "asd", "hd95")}
        line = (
            f"{name:34}{scores['cases']:>6}{_number(mean['dice']):>8}{_number(scores['pooled']['dice']):>8}"
        )
        lines.append(f"{line}{_number(mean['asd'], 2):>8}{_number(mean['hd95'], 2):>9}")
    return "\n".join(lines)


def instances(
    prediction: Prediction,
    truth: Truth,
    out: Out,
    iou: Annotated[
        float, typer.Option(help="Smallest intersection over union of a match, above 0 to 1.")
    ] = 0.3,
    rule: Annotated[
        Rule, typer.Option(help="maximum: largest total IoU; greedy: best pair first.")
    ] = Rule.MAXIMUM,
    components: Annotated[
        Components,
        typer.Option(
            help="auto: a map of 0 and 1 is split into its 26-connected parts, any other map is taken as an "
            "instance map; always: every map is split into connected parts of equal number; never: none is."
        ),
    ] = Components.AUTO,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Predictions are detection maps: each connected part is a candidate whose voxels hold its "
            "confidence. Adds FROC, average precision and the AUC of whole cases.",
        ),
    ] = False,
    ignore_duplicates: Annotated[
        bool,
        typer.Option(
            "--ignore-duplicates",
            help="A second prediction of a node that is matched already is no false positive.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recall, precision and F of lymph nodes, matched one to one."""
    from lymphct.scoring.evaluation import pair_files
    from lymphct.scoring.instances import InstanceRequest, evaluate_instances

    request = InstanceRequest(
        iou=iou,
        rule=rule.value,
        components=components.value,
        confidence=confidence,
        ignore_duplicates=ignore_duplicates,
        seed=GLOBALS.seed,
    )
    pairs = pair_files(prediction, truth)
    with progress_bar("cases", len(pairs)) as advance:
        record = evaluate_instances(pairs, request, out, jobs=GLOBALS.jobs, progress=advance)
    typer.echo(json.dumps(record) if as_json else _instance_table(record))
    logger.info("written to %s", out)


def _instance_table(record: dict[str, Any]) -> str:
    pooled, mean = record["pooled"], record["mean"]
    names = ("true positive", "false positive", "false negative")
    counts = [counted(pooled[f"{name.replace(' ', '_')}s"], name) for name in names]
    lines = [f"{counted(mean['cases'], 'case')}: {', '.join(counts)}"]
    for name, ratios in (("pooled", pooled), ("mean over cases", mean)):
        values = ", ".join(f"{ratio} {_number(ratios[ratio])}" for ratio in ("recall", "precision", "f"))
        lines.append(f"{name}: {values}")
    if "confidence" in record:
        found = record["confidence"]
        precision, area = _number(found["average_precision"]), _number(found["case_auc"])
        lines.append(f"by confidence: average precision {precision}, AUC of cases {area}")
        if found["intervals"] is not None:
            lines.append(f"sensitivity at false positives per case: {_sensitivities(found['intervals'])}")
    return "\n".join(lines)


def _sensitivities(intervals: dict[str, Any]) -> str:
    at = intervals["sensitivity_at_false_positives"]
    return ", ".join(
        f"{number}: {_number(found['estimate'])} ({_number(found['low'])} to {_number(found['high'])})"
        for number, found in at.items()
    )


def _number(value: float | None, decimals: int = 3) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
