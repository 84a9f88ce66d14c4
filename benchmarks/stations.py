"""How often the station of a lymph node is guessed right on phantoms, and whether its probability is true.

`python benchmarks/stations.py --write` generates synthetic patients, hides the stations of their drawn nodes,
guesses them from the true structures and tumor, and writes the tables in docs/stations.md.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.tables import (
    Cell,
    Table,
    around_marks,
    mean_defined,
    over_patients,
    write_between_marks,
)

from lymphct.attention.mapping import guided_by
from lymphct.core.patient import Multiphase, Node
from lymphct.core.volume import Volume
from lymphct.evaluation.calibration import expected_calibration_error
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.proximity import find_surroundings
from lymphct.nodes.station_shares import UNCERTAINTY, VARIATIONS, station_shares
from lymphct.nodes.stations import guess_station
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import SIZES, PhantomSettings

SEED: Final = 9
"""Of patients on whom neither rules nor uncertainty were looked at."""
WIDTHS: Final = (1.0, 2.0, UNCERTAINTY, 4.0, 6.0)
"""Uncertainties that are compared, mm."""
LIMITS: Final = (0.0, 0.4, 0.6, 0.8, 1.0)
"""Between the ranges of probability."""
LEAST: Final = 1e-3
"""Probability that a station nobody thought of has in the log loss."""

TOGETHER: Final = "node displaced"
APART: Final = "each distance on its own"
Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A node with its true station, the guess, and the probabilities by way of varying and mm."""

    truth: str
    guess: str
    shares: Mapping[tuple[str, float], Shares]

    @property
    def used(self) -> Shares:
        """Return what users see."""
        return self.shares[APART, UNCERTAINTY]


def judge_patient(settings: PhantomSettings, seed: int, index: int) -> list[Judged]:
    """Guess the stations of a synthetic patient's drawn nodes."""
    patient = generate_patient(settings, seed=seed, index=index)
    structures = guided_by(patient.structures, patient.tumor)
    hidden = tuple(replace(node, station="") for node in patient.nodes.nodes)
    ct = Multiphase(venous=patient.venous, arterial=patient.arterial)
    measured = measure_nodes(replace(patient.nodes, nodes=hidden), ct, structures).nodes
    return [
        Judged(truth=true.station, guess=node.station, shares=vary(node, structures))
        for true, node in zip(patient.nodes.nodes, measured, strict=True)
    ]


def vary(node: Node, structures: Volume) -> dict[tuple[str, float], Shares]:
    """Return the probabilities of a node's stations by way of varying and mm."""
    around = find_surroundings(structures, np.array([node.center]))
    place = (node.center, around.distances[0], around.extents)
    found: dict[tuple[str, float], Shares] = {
        (APART, width): dict(station_shares(*place, width)) for width in WIDTHS
    }
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((VARIATIONS, 3))
    for width in WIDTHS:
        points = np.asarray(node.center) + width * steps
        moved = find_surroundings(structures, points)
        votes = Counter(
            guess_station((x, y, z), distances, moved.extents)
            for (x, y, z), distances in zip(points.tolist(), moved.distances, strict=True)
        )
        found[TOGETHER, width] = {name: votes[name] / VARIATIONS for name in sorted(votes)}
    return found


def is_among(shares: Shares, truth: str, most: int) -> bool:
    """Tell whether the true station is among the most probable ones."""
    return truth in sorted(shares, key=lambda station: -shares[station])[:most]


def brier(shares: Shares, truth: str) -> float:
    """Return the squared difference of the probabilities of all stations and the truth, 0 to 2."""
    return sum((shares.get(station, 0.0) - (station == truth)) ** 2 for station in {*shares, truth})


def log_loss(shares: Shares, truth: str) -> float:
    """Return minus the logarithm of the true station's probability."""
    return float(-np.log(max(shares.get(truth, 0.0), LEAST)))


def whole_table(patients: Sequence[Sequence[Judged]]) -> Table:
    """Return accuracy and calibration over all nodes, resampled by patients."""

    def over(figure: Callable[[Judged], float]) -> Cell:
        return over_patients(
            lambda rows: mean_defined([figure(node) for row in rows for node in patients[row]]), len(patients)
        )

    def error(rows: Sequence[int]) -> float:
        nodes = [node for row in rows for node in patients[row]]
        if not nodes:
            return float("nan")
        chances = [node.used[node.guess] for node in nodes]
        return expected_calibration_error([node.guess == node.truth for node in nodes], chances)

    rows: list[tuple[Cell, ...]] = [
        ("patients", len(patients)),
        ("nodes", sum(map(len, patients))),
        ("station right", over(lambda n: n.guess == n.truth)),
        ("most probable station right", over(lambda n: is_among(n.used, n.truth, 1))),
        ("true station among the two most probable", over(lambda n: is_among(n.used, n.truth, 2))),
        ("mean probability of the station", over(lambda n: n.used[n.guess])),
        ("expected calibration error of the station", over_patients(error, len(patients))),
        ("Brier score of all stations", over(lambda n: brier(n.used, n.truth))),
        ("log loss", over(lambda n: log_loss(n.used, n.truth))),
    ]
    return Table(title="All nodes", columns=("Figure", "Value (95 % interval)"), rows=tuple(rows))


