"""Whether features that survive partial volume tell positive from negative nodes better (decision 0051).

`python benchmarks/node_features.py [--patients 150] [--bundle BUNDLE] [--size tiny] [--seed 7707]
[--jobs 1] [--work FOLDER] [--json FILE] [--write]`. Unseen phantoms of mode `unbiased`, phases registered by
DEEDS. On the same nodes, as drawn and as stage 1 of the bundle finds them (structures and tumor given), each
set of features goes through the same classifiers in five folds of patients: logistic regression and a
random forest, which needs no straight line. A found node has the class of the true one it overlaps by IoU
0.3; the others are no lymph nodes and left out here. AUC with 95 % intervals over patients, and the paired
difference.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.phantom_quality import worked_through
from benchmarks.quality.subjects import Cohort, Record, digests_of, kept_record, measuring_recipe, models_of
from benchmarks.quality.tables import Cell, Table, over_patients, write_between_marks
from benchmarks.side_by_side import write_record

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.examination import Stopwatch, examine
from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.patient import NodeMap
from lymphct.core.terms import NodeClass
from lymphct.evaluation.classification import auc
from lymphct.evaluation.detection import match_instances
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.results.jsonfile import JSON
from lymphct.nodes.features import FEATURE_SETS, node_features
from lymphct.nodes.settings import FeatureSetName
from lymphct.phantom.settings import SIZES, PhantomSettings

SEED: Final = 7707
FOLDS: Final = 5
MASKS: Final = {"drawn": "as drawn", "found": "as found by stage 1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measures one phantom, or reads what was measured before."""

    bundle: Path
    cohort: Cohort
    work: Path

    def __call__(self, index: int) -> Record:
        """Return the record of a phantom."""
        models = models_of(self.bundle, None, "cpu")
        settings: dict[str, JSON] = {
            "phantoms": self.cohort.phantoms.model_dump(mode="json"),
            "seed": self.cohort.seed,
            "registration": self.cohort.registration,
        }
        recipe = measuring_recipe(settings, digests_of(Path(__file__)), models.digest)
        return kept_record(self.work, recipe, index, lambda: self._measured(index))

    def _measured(self, index: int) -> dict[str, JSON]:
        torch.set_num_threads(1)
        models = models_of(self.bundle, None, "cpu")
        subject = self.cohort.subject(index, models.spacing)
        models.require_unseen(subject.patient_id)
        given = replace(subject.truth, nodes=None)
        found = examine(subject.ct, given, models, AttentionSettings(), Stopwatch()).nodes
        named, spurious = as_named(found, subject.nodes)
        return {
            "patient": subject.patient_id,
            "true": len(subject.nodes.nodes),
            "spurious": spurious,
            **{
                masks: {
                    "positive": [node.node_class is NodeClass.POSITIVE for node in nodes.nodes],
                    **{
                        name: node_features(nodes, subject.ct, s).tolist() for name, s in FEATURE_SETS.items()
                    },
                }
                for masks, nodes in (("drawn", subject.nodes), ("found", named))
            },
        }


