"""Tab. I: who the patients are, cohort by cohort."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.report.studies.printed import PrintedTable
from lymphct.report.wording import MISSING

PT: Final = ("pT1", "pT2", "pT3", "pT4")
PN: Final = ("pN0", "pN1", "pN2")
SITES: Final = {"head": "Head / uncinate", "body_tail": "Body / tail"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristics:
    """What Tab. I tells of one patient; None or empty where nobody said.

    Attributes:
        sex: `F` or `M`.
        age: years.
        pt: pT stage, `pT1` to `pT4`.
        pn: pN stage, `pN0` to `pN2`.
        n_status: 1 for N+, 0 for N-.
        tumor_size: cm.
        site: `head` or `body_tail`.
        positive_volumes: mm³ of each positive lymph node that was drawn.
        negative_volumes: the same of negative ones.

    """

    sex: str = ""
    age: float | None = None
    pt: str = ""
    pn: str = ""
    n_status: int | None = None
    tumor_size: float | None = None
    site: str = ""
    positive_volumes: tuple[float, ...] = ()
    negative_volumes: tuple[float, ...] = ()


Group = Sequence[Characteristics]


def cohort_table(cohorts: Mapping[str, Group], notes: Sequence[str] = ()) -> PrintedTable:
    """Return Tab. I: n (%) of what is counted, median [interquartile range] of what is measured.

    Args:
        cohorts: title → its patients.
        notes: sentences that stand under it.

    """
    rows: list[list[str]] = []
    groups = list(cohorts.values())

    def add(name: str, cell: Callable[[Group], str]) -> None:
        rows.append([name, *(cell(group) for group in groups)])

    def add_counts(title: str, names: Mapping[str, str], value: Callable[[Characteristics], str]) -> None:
        for key, name in names.items():
            add(f"{title}: {name}", lambda group, key=key: _count(group, lambda p: value(p) == key))  # type: ignore[misc]
        add(f"{title}: missing", lambda group: _count(group, lambda p: value(p) not in names))

    add("Patients", lambda group: str(len(group)))
    add_counts("N status", {"1": "N+", "0": "N−"}, lambda p: "" if p.n_status is None else str(p.n_status))
    add_counts("Sex", {"F": "female", "M": "male"}, lambda p: p.sex)
    add("Age, years", lambda group: _spread([p.age for p in group]))
    add_counts("pT stage", {stage: stage for stage in PT}, lambda p: p.pt)
    add_counts("pN stage", {stage: stage for stage in PN}, lambda p: p.pn)
    add("Tumor size, cm", lambda group: _spread([p.tumor_size for p in group], decimals=1))
    add_counts("Tumor location", SITES, lambda p: p.site)
    for name, volumes in (
        ("Positive LN volume, mm³", lambda p: p.positive_volumes),
        ("Negative LN volume, mm³", lambda p: p.negative_volumes),
    ):
        add(name, lambda group, of=volumes: _spread([v for p in group for v in of(p)]))  # type: ignore[misc]
    heading = ["Characteristic", *(f"{title} (n = {len(group)})" for title, group in cohorts.items())]
    title = "Tab. I: patients: n (%) or median [interquartile range]"
    return PrintedTable(name="table_1", title=title, heading=heading, rows=rows, notes=notes)


def _count(group: Group, is_one: Callable[[Characteristics], bool]) -> str:
    found = sum(map(is_one, group))
    return f"{found} ({found / len(group):.0%})" if group else "0"


def _spread(values: Sequence[float | None], decimals: int = 0) -> str:
    """Return median [IQR], and of how many values; of nothing a dash."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not known.size:
        return MISSING
    middle, low, high = (float(np.percentile(known, q)) for q in (50, 25, 75))
    return f"{middle:.{decimals}f} [{low:.{decimals}f}–{high:.{decimals}f}] (n = {known.size})"
