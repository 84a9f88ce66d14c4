"""Whether the figures of a printed table can be true together (Tab. VI, Tab. VII; decision 0046).

A printed figure stands for every number that rounds to it. What is called certain follows from that alone;
the rest is unlikely. Figures are taken for those of one set of patients: means over folds keep the mean of
sensitivity and specificity, but are no shares of whole patients.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from lymphct.evaluation.printed_counts import Shares, fitting_numbers, largest_fits

FIGURES: Final = ("balanced_accuracy", "auc", "accuracy", "sensitivity", "specificity")
"""In the order of the paper."""
Figure = Literal["balanced_accuracy", "auc", "accuracy", "sensitivity", "specificity"]
Check = Literal["interval", "balanced_accuracy", "accuracy", "counts", "same_patients", "width", "auc"]

_SLACK: Final = 1e-9
_WIDTHS: Final = (0.8, 1.25)
"""Shares of the expected width beyond which an interval is told. The paper's own intervals lie within 0.86 to
1.13 of it where the numbers of patients fit; 1.25 stands for two thirds of the patients."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A figure, 0 to 1, and its interval where one is printed."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedRow:
    """One method in a table.

    Attributes:
        method: its name.
        cohort: on whom; rows of one cohort are said to be on the same patients.
        figures: those that are printed.
        positives: N+ of the cohort as stated, 0 where it is not.
        negatives: N- likewise.
        rounding: half a unit of the last printed place.

    """

    method: str
    cohort: str = ""
    figures: Mapping[Figure, Printed] = field(default_factory=dict)
    positives: int = 0
    negatives: int = 0
    rounding: float = 0.0005

    def value(self, figure: Figure) -> float | None:
        """Return a figure, None where it is not printed."""
        return self.figures[figure].value if figure in self.figures else None

    @property
    def shares(self) -> Shares:
        """Return the figures that whole patients make."""
        return Shares(
            sensitivity=self.value("sensitivity"),
            specificity=self.value("specificity"),
            accuracy=self.value("accuracy"),
            balanced_accuracy=self.value("balanced_accuracy"),
            rounding=self.rounding,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What does not fit.

    Attributes:
        check: which arithmetic.
        cohort: of the row.
        method: of the row; empty where it concerns all rows of a cohort.
        certain: it cannot be; otherwise it is unlikely.
        text: figures and what they should be.

    """

    check: Check
    cohort: str
    method: str
    certain: bool
    text: str


def findings(rows: Sequence[PrintedRow]) -> list[Finding]:
    """Return what does not fit in a table: each row by itself, then the rows of each cohort together."""
    found = [finding for row in rows for finding in _of_row(row)]
    for cohort in dict.fromkeys(row.cohort for row in rows):
        found += _of_cohort([row for row in rows if row.cohort == cohort])
    return found


def _of_row(row: PrintedRow) -> Iterator[Finding]:
    for check, certain, text in (
        *_intervals(row),
        *_balanced(row),
        *_accuracy(row),
        *_counts(row),
        *_discrimination(row),
        *_widths(row),
    ):
        yield Finding(check=check, cohort=row.cohort, method=row.method, certain=certain, text=text)


Told = Iterator[tuple[Check, bool, str]]


def _intervals(row: PrintedRow) -> Told:
    for name, figure in row.figures.items():
        if figure.interval is not None and not figure.interval[0] <= figure.value <= figure.interval[1]:
            low, high = figure.interval
            yield (
                "interval",
                True,
                f"{_name(name)} {_shown(figure.value, row)} lies outside [{low}, {high}]",
            )


def _balanced(row: PrintedRow) -> Told:
    printed, found, spared = (row.value(n) for n in ("balanced_accuracy", "sensitivity", "specificity"))
    if printed is None or found is None or spared is None:
        return
    mean = (found + spared) / 2
    if abs(printed - mean) > 2 * row.rounding + _SLACK:
        said = (
            f"sensitivity {_shown(found, row)} and specificity {_shown(spared, row)} have the mean {mean:.4f}"
        )
        yield ("balanced_accuracy", True, f"balanced accuracy {_shown(printed, row)}, but {said}")


def _accuracy(row: PrintedRow) -> Told:
    printed, found, spared = (row.value(n) for n in ("accuracy", "sensitivity", "specificity"))
    if printed is None or found is None or spared is None:
        return
    said = f"accuracy {_shown(printed, row)}, but sensitivity {_shown(found, row)} and specificity"
    said = f"{said} {_shown(spared, row)}"
    slack = 2 * row.rounding + _SLACK
    if not min(found, spared) - slack <= printed <= max(found, spared) + slack:
        yield ("accuracy", True, f"{said}: it cannot lie outside them")
    elif row.positives and row.negatives:
        share = row.positives / (row.positives + row.negatives)
        expected = share * found + (1 - share) * spared
        if abs(printed - expected) > slack:
            apart = found - spared
            needed = (printed - spared) / apart + 0.0 if apart else -1.0  # no minus before a zero
            fits = f"; it would take {needed:.1%} N+, not {share:.1%}" if 0 <= needed <= 1 else ""
            yield ("accuracy", True, f"{said} of {_stated(row)} make {expected:.4f}{fits}")


def _counts(row: PrintedRow) -> Told:
    if not (row.positives and row.negatives):
        return
    unfit = [
        f"{name} {_shown(value, row)} is no whole number of {size} {who} ({value * size:.2f})"
        for name, value, size, who in (
            ("sensitivity", row.value("sensitivity"), row.positives, "N+"),
            ("specificity", row.value("specificity"), row.negatives, "N-"),
        )
        if value is not None and not row.shares.is_whole(value, size)
    ]
    if unfit:
        fits = largest_fits(fitting_numbers(row.shares, row.positives, row.negatives))
        instead = ", ".join(f"{positives} N+ and {negatives} N-" for positives, negatives in fits)
        cure = f"fits {instead}" if fits else "no smaller number of patients fits either"
        yield ("counts", True, f"{'; '.join(unfit)}; {cure}, or a mean over folds")


def _discrimination(row: PrintedRow) -> Told:
    area, found, spared = (row.value(n) for n in ("auc", "sensitivity", "specificity"))
    if area is None or found is None or spared is None:
        return
    # The ROC curve rises and passes the point of the calls: these are its areas at worst and at best.
    low, high = found * spared, 1 - (1 - found) * (1 - spared)
    slack = 3 * row.rounding + _SLACK
    calls = f"sensitivity {_shown(found, row)} and specificity {_shown(spared, row)}"
    if not low - slack <= area <= high + slack:
        text = f"AUC {_shown(area, row)}, but with {calls} it lies between {low:.3f} and {high:.3f}"
        yield ("auc", True, text)
    elif area < (found + spared) / 2 - slack:
        text = (
            f"AUC {_shown(area, row)} below the balanced accuracy of {calls}: the ROC curve has a dent, or "
            "the threshold was chosen where it sticks out by chance"
        )
        yield ("auc", False, text)


def _widths(row: PrintedRow) -> Told:
    for name, figure in row.figures.items():
        expected = _expected_width(row, name)
        if figure.interval is None or not expected:
            continue
        width = figure.interval[1] - figure.interval[0]
        # An interval of a few patients ends on multiples of one patient, and each end is rounded.
        step = {"sensitivity": 1 / row.positives, "specificity": 1 / row.negatives}.get(name, 0.0)
        slack = 2 * row.rounding + step / 2 + _SLACK
        low, high = (factor * expected for factor in _WIDTHS)
        if not low - slack <= width <= high + slack:
            times = (expected / width) ** 2 if width else float("inf")
            text = (
                f"the interval of {_name(name)} {_shown(figure.value, row)} is {width:.3f} wide, of "
                f"{_stated(row)} {expected:.3f} is expected: as if there were {times:.1f} times as many"
            )
            yield ("width", False, text)


def _expected_width(row: PrintedRow, name: Figure) -> float:
    """Return the width of a 95 % interval, resampled by class; 0 where the table does not tell."""
    found, spared = row.value("sensitivity"), row.value("specificity")
    positives, negatives = row.positives, row.negatives
    if not positives or not negatives or found is None or spared is None:
        return 0.0
    of_found, of_spared = found * (1 - found) / positives, spared * (1 - spared) / negatives
    share = positives / (positives + negatives)
    variances: dict[str, float] = {
        "sensitivity": of_found,
        "specificity": of_spared,
        "balanced_accuracy": (of_found + of_spared) / 4,
        "accuracy": share**2 * of_found + (1 - share) ** 2 * of_spared,
    }
    area = row.value("auc")
    if area is not None:
        variances["auc"] = _hanley_mcneil(area, positives, negatives)
    return float(2 * 1.96 * np.sqrt(variances[name]))


def _hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUC whose scores are exponential (Hanley and McNeil 1982)."""
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (two_positives - area**2) + (negatives - 1) * (two_negatives - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def _of_cohort(rows: Sequence[PrintedRow]) -> list[Finding]:
    """Tell when no number of patients fits all rows of a cohort, each of which fits some."""
    if len(rows) < 2 or not all(row.positives and row.negatives for row in rows):
        return []
    most_positives, most_negatives = (max(getattr(r, n) for r in rows) for n in ("positives", "negatives"))
    fitting = {row.method: fitting_numbers(row.shares, most_positives, most_negatives) for row in rows}
    if np.logical_and.reduce(list(fitting.values())).any():
        return []
    stated = [name for name, fits in fitting.items() if fits[most_positives - 1, most_negatives - 1]]
    others = [
        f"{name} ({positives} and {negatives})"
        for name, fits in fitting.items()
        if name not in stated
        for positives, negatives in largest_fits(fits, most=1) or [(0, 0)]
    ]
    text = (
        f"no number of patients fits every row: {most_positives} N+ and {most_negatives} N- fit "
        f"{', '.join(stated) or 'none'}; other numbers fit at most {', '.join(others)}"
    ).replace("(0 and 0)", "(none)")
    return [Finding(check="same_patients", cohort=rows[0].cohort, method="", certain=True, text=text)]


def _shown(value: float, row: PrintedRow) -> str:
    return f"{value:.{max(1, round(-np.log10(2 * row.rounding)))}f}"


def _name(figure: Figure) -> str:
    return "AUC" if figure == "auc" else figure.replace("_", " ")


def _stated(row: PrintedRow) -> str:
    return f"{row.positives} N+ and {row.negatives} N-"
