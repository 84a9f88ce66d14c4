"""The figures behind each claim about the cascade, from one study's folders (Sec. IV-E).

Every function takes what test patients showed networks that never saw them; intervals resample patients,
whose nodes stand or fall together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal

import numpy as np
from benchmarks.quality.tables import over_patients

from lymphct.cascade.cases import Material
from lymphct.cascade.node_candidates import node_candidates
from lymphct.cascade.thresholds import PROBABILITIES
from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.evidence import Evidence
from lymphct.evaluation.classification import auc
from lymphct.evaluation.statistics import Interval
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.metastasis.aggregation import positive_volume
from lymphct.study.nested.guard import BUNDLE
from lymphct.study.nested.materials import MEASURED_FILE, Materials
from lymphct.study.nested.plan import COHORT, CascadeRole, cascades_of

POINTS: Final = tuple(product((*PROBABILITIES, 0.9, 0.95, 0.99), (50.0, 100.0, 200.0)))
"""Voxel thresholds and smallest nodes, mm³, that are tried to bring both arms to one recall."""
RECALLS: Final = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""The highest that both arms reach is where they are compared."""

Counts = Mapping[str, DoubleArray]
"""Patient → (points, 3): nodes found, false, missed; summed over the cascades of the fold."""


@dataclass(frozen=True, slots=True)
class AtEqualRecall:
    """Precision of two ways to find nodes, each at its best operating point of a recall."""

    recall: float
    first: Interval
    second: Interval
    difference: Interval
    patients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A patient in one outer fold, as the networks saw him whose nodes a status method is given.

    Attributes:
        patient: id.
        fold: from 1.
        part: whether the methods learn from this view, or are tested on it.
        n_status: 1 for N+.
        volume: mm³ of the largest node called positive (V of Eq. 7), mean over the views.

    """

    patient: str
    fold: int
    part: Literal["train", "test"]
    n_status: int
    volume: float


def counts_of(materials: Materials, variant: str, kept: Path) -> dict[str, DoubleArray]:
    """Count what stage 1 of a variant finds in each test patient, at every operating point.

    Args:
        materials: of a study whose cascades of this variant, or of the one it is trained as, are done.
        variant: of the cascade.
        kept: folder that keeps the counts of each cascade; those of the same networks are not made again.

    """
    plan = materials.plan
    total: dict[str, DoubleArray] = {}
    for fold in range(1, len(plan.nested) + 1):
        for cascade in cascades_of(plan, fold, variant):
            for patient, counts in _counted(materials, cascade, kept / f"{cascade.name}.json").items():
                total[patient] = total[patient] + counts if patient in total else counts
    return total


def _counted(materials: Materials, cascade: CascadeRole, path: Path) -> dict[str, DoubleArray]:
    plan, artefacts = materials.plan, materials.artefacts
    weights = artefacts.place(f"bundle.{cascade.trained.name}") / BUNDLE / "nodes.safetensors"
    origin: dict[str, JSON] = {"weights": digest_file(weights), "points": [list(point) for point in POINTS]}
    found: Any = read_json(path) if path.exists() else {}
    if found.get("origin") != origin:
        tested = sorted(plan.outer_folds[cascade.fold - 1].outer.test)
        trained = artefacts.models(cascade.trained, tested, "cpu").nodes
        if trained is None:
            raise ValueError(cascade.name)
        gate = plan.settings(cascade.variant).nodes.hard_gate
        settings = trained.settings.model_copy(update={"hard_gate": gate})
        learned = artefacts.learned(cascade.trained, tested)
        material = Material(
            patients=materials.patients, learned=learned, config=plan.settings(cascade.variant)
        )
        counts: dict[str, JSON] = {}
        for name in tested:
            scores = [c.scores for c in node_candidates(trained.network, settings, material, [name], POINTS)]
            if scores:
                counts[name] = [[s.true_positives, s.false_positives, s.false_negatives] for s in scores]
        found = {"origin": origin, "counts": counts}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    return {name: np.array(rows, np.float64) for name, rows in found["counts"].items()}


def at_equal_recall(first: Counts, second: Counts) -> AtEqualRecall:
    """Compare the precision of two ways at the highest of `RECALLS` that both reach.

    In every resample each way works at the point of the best precision among those that reach the recall: so
    neither is held to a threshold that suits the other.
    """
    patients = sorted(set(first) & set(second))
    arms = [np.stack([counts[name] for name in patients]) for counts in (first, second)]
    everybody = range(len(patients))
    recall = next(
        (
            level
            for level in RECALLS
            if all(np.isfinite(best_precision(arm, everybody, level)) for arm in arms)
        ),
        RECALLS[-1],
    )

    def of(arm: DoubleArray) -> Interval:
        return over_patients(lambda rows: best_precision(arm, rows, recall), len(patients))

    difference = over_patients(
        lambda rows: best_precision(arms[0], rows, recall) - best_precision(arms[1], rows, recall),
        len(patients),
    )
    return AtEqualRecall(recall, of(arms[0]), of(arms[1]), difference, len(patients))


def best_precision(counts: DoubleArray, rows: Sequence[int], recall: float) -> float:
    """Return the best pooled precision of the points that reach a recall; NaN where none does.

    >>> best_precision(np.array([[[3, 1, 1], [4, 4, 0]]]), [0], 0.7)
    0.75
    >>> best_precision(np.array([[[3, 1, 1], [4, 4, 0]]]), [0], 0.9)
    0.5
    """
    hit, false, missed = counts[list(rows)].sum(axis=0).T
    with np.errstate(invalid="ignore", divide="ignore"):
        reaches, precision = hit / (hit + missed) >= recall, hit / (hit + false)
    there = precision[reaches & np.isfinite(precision)]
    return float(there.max()) if there.size else float("nan")


def node_auc(materials: Materials, variant: str) -> tuple[Interval, int, int]:
    """Return the AUC of stage 2 on drawn nodes of test patients, how many nodes, and of how many patients.

    A node's probability is its mean over the cascades of the fold.
    """
    plan, nodes = materials.plan, []
    for fold in range(1, len(plan.nested) + 1):
        cascades = cascades_of(plan, fold, variant)
        for name in sorted(plan.outer_folds[fold - 1].outer.test):
            found: dict[int, list[tuple[bool, float]]] = {}
            for cascade in cascades:
                path = materials.artefacts.place(f"examine.{cascade.name}.{COHORT}") / name / MEASURED_FILE
                record: Any = read_json(path) if path.exists() else {}
                for node in record.get("true_nodes", ()):
                    known = (node["class"] == "positive", float(node["probability"]))
                    found.setdefault(int(node["label"]), []).append(known)
            if found:
                nodes.append([(rows[0][0], fmean(p for _, p in rows)) for rows in found.values()])

    def statistic(rows: Sequence[int]) -> float:
        pairs = [pair for row in rows for pair in nodes[row]]
        return auc_or_nan([is_positive for is_positive, _ in pairs], [p for _, p in pairs])

    return over_patients(statistic, len(nodes)), sum(map(len, nodes)), len(nodes)


def seen_by_methods(materials: Materials, variant: str) -> list[Seen]:
    """Return every view of every patient of known status: those methods learn from and those they judge."""
    plan, found = materials.plan, []
    for fold in range(1, len(plan.nested) + 1):
        nested, cascades = plan.outer_folds[fold - 1], cascades_of(plan, fold, variant)
        for part in ("train", "test"):
            ids = nested.outer.test if part == "test" else nested.roles.everybody
            for name in sorted(ids):
                status = plan.patients[name].n_status
                views = [
                    evidence
                    for cascade in cascades
                    if _shows(cascade, materials, name, is_test=part == "test")
                    and (evidence := materials.artefacts.evidence(cascade, COHORT, name)) is not None
                ]
                if status is not None and views:
                    volume = fmean(_volume(view) for view in views)
                    found.append(Seen(patient=name, fold=fold, part=part, n_status=status, volume=volume))
    return found


def _shows(cascade: CascadeRole, materials: Materials, name: str, *, is_test: bool) -> bool:
    """Tell whether a view of a patient is used: out of fold, or in-sample where there is no other."""
    left_out = cascade.part(materials.plan).test
    return is_test or name in left_out or not left_out


def _volume(view: Evidence) -> float:
    return positive_volume(view.nodes)


def gap(seen: Sequence[Seen]) -> Interval:
    """Return how much better the largest positive node tells the status in training than in test patients.

    The difference of two AUC, mean over the folds; patients are resampled with all their views, by status.
    """
    statistic, labels = _gap_of(seen)
    return over_patients(statistic, len(labels), strata=labels)


def gap_removed(inside: Sequence[Seen], outside: Sequence[Seen]) -> Interval:
    """Return the difference of two gaps in the same patients.

    Raises:
        ValueError: the patients differ.

    """
    (first, labels), (second, others) = _gap_of(inside), _gap_of(outside)
    if {view.patient for view in inside} != {view.patient for view in outside} or labels != others:
        msg = "gaps of different patients"
        raise ValueError(msg)
    return over_patients(lambda rows: first(rows) - second(rows), len(labels), strata=labels)


def _gap_of(seen: Sequence[Seen]) -> tuple[Callable[[Sequence[int]], float], list[int]]:
    """Return the gap of resampled patients as a function of their rows, and every patient's status."""
    status = {view.patient: view.n_status for view in seen}
    index = {name: number for number, name in enumerate(sorted(status))}
    folds = sorted({view.fold for view in seen})
    volumes = np.full((len(folds), 2, len(index)), np.nan)
    for view in seen:
        volumes[folds.index(view.fold), int(view.part == "test"), index[view.patient]] = view.volume
    labels = np.array([status[name] for name in index])

    def statistic(rows: Sequence[int]) -> float:
        chosen = np.asarray(rows)
        found = [
            _auc_of_known(labels[chosen], train) - _auc_of_known(labels[chosen], test)
            for train, test in volumes[:, :, chosen]
        ]
        return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")

    return statistic, labels.tolist()


def _auc_of_known(labels: AnyArray, values: DoubleArray) -> float:
    there = np.isfinite(values)
    return auc_or_nan(labels[there].tolist(), values[there].tolist())


def auc_or_nan(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Return the AUC; NaN where all labels are equal."""
    return auc(labels, scores) if len(set(labels)) == 2 else float("nan")
