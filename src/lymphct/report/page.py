"""The page of one patient: a single HTML file that needs no network, no server and no script."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from lymphct.core.patient import Multiphase, Node, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Source, StageName
from lymphct.report.colors import CLASS_COLORS, STRUCTURE_COLORS, TUMOR_COLOR, hex_color, node_color
from lymphct.report.context import ReportContext
from lymphct.report.figures import WINDOW, Picture, Scene, heat_palette
from lymphct.report.gallery import MOST_NODES, Overview, node_pictures, overview, ranked
from lymphct.report.offline import content_policy, style_sheet, templates
from lymphct.report.tables import (
    PHANTOM_WARNING,
    RESEARCH_USE,
    fixed,
    implausible_nodes,
    largest_positive_volume,
    missing_structures,
    positive_nodes,
    predicted_n_status,
)

WITHHOLDING: Final = ("no_structures", "no_tumor")
"""Notices that say why a score is withheld."""

MISSING: Final = "–"
"""Stands for a value that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCard:
    """One lymph node as the page shows it: record, class, call in words, colour, values, pictures if any."""

    node: Node
    kind: str
    call: str
    color: str
    values: Mapping[str, str]
    pictures: tuple[Picture, ...]


def write_patient_page(folder: Path, prediction: Prediction, ct: Multiphase, context: ReportContext) -> Path:
    """Write `report.html` into a folder.

    Args:
        folder: where the page goes.
        prediction: all its images lie on the grid of the venous phase.
        ct: HU, venous phase as acquired, the arterial phase on its grid or None.
        context: who, with which models, after which checks.

    Raises:
        GeometryMismatchError: an image lies on another grid than the venous phase.

    """
    path = folder / "report.html"
    page = patient_page(prediction, ct, context)
    path.write_bytes(page.encode("utf-8", errors="backslashreplace"))
    return path


def patient_page(prediction: Prediction, ct: Multiphase, context: ReportContext) -> str:
    """Return the page as text; equal inputs give equal text.

    Raises:
        GeometryMismatchError: an image lies on another grid than the venous phase.

    """
    scene = Scene.of(prediction, ct)
    nodes = ranked(prediction.nodes.nodes)
    slices = overview(scene)
    style = style_sheet("patient.css")
    return (
        templates()
        .get_template("patient.html")
        .render(
            style=style,
            policy=content_policy(style),
            context=context,
            bundle={name: plain(value) for name, value in context.bundle.items()},
            phantom_warning=PHANTOM_WARNING,
            research_use=RESEARCH_USE,
            # What the bundle says stands at the top of the page: once is enough.
            notices=[
                (notice.code, notice.text, plain(notice.value))
                for notice in prediction.notices
                if notice.text != context.bundle_notice
            ],
            structures=_structures(prediction),
            score=_score(prediction),
            search=_search(prediction),
            overview=slices,
            legend=_legend(slices, prediction),
            drawn=[stage.value for stage in prediction.sources if _is_drawn(prediction, stage)],
            cards=[_card(scene, node, with_pictures=row < MOST_NODES) for row, node in enumerate(nodes)],
            has_arterial=ct.arterial is not None,
            window=f"{WINDOW[0]:.0f} to {WINDOW[1]:.0f} HU".replace("-", "−"),
            heat=[(f"{share:.0%}", hex_color(color), opacity) for share, color, opacity in _heat_stops()],
            checks=[_check(check) for check in context.checks],
        )
    )


def _structures(prediction: Prediction) -> dict[str, object]:
    missing = missing_structures(prediction)
    return {
        "found": len(GUIDING_STRUCTURES) - len(missing),
        "wanted": len(GUIDING_STRUCTURES),
        "missing": [structure.title for structure in missing],
    }


def _score(prediction: Prediction) -> dict[str, object]:
    """Word the patient's score; a withheld one says why."""
    status = predicted_n_status(prediction)
    reasons = [notice.text for notice in prediction.notices if notice.code in WITHHOLDING]
    decimals = _decimals(prediction.probability, prediction.threshold)
    return {
        "probability": _number(prediction.probability, decimals),
        "share": prediction.probability,
        "threshold": _number(prediction.threshold, decimals),
        "cut": prediction.threshold,
        "status": None if status is None else ("predicted N−", "predicted N+")[status],
        "reasons": reasons,
    }


