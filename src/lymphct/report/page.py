"""The page of one patient: a single HTML file that needs no network and no server."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.core.patient import Multiphase, Node, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Source, StageName
from lymphct.report.checks import check_rows, counted_verdicts
from lymphct.report.colors import CLASS_COLORS, STRUCTURE_COLORS, TUMOR_COLOR, hex_color, node_color
from lymphct.report.context import ReportContext
from lymphct.report.figures import WINDOW, Picture, Scene, heat_palette
from lymphct.report.gallery import MOST_NODES, Overview, node_pictures, overview, ranked
from lymphct.report.offline import rendered, template_text
from lymphct.report.phases import phases_of
from lymphct.report.score_picture import driver_picture, signed, worth_of
from lymphct.report.stations import count_by_station
from lymphct.report.tables import (
    drawn_or_predicted,
    fixed,
    implausible_nodes,
    largest_positive_volume,
    missing_structures,
    positive_nodes,
    predicted_n_status,
)
from lymphct.report.tumor import measure_tumor
from lymphct.report.viewer import niivue_script, viewer_of
from lymphct.report.wording import (
    CALLS,
    MISSING,
    WITHHOLDING,
    called,
    milliliters,
    number,
    plain,
    telling_decimals,
)

CURTAIN: Final = "curtain.js"
"""The script that moves the curtain between the phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCard:
    """One lymph node as the page shows it: record, class, call in words, colour, values, pictures if any."""

    node: Node
    kind: str
    call: str
    color: str
    values: Mapping[str, str]
    pictures: tuple[Picture, ...]


def write_patient_page(
    folder: Path, prediction: Prediction, ct: Multiphase, context: ReportContext, *, viewer: bool = False
) -> Path:
    """Write `report.html` into a folder.

    Args:
        folder: where the page goes.
        prediction: all its images lie on the grid of the venous phase.
        ct: HU, venous phase as acquired, the arterial phase on its grid or None.
        context: who, with which models, after which checks.
        viewer: whether the images travel along, to be looked through in the page.

    Raises:
        GeometryMismatchError: an image lies on another grid than the venous phase.

    """
    path = folder / "report.html"
    page = patient_page(prediction, ct, context, viewer=viewer)
    path.write_bytes(page.encode("utf-8", errors="backslashreplace"))
    return path


def patient_page(
    prediction: Prediction, ct: Multiphase, context: ReportContext, *, viewer: bool = False
) -> str:
    """Return the page as text; equal inputs give equal text.

    Raises:
        GeometryMismatchError: an image lies on another grid than the venous phase.

    """
    scene = Scene.of(prediction, ct)
    nodes = ranked(prediction.nodes.nodes)
    slices = overview(scene)
    phases = phases_of(scene, [anatomy for anatomy, _ in slices.rows], context.arterial_as_acquired)
    checks = check_rows(context.checks)
    changes = {} if prediction.drivers is None else {i.node: i.change for i in prediction.drivers.nodes}
    return rendered(
        "patient.html",
        [context.bundle],
        sheets=("page.css", "viewer.css") if viewer else ("page.css",),
        scripts=(
            *((template_text(CURTAIN),) if phases else ()),
            *((template_text("viewer.js"), niivue_script()) if viewer else ()),
        ),
        phases=phases,
        curtain_script=template_text(CURTAIN),
        viewer=viewer_of(scene, nodes) if viewer else None,
        viewer_script=template_text("viewer.js"),
        context=context,
        # What the bundle says stands at the top of the page: once is enough.
        bundle={name: plain(value) for name, value in context.bundle.items() if name != "notice"},
        notices=[
            (notice.code, notice.text, plain(notice.value))
            for notice in prediction.notices
            if notice.text != context.bundle_notice
        ],
        structures=_structures(prediction),
        structure_sources=_structure_sources(prediction),
        score=_score(prediction),
        worth=worth_of(prediction.calibrated, prediction.probability),
        drivers=driver_picture(prediction, [node.label for node in nodes[:MOST_NODES]]),
        tumor=_tumor(prediction),
        search=_search(prediction),
        stations=_stations(prediction.nodes.nodes),
        overview=slices,
        legend=_legend(slices, prediction),
        drawn=[stage.value for stage in prediction.sources if _is_drawn(prediction, stage)],
        cards=[_card(scene, node, changes, with_pictures=row < MOST_NODES) for row, node in enumerate(nodes)],
        window=f"{WINDOW[0]:.0f} to {WINDOW[1]:.0f} HU".replace("-", "−"),
        heat=[(f"{share:.0%}", hex_color(color), opacity) for share, color, opacity in _heat_stops()],
        checks=checks,
        verdicts=counted_verdicts(checks),
    )


