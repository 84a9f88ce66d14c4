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
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.report.context import ReportContext

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
)


def result_record(prediction: Prediction, context: ReportContext) -> dict[str, JsonValue]:
    """Return the content of result.json: what was predicted, from what, and what a reader must know.

    `predicted_n_status` is 1 (N+), 0 (N-) or null; `nodes_total`, `nodes_positive` and
    `largest_positive_volume_mm3` are null when lymph nodes were not searched, the last two also when they
    were not called. Positive means predicted positive.
    """
    searched = prediction.search is SearchState.SEARCHED
    called = searched and all(node.node_class is not None for node in prediction.nodes.nodes)
    return {
        "schema": SCHEMA,
        "patient_id": context.patient_id,
        "probability": prediction.probability,
        "threshold": prediction.threshold,
        "predicted_n_status": predicted_n_status(prediction),
        "nodes_search": prediction.search.value,
        "nodes_total": len(prediction.nodes.nodes) if searched else None,
        "nodes_positive": len(positive_nodes(prediction)) if called else None,
        "largest_positive_volume_mm3": largest_positive_volume(prediction) if called else None,
        "structures_used": [structure.label for structure in prediction.structures_used],
        "structures_missing": [structure.label for structure in missing_structures(prediction)],
        "notices": [
            {"code": notice.code, "text": notice.text, "value": notice.value} for notice in prediction.notices
        ],
        "checks": [dict(check) for check in context.checks],
        "seconds": dict(prediction.seconds),
        "bundle": dict(context.bundle),
        "versions": dict(context.versions),
        "research_use": f"{PHANTOM_WARNING} {RESEARCH_USE}" if context.is_phantom else RESEARCH_USE,
    }


def predicted_n_status(prediction: Prediction) -> int | None:
    """Return 1 for predicted N+, 0 for predicted N-, None when the score is withheld or has no threshold."""
    if prediction.probability is None or prediction.threshold is None:
        return None
    return int(prediction.probability >= prediction.threshold)


def positive_nodes(prediction: Prediction) -> list[Node]:
    """Return the nodes predicted positive."""
    return [node for node in prediction.nodes.nodes if node.node_class is NodeClass.POSITIVE]


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


def write_nodes(folder: Path, prediction: Prediction) -> Path:
    """Write `nodes.csv` into a folder: one line per node, ordered by number; blank = not known.

    Raises:
        LymphctError: a number is not finite; nothing is written.

    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NODE_COLUMNS)
    for node in sorted(prediction.nodes.nodes, key=lambda node: node.label):
        writer.writerow([_cell(node, column) for column in NODE_COLUMNS])
    path = folder / "nodes.csv"
    path.write_bytes(text.getvalue().encode("utf-8", errors="backslashreplace"))
    return path


_NUMBERS: Final[dict[str, tuple[Callable[[Node], float | None], int]]] = {
    "probability": (lambda node: node.probability, 6),
    "volume_mm3": (lambda node: node.volume, 2),
    "short_axis_mm": (lambda node: node.short_axis, 2),
    "distance_mm": (lambda node: node.distance, 2),
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
}


def _cell(node: Node, column: str) -> str:
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