def as_named(found: NodeMap, truth: NodeMap) -> tuple[NodeMap, int]:
    """Return the found nodes that are true ones, with the true class, and how many are not."""
    classes = {node.label: node.node_class for node in truth.nodes}
    pairs = match_instances(found.instances.array, truth.instances.array).pairs
    partner = {pair.prediction: classes[pair.truth] for pair in pairs}
    kept = [replace(n, node_class=partner[n.label]) for n in found.nodes if n.label in partner]
    return replace(found, nodes=tuple(kept)), len(found.nodes) - len(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Nodes of all patients: what is measured of them, class, and the row of the patient."""

    features: DoubleArray
    positive: BoolArray
    patient: DoubleArray


def nodes_of(records: Sequence[Record], masks: str, feature_set: FeatureSetName) -> Nodes:
    rows = [np.array(r[masks][feature_set], dtype=np.float64) for r in records]
    width = len(FEATURE_SETS[feature_set].names)
    return Nodes(
        features=np.concatenate([row.reshape(-1, width) for row in rows]),
        positive=np.concatenate([np.array(r[masks]["positive"], dtype=np.bool_) for r in records]),
        patient=np.concatenate([np.full(len(row), n, dtype=np.float64) for n, row in enumerate(rows)]),
    )


def logistic() -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - as in the package

    return LogisticRegression(C=0.1, max_iter=2000)


def forest() -> Any:  # noqa: ANN401 - the same
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - the same

    return RandomForestClassifier(400, min_samples_leaf=3, random_state=0, n_jobs=1)


CLASSIFIERS: Final[dict[str, Callable[[], Any]]] = {"logistic regression": logistic, "random forest": forest}


def scores(nodes: Nodes, build: Callable[[], Any]) -> DoubleArray:
    """Return the probability of each node by a classifier that saw none of its patient's nodes."""
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 - as in the package
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - the same
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - the same

    result = np.zeros(len(nodes.positive))
    patient = nodes.patient.astype(np.int64)
    order = np.random.default_rng(0).permutation(int(patient.max()) + 1)
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    for number in range(FOLDS):
        is_asked = fold[patient] == number
        model = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), build())
        model.fit(nodes.features[~is_asked], nodes.positive[~is_asked])
        result[is_asked] = model.predict_proba(nodes.features[is_asked])[:, 1]
    return result


def table(records: Sequence[Record]) -> Table:
    """Return AUC by masks, features and classifier, and what the robust features add."""
    rows: list[tuple[Cell, ...]] = []
    for masks, told in MASKS.items():
        for name, build in CLASSIFIERS.items():
            truth = nodes_of(records, masks, "core")
            members = [np.flatnonzero(truth.patient == n) for n in range(len(records))]
            found = {s: scores(nodes_of(records, masks, s), build) for s in FEATURE_SETS}

            def area(patients: Sequence[int], s: FeatureSetName) -> float:
                chosen = np.concatenate([members[p] for p in patients])  # noqa: B023 - used at once
                return float(auc(truth.positive[chosen], found[s][chosen]))  # noqa: B023 - the same

            cells = [over_patients(partial(area, s=s), len(records)) for s in FEATURE_SETS]
            gain = over_patients(lambda p: area(p, "robust") - area(p, "core"), len(records))
            rows.append((told, name, *cells, gain, int(truth.positive.sum()), int((~truth.positive).sum())))
    drawn = sum(record["true"] for record in records)
    spurious = sum(record["spurious"] for record in records)
    named = sum(len(record["found"]["positive"]) for record in records)
    return Table(
        title="Features of a node",
        columns=("Masks", "Classifier", "AUC core", "AUC robust", "Gain", "Positive", "Negative"),
        rows=tuple(rows),
        note=f"{len(records)} unseen phantoms with {drawn} nodes, five folds of patients, intervals over "
        f"patients. Stage 1 finds {named} of them and {spurious} others, which are left out.",
    )


def main() -> None:
    options = arguments()
    logging.getLogger("lymphct").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    phantoms = PhantomSettings(size=options.size, mode="unbiased")
    work = Measured(
        bundle=options.bundle,
        cohort=Cohort(phantoms=phantoms, seed=options.seed, registration="deeds"),
        work=options.work,
    )
    records = worked_through("phantoms", work, range(options.patients), options.jobs)
    found = table(records)
    print(found.markdown())
    if options.json is not None:
        write_record(
            options.json,
            options={"patients": options.patients, "size": options.size, "seed": options.seed},
            rows=found.record()["rows"],
        )
    if options.write:
        write_between_marks(options.docs, found.markdown())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bundle", type=Path, default=shipped_bundle_path(), help="whose stage 1 finds nodes"
    )
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/node_features"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("--docs", type=Path, default=Path("docs/nodes.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
