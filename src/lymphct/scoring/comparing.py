"""`lymphct compare`: several tools' scores of the same patients against one another (Tab. VI, Tab. VII)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, Literal

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.comparison import compare_calls, compare_scores
from lymphct.evaluation.paired_tests import PairedScores
from lymphct.evaluation.status import IMPROPER, StatusColumns
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.made import Recipe
from lymphct.scoring.compared import call_record, method_record, score_record
from lymphct.scoring.over_folds import FOLDS_NOTE, usable_folds
from lymphct.scoring.score_table import ScoreTable, read_scores, require_both_classes
from lymphct.scoring.status import RESAMPLES
from lymphct.scoring.stored import origin_of

SCHEMA: Final = "lymphct-compare-1"

FALSE_CLAIM_NOTE: Final = (
    "probability_of_false_claim: posterior probability that the method with the higher balanced accuracy is "
    "not better, from uniform priors on how the methods agree in each class."
)

Pair = tuple[str, str]
Kind = Literal["score", "call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """How to compare.

    Attributes:
        all_pairs: every method against every other one; otherwise the first against each other one.
        seed: of resamples and exchanges.
        resamples: number of each.

    """

    all_pairs: bool = False
    seed: int = 0
    resamples: int = RESAMPLES

    def settings(self) -> dict[str, JSON]:
        """Return what the record says of it."""
        return {"all_pairs": self.all_pairs, "seed": self.seed, "resamples": self.resamples}


def compare_files(paths: Sequence[Path], request: CompareRequest, out: Path | None = None) -> dict[str, JSON]:
    """Compare tables of scores and return the record; write it when a file is named.

    A patient without a score (call) in a table that has any is left out of all comparisons of scores
    (calls), counted and listed. p values are corrected by Holm over all comparisons. Where a table has a
    column `fold`, AUC are also averaged over the folds, with intervals that know them.

    Args:
        paths: two tables at least, of the same patients with the same labels, each under its own file name.
        request: how to compare.
        out: JSON file.

    Raises:
        InputError: a table is refused, patients, labels or folds differ, all labels are equal, or fewer than
            two patients of a class are left.
        UsageError: fewer than two tables, or two of one name.

    """
    names = _names(paths)
    recipe = Recipe.of_files(
        dict(zip(names, paths, strict=True)), request.settings(), code=("scoring.comparing",)
    )
    tables = {name: read_scores(path) for name, path in zip(names, paths, strict=True)}
    record: dict[str, JSON] = {
        "schema": SCHEMA,
        **origin_of(recipe),
        **comparison_record(_aligned(tables), request),
    }
    if out is not None:
        write_json(out, record)
    return record


def _names(paths: Sequence[Path]) -> list[str]:
    if len(paths) < 2:
        msg = "one table cannot be compared"
        raise UsageError(msg, cure="give two files or more")
    names = [path.name.removesuffix(".csv") for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"two tables are called {twice[0]!r}, and so would be the methods"
        raise UsageError(msg, cure="give each file its own name")
    return names


def _aligned(tables: Mapping[str, ScoreTable]) -> dict[str, ScoreTable]:
    """Bring all tables into the order of the first one's patients; refuse different ones or labels."""
    _require_same_patients(tables)
    first = next(iter(tables.values()))
    aligned = {}
    for name, table in tables.items():
        place = {patient: row for row, patient in enumerate(table.patients)}
        columns = table.columns.rows([place[patient] for patient in first.patients])
        unlike = np.flatnonzero(columns.labels != first.columns.labels)
        if unlike.size:
            shown = _shown([first.patients[row] for row in unlike])
            msg = f"{first.name} and {name} have different labels for {unlike.size} patients: {shown}"
            raise InputError(msg, code="E_PATIENTS", cure="correct the labels: there is one truth")
        folds = tuple(table.folds[place[patient]] for patient in first.patients) if table.folds else ()
        aligned[name] = ScoreTable(name=name, patients=first.patients, columns=columns, folds=folds)
    require_both_classes(first.columns.labels)
    return aligned


def _require_same_patients(tables: Mapping[str, ScoreTable]) -> None:
    everybody = dict.fromkeys(patient for table in tables.values() for patient in table.patients)
    lacking = []
    for name, table in tables.items():
        there = set(table.patients)
        missing = [patient for patient in everybody if patient not in there]
        if missing:
            lacking.append(f"{name} lacks {len(missing)}: {_shown(missing)}")
    if lacking:
        msg = f"the tables hold different patients ({'; '.join(lacking)})"
        cure = "compare methods on the patients all have, and say so"
        raise InputError(msg, code="E_PATIENTS", cure=cure)