def station_table(nodes: Sequence[Judged]) -> Table:
    """Return a row per true station: nodes, share guessed right, what the others were taken for."""
    rows: list[tuple[Cell, ...]] = []
    for station in sorted({node.truth for node in nodes}, key=int):
        mine = [node for node in nodes if node.truth == station]
        wrong = Counter(node.guess for node in mine if node.guess != station)
        taken = ", ".join(f"{name} ({count})" for name, count in sorted(wrong.items(), key=_often))
        right = mean_defined([node.guess == station for node in mine])
        second = mean_defined([is_among(node.used, station, 2) for node in mine])
        rows.append((station, len(mine), right, second, taken or None))
    columns = ("True station", "Nodes", "Right", "Among the two most probable", "Taken for")
    return Table(title="By station", columns=columns, rows=tuple(rows))


def _often(entry: tuple[str, int]) -> tuple[int, str]:
    return (-entry[1], entry[0])


def calibration_table(nodes: Sequence[Judged]) -> Table:
    """Return a row per range of the station's probability: nodes, mean probability, share that is right."""
    rows: list[tuple[Cell, ...]] = []
    chances = np.array([node.used[node.guess] for node in nodes])
    right = np.array([node.guess == node.truth for node in nodes])
    places = np.searchsorted(LIMITS, chances, side="left")
    for place, (low, high) in enumerate(pairwise(LIMITS), start=1):
        mine = places == place
        means = [mean_defined(values[mine].tolist()) for values in (chances, right)]
        rows.append((f"above {low:.1f} to {high:.1f}", int(mine.sum()), *means))
    columns = ("Probability of the station", "Nodes", "Mean probability", "Share right")
    return Table(title="What a probability is worth", columns=columns, rows=tuple(rows))


def width_table(nodes: Sequence[Judged]) -> Table:
    """Return a row per way of varying and uncertainty; it describes and chooses nothing."""
    rows: list[tuple[Cell, ...]] = []
    for way in (APART, TOGETHER):
        for width in WIDTHS:
            found = [(node.shares[way, width], node.truth) for node in nodes]
            top = mean_defined([is_among(*pair, 1) for pair in found])
            two = mean_defined([is_among(*pair, 2) for pair in found])
            sure = mean_defined([max(shares.values()) for shares, _ in found])
            scores = (mean_defined([score(*pair) for pair in found]) for score in (brier, log_loss))
            rows.append((f"{way}, {width:g} mm", top, two, sure, *scores))
    columns = ("What varies", "Most probable right", "Among two", "Highest probability", "Brier", "Log loss")
    note = f"Used is: {APART}, {UNCERTAINTY:g} mm. The table describes; nothing was chosen by it."
    return Table(title="Ways to vary", columns=columns, rows=tuple(rows), note=note)


def tables_of(patients: Sequence[Sequence[Judged]]) -> tuple[Table, ...]:
    """Return all tables."""
    nodes = [node for patient in patients for node in patient]
    return (whole_table(patients), station_table(nodes), calibration_table(nodes), width_table(nodes))


def main() -> None:
    """Generate, guess, print; with --write into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--size", default="nano", choices=tuple(SIZES))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs" / "stations.md")
    given = parser.parse_args()
    if given.write:
        around_marks(given.docs)
    settings = PhantomSettings.model_validate({"size": given.size, "mode": "unbiased"})
    patients = [judge_patient(settings, given.seed, index) for index in range(given.patients)]
    how = (
        f"Drawn nodes of {given.patients} synthetic patients of size `{given.size}`, seed {given.seed}, "
        "their stations hidden; structures and tumor are the true ones. Intervals are 95 % percentiles of "
        "1,000 bootstrap resamples of the patients."
    )
    text = "\n\n".join([how, *(table.markdown() for table in tables_of(patients))])
    print(text)
    if given.write:
        write_between_marks(given.docs, text)


if __name__ == "__main__":
    main()
