"""`lymphct evaluate status` and `lymphct compare`: any tool's scores against truth, and one another's."""

import json
import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, counted
from lymphct.cli.options import AsJson

logger = logging.getLogger(__name__)

CALIBRATION = {
    "slope": "slope",
    "intercept": "intercept",
    "in_the_large": "in the large",
    "brier": "Brier",
    "ece": "ECE",
}
CALLS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
"""Figures in the order of the paper, with their names for readers."""
LISTED = 5
"""Patients named in a line; all are in the JSON."""


class ScaleName(StrEnum):
    """What scores are."""

    AUTO = "auto"
    PROBABILITY = "probability"
    OTHER = "other"


def register(app: typer.Typer) -> None:
    """Add `compare`; the group `evaluate` adds `status`."""
    app.command("compare")(compare)


def status(
    scores: Annotated[
        Path,
        typer.Argument(help="CSV: patient_id, label, score (higher: rather N+), call (0/1), center, fold."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the result; an older one there is replaced.")],
    scale: Annotated[
        ScaleName,
        typer.Option(
            help="Whether scores are probabilities, for calibration and net benefit. auto: if all lie "
            "between 0 and 1."
        ),
    ] = ScaleName.AUTO,
    as_json: AsJson = False,
) -> None:
    """Discrimination, calibration, net benefit, risk and calls of N status, for all and per center."""
    from lymphct.scoring.status import StatusRequest, evaluate_status

    record = evaluate_status(scores, StatusRequest(scale=scale.value, seed=GLOBALS.seed), out)
    typer.echo(json.dumps(record) if as_json else "\n".join(status_lines(record)))
    logger.info("written to %s", out)


def status_lines(record: Mapping[str, Any]) -> list[str]:
    """Return the figures of N status for readers: all patients, then each center if there are several."""
    lines = []
    for what in ("score", "call"):
        without = record[f"without_{what}"]
        if without:
            lines.append(f"without {what}, left out of what needs one: {counted_patients(without)}")
    lines += _group_lines("all", record["all"], record["crossvalidated"])
    if record["folds"] is not None and not record["folds"]["used"]:
        lines.append(f"folds are not used: {record['folds']['why_not']}")
    if len(record["centers"]) > 1:
        for name, group in record["centers"].items():
            lines += _group_lines(f"center {name}", group)
    return [*lines, record["classification_note"]]


def counted_patients(patients: list[str]) -> str:
    """Return how many patients there are and the first of their names."""
    shown = ", ".join(patients[:LISTED]) + (" …" if len(patients) > LISTED else "")
    return f"{counted(len(patients), 'patient')} ({shown})"


def _group_lines(title: str, group: Mapping[str, Any], by_fold: Mapping[str, Any] | None = None) -> list[str]:
    size = counted(group["patients"], "patient")
    lines = [f"{title}: {size}, {group['positives']} N+, {group['negatives']} N-"]
    auc = group["auc"]
    if auc is not None:
        exact = "" if auc["delong"] is None else f", DeLong {_limits(auc['delong'])}"
        lines.append(f"  AUC {number(auc['estimate'])}{exact}, bootstrap {_limits(auc['bootstrap'])}")
    lines += [*_fold_lines(by_fold), *_risk_lines(group)]
    calls = group["classification"]
    if calls is not None:
        lines += [
            f"  {title} {number(calls[key]['estimate'])} {_limits(calls[key])}"
            for key, title in CALLS.items()
        ]
    return lines


def _fold_lines(by_fold: Mapping[str, Any] | None) -> list[str]:
    if by_fold is None:
        return []
    folds = counted(len(by_fold["folds"]), "fold")
    return [f"  AUC over {folds} {number(by_fold['estimate'])} {_limits(by_fold)}"]


def _risk_lines(group: Mapping[str, Any]) -> list[str]:
    """Return calibration, net benefit and the distribution of the score."""
    lines = []
    if group["calibration"] is not None:
        shown = [f"{title} {number(group['calibration'][key])}" for key, title in CALIBRATION.items()]
        lines.append(f"  calibration: {', '.join(shown)}")
    if group["net_benefit"] is not None:
        useful = group["net_benefit"]["thresholds_better_than_all_and_none"]
        where = f"{len(useful)} of 99 thresholds" if useful else "no threshold"
        lines.append(f"  net benefit above treating all and treating none: at {where}")
    for outcome, risk in (group["risk"] or {}).items():
        middle = risk["quantiles"]
        if risk["patients"]:
            quartiles = f"{number(middle['0.25'])} to {number(middle['0.75'])}"
            lines.append(f"  score of {outcome}: median {number(middle['0.5'])}, quartiles {quartiles}")
    return lines


def compare(
    scores: Annotated[
        list[Path],
        typer.Argument(help="Two CSV files or more: patient_id, label (0/1), score, call (0/1), fold."),
    ],
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Every file against every other one, not only the first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare methods on the same patients: DeLong, bootstrap, McNemar, permutation, Holm, false claims."""
    from lymphct.scoring.comparing import CompareRequest, compare_files

    if out is not None:
        from lymphct.io.results.store import check_writable_file

        check_writable_file(out)
    record = compare_files(scores, CompareRequest(all_pairs=all_pairs, seed=GLOBALS.seed), out)
    typer.echo(json.dumps(record) if as_json else "\n".join(_compare_lines(record)))
    if out is not None:
        logger.info("written to %s", out)


def _compare_lines(record: Mapping[str, Any]) -> list[str]:
    size = f"{counted(record['patients'], 'patient')}: {record['positives']} N+, {record['negatives']} N-"
    lines = [f"{size}; {record['compared_by_score']} compared by score, {record['compared_by_call']} by call"]
    for what in ("score", "call"):
        for name, patients in record[f"without_{what}"].items():
            if patients:
                lines.append(f"without {what} in {name}: {counted_patients(patients)}")
    if record["folds"] is not None and not record["folds"]["used"]:
        lines.append(f"folds are not used: {record['folds']['why_not']}")
    for name, method in record["methods"].items():
        lines += _method_lines(name, method)
    for pair in record["comparisons"]:
        lines += _pair_lines(pair)
    notes = (record["classification_note"], record["folds_note"], record["false_claim_note"])
    return [*lines, *(note for note in notes if note)]


def _method_lines(name: str, method: Mapping[str, Any]) -> list[str]:
    """Return a method's own figures, the four of the risk before the balanced accuracy."""
    lines = [f"{name}:"]
    auc, exact, by_fold = method["auc"], method["delong"], method["crossvalidated"]
    if auc is not None:
        shown = "" if exact is None else f", DeLong {_limits(exact)}"
        lines.append(f"  AUC {number(auc['estimate'])}{shown}, bootstrap {_limits(auc)}")
    lines += [*_fold_lines(by_fold), *_risk_lines(method)]
    if method["classification"] is not None:
        balanced = method["classification"]["balanced_accuracy"]
        lines.append(f"  balanced accuracy {number(balanced['estimate'])} {_limits(balanced)}")
    return lines


def _pair_lines(pair: Mapping[str, Any]) -> list[str]:
    lines = [f"{pair['first']} against {pair['second']}:"]
    scores, calls = pair["scores"], pair["calls"]
    if scores is not None:
        delong = f"DeLong p {_p(scores['delong_p'])} (Holm {_p(scores['delong_p_holm'])})"
        tests = f"{delong}, permutation p {_p(scores['permutation_p'])}"
        lines.append(f"  AUC difference {number(scores['difference'])} {_limits(scores)}, {tests}")
        by_fold = scores["crossvalidated"]
        if by_fold is not None:
            exact_p = f"p {_p(by_fold['p'])} (Holm {_p(by_fold['p_holm'])})"
            lines.append(f"  over the folds {number(by_fold['difference'])} {_limits(by_fold)}, {exact_p}")
    if calls is None:
        return lines
    balanced, exact, paper = calls["balanced_accuracy"], calls["mcnemar"], calls["paper_wilcoxon"]
    bootstrap = f"bootstrap p {_p(balanced['bootstrap_p'])} (Holm {_p(balanced['bootstrap_p_holm'])})"
    tests = f"{bootstrap}, permutation p {_p(balanced['permutation_p'])}"
    lines.append(
        f"  balanced accuracy difference {number(balanced['difference'])} {_limits(balanced)}, {tests}"
    )
    alone = f"{exact['only_first_right']} and {exact['only_second_right']} right in one alone"
    lines.append(f"  McNemar: {alone}, p {_p(exact['p'])} (Holm {_p(exact['p_holm'])})")
    better = calls["claimed_better"]
    if better is None:
        lines.append("  equal balanced accuracy: nothing to claim")
    else:
        false = number(calls["probability_of_false_claim"])
        lines.append(f"  probability that the claim that {better} is better is false: {false}")
    return [*lines, f"  paper's Wilcoxon p {_p(paper['p'])}. {paper['warning']}"]


def _p(value: float | None) -> str:
    return "below 0.001" if value is not None and value < 0.001 else number(value)


def number(value: float | None, decimals: int = 3) -> str:
    """Return a figure for readers; a dash where it is not defined."""
    return "-" if value is None else f"{value:.{decimals}f}"


def _limits(interval: Mapping[str, Any]) -> str:
    return f"[{number(interval['low'])}, {number(interval['high'])}]"
