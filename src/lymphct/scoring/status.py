"""`lymphct evaluate status`: how good any tool's scores and calls are, per center, too (Sec. IV-E)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.evaluation.status import (
    IMPROPER,
    Scale,
    StatusColumns,
    StatusFigures,
    scores_are_probabilities,
    status_figures,
)
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.scoring.over_folds import crossvalidated_record, usable_folds
from lymphct.scoring.score_table import ScoreTable, read_scores, require_both_classes
from lymphct.scoring.status_tables import group_record, status_tables
from lymphct.scoring.stored import Measured, stored

RESAMPLES: Final = 1000
"""Of every bootstrap interval (Tab. VI and VII)."""

UNKNOWN_CENTER: Final = "unknown"
"""Center of patients who have none, where others have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """How to measure.

    Attributes:
        scale: whether scores are probabilities.
        seed: of the resamples.
        resamples: of each bootstrap interval.

    """

    scale: Scale = "auto"
    seed: int = 0
    resamples: int = RESAMPLES

    def settings(self) -> dict[str, JSON]:
        """Return what the record says of it."""
        return {"scale": self.scale, "seed": self.seed, "resamples": self.resamples}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvaluation:
    """What was measured of one method.

    Attributes:
        table: what was judged.
        as_probabilities: whether its scores were taken for probabilities.
        everybody: figures of all patients.
        centers: figures of each center, by its name; none when no center is given.

    """

    table: ScoreTable
    as_probabilities: bool
    everybody: StatusFigures
    centers: Mapping[str, StatusFigures]

    @property
    def groups(self) -> dict[tuple[str, str], StatusFigures]:
        """Return all figures under their kind (`all`, `center`) and name."""
        named = {("center", name): figures for name, figures in self.centers.items()}
        return {("all", ""): self.everybody, **named}

    def record(self) -> dict[str, JSON]:
        """Return what the JSON says."""
        folds, told = usable_folds({self.table.name: self.table}, self.table.columns.scored)
        return {
            "scores_are_probabilities": self.as_probabilities,
            "without_score": list(self.table.without_score),
            "without_call": list(self.table.without_call),
            "folds": told,
            "crossvalidated": crossvalidated_record(self.table.columns, folds),
            "all": group_record(self.everybody),
            "centers": {name: group_record(figures) for name, figures in self.centers.items()},
            "classification_note": IMPROPER,
        }


def evaluate_status(path: Path, request: StatusRequest, folder: Path) -> dict[str, JSON]:
    """Measure a table of scores; write `status.json` and four tables; return what the JSON holds.

    `status.csv` has a row per group (all, each center), `status_calibration.csv` the smoothed curves,
    `status_net_benefit.csv` the decision curves, `status_risk.csv` the distributions of the score. Patients
    without score or call are left out of what needs it, counted and listed.

    Raises:
        InputError: the table is refused, all patients have one label, or scores that are said to be
            probabilities are none; nothing is written.
        OutputInUseError: the folder holds something else than an older evaluation.

    """
    recipe = Recipe.of_files({"scores": path}, request.settings(), code=("scoring.status",))
    table = read_scores(path)
    try:
        require_both_classes(table.columns.labels)
        scores_are_probabilities(table.columns.scores, request.scale)
    except InputError as error:
        raise error.at(file=path.name) from None

    def work() -> Measured:
        measured = measure_status(table, request)
        return Measured(record=measured.record(), tables=status_tables(measured.groups))

    return stored(folder, "status", recipe, work)


def measure_status(table: ScoreTable, request: StatusRequest) -> StatusEvaluation:
    """Measure all patients, then each center; every group starts from the same seed.

    Raises:
        InputError: scores are said to be probabilities and are none.
        UsageError: no resamples.

    """
    columns = table.columns
    as_probabilities = scores_are_probabilities(columns.scores, request.scale)
    known = columns.scores[columns.scored]
    limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)

    def figures(group: StatusColumns) -> StatusFigures:
        rng = np.random.default_rng(request.seed)
        return status_figures(
            group, rng, as_probabilities=as_probabilities, limits=limits, n=request.resamples
        )

    places = np.array([name or UNKNOWN_CENTER for name in table.centers])
    return StatusEvaluation(
        table=table,
        as_probabilities=as_probabilities,
        everybody=figures(columns),
        centers={name: figures(columns.rows(places == name)) for name in sorted(set(places.tolist()))},
    )
