"""Sections of a study's page: the four measures of the risk first, then comparisons, failures, checklists."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import counted
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc
from lymphct.report.curves import calibration_png, decision_png, risk_png
from lymphct.report.evaluation_page import PagePicture, PageSection, PageTable, shown
from lymphct.report.studies.checklists import SHEETS, answers, sheet
from lymphct.report.studies.printed import PrintedTable
from lymphct.scoring.score_table import ScoreTable
from lymphct.scoring.status import StatusEvaluation
from lymphct.scoring.status_tables import OUTCOMES
from lymphct.study.nested.centers import center_table

SHEETS_FOLDER: Final = "checklists"
ABLATION: Final = ("tumor", "nodes_without_attention", "nodes", "combined")
"""Methods of Fig. 5a; the others are in Fig. 5b, beside the last of these."""


def chosen_method(scores: Mapping[str, object]) -> str:
    """Return the method of most parts that has scores."""
    return next((method for method in reversed(ABLATION) if method in scores), next(iter(scores)))


def page_table(table: PrintedTable) -> PageTable:
    """Return a printed table as the page shows it, its notes in the caption."""
    caption = ". ".join([table.title, *table.notes])
    return PageTable(caption=caption, heading=table.heading, rows=table.rows)


def risk_section(cohort: str, found: Mapping[str, StatusEvaluation], names: Mapping[str, str]) -> PageSection:
    """Return the four measures of the risk in a cohort: a table of all methods, pictures of one, centers.

    Args:
        cohort: name of it.
        found: by method; nothing where no method has scores of patients of both classes.
        names: of the methods.

    """
    title = f"The risk, {cohort}"
    if not found:
        text = f"No method has scores of patients of both classes in {cohort}: nothing can be measured."
        return PageSection(title=title, texts=[text])
    chosen = chosen_method(found)
    centers = center_table(found, names, cohort)
    return PageSection(
        title=title,
        pictures=list(_pictures(found[chosen], names[chosen])),
        tables=[_risk_table(found, names), *([] if centers is None else [page_table(centers)])],
    )


def _pictures(found: StatusEvaluation, name: str) -> Iterator[PagePicture]:
    everybody = found.everybody
    if everybody.curve is not None and everybody.curve.predicted.size:
        yield PagePicture(caption=f"{name}: calibration, smoothed", png=calibration_png(everybody.curve))
    if everybody.net_benefit is not None:
        yield PagePicture(caption=f"{name}: decision curve", png=decision_png(everybody.net_benefit))
    if everybody.risk is not None:
        yield PagePicture(caption=f"{name}: score per outcome", png=risk_png(*everybody.risk))


def _risk_table(found: Mapping[str, StatusEvaluation], names: Mapping[str, str]) -> PageTable:
    rows = []
    for method, evaluation in found.items():
        record: Any = evaluation.record()["all"]
        area, calibration = record["auc"] or {}, record["calibration"] or {}
        delong = area.get("delong") or {}
        limits = f" [{shown(delong.get('low'))}–{shown(delong.get('high'))}]" if delong else ""
        means = [(record["risk"] or {}).get(outcome, {}).get("mean") for outcome in OUTCOMES]
        rows.append(
            [
                names[method],
                f"{record['scored']} of {record['patients']} ({record['positives']})",
                _over_folds(evaluation.table),
                shown(area.get("estimate")) + limits,
                shown(_estimate(calibration.get("slope"))),
                shown(_estimate(calibration.get("brier"))),
                " / ".join(map(shown, means)),
            ]
        )
    return PageTable(
        caption="Discrimination, calibration and risk of every method",
        heading=("method", "scored of patients (N+)", "AUROC over the folds [95 %]",
                 "AUROC, pooled [DeLong 95 %]", "calibration slope", "Brier score",
                 "mean score N− / N+"),
        rows=rows,
    )  # fmt: skip


def _over_folds(table: ScoreTable) -> str:
    """Return the mean of the folds' AUC with its fold-aware interval; a dash where there are no folds."""
    if not table.folds or not all(table.folds):
        return shown(None)
    known = table.columns.scored
    columns = table.columns.rows(known)
    try:
        found = crossvalidated_auc(OutOfFold(columns.labels, np.array(table.folds)[known], columns.scores))
    except InputError:  # a fold with one class, which says nothing of the method
        return shown(None)
    return f"{shown(found.mean)} [{shown(found.interval[0])}–{shown(found.interval[1])}]"


def _estimate(value: Any) -> float | None:  # noqa: ANN401 - of a record: a number or an interval
    return value.get("estimate") if isinstance(value, dict) else value


def comparison_section(record: Mapping[str, Any], names: Mapping[str, str]) -> PageSection:
    """Say how the first method differs from the others on the patients whom all could judge.

    Args:
        record: as `scoring.comparing` gives it, or `not_compared` with the reason.
        names: of the methods.

    """
    if "not_compared" in record:
        return PageSection(title="Comparisons", texts=[f"Nothing was compared: {record['not_compared']}."])
    table = PageTable(
        caption="Differences on the same patients; p by Holm over all comparisons",
        heading=("methods", "Δ AUC over the folds [95 %]", "p", "Δ balanced accuracy [95 %]", "p",
                 "P(false claim)", "the paper's Wilcoxon p"),
        rows=[_compared(pair, names) for pair in record["comparisons"]],
    )  # fmt: skip
    warnings = {pair["calls"]["paper_wilcoxon"]["warning"] for pair in record["comparisons"] if pair["calls"]}
    notes = [record.get("folds_note"), record.get("false_claim_note"), *sorted(warnings)]
    text = f"On {counted(record['compared_by_score'], 'patient')} whom every method could score."
    return PageSection(title="Comparisons", texts=[text, *filter(None, notes)], tables=[table])


def _compared(pair: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    scores, calls = pair["scores"] or {}, pair["calls"] or {}
    folds = scores.get("crossvalidated") or scores
    balanced = calls.get("balanced_accuracy") or {}
    return [
        f"{names.get(pair['first'], pair['first'])} − {names.get(pair['second'], pair['second'])}",
        _limits(folds),
        shown(folds.get("p_holm", folds.get("delong_p_holm"))),
        _limits(balanced),
        shown(balanced.get("bootstrap_p_holm")),
        shown(calls.get("probability_of_false_claim"), 2),
        shown((calls.get("paper_wilcoxon") or {}).get("p")),
    ]


def _limits(record: Mapping[str, Any], key: str = "difference") -> str:
    if record.get(key) is None:
        return shown(None)
    return f"{shown(record[key])} [{shown(record['low'])}–{shown(record['high'])}]"


def checklist_section(facts: Mapping[str, str]) -> PageSection:
    """Return the checklists as filled."""
    tables = []
    for name in SHEETS:
        filled = answers(sheet(name), facts)
        rows = [(a.item.number, a.item.topic, a.says or "–", a.open or "–") for a in filled]
        caption = (
            f"{sheet(name).title}: {sum(not a.open for a in filled)} of {len(filled)} answered by the run"
        )
        tables.append(
            PageTable(caption=caption, heading=("item", "topic", "from this run", "authors"), rows=rows)
        )
    text = f"Files to fill in: {SHEETS_FOLDER}/. What only authors know stands in the last column."
    return PageSection(title="Checklists", texts=[text], tables=tables)
