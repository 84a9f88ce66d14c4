"""result.json and nodes.csv of one patient."""

import csv
import json
import math
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from lymphct.core.errors import LymphctError
from lymphct.core.patient import Node, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Source, StageName, Structure
from lymphct.report.context import ReportContext
from lymphct.report.score import calibrated_record, drivers_record
from lymphct.report.stations import station_records
from lymphct.report.tumor import measure_tumor

SCHEMA: Final = "lymphct-result-1"
"""Name and version of the layout of result.json."""

RESEARCH_USE: Final = (
    "Research use only. Not a medical device: not for diagnosis, staging or treatment of patients."
)

PHANTOM_WARNING: Final = (
    "The models were trained on synthetic phantoms. Every number, contour and call in this result is "
    "meaningless for patients."
)

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is a formula, or breaks out of its cell, in some spreadsheets."""

LEAST_SHARE: Final = 0.005
"""Probability of a station below which it is not named: with two decimals it would read 0."""

NODE_COLUMNS: Final = (
    "node",
    "class",
    "probability",
    "volume_mm3",
    "short_axis_mm",
    "nearest_structure",
    "distance_mm",
    "station",
    "hu_arterial",
    "hu_venous",
    "x_mm",
    "y_mm",
    "z_mm",
    "source",
    "class_source",
    "flags",
    "station_probability",
    "station_candidates",
    "detection",
    "detection_mean",
    "node_probability",
)


def result_record(prediction: Prediction, context: ReportContext) -> dict[str, JsonValue]:
    """Return the content of result.json: what was predicted, from what, and what a reader must know.

    `predicted_n_status` is 1 (N+), 0 (N-) or null; `nodes_total`, `nodes_positive` and
    `largest_positive_volume_mm3` are null when lymph nodes were not searched, the last two also when they
    were not called. Positive means called positive and no impossible node; `stations` is null when nodes were
    not searched; `tumor` is null without one; `sources` says what was given and what the networks made.
    """
    searched = prediction.search is SearchState.SEARCHED
    called = searched and all(node.node_class is not None for node in prediction.nodes.nodes)
    return {
        "schema": SCHEMA,
        "patient_id": context.patient_id,
        "sources": {name.value: source.value for name, source in prediction.sources.items()},
        "structure_sources": {s.label: source for s, source in prediction.structure_sources.items()},
        "structure_confidence": {s.label: sure for s, sure in prediction.structure_confidence.items()},
        "probability": prediction.probability,
        "threshold": prediction.threshold,
        "predicted_n_status": predicted_n_status(prediction),
        "calibrated": calibrated_record(prediction.calibrated),
        "drivers": drivers_record(prediction.drivers),
        "nodes_search": prediction.search.value,
        "nodes_total": len(prediction.nodes.nodes) if searched else None,
        "nodes_positive": len(positive_nodes(prediction)) if called else None,
        "nodes_implausible": len(implausible_nodes(prediction)) if searched else None,
        "nodes_detection": _detections(prediction),
        "largest_positive_volume_mm3": largest_positive_volume(prediction) if called else None,
        "stations": station_records(prediction),
        "tumor": tumor_record(prediction),
        "structures_used": [structure.label for structure in prediction.structures_used],
        "structures_missing": [structure.label for structure in missing_structures(prediction)],
        "notices": [
            {"code": notice.code, "text": notice.text, "value": notice.value} for notice in prediction.notices
        ],
        "checks": [dict(check) for check in context.checks],
        "bundle": dict(context.bundle),
        "versions": dict(context.versions),
        "research_use": f"{PHANTOM_WARNING} {RESEARCH_USE}" if context.is_phantom else RESEARCH_USE,
    }


def _detections(prediction: Prediction) -> dict[str, JsonValue] | None:
    """Return number → how sure stage 1 is of each node it found; None where it did not search."""
    if prediction.search is not SearchState.SEARCHED:
        return None
    if prediction.sources.get(StageName.NODES, Source.NETWORK).is_drawn:
        return None
    return {
        str(node.label): {"peak": node.detection, "mean": node.detection_mean}
        for node in prediction.nodes.nodes
    }


def tumor_record(prediction: Prediction) -> dict[str, JsonValue] | None:
    """Return what result.json says of the tumor: volume, largest diameter (3-D), and a guess at its site."""
    tumor = measure_tumor(prediction.tumor, prediction.structures)
    if tumor is None:
        return None
    return {
        "volume_mm3": tumor.volume,
        "largest_diameter_mm": tumor.largest_diameter,
        "site_guess": tumor.site,
    }


def drawn_or_predicted(source: Source) -> str:
    """Return the word for readers: nobody must take for found what was drawn."""
    return "drawn" if source.is_drawn else "predicted"


def predicted_n_status(prediction: Prediction) -> int | None:
    """Return 1 for predicted N+, 0 for predicted N-, None when the score is withheld or has no threshold."""
    if prediction.probability is None or prediction.threshold is None:
        return None
    return int(prediction.probability >= prediction.threshold)


def positive_nodes(prediction: Prediction) -> list[Node]:
    """Return the nodes called positive that can be lymph nodes."""
    called = (node for node in prediction.nodes.nodes if node.node_class is NodeClass.POSITIVE)
    return [node for node in called if node.is_plausible]


def implausible_nodes(prediction: Prediction) -> list[Node]:
    """Return the nodes that cannot be lymph nodes; no score counts them."""
    return [node for node in prediction.nodes.nodes if not node.is_plausible]


def largest_positive_volume(prediction: Prediction) -> float:
    """Return the volume of the largest node predicted positive, mm³; 0 when there is none (Sec. III-B)."""
    return max((node.volume for node in positive_nodes(prediction)), default=0.0)


def missing_structures(prediction: Prediction) -> list[Structure]:
    """Return the guiding structures that were absent (Tab. II)."""
    return [structure for structure in GUIDING_STRUCTURES if structure not in prediction.structures_used]


def write_result(folder: Path, prediction: Prediction, context: ReportContext) -> Path:
    """Write `result.json` into a folder.

    Raises:
        LymphctError: a number is not finite; nothing is written.

    """
    record = result_record(prediction, context)
    try:
        text = json.dumps(record, allow_nan=False, sort_keys=True, indent=1)
    except ValueError as error:
        names = ", ".join(name for name, value in record.items() if not _is_json(value))
        msg = f"result.json would hold a number that is not finite: {names}"
        raise LymphctError(msg, cure="report this as a bug") from error
    path = folder / "result.json"
    path.write_bytes((text + "\n").encode("ascii"))
    return path


def _is_json(value: JsonValue) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def write_timings(folder: Path, prediction: Prediction) -> Path:
    """Write `timings.json` into a folder: wall seconds of each stage, which differ from run to run."""
    path = folder / "timings.json"
    path.write_text(json.dumps({"seconds": dict(prediction.seconds)}, sort_keys=True, indent=1) + "\n")
    return path


def write_nodes(folder: Path, prediction: Prediction) -> Path:
    """Write `nodes.csv` into a folder: one line per node, ordered by number; blank = not known.

    Raises:
        LymphctError: a number is not finite; nothing is written.

    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NODE_COLUMNS)
    for node in sorted(prediction.nodes.nodes, key=lambda node: node.label):
        writer.writerow([_cell(node, column, prediction) for column in NODE_COLUMNS])
    path = folder / "nodes.csv"
    path.write_bytes(text.getvalue().encode("utf-8", errors="backslashreplace"))
    return path


