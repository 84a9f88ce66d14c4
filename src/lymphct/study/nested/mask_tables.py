"""Tab. III, IV and V of a cross-validation, and how many nodes of which size were found.

Every test patient was examined by each cascade of the fold; what they found is averaged over the cascades,
then over patients. Intervals resample patients: nodes of one patient stand or fall together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from lymphct.core.terms import STRUCTURES_BY_NAME
from lymphct.evaluation.classification import accuracy, auc, balanced_accuracy, sensitivity, specificity
from lymphct.report.studies.printed import PrintedTable
from lymphct.report.wording import MISSING
from lymphct.study.nested.variants import ATTENTION, VARIANTS

RESAMPLES: Final = 1000
"""Of patients, for every interval."""
SIZES: Final = (("below 5 mm", 0.0, 5.0), ("5 to 10 mm", 5.0, 10.0), ("10 mm and more", 10.0, np.inf))
"""Short axes by which drawn nodes are told apart."""
GROUPS: Final = {
    "found": "before identification",
    "positive": "positive, after it",
    "negative": "negative, after it",
}
_CASCADES: Final = {name: variant.title for name, variant in VARIANTS.items()}
_TRAINED: Final = {name: variant.title for name, variant in VARIANTS.items() if not variant.trained_as}
"""Those whose stage 2 is their own."""

Measured = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""Name of a cascade's variant → patient → what each cascade of the fold found (`measuring.measured`)."""


def mask_tables(measured: Measured, seed: int, notes: Sequence[str] = ()) -> Iterator[PrintedTable]:
    """Yield the tables for which something was drawn and found.

    Args:
        measured: of all test patients.
        seed: of the resamples.
        notes: sentences that stand under each table.

    """
    tables = (
        _structures(measured, seed),
        _true_nodes(measured, seed),
        _nodes(measured, seed),
        _sizes(measured, seed),
    )
    for name, title, heading, rows in tables:
        if rows:
            said = [*notes, f"In brackets 95 % intervals by {RESAMPLES} resamples of patients."]
            yield PrintedTable(name=name, title=title, heading=heading, rows=rows, notes=said)


_Table = tuple[str, str, list[str], list[list[str]]]


def _structures(measured: Measured, seed: int) -> _Table:
    """Return Tab. III: structures and tumor as the fold's networks draw them."""
    rows = []
    patients = _patients(measured, ATTENTION)
    names = {
        name: (kind, STRUCTURES_BY_NAME[name].title if kind == "structures" else "tumor")
        for kind in ("structures", "tumor")
        for records in patients.values()
        for record in records
        for name in record.get(kind, {})
    }
    order = [name for name in STRUCTURES_BY_NAME if name in names] + [n for n in names if n == "tumor"]
    for name in order:
        kind, title = names[name]
        columns = [
            by_patient(patients, lambda record, score=score: record.get(kind, {}).get(name, {}).get(score))  # type: ignore[misc] # noqa: B023
            for score in ("dice", "asd", "hd")
        ]
        known = int(np.isfinite(columns[0]).sum())
        rows.append(
            [
                title,
                str(known),
                *(_mean(values, seed, digits) for values, digits in zip(columns, (3, 2, 2), strict=True)),
            ]
        )
    heading = ["Structure", "Patients", "Dice", "ASD, mm", "HD, mm"]
    return "table_3", "Tab. III: masks of the folds' networks in their test patients", heading, rows


def _true_nodes(measured: Measured, seed: int) -> _Table:
    """Return Tab. IV: stage 2 on drawn nodes."""
    rows = []
    for variant, title in _TRAINED.items():
        nodes = [_judged_nodes(records) for records in _patients(measured, variant).values()]
        nodes = [rows_of for rows_of in nodes if len(rows_of)]
        if not nodes or len(set(np.concatenate(nodes)[:, 0].tolist())) < 2:
            continue
        figures = [_clustered(statistic, nodes, column, seed) for statistic, column in _OF_NODES]
        total = sum(map(len, nodes))
        rows.append([title, f"{total} of {len(nodes)}", *figures])
    heading = [
        "Cascade",
        "Nodes of patients",
        "AUC",
        "Accuracy",
        "Balanced accuracy",
        "Sensitivity",
        "Specificity",
    ]
    return "table_4", "Tab. IV: identification of drawn lymph nodes", heading, rows


_OF_NODES: Final = ((auc, 1), (accuracy, 2), (balanced_accuracy, 2), (sensitivity, 2), (specificity, 2))


