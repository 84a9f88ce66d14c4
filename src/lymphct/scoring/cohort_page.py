"""The page of an evaluated cohort, from its record and its curves."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lymphct.core.terms import STRUCTURES_BY_NAME, counted
from lymphct.evaluation.status import IMPROPER, StatusFigures
from lymphct.report.curves import calibration_png, decision_png, risk_png, roc_png
from lymphct.report.evaluation_page import (
    EvaluationPage,
    PagePicture,
    PageSection,
    PageTable,
    evaluation_page,
    shown,
    shown_limits,
)
from lymphct.scoring.cohort_record import CohortEvaluation
from lymphct.scoring.node_sections import node_sections
from lymphct.scoring.status_tables import CALL_FIGURES

COUNTS: Final = {
    "in_manifest": "in the manifest",
    "evaluated": "evaluated",
    "excluded": "excluded by the manifest",
    "without_result": "without a result (failed or not predicted)",
    "seen_in_training": "left out: the models were fitted on them",
}
MOST_NAMES: Final = 40
"""Patients listed on the page; all are in cohort.json."""

Record = Mapping[str, Any]


def cohort_page(evaluation: CohortEvaluation, record: Record, title: str, facts: Mapping[str, str]) -> bytes:
    """Return `report.html`.

    Args:
        evaluation: what was measured.
        record: the same as `cohort_record` puts it.
        title: of the page.
        facts: how it was made, name → value.

    """
    sections = [
        _patients(record),
        *_status(evaluation, record),
        *node_sections(evaluation, record),
        *_masks(record),
    ]
    page = EvaluationPage(
        title=title,
        bundles=[case.result.bundle.model_dump() for case in evaluation.cohort.cases],
        stamps=evaluation.stamps,
        sections=sections,
        facts=facts,
    )
    return evaluation_page(page).encode("utf-8", errors="backslashreplace")


def _patients(record: Record) -> PageSection:
    counts = PageTable(
        caption="Of the manifest",
        heading=("", "patients"),
        rows=[(name, str(record["patients"][key])) for key, name in COUNTS.items()],
    )
    reasons = [
        (patient, f"{state}: {reason}")
        for state, key in (("excluded", "excluded"), ("no result", "without_result"))
        for patient, reason in record[key].items()
    ]
    reasons += [(patient, "seen in training") for patient in record["seen_in_training"]]
    if not reasons:
        return PageSection(title="Patients", tables=[counts])
    more = f", the first {MOST_NAMES} of {len(reasons)}" if len(reasons) > MOST_NAMES else ""
    others = PageTable(caption=f"Not evaluated{more}", heading=("patient", "why"), rows=reasons[:MOST_NAMES])
    return PageSection(title="Patients", tables=[counts, others])


def _status(evaluation: CohortEvaluation, record: Record) -> list[PageSection]:
    status = evaluation.status
    if status is None:
        text = (
            "N status is not measured: it needs an N+ and an N− patient, each with a predicted score or call."
        )
        return [PageSection(title="N status", texts=[text])]
    found: Record = record["status"]
    texts = []
    unknown = record["without_n_status"]
    if unknown:
        texts.append(
            f"N status is not known of {counted(len(unknown), 'evaluated patient')}: {_names(unknown)}."
        )
    for what in ("score", "call"):
        missing = found[f"without_{what}"]
        if missing:
            patients = counted(len(missing), "patient")
            texts.append(f"{patients} without a {what}, left out of what needs one: {_names(missing)}.")
    # One center is all patients once more.
    centers = status.centers if len(status.centers) > 1 else {}
    groups = {"all": found["all"], **{f"center {name}": found["centers"][name] for name in centers}}
    risk = PageSection(
        title="N status: the risk",
        texts=texts,
        pictures=_pictures(
            {"all": status.everybody, **{f"center {name}": figures for name, figures in centers.items()}}
        ),
        tables=[_risk_table(groups), _calibration_table(groups), _spread_table(groups)],
    )
    return [risk, PageSection(title="N status: the calls", texts=[IMPROPER], tables=[_call_table(groups)])]


def _names(patients: Sequence[str]) -> str:
    return ", ".join(patients[:MOST_NAMES]) + (" …" if len(patients) > MOST_NAMES else "")


def _pictures(groups: Mapping[str, StatusFigures]) -> list[PagePicture]:
    """Return the four pictures, of those that the patients allow."""
    everybody = groups["all"]
    pictures = []
    curves = {
        name: figures.discrimination.curve
        for name, figures in groups.items()
        if figures.discrimination is not None and figures.discrimination.curve is not None
    }
    if "all" in curves:
        pictures.append(PagePicture(caption="ROC curve", png=roc_png(curves)))
    if everybody.curve is not None and everybody.curve.predicted.size:
        caption = "Calibration, smoothed by local regression"
        pictures.append(PagePicture(caption=caption, png=calibration_png(everybody.curve)))
    if everybody.net_benefit is not None:
        pictures.append(PagePicture(caption="Decision curve", png=decision_png(everybody.net_benefit)))
    if everybody.risk is not None:
        pictures.append(PagePicture(caption="Score per outcome", png=risk_png(*everybody.risk)))
    return pictures


def _risk_table(groups: Mapping[str, Record]) -> PageTable:
    rows = []
    for name, group in groups.items():
        auc = group["auc"] or {"estimate": None, "delong": None, "bootstrap": {"low": None, "high": None}}
        limits = [
            shown_limits(**(auc[kind] or {"low": None, "high": None})) for kind in ("delong", "bootstrap")
        ]
        sizes = [str(group[key]) for key in ("positives", "negatives", "scored")]
        rows.append((name, *sizes, shown(auc["estimate"]), *limits))
    heading = ("", "N+", "N−", "with a score", "AUC", "DeLong 95 %", "bootstrap 95 %")
    return PageTable(caption="Discrimination", heading=heading, rows=rows)


def _calibration_table(groups: Mapping[str, Record]) -> PageTable:
    keys = ("slope", "intercept", "in_the_large", "brier", "ece", "ici")
    rows = []
    for name, group in groups.items():
        found = group["calibration"] or dict.fromkeys(keys)
        useful = (group["net_benefit"] or {}).get("thresholds_better_than_all_and_none")
        rows.append((name, *(shown(found[key]) for key in keys), "–" if useful is None else str(len(useful))))
    heading = ("", "slope", "intercept", "in the large", "Brier", "ECE", "ICI", "thresholds of use, of 99")
    return PageTable(caption="Calibration and net benefit", heading=heading, rows=rows)


def _spread_table(groups: Mapping[str, Record]) -> PageTable:
    shares = ("0.05", "0.25", "0.5", "0.75", "0.95")
    rows = [
        (
            f"{name}, {outcome}",
            str(risk["patients"]),
            shown(risk["mean"]),
            *(shown(risk["quantiles"][q]) for q in shares),
        )
        for name, group in groups.items()
        for outcome, risk in (group["risk"] or {}).items()
    ]
    heading = ("", "patients", "mean", "5 %", "25 %", "median", "75 %", "95 %")
    return PageTable(caption="Score per outcome", heading=heading, rows=rows)


def _call_table(groups: Mapping[str, Record]) -> PageTable:
    rows = []
    for name, group in groups.items():
        calls = group["classification"]
        cells = (
            ["–"] * 4
            if calls is None
            else [
                f"{shown(calls[f]['estimate'])} {shown_limits(calls[f]['low'], calls[f]['high'])}"
                for f in CALL_FIGURES
            ]
        )
        rows.append((name, str(group["called"]), *cells))
    titles = [name.replace("_", " ") for name in CALL_FIGURES]
    return PageTable(caption="Calls, with bootstrap 95 %", heading=("", "with a call", *titles), rows=rows)


def _masks(record: Record) -> list[PageSection]:
    sections = []
    for title, labels in (
        ("Tumor", {"tumor": record["tumor"]} if record["tumor"] else {}),
        ("Structures", record["structures"] or {}),
    ):
        if labels:
            names = sorted(labels, key=lambda name: STRUCTURES_BY_NAME.get(name, 0))
            rows = [_mask_row(name, labels[name]) for name in names]
            heading = (
                "",
                "patients",
                "Dice, mean",
                "SD",
                "median",
                "Dice, pooled",
                "ASD mm, mean",
                "HD mm, median",
            )
            table = PageTable(caption="Overlap and surface distances", heading=heading, rows=rows)
            sections.append(PageSection(title=title, tables=[table]))
    return sections


def _mask_row(name: str, label: Record) -> tuple[str, ...]:
    dice = label["mean"]["dice"]
    return (
        name.replace("_", " "),
        str(label["cases"]),
        *(shown(dice[key]) for key in ("mean", "sd", "median")),
        shown(label["pooled"]["dice"]),
        shown(label["mean"]["asd"]["mean"], 2),
        shown(label["mean"]["hd"]["median"], 2),
    )