def _shown(patients: Sequence[str], most: int = 5) -> str:
    return ", ".join(patients[:most]) + (" …" if len(patients) > most else "")


def comparison_record(tables: Mapping[str, ScoreTable], request: CompareRequest) -> dict[str, JSON]:
    """Compare tables of the same patients in one order; return what the JSON says, without its origin.

    Raises:
        InputError: fewer than two patients of a class have a score (a call) in every table that has any.

    """
    names = list(tables)
    pairs = list(combinations(names, 2)) if request.all_pairs else [(names[0], name) for name in names[1:]]
    first = tables[names[0]]
    scored = _common({name: table.columns.scored for name, table in tables.items()})
    called = _common({name: table.columns.called for name, table in tables.items()})
    by_score, by_call = _paired(tables, pairs, scored, "score"), _paired(tables, pairs, called, "call")
    folds, told = usable_folds(tables, scored)
    rng = np.random.default_rng(request.seed)
    scores = compare_scores(
        [*by_score.values()], rng, n=request.resamples, folds=None if folds is None else folds[scored]
    )
    calls = compare_calls([*by_call.values()], rng, n=request.resamples)
    of_scores = dict(zip(by_score, scores, strict=True))
    of_calls = dict(zip(by_call, calls, strict=True))
    positives = int(first.columns.labels.sum())
    return {
        "patients": len(first.patients),
        "positives": positives,
        "negatives": len(first.patients) - positives,
        "compared_by_score": int(scored.sum()),
        "compared_by_call": int(called.sum()),
        "without_score": {name: list(table.without_score) for name, table in tables.items()},
        "without_call": {name: list(table.without_call) for name, table in tables.items()},
        "folds": told,
        "methods": {
            name: method_record(
                _left(table.columns, scored, called),
                folds,
                np.random.default_rng(request.seed),
                request.resamples,
            )
            for name, table in tables.items()
        },
        "comparisons": [
            {
                "first": pair[0],
                "second": pair[1],
                "scores": None if pair not in of_scores else score_record(of_scores[pair]),
                "calls": None if pair not in of_calls else call_record(of_calls[pair], pair),
            }
            for pair in pairs
        ],
        "classification_note": IMPROPER,
        "folds_note": FOLDS_NOTE if folds is not None else None,
        "false_claim_note": FALSE_CLAIM_NOTE,
    }


def _common(having: Mapping[str, BoolArray]) -> BoolArray:
    """Tell which patients have a value in every table that has any."""
    columns = [column for column in having.values() if column.any()]
    if not columns:
        return np.zeros(len(next(iter(having.values()))), dtype=np.bool_)
    common: BoolArray = np.logical_and.reduce(columns)
    return common


def _paired(
    tables: Mapping[str, ScoreTable], pairs: Sequence[Pair], rows: BoolArray, kind: Kind
) -> dict[Pair, PairedScores]:
    """Return the scores (calls) of each pair of methods that both have any, on the same patients."""
    values = {
        name: table.columns.scores if kind == "score" else table.columns.calls
        for name, table in tables.items()
    }
    compared = [pair for pair in pairs if not any(np.isnan(values[name]).all() for name in pair)]
    if not compared:
        return {}
    labels = next(iter(tables.values())).columns.labels[rows]
    _require_enough(labels, kind)
    return {(a, b): PairedScores(labels, values[a][rows], values[b][rows]) for a, b in compared}


def _require_enough(labels: AnyArray, kind: Kind) -> None:
    positives = int(labels.sum())
    if min(positives, labels.size - positives) < 2:
        msg = f"{positives} positives and {labels.size - positives} negatives have a {kind} in every table"
        raise InputError(msg, code="E_SCORES", cure="two of each class at least are needed")


def _left(columns: StatusColumns, scored: BoolArray, called: BoolArray) -> StatusColumns:
    """Leave out scores and calls of patients who are not compared by them."""
    scores, calls = np.where(scored, columns.scores, np.nan), np.where(called, columns.calls, np.nan)
    return StatusColumns(columns.labels, scores, calls)
