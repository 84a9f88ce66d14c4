"""`lymphct evaluate cohort`: the folders of `predict` and a manifest as they are."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, counted, progress_bar
from lymphct.cli.options import AsJson, Labels
from lymphct.cli.scores import counted_patients, number, status_lines

if TYPE_CHECKING:
    from lymphct.scoring.predicted import Stage

logger = logging.getLogger(__name__)


def cohort(
    results: Annotated[Path, typer.Option(help="Folder that predict wrote, a folder per patient.")],
    manifest: Annotated[Path, typer.Option("--cohort", help="Manifest with what is true, cohort.csv.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; an older one there is replaced.")],
    without: Annotated[
        str, typer.Option(help="Stages not to score, separated by commas: structures, tumor, nodes.")
    ] = "",
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Keep patients the models were fitted on; every table says so."),
    ] = False,
    labels: Labels = "auto",
    iou: Annotated[
        float, typer.Option(help="Smallest intersection over union of a matched node, above 0 to 1.")
    ] = 0.3,
    as_json: AsJson = False,
) -> None:
    """Measure a predicted cohort: masks, nodes, N status; a row per patient, tables and a page."""
    stages = _stages(without)
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest
    from lymphct.scoring.cohort import PAGE_FILE, PredictedCohort, evaluate_cohort
    from lymphct.scoring.cohort_cases import CohortRequest

    request = CohortRequest(
        without=stages, allow_seen=allow_seen, labels=label_scheme(labels), iou=iou, seed=GLOBALS.seed
    )
    predicted = PredictedCohort(manifest=manifest, results=results)
    with progress_bar("patients", len(read_manifest(manifest).patients)) as advance:
        record = evaluate_cohort(predicted, request, out, jobs=GLOBALS.jobs, progress=advance)
    typer.echo(json.dumps(record) if as_json else "\n".join(_lines(record)))
    logger.info("written to %s, the page to read first is %s", out, out / PAGE_FILE)


def _stages(text: str) -> "frozenset[Stage]":
    """Return the stages a user names.

    Raises:
        UsageError: one of them is none.

    """
    from lymphct.core.errors import UsageError
    from lymphct.scoring.predicted import STAGES

    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in STAGES]
    if unknown:
        msg = f"{unknown[0][:40]!r} is no stage that is scored"
        raise UsageError(msg, cure=f"--without takes {', '.join(STAGES)}")
    return frozenset(stage for stage in STAGES if stage in words)


LISTS = {
    "excluded": "excluded by the manifest",
    "without_result": "without a result",
    "seen_in_training": "left out, seen in training",
    "without_n_status": "without N status in the manifest",
}
"""Lists of patients in the record, and how a line about each begins."""


def _lines(record: Mapping[str, Any]) -> list[str]:
    counts = record["patients"]
    lines = [f"{counts['evaluated']} of {counted(counts['in_manifest'], 'patient')} evaluated"]
    lines += [f"{what}: {counted_patients([*record[key]])}" for key, what in LISTS.items() if record[key]]
    lines += [f"note: {stamp}" for stamp in record["stamps"]]
    lines += [_mask_line(name, record[name]) for name in ("structures", "tumor") if record[name]]
    if record["nodes"]:
        lines += _node_lines(record["nodes"])
    if record["status"] is None:
        return [*lines, "N status: not measured, it needs an N+ and an N- patient"]
    return [*lines, *status_lines(record["status"])]


def _node_lines(nodes: Mapping[str, Any]) -> list[str]:
    lines = []
    for group in ("found", "positive", "negative"):
        if nodes[group]:
            pooled = nodes[group]["pooled"]
            values = ", ".join(f"{ratio} {number(pooled[ratio])}" for ratio in ("recall", "precision", "f"))
            lines.append(f"nodes {group}: {values}")
    matched = nodes["identification"]
    auc, accuracy = number(matched["auc"]), number(matched["accuracy"])
    return [*lines, f"class of {counted(matched['nodes'], 'matched node')}: AUC {auc}, accuracy {accuracy}"]


def _mask_line(name: str, scores: Mapping[str, Any]) -> str:
    if name == "tumor":
        return (
            f"tumor: Dice {number(scores['mean']['dice']['mean'])} in {counted(scores['cases'], 'patient')}"
        )
    known = [s["mean"]["dice"]["mean"] for s in scores.values() if s["mean"]["dice"]["mean"] is not None]
    mean = sum(known) / len(known) if known else None
    return f"structures: mean Dice {number(mean)} of {len(scores)} structures"