def _judged_nodes(records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return a row per drawn node: class, mean probability, whether most cascades call it positive."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for record in records:
        for node in record.get("true_nodes", []):
            row = (
                float(node["class"] == "positive"),
                float(node["probability"]),
                float(node["called_positive"]),
            )
            found.setdefault(int(node["label"]), []).append(row)
    means = [np.mean(rows, axis=0) for rows in found.values()]
    return np.array([(m[0], m[1], float(m[2] >= 0.5)) for m in means]).reshape(-1, 3)


def _clustered(
    statistic: Callable[[Any, Any], float], patients: Sequence[np.ndarray], column: int, seed: int
) -> str:
    """Return a figure of all nodes with an interval that resamples patients."""
    rng = np.random.default_rng(seed)

    def value(chosen: Sequence[int]) -> float:
        nodes = np.concatenate([patients[place] for place in chosen])
        return float(statistic(nodes[:, 0], nodes[:, column]))

    drawn = [value(rng.integers(0, len(patients), len(patients)).tolist()) for _ in range(RESAMPLES)]
    return _shown(value(range(len(patients))), np.array(drawn), 3)


def _nodes(measured: Measured, seed: int) -> _Table:
    """Return Tab. V: voxels and instances, before identification and by class after it."""
    rows = []
    for group, title in GROUPS.items():
        for variant, cascade in _CASCADES.items():
            patients = _patients(measured, variant)
            figures = [
                by_patient(patients, lambda record, figure=figure: figure_of(record, group, figure))  # type: ignore[misc] # noqa: B023
                for figure in _OF_GROUP
            ]
            if not np.isfinite(figures).any():
                continue
            known = int(np.isfinite(figures).any(axis=0).sum())
            rows.append([title, cascade, str(known), *(_mean(values, seed, 3) for values in figures)])
    heading = ["Nodes", "Cascade", "Patients", *(name for name in _OF_GROUP.values())]
    title = "Tab. V: lymph nodes in test patients, means over patients (instances at IoU 0.3)"
    return "table_5", title, heading, rows


_OF_GROUP: Final = {
    "voxel_dice": "Voxel Dice",
    "voxel_recall": "Voxel recall",
    "voxel_precision": "Voxel precision",
    "f": "Instance F",
    "recall": "Instance recall",
    "precision": "Instance precision",
}


def figure_of(record: Mapping[str, Any], group: str, figure: str) -> float | None:
    """Return a figure of lymph nodes in one patient by one cascade; None where it is not defined.

    Args:
        record: as `measuring.measured` gives it.
        group: of `GROUPS`.
        figure: of Tab. V, such as `f`.

    """
    counts = record.get("nodes", {}).get("groups", {}).get(group)
    if counts is None:
        return None
    hit, extra, missed = (counts[name] for name in ("true_positives", "false_positives", "false_negatives"))
    voxels = counts["voxels"]
    parts = {
        "voxel_dice": (2 * voxels["both"], voxels["prediction"] + voxels["truth"]),
        "voxel_recall": (voxels["both"], voxels["truth"]),
        "voxel_precision": (voxels["both"], voxels["prediction"]),
        "f": (2 * hit, 2 * hit + extra + missed),
        "recall": (hit, hit + missed),
        "precision": (hit, hit + extra),
    }
    part, whole = parts[figure]
    return part / whole if whole else None


def _sizes(measured: Measured, seed: int) -> _Table:
    """Return how many drawn nodes of each short axis were found."""
    rows = []
    for variant, cascade in _CASCADES.items():
        for title, low, high in SIZES:
            nodes = [
                np.array(
                    [
                        (1.0, float(node["found"]))
                        for record in records
                        for node in record.get("nodes", {}).get("drawn", [])
                        if node["short_axis_mm"] is not None and low <= node["short_axis_mm"] < high
                    ]
                ).reshape(-1, 2)
                for records in _patients(measured, variant).values()
            ]
            nodes = [rows_of for rows_of in nodes if len(rows_of)]
            if nodes:
                recall = _clustered(lambda _, found: float(np.mean(found)), nodes, 1, seed)
                count = sum(map(len, nodes))
                rows.append([cascade, title, f"{count} of {len(nodes)}", recall])
    heading = ["Cascade", "Short axis", "Looked for, of patients", "Found"]
    return "node_sizes", "Lymph nodes found by their short axis (each cascade counts)", heading, rows


def _patients(measured: Measured, variant: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return measured.get(variant, {})


def by_patient(
    patients: Mapping[str, Sequence[Mapping[str, Any]]], value: Callable[[Mapping[str, Any]], float | None]
) -> np.ndarray:
    """Return the mean over the cascades of each patient; NaN where none has one."""
    means = []
    for records in patients.values():
        known = [found for record in records if (found := value(record)) is not None]
        means.append(float(np.mean(known)) if known else np.nan)
    return np.array(means, dtype=np.float64)


def _mean(values: np.ndarray, seed: int, decimals: int) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return MISSING
    rng = np.random.default_rng(seed)
    drawn = known[rng.integers(0, known.size, (RESAMPLES, known.size))].mean(axis=1)
    return _shown(float(known.mean()), drawn, decimals)


def _shown(estimate: float, drawn: np.ndarray, decimals: int) -> str:
    if not np.isfinite(estimate):
        return MISSING
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    limits = f" [{low:.{decimals}f}–{high:.{decimals}f}]" if np.isfinite(low) else ""
    return f"{estimate:.{decimals}f}{limits}"
