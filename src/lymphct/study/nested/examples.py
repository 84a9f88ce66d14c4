"""Fig. 4 of a study: test patients with what is drawn and what each cascade of their fold found."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lymphct.core.patient import NodeMap
from lymphct.core.volume import Volume
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.report.colors import TUMOR_COLOR, node_color
from lymphct.report.planes import Frame
from lymphct.report.studies.pictures import Drawing
from lymphct.report.studies.slices import (
    ATTENTION_COLOR,
    Lines,
    Slice,
    axial_frame,
    slices_drawing,
)
from lymphct.study.nested.findings import Found, folds_of, records_of
from lymphct.study.nested.mask_tables import by_patient, figure_of
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.plan import cascades_of
from lymphct.study.nested.seen import seen_by
from lymphct.study.nested.variants import ATTENTION, NONE, VARIANTS

MOST_COLUMNS: Final = 4
"""Cascades in the figure, at most: with attention and without first, then in the order of Tab. V."""
_MARGIN: Final = 15.0
"""mm around the lymph nodes of the slice."""
_SIDES: Final = (80.0, 170.0)
"""mm; smallest and largest side of a picture."""
RULE: Final = (
    "Patients of the lowest, median and highest instance F with attention (mean over the cascades of the "
    "fold; ties by id) of all test patients with drawn lymph nodes; the axial slice with most drawn nodes, "
    "of equals the one with most nodes found with attention"
)
"""How patients and slices are chosen."""


def example_drawing(materials: Materials, found: Found) -> Drawing | None:
    """Draw Fig. 4; None where nobody has drawn nodes or no cascade kept what it found.

    Args:
        materials: of the study.
        found: what the cascades found in test patients.

    """
    columns = _columns([name for name in VARIANTS if name in found])
    chosen = _chosen(found.get(columns[0], {})) if columns else []
    shown = [name for name in VARIANTS if name in columns]
    rows = [row for rank, patient, f in chosen if (row := _row(materials, shown, (rank, patient, f)))]
    if not rows:
        return None
    caption = f"Lymph nodes drawn and found in test patients by the first cascade of their fold. {RULE}"
    return slices_drawing("figure_4", caption, rows)


def _columns(variants: Sequence[str]) -> list[str]:
    """Return the cascades shown, the one by which patients are chosen first."""
    first = [name for name in (ATTENTION, NONE) if name in variants]
    return [*first, *(name for name in variants if name not in first)][:MOST_COLUMNS]


def _chosen(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, str, float]]:
    """Return rank, id and F of the patients shown, from the lowest F to the highest."""
    drawn = {
        name: own
        for name, own in sorted(records.items())
        if any(r.get("nodes", {}).get("drawn") for r in own)
    }
    values = by_patient(drawn, lambda record: figure_of(record, "found", "f"))
    ranked = sorted((float(f), name) for f, name in zip(values, drawn, strict=True) if np.isfinite(f))
    if not ranked:
        return []
    last = len(ranked) - 1
    ranks = {last // 2: "median F", 0: "lowest F", last: "highest F"}  # of two the lower is the lowest
    return [(ranks[place], ranked[place][1], ranked[place][0]) for place in sorted(ranks)]


def _row(materials: Materials, variants: Sequence[str], chosen: tuple[str, str, float]) -> list[Slice]:
    """Return what is drawn in a patient and what each cascade found; nothing where none kept it."""
    rank, name, f = chosen
    fold = folds_of(materials.plan)[name]
    patient = materials.patients[name]
    drawn = patient.nodes
    seen = {
        variant: there
        for variant in variants
        if (there := seen_by(materials.artefacts, cascades_of(materials.plan, fold, variant)[0], name))
    }
    if drawn is None or not seen:
        return []
    venous = patient.ct.venous
    first = seen.get(ATTENTION) or next(iter(seen.values()))
    frame = _frame(venous, drawn, first.nodes)
    tumor = tumor_lines(patient)
    title = f"{name}: {rank}, {f:.2f}"
    row = [Slice(venous=venous, frame=frame, lines=[*node_lines(drawn), *tumor], title="drawn", row=title)]
    for variant in variants:
        if variant not in seen:
            row.append(Slice(venous=venous, frame=frame, lines=(), note="not examined"))
            continue
        there = seen[variant]
        lit = () if variant == NONE else (lit_lines(there.lit),)
        lines = [*lit, *node_lines(there.nodes, is_found=True), *tumor]
        note = _note(records_of(materials, fold, variant, name))
        row.append(Slice(venous=venous, frame=frame, lines=lines, title=VARIANTS[variant].title, note=note))
    return row


def node_lines(nodes: NodeMap, *, is_found: bool = False) -> list[Lines]:
    """Return the outlines of nodes by class: solid where drawn, dashed where found."""
    kinds = dict.fromkeys(node.node_class for node in nodes.nodes)
    classes = {kind: [node.label for node in nodes.nodes if node.node_class is kind] for kind in kinds}
    return [
        Lines(
            image=nodes.instances,
            labels=labels,
            color=node_color(kind),
            look="dashed" if is_found else "solid",
            opacity=0.0 if is_found else 0.25,
        )
        for kind, labels in classes.items()
    ]


def tumor_lines(patient: StoredPatient) -> list[Lines]:
    """Return the outline of the drawn tumor, if it was drawn."""
    tumor = patient.tumor
    return [] if tumor is None else [Lines(image=tumor, labels=(1,), color=TUMOR_COLOR, width=0.9)]


def lit_lines(lit: Volume) -> Lines:
    """Return the line around what the attention lights up."""
    return Lines(image=lit, labels=(1,), color=ATTENTION_COLOR, look="dotted", width=0.8)


def _note(record: Mapping[str, Any]) -> str:
    """Return how the found nodes agree with the drawn ones."""
    groups = record.get("nodes", {}).get("groups", {})
    f = figure_of(record, "found", "f")
    if f is None:
        return ""
    counts = groups["found"]
    return (
        f"F {f:.2f}: {counts['true_positives']} right, {counts['false_positives']} false, "
        f"{counts['false_negatives']} missed"
    )


def _frame(venous: Volume, drawn: NodeMap, found: NodeMap) -> Frame:
    """Return the axial slice of `RULE`, cut around all its nodes; of equals the lowest."""
    counts = [
        sum(
            (
                np.any(nodes.instances.array == node.label, axis=(0, 1)).astype(np.int64)
                for node in nodes.nodes
            ),
            start=np.zeros(venous.geometry.shape[2], dtype=np.int64),
        )
        for nodes in (drawn, found)
    ]
    index = int(np.lexsort((np.arange(counts[0].size), -counts[1], -counts[0]))[0])
    there = (drawn.instances.array[:, :, index] > 0) | (found.instances.array[:, :, index] > 0)
    across, down = np.nonzero(there)
    middle = (int(across.min() + across.max()) // 2, int(down.min() + down.max()) // 2, index)
    wide, high, _ = venous.geometry.spacing
    extent = max(np.ptp(across) * wide, np.ptp(down) * high) + 2 * _MARGIN
    return axial_frame(venous, middle, float(np.clip(extent, *_SIDES)))
