"""Scores of any tool: one line per patient with label, score and call."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.status import StatusColumns
from lymphct.io.table import Row, read_table

COLUMNS: Final = ("patient_id", "label", "score", "call")
CENTER: Final = "center"
"""Column that may be there: where the patient comes from."""
FOLD: Final = "fold"
"""Column that may be there: the fold of a cross-validation in which the patient was tested."""

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """What one method says of each patient.

    Attributes:
        name: of the method: the file's name without suffix.
        patients: ids, each once, in the order of the file.
        columns: labels, scores and calls in that order; NaN where a score or call is blank.
        centers: one per patient, empty where unknown; no entries when no patient has one.
        folds: one per patient, in which the patient was tested; no entries without a cross-validation.

    """

    name: str
    patients: tuple[str, ...]
    columns: StatusColumns
    centers: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()

    @property
    def without_score(self) -> list[str]:
        """Return the patients whose score is blank."""
        return [self.patients[row] for row in np.flatnonzero(~self.columns.scored)]

    @property
    def without_call(self) -> list[str]:
        """Return the patients whose call is blank."""
        return [self.patients[row] for row in np.flatnonzero(~self.columns.called)]


def read_scores(path: Path) -> ScoreTable:
    """Read a table with the columns patient_id, label (0 or 1), score, call (0 or 1), perhaps center, fold.

    A score is any finite number, higher meaning rather N+. A blank score or call means that the method gave
    none; other columns are left alone.

    Raises:
        InputError: no table, a column missing, no patients, an id blank or given twice, a label that is not
            0 or 1, a score that is no finite number, a call that is not 0, 1 or blank, a fold given for
            some patients alone, or nothing to judge.

    """
    rows = read_table(path, COLUMNS)
    try:
        return _table(rows, path.name.rsplit(".", 1)[0] or path.name)
    except InputError as error:
        raise error.at(file=path.name) from None


def _table(rows: Sequence[Row], name: str) -> ScoreTable:
    if not rows:
        msg = "it has no patients"
        raise InputError(msg, code="E_SCORES", cure="write one line per patient")
    table = ScoreTable(
        name=name,
        patients=_patients(rows),
        columns=StatusColumns(
            np.array([_label(row) for row in rows], dtype=np.int64),
            np.array([_score(row) for row in rows], dtype=np.float64),
            np.array([_call(row) for row in rows], dtype=np.float64),
        ),
        centers=_centers(rows),
        folds=_folds(rows),
    )
    if not (table.columns.scored.any() or table.columns.called.any()):
        msg = f"none of {len(rows)} patients has a score or a call"
        raise InputError(msg, code="E_SCORES", cure="fill in the columns score and call")
    return table


def require_both_classes(labels: npt.NDArray[np.integer]) -> None:
    """Refuse patients who are all N+ or all N-: nothing tells them apart.

    Raises:
        InputError: they are.

    """
    if len(set(labels.tolist())) < 2:
        msg = f"all {labels.size} patients have the label {int(labels[0])}: both classes are needed"
        raise InputError(msg, code="E_SCORES", cure="add patients of the other class")


def _patients(rows: Sequence[Row]) -> tuple[str, ...]:
    lines: dict[str, int] = {}
    for row in rows:
        name = row.cells["patient_id"]
        if not name or len(name) > _LONGEST_NAME:
            msg = f"line {row.line}: the patient_id is {'too long' if name else 'blank'}"
            raise InputError(msg, code="E_PATIENT_ID", cure="give each patient one id")
        if name in lines:
            msg = f"line {row.line}: the patient stands in line {lines[name]} already"
            raise InputError(msg, code="E_PATIENT_ID", cure="give each patient one line").at(patient=name)
        lines[name] = row.line
    return tuple(lines)


def _label(row: Row) -> int:
    value = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(row.cells["label"])
    if value is None:
        raise _bad_cell(row, "label", "write 1 for N+ and 0 for N-; leave out patients without a label")
    return value


def _call(row: Row) -> float:
    value = {"": math.nan, "0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}.get(row.cells["call"])
    if value is None:
        raise _bad_cell(row, "call", "write 1, 0 or nothing")
    return value


def _score(row: Row) -> float:
    text = row.cells["score"]
    if not text:
        return math.nan
    try:
        value = math.nan if "_" in text else float(text)  # Python reads 1_000 as a number, nobody else does
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _bad_cell(row, "score", "write a finite number with a decimal point, or nothing")
    return value


def _bad_cell(row: Row, column: str, cure: str) -> InputError:
    shown = repr(row.cells[column][:20]) if row.cells[column] else "blank"
    msg = f"line {row.line}: the {column} is {shown}"
    return InputError(msg, code="E_SCORES", cure=cure).at(patient=row.cells["patient_id"])


def _centers(rows: Sequence[Row]) -> tuple[str, ...]:
    centers = tuple(row.cells.get(CENTER, "") for row in rows)
    return centers if any(centers) else ()


def _folds(rows: Sequence[Row]) -> tuple[str, ...]:
    folds = tuple(row.cells.get(FOLD, "") for row in rows)
    if any(folds) and not all(folds):
        raise _bad_cell(rows[folds.index("")], FOLD, "give the fold of every patient, or of none")
    return folds if any(folds) else ()


def values_or_nan(values: Sequence[float | int | None]) -> DoubleArray:
    """Return numbers as an array, NaN where there is none.

    >>> values_or_nan([0.5, None]).tolist()
    [0.5, nan]
    """
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