_NUMBERS: Final[dict[str, tuple[Callable[[Node], float | None], int]]] = {
    "probability": (lambda node: node.probability, 6),
    "volume_mm3": (lambda node: node.volume, 2),
    "short_axis_mm": (lambda node: node.short_axis, 2),
    "distance_mm": (lambda node: node.distance, 2),
    "station_probability": (lambda node: node.station_probability, 2),
    "detection": (lambda node: node.detection, 6),
    "detection_mean": (lambda node: node.detection_mean, 6),
    "node_probability": (lambda node: node.node_probability, 6),
    "hu_arterial": (lambda node: node.hu_arterial, 1),
    "hu_venous": (lambda node: node.hu_venous, 1),
    "x_mm": (lambda node: node.center[0], 2),
    "y_mm": (lambda node: node.center[1], 2),
    "z_mm": (lambda node: node.center[2], 2),
}
"""How each number of a node is read and with how many decimals it is written."""

_TEXTS: Final[dict[str, Callable[[Node], str]]] = {
    "node": lambda node: str(node.label),
    "class": lambda node: "" if node.node_class is None else node.node_class.label,
    "nearest_structure": lambda node: "" if node.nearest_structure is None else node.nearest_structure.label,
    "station": lambda node: node.station,
    "class_source": lambda node: (
        "" if node.class_source is Source.NONE else drawn_or_predicted(node.class_source)
    ),
    "flags": lambda node: " ".join(node.flags),
    # No colon between them: a spreadsheet would read 13:0.72 as a time.
    "station_candidates": lambda node: " ".join(
        f"{name}={fixed(p, 2)}" for name, p in node.station_shares if p >= LEAST_SHARE
    ),
}


def _cell(node: Node, column: str, prediction: Prediction) -> str:
    if column == "source":
        return drawn_or_predicted(prediction.sources.get(StageName.NODES, Source.NETWORK))
    if column in _TEXTS:
        return safe_text(_TEXTS[column](node))
    read, decimals = _NUMBERS[column]
    value = read(node)
    if value is None:
        return ""
    if not math.isfinite(value):
        msg = f"{column} of lymph node {node.label} is not finite ({value})"
        raise LymphctError(msg, cure="report this as a bug")
    return fixed(value, decimals)


def fixed(value: float, decimals: int) -> str:
    """Write a number with fixed decimals; a zero has no sign.

    >>> fixed(-0.001, 2), fixed(12.345678, 2)
    ('0.00', '12.35')
    """
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def safe_text(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula.

    >>> safe_text("=HYPERLINK(1)"), safe_text("8a")
    ("'=HYPERLINK(1)", '8a')
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