def _decimals(probability: float | None, threshold: float | None) -> int:
    """Return the decimals, two or more, that show on which side of the threshold a probability lies."""
    if probability is None or threshold is None or probability == threshold:
        return 2
    apart = (d for d in range(2, 6) if fixed(probability, d) != fixed(threshold, d))
    return next(apart, 6)


def _search(prediction: Prediction) -> dict[str, object]:
    total, positive = len(prediction.nodes.nodes), len(positive_nodes(prediction))
    return {
        "searched": prediction.search is SearchState.SEARCHED,
        "total": total,
        "positive": positive,
        "implausible": len(implausible_nodes(prediction)),
        "largest": fixed(largest_positive_volume(prediction), 0),
        "verb": "drawn" if _is_drawn(prediction, StageName.NODES) else "found",
        "called": "called positive" if _is_drawn(prediction, StageName.NODES) else "predicted positive",
    }


def _is_drawn(prediction: Prediction, stage: StageName) -> bool:
    return prediction.sources.get(stage, Source.NETWORK).is_drawn


def _legend(slices: Overview, prediction: Prediction) -> list[tuple[str, str, str]]:
    """Return kind, colour and name of everything that is shown as an outline."""
    words = {node.class_source.is_drawn for node in prediction.nodes.nodes if node.node_class is not None}
    call = "drawn" if words == {True} else "predicted" if True not in words else "drawn or predicted"
    entries = [(f"node {c.label}", hex_color(CLASS_COLORS[c]), f"node, {call} {c.label}") for c in NodeClass]
    tumor = "tumor, drawn" if _is_drawn(prediction, StageName.TUMOR) else "tumor, predicted"
    entries.append(("tumor", hex_color(TUMOR_COLOR), tumor))
    entries += [("structure", hex_color(STRUCTURE_COLORS[s]), s.title) for s in slices.structures]
    return entries


def _heat_stops() -> list[tuple[float, tuple[int, int, int], str]]:
    palette = heat_palette()
    stops = range(0, len(palette), 8)
    return [
        (
            stop / (len(palette) - 1),
            (int(palette[stop, 0]), int(palette[stop, 1]), int(palette[stop, 2])),
            fixed(float(palette[stop, 3]) / 255, 3),
        )
        for stop in stops
    ]


def _card(scene: Scene, node: Node, *, with_pictures: bool) -> NodeCard:
    node_class = node.node_class
    return NodeCard(
        node=node,
        kind="uncalled" if node_class is None else node_class.label,
        call=_call(node),
        color=hex_color(node_color(node_class)),
        values=_values(node),
        pictures=tuple(node_pictures(scene, node)) if with_pictures else (),
    )


def _call(node: Node) -> str:
    if node.node_class is None:
        return "not called"
    words = f"{'drawn' if node.class_source.is_drawn else 'predicted'} {node.node_class.label}"
    return words if node.is_plausible else f"{words}, implausible: not counted"


def _values(node: Node) -> dict[str, str]:
    """Write what is known of a node, for readers."""
    x, y, z = (_number(value, 1) for value in node.center)
    return {
        "probability": _number(node.probability, 2),
        "volume": _number(node.volume, 0),
        "short_axis": _number(node.short_axis, 1),
        "nearest": MISSING if node.nearest_structure is None else node.nearest_structure.title,
        "distance": _number(node.distance, 1),
        "station": node.station or MISSING,
        "hu_arterial": _number(node.hu_arterial, 0),
        "hu_venous": _number(node.hu_venous, 0),
        "x": x,
        "y": y,
        "z": z,
    }


def _number(value: float | None, decimals: int) -> str:
    return MISSING if value is None else fixed(value, decimals).replace("-", "−")


def _check(check: Mapping[str, JsonValue]) -> dict[str, str]:
    passed = check.get("passed")
    verdict = "passed" if passed is True else "failed" if passed is False else "not done"
    return {
        "name": plain(check.get("name")),
        "verdict": verdict,
        "value": plain(check.get("value")),
        "text": plain(check.get("text")),
    }


def plain(value: JsonValue) -> str:
    """Write any value of a record as text.

    >>> plain(None), plain(True), plain(0.25), plain(["a", 1])
    ('–', 'yes', '0.25', '["a", 1]')
    """
    match value:
        case None | "":
            return MISSING
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case _:
            return json.dumps(value, sort_keys=True, ensure_ascii=False)
