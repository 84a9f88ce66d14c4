"""What a reader of the hidden truth would get on phantoms, mode by mode: the ceiling of any method there.

`python benchmarks/oracles.py [--patients 4000] [--seed 4408] [--json FILE] [--write]`. Nothing is painted:
status, tumor and planned nodes are drawn as the generator draws them. AUC of the N status, by what a reader
would know of a patient, with 95 % intervals over patients: the class of every node, volumes with and without
classes, the number of nodes, the tumor's texture, and all that can be known without the classes, weighed by
logistic regression in five folds. Takes a minute.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.tables import Cell, Table, over_patients, write_between_marks
from benchmarks.side_by_side import write_record

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.terms import NodeClass
from lymphct.evaluation.classification import auc
from lymphct.evaluation.statistics import Interval
from lymphct.phantom.hidden import HiddenTruth, hidden_truth
from lymphct.phantom.settings import Mode, PhantomSettings

SEED: Final = 4408
FOLDS: Final = 5


def positive(truth: HiddenTruth) -> list[float]:
    """Return the volumes of the positive nodes, mm³."""
    return [node.volume for node in truth.nodes if node.node_class is NodeClass.POSITIVE]


KNOWN: Final[dict[str, Callable[[HiddenTruth], float]]] = {
    "class of every node: is one positive": lambda truth: float(bool(positive(truth))),
    "class and volume: largest positive node (Eq. 7's V)": lambda truth: max(positive(truth), default=0.0),
    "volume without class: largest node": lambda truth: max((n.volume for n in truth.nodes), default=0.0),
    "volume without class: all nodes together": lambda truth: sum(n.volume for n in truth.nodes),
    "number of nodes, fewer being worse": lambda truth: -float(len(truth.nodes)),
    "texture of the tumor": lambda truth: truth.tumor.texture,
    "diameter of the tumor": lambda truth: truth.tumor.diameter,
}
"""What is known of a patient → the number by which it is judged."""
ALL: Final = "all but the classes"


def without_classes(truth: HiddenTruth) -> list[float]:
    """Return everything a reader could know without the class of a node."""
    volumes = sorted((n.volume for n in truth.nodes), reverse=True)
    largest, second = ([*volumes, 0.0, 0.0])[:2]
    return [np.log1p(largest), np.log1p(second), np.log1p(sum(volumes)), len(volumes), truth.tumor.texture]


def weighed(rows: DoubleArray, labels: BoolArray) -> DoubleArray:
    """Return the score of each patient by a regression on the others' (rows (n, features))."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - half a second
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - the same
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - the same

    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    scores = np.zeros(len(rows))
    for number in range(FOLDS):
        out = fold == number
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        scores[out] = model.fit(rows[~out], labels[~out]).decision_function(rows[out])
    return scores


def scored(truths: Sequence[HiddenTruth]) -> tuple[BoolArray, dict[str, DoubleArray]]:
    """Return status and scores of patients, by what is known."""
    labels = np.array([truth.is_positive for truth in truths], dtype=np.bool_)
    scores = {name: np.array([judge(truth) for truth in truths]) for name, judge in KNOWN.items()}
    scores[ALL] = weighed(np.array([without_classes(truth) for truth in truths]), labels)
    return labels, scores


def table(patients: int, seed: int) -> Table:
    """Return a row for each kind of knowledge, a column for each mode."""
    columns: dict[Mode, dict[str, Cell]] = {}
    for mode in get_args(Mode):
        settings = PhantomSettings(mode=mode)
        truths = [hidden_truth(settings, seed=seed, index=n) for n in range(patients)]
        labels, scores = scored(truths)
        columns[mode] = {name: _area(labels, values) for name, values in scores.items()}
    rows = tuple((name, *(cells[name] for cells in columns.values())) for name in (*KNOWN, ALL))
    return Table(
        title="What a reader of the hidden truth would get",
        columns=("Known of a patient", *columns),
        rows=rows,
        note=f"AUC of the N status of {patients} phantoms of size `tiny`, intervals over patients.",
    )


def _area(labels: BoolArray, scores: DoubleArray) -> Interval:
    return over_patients(lambda rows: float(auc(labels[list(rows)], scores[list(rows)])), len(labels))


def main() -> None:
    options = arguments()
    found = table(options.patients, options.seed)
    print(found.markdown())
    if options.json is not None:
        write_record(
            options.json,
            options={"patients": options.patients, "seed": options.seed},
            rows=found.record()["rows"],
        )
    if options.write:
        write_between_marks(options.docs, found.markdown())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("--docs", type=Path, default=Path("docs/phantom.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
