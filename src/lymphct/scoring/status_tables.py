"""The figures of N status as JSON records and as rows of CSV files."""

from collections.abc import Mapping
from typing import Final

from lymphct.evaluation.comparison import CallIntervals
from lymphct.evaluation.net_benefit import NetBenefit
from lymphct.evaluation.risk import QUANTILES, RiskDistribution
from lymphct.evaluation.statistics import Interval
from lymphct.evaluation.status import Discrimination, StatusFigures
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.stored import Table, finite

Groups = Mapping[tuple[str, str], StatusFigures]
"""Figures by kind of group (`all`, `center`) and its name (blank for all)."""

CALL_FIGURES: Final = ("balanced_accuracy", "accuracy", "sensitivity", "specificity")
OUTCOMES: Final = ("N-", "N+")
_CALIBRATION: Final = ("slope", "intercept", "in_the_large", "brier", "ece", "ici")


def interval_record(interval: Interval) -> dict[str, JSON]:
    """Return an estimate with its limits; null where it is not defined."""
    return {
        "estimate": finite(interval.estimate),
        "low": finite(interval.low),
        "high": finite(interval.high),
        "undefined": interval.undefined,
    }


def calls_record(calls: CallIntervals) -> dict[str, JSON]:
    """Return the figures of calls."""
    return {name: interval_record(getattr(calls, name)) for name in CALL_FIGURES}


def group_record(figures: StatusFigures) -> dict[str, JSON]:
    """Return what the JSON says of one group; null stands for what its patients do not allow to measure."""
    return {
        "patients": figures.patients,
        "positives": figures.positives,
        "negatives": figures.patients - figures.positives,
        "scored": figures.scored,
        "called": figures.called,
        "auc": None if figures.discrimination is None else _auc_record(figures.discrimination),
        "calibration": _calibration_record(figures),
        "net_benefit": None if figures.net_benefit is None else _benefit_record(figures.net_benefit),
        "risk": None
        if figures.risk is None
        else {name: _risk_record(risk) for name, risk in zip(OUTCOMES, figures.risk, strict=True)},
        "classification": None if figures.calls is None else calls_record(figures.calls),
    }


def _auc_record(found: Discrimination) -> dict[str, JSON]:
    exact = found.delong
    return {
        "estimate": finite(found.auc),
        "delong": None if exact is None else {"low": exact.interval[0], "high": exact.interval[1]},
        "bootstrap": {"low": finite(found.bootstrap.low), "high": finite(found.bootstrap.high)},
    }


def _calibration_record(figures: StatusFigures) -> dict[str, JSON] | None:
    if figures.calibration is None:
        return None
    values = {name: finite(getattr(figures.calibration, name)) for name in _CALIBRATION}
    return {**values, "moved_from_0_or_1": figures.calibration.moved}


def _benefit_record(curve: NetBenefit) -> dict[str, JSON]:
    """Return where the model is worth more than both simple rules, and the curves."""
    useful = curve.thresholds[(curve.model > 0) & (curve.model > curve.treat_all)]
    return {
        "thresholds_better_than_all_and_none": useful.tolist(),
        "thresholds": curve.thresholds.tolist(),
        "model": curve.model.tolist(),
        "treat_all": curve.treat_all.tolist(),
    }


def _risk_record(risk: RiskDistribution) -> dict[str, JSON]:
    return {
        "patients": risk.patients,
        "mean": finite(risk.mean),
        "quantiles": {f"{q:g}": finite(v) for q, v in zip(QUANTILES, risk.quantiles.tolist(), strict=True)},
        "bin_edges": risk.edges.tolist(),
        "bin_counts": risk.counts.tolist(),
    }


def status_tables(groups: Groups) -> dict[str, Table]:
    """Return the four tables of N status, by name."""
    return {
        "status": Table(STATUS_COLUMNS, [_group_row(kind, group) for kind, group in groups.items()]),
        "status_calibration": Table(
            ("group", "center", "predicted", "observed", "low", "high"), _curve_rows(groups)
        ),
        "status_net_benefit": Table(
            ("group", "center", "threshold", "model", "treat_all", "treat_none"), _benefit_rows(groups)
        ),
        "status_risk": Table(("group", "center", "outcome", "kind", "at", "to", "value"), _risk_rows(groups)),
    }


STATUS_COLUMNS: Final = (
    "group", "center", "patients", "positives", "negatives", "scored", "called",
    "auc", "auc_delong_low", "auc_delong_high", "auc_bootstrap_low", "auc_bootstrap_high",
    "calibration_slope", "calibration_intercept", "calibration_in_the_large", "brier", "ece", "ici",
    *(f"{name}{limit}" for name in CALL_FIGURES for limit in ("", "_low", "_high")),
)  # fmt: skip


def _group_row(kind: tuple[str, str], figures: StatusFigures) -> list[object]:
    row: list[object] = [*kind, figures.patients, figures.positives, figures.patients - figures.positives]
    row += [figures.scored, figures.called]
    found = figures.discrimination
    if found is None:
        row += [None] * 5
    else:
        exact = (None, None) if found.delong is None else found.delong.interval
        row += [finite(found.auc), *exact, finite(found.bootstrap.low), finite(found.bootstrap.high)]
    for name in _CALIBRATION:
        row.append(None if figures.calibration is None else finite(getattr(figures.calibration, name)))
    for name in CALL_FIGURES:
        if figures.calls is None:
            row += [None] * 3
        else:
            interval = getattr(figures.calls, name)
            row += [finite(interval.estimate), finite(interval.low), finite(interval.high)]
    return row


def _curve_rows(groups: Groups) -> list[list[object]]:
    rows: list[list[object]] = []
    for kind, figures in groups.items():
        if figures.curve is not None:
            curve = figures.curve
            columns = (curve.predicted, curve.observed, curve.low, curve.high)
            points = zip(*(column.tolist() for column in columns), strict=True)
            rows += [[*kind, *(finite(value) for value in point)] for point in points]
    return rows


def _benefit_rows(groups: Groups) -> list[list[object]]:
    rows: list[list[object]] = []
    for kind, figures in groups.items():
        if figures.net_benefit is not None:
            curve = figures.net_benefit
            columns = (curve.thresholds, curve.model, curve.treat_all)
            points = zip(*(column.tolist() for column in columns), strict=True)
            rows += [[*kind, *point, 0.0] for point in points]
    return rows


def _risk_rows(groups: Groups) -> list[list[object]]:
    """Return quantiles (`at` is the share) and bins (from `at` to `to` there are `value` patients)."""
    rows: list[list[object]] = []
    for kind, figures in groups.items():
        for outcome, risk in zip(OUTCOMES, figures.risk or (), strict=False):
            values, counts = risk.quantiles.tolist(), risk.counts.tolist()
            edges = risk.edges.tolist()
            for share, value in zip(QUANTILES, values, strict=True):
                rows.append([*kind, outcome, "quantile", share, None, finite(value)])
            for place, count in enumerate(counts):
                rows.append([*kind, outcome, "bin", edges[place], edges[place + 1], count])
    return rows