def _structures(prediction: Prediction) -> dict[str, object]:
    missing = missing_structures(prediction)
    return {
        "found": len(GUIDING_STRUCTURES) - len(missing),
        "wanted": len(GUIDING_STRUCTURES),
        "missing": [structure.title for structure in missing],
    }


def _structure_sources(prediction: Prediction) -> list[tuple[str, str]]:
    """Return each source with its structures; nothing where one file or one network gave them all."""
    found: dict[str, list[str]] = {}
    for structure, source in prediction.structure_sources.items():
        sure = prediction.structure_confidence.get(structure)
        name = structure.title if sure is None else f"{structure.title} (confidence {sure:.2f})"
        found.setdefault(source, []).append(name)
    if set(found) <= {Source.GIVEN.value, Source.NETWORK.value}:
        return []
    return [(source, ", ".join(names)) for source, names in found.items()]


def _score(prediction: Prediction) -> dict[str, object]:
    """Word the patient's score; a withheld one says why."""
    status = predicted_n_status(prediction)
    reasons = [notice.text for notice in prediction.notices if notice.code in WITHHOLDING]
    decimals = telling_decimals(prediction.probability, prediction.threshold)
    return {
        "probability": number(prediction.probability, decimals),
        "share": prediction.probability,
        "threshold": number(prediction.threshold, decimals),
        "cut": prediction.threshold,
        "status": None if status is None else CALLS[status],
        "reasons": reasons,
    }


def _tumor(prediction: Prediction) -> dict[str, object] | None:
    """Word what is known of the tumor; None without one."""
    measured = measure_tumor(prediction.tumor, prediction.structures)
    if measured is None:
        return None
    return {
        "volume": milliliters(measured.volume),
        "diameter": number(measured.largest_diameter, 0),
        "site": measured.site or MISSING,
        "landmark": measured.landmark,
        "is_right": measured.site == "head/uncinate",
        "parts": measured.parts,
        "source": drawn_or_predicted(prediction.sources.get(StageName.TUMOR, Source.NETWORK)),
    }


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


def _stations(nodes: tuple[Node, ...]) -> list[dict[str, str]]:
    """Write the counts of each station, for readers."""
    return [
        {
            "station": count.station or "not known",
            "nodes": str(count.nodes),
            "positive": MISSING if count.nodes_positive is None else str(count.nodes_positive),
            "highest": number(count.highest_probability, 2),
            "expected": number(count.expected_positive, 2),
        }
        for count in count_by_station(nodes)
    ]


def _station(node: Node) -> str:
    """Write a station, with its probability where it was guessed."""
    if node.station_probability is None:
        return node.station or MISSING
    return f"{node.station} ({number(node.station_probability, 2)})"


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


def _card(scene: Scene, node: Node, changes: Mapping[int, float], *, with_pictures: bool) -> NodeCard:
    node_class = node.node_class
    return NodeCard(
        node=node,
        kind="uncalled" if node_class is None else node_class.label,
        call=called(node),
        color=hex_color(node_color(node_class)),
        values=_values(node) | {"change": signed(changes[node.label]) if node.label in changes else ""},
        pictures=tuple(node_pictures(scene, node)) if with_pictures else (),
    )


def _values(node: Node) -> dict[str, str]:
    """Write what is known of a node, for readers."""
    x, y, z = (number(value, 1) for value in node.center)
    return {
        "probability": number(node.probability, 2),
        "volume": number(node.volume, 0),
        "short_axis": number(node.short_axis, 1),
        "nearest": MISSING if node.nearest_structure is None else node.nearest_structure.title,
        "distance": number(node.distance, 1),
        "station": _station(node),
        "hu_arterial": number(node.hu_arterial, 0),
        "hu_venous": number(node.hu_venous, 0),
        "x": x,
        "y": y,
        "z": z,
    }
