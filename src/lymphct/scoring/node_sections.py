"""The nodes on the page of an evaluated cohort: found and called, and the FROC curves."""

from collections.abc import Mapping
from typing import Any, Final

from lymphct.core.terms import counted
from lymphct.report.curves import froc_png
from lymphct.report.evaluation_page import PagePicture, PageSection, PageTable, shown, shown_limits
from lymphct.report.wording import MISSING
from lymphct.scoring.cohort_candidates import Target
from lymphct.scoring.cohort_patient import NODE_GROUPS, NodeMeasures
from lymphct.scoring.cohort_record import CohortEvaluation
from lymphct.scoring.detection_curve import FALSE_POSITIVES
from lymphct.scoring.node_confusion import NONE
from lymphct.scoring.node_curves import node_curves, whole_curve

GROUP_TITLES: Final = {
    "found": "all, before identification",
    "positive": "positive, after identification",
    "negative": "negative, after identification",
}
TARGET_TITLES: Final[Mapping[Target, str]] = {"all": "all nodes", "positive": "positive nodes"}
SCORE_TITLES: Final = {
    "mean": "stage 1, mean",
    "peak": "stage 1, peak",
    "combined": "stages 1 and 2",
}

Record = Mapping[str, Any]


def node_sections(evaluation: CohortEvaluation, record: Record) -> list[PageSection]:
    """Return the part of the page about lymph nodes; nothing where none are drawn.

    Args:
        evaluation: what was measured.
        record: the same as `cohort_record` puts it.

    """
    nodes = record["nodes"]
    if nodes is None:
        return []
    rows = []
    for group in NODE_GROUPS:
        found = nodes[group]
        if found is not None:
            pooled, mean, voxels = found["pooled"], found["mean"], found["voxels"]
            counts = [
                str(pooled[f"{kind}s"]) for kind in ("true_positive", "false_positive", "false_negative")
            ]
            ratios = [
                shown(values[ratio]) for values in (pooled, mean) for ratio in ("recall", "precision", "f")
            ]
            rows.append((GROUP_TITLES[group], *counts, *ratios, shown(voxels["mean_dice"])))
    heading = (
        "", "found", "false", "missed", "recall", "precision", "F",
        "recall, mean", "precision, mean", "F, mean", "voxel Dice, mean",
    )  # fmt: skip
    matched = nodes["identification"]
    figures = ("auc", "balanced_accuracy", "accuracy", "sensitivity", "specificity")
    identification = PageTable(
        caption="Identification of matched nodes",
        heading=("nodes", "positive", "AUC", "balanced accuracy", "accuracy", "sensitivity", "specificity"),
        rows=[(str(matched["nodes"]), str(matched["positives"]), *(shown(matched[f]) for f in figures))],
    )
    instances = PageTable(
        caption="Instances, pooled over all nodes and mean over patients", heading=heading, rows=rows
    )
    text = f"{nodes['patients']} patients with drawn nodes; matched one to one."
    tables = [
        instances,
        identification,
        _confusion(nodes["confusion"]),
        *_positive_curve(nodes["positive_froc"]),
    ]
    section = PageSection(title="Lymph nodes", texts=[text], tables=tables)
    return [section, *_curves(evaluation.nodes, nodes["froc"])]


def _confusion(confusion: Record) -> PageTable:
    calls = [*next(iter(confusion.values()))]
    return PageTable(
        caption="Every node once: what it is (rows) and what it was called; none: not drawn, or not found",
        heading=("", *(f"called {call}" if call != NONE else "not found" for call in calls)),
        rows=[
            (truth if truth != NONE else "not drawn", *(str(row[call]) for call in calls))
            for truth, row in confusion.items()
        ],
    )


def _positive_curve(curve: Record) -> list[PageTable]:
    """Return what is read from the FROC curve of positive nodes; nothing without one."""
    intervals = curve["intervals"]
    if intervals is None:
        return []
    at = intervals["sensitivity_at_false_positives"]
    table = PageTable(
        caption=(
            "Positive nodes by their probability: share found and called at least so probable, by false ones "
            f"per patient, with 95 % intervals ({counted(curve['patients'], 'patient')})"
        ),
        heading=("average precision", *(f"at {number}" for number in at)),
        rows=[tuple(_with_limits(found) for found in (intervals["average_precision"], *at.values()))],
    )
    return [table]


def _with_limits(interval: Record) -> str:
    return f"{shown(interval['estimate'])} {shown_limits(interval['low'], interval['high'])}"


def _curves(nodes: Mapping[str, NodeMeasures], record: Record) -> list[PageSection]:
    """Return pictures and figures of the FROC curves; nothing where no result carries a detection."""
    drawn = {
        target: {
            SCORE_TITLES[name]: whole_curve(found.candidates)
            for name, found in scores.items()
            if found.candidates is not None
        }
        for target, scores in node_curves(nodes).items()
    }
    if not any(drawn.values()):
        return []
    pictures = [
        PagePicture(caption=f"FROC curve, {TARGET_TITLES[target]}", png=froc_png(curves))
        for target, curves in drawn.items()
        if curves
    ]
    table = _curves_table(record)
    text = (
        "Found nodes in the order of how sure the stages are of them. Stage 1: mean and peak of its "
        "probabilities in the node; stages 1 and 2: the mean times the probabilities of being a lymph node "
        "(where stage 2 judges that) and, among positive nodes, of being positive. The curves end where "
        f"the operating points of the bundle end them; {MISSING} stands for numbers of false ones beyond."
    )
    return [PageSection(title="Lymph nodes: FROC", texts=[text], pictures=pictures, tables=[table])]


def _curves_table(record: Record) -> PageTable:
    """Return a column per curve; a number of false ones that a curve does not reach is a dash."""
    columns = {
        f"{TARGET_TITLES[target]}, {SCORE_TITLES[name]}": record[target][name]
        for target in TARGET_TITLES
        for name in SCORE_TITLES
        if record[target][name] is not None
    }
    found = columns.values()
    rows: list[tuple[str, ...]] = [
        ("patients", *(str(curve["patients"]) for curve in found)),
        ("true nodes", *(str(curve["true_nodes"]) for curve in found)),
        ("average precision", *(_with_limits(curve["average_precision"]) for curve in found)),
    ]
    for rate in FALSE_POSITIVES:
        at = [curve["sensitivity_at_false_positives"][f"{rate:g}"] for curve in found]
        rows.append((f"found at {rate:g}", *(_with_limits(one) if one else MISSING for one in at)))
    ends = [curve["end"] for curve in found]
    rows.append(("found at the end", *(_with_limits(end["sensitivity"]) for end in ends)))
    rows.append(("false ones at the end", *(shown(end["false_positives"], 2) for end in ends)))
    caption = "Share of nodes found, by false ones per patient, with 95 % intervals over resampled patients"
    return PageTable(caption=caption, heading=("", *columns), rows=rows)
