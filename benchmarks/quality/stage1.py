"""Tables of stage 1: how well nodes are found in every arm, and what the attention is worth (Sec. IV-D)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from benchmarks.quality.arms import SWEEP, UNREGISTERED
from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Aim, Cell, Table, mean_defined, over_patients

from lymphct.evaluation.detection import InstanceMatches, InstanceScores, MatchedPair, instance_scores
from lymphct.evaluation.segmentation import VoxelCounts
from lymphct.evaluation.statistics import Interval

GUIDED = ("attention, predicted", "attention, truth")
AIMS: Mapping[str, float] = {"recall": 0.87, "precision": 0.78, "F": 0.82, "voxel Dice": 0.79}
"""On unseen patients, pooled."""
COLUMNS = (
    "Arm",
    "Recall",
    "Precision",
    "F",
    "Mean recall",
    "Mean precision",
    "Mean F",
    "Voxel Dice",
    "Mean voxel Dice",
    "Patients",
    "True nodes",
)
NOTE = (
    "Instances at IoU ≥ 0.3, matched one to one. Recall, precision, F and voxel Dice are pooled over all "
    'patients; "mean" are means over patients. "predicted" and "truth" say whose structures and tumor guide '
    'the attention. "none" was trained without attention; "none + hard gate" is the same network with its '
    "probability set to 0 where the attention is 0. Each network works at the threshold and the smallest "
    "volume of its bundle, chosen on its own validation patients."
)


def arm_entries(records: Sequence[Record], arm: str) -> list[Mapping[str, Any]]:
    """Return what an arm found in each patient that has it."""
    return [record["stage1"][arm] for record in records if arm in record.get("stage1", {})]


def matches_of(entry: Mapping[str, Any]) -> InstanceMatches:
    """Rebuild the matches of one patient from its record."""
    pairs = tuple(MatchedPair(int(p), int(t), float(iou)) for p, t, iou in entry["pairs"])
    predictions, truths = dict(entry["prediction_voxels"]), dict(entry["truth_voxels"])
    return InstanceMatches(
        pairs=pairs,
        missed=tuple(label for label in truths if label not in {pair.truth for pair in pairs}),
        spurious=tuple(label for label in predictions if label not in {pair.prediction for pair in pairs}),
        duplicates=(),
        prediction_voxels=predictions,
        truth_voxels=truths,
    )


def stage1_tables(records: Sequence[Record]) -> tuple[list[Table], list[Aim]]:
    """Return one table over all patients, one over those with every arm, the comparison, and the aims."""
    tables, aims = [], []
    everyone = [record for record in records if record.get("stage1")]
    if not everyone:
        return [], []
    arms = list(dict.fromkeys(arm for record in everyone for arm in record["stage1"]))
    rows = [_row(arm, arm_entries(everyone, arm)) for arm in arms]
    tables.append(Table(title="Stage 1, lymph nodes", columns=COLUMNS, rows=tuple(rows), note=NOTE))
    for arm in GUIDED:
        if arm in arms:
            aims += _aims(arm, arm_entries(everyone, arm))
    for compared, its_aims in (
        _comparison([record for record in everyone if "none" in record["stage1"]], arms),
        _gain_of_registration([record for record in everyone if UNREGISTERED in record["stage1"]]),
    ):
        tables += compared
        aims += its_aims
    return tables, aims


def _row(arm: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Cell, ...]:
    scores = instance_scores([matches_of(entry) for entry in entries])
    dices = [_voxels([entry]).dice for entry in entries]
    return (
        arm,
        scores.recall,
        scores.precision,
        scores.f,
        scores.mean_recall,
        scores.mean_precision,
        scores.mean_f,
        _voxels(entries).dice,
        mean_defined(dices),
        scores.patients,
        scores.true_positives + scores.false_negatives,
    )


def _voxels(entries: Sequence[Mapping[str, Any]]) -> VoxelCounts:
    return sum((VoxelCounts(*entry["voxels"]) for entry in entries), VoxelCounts(0, 0, 0))


def _aims(arm: str, entries: Sequence[Mapping[str, Any]]) -> list[Aim]:
    matches, n = [matches_of(entry) for entry in entries], len(entries)
    reached = {
        "recall": over_patients(lambda rows: _scores(matches, rows).recall, n),
        "precision": over_patients(lambda rows: _scores(matches, rows).precision, n),
        "F": over_patients(lambda rows: _scores(matches, rows).f, n),
        "voxel Dice": over_patients(lambda rows: _voxels([entries[row] for row in rows]).dice, n),
    }
    return [
        Aim(name=f"stage 1 ({arm}), {name}", reached=reached[name], aim=aim) for name, aim in AIMS.items()
    ]


def _comparison(records: Sequence[Record], arms: Sequence[str]) -> tuple[list[Table], list[Aim]]:
    """Compare each guided arm with the arms without attention, on the same patients."""
    if not records:
        return [], []
    rows: list[tuple[Cell, ...]] = []
    aims = []
    for guided in (arm for arm in GUIDED if arm in arms):
        source = guided.removeprefix("attention, ")
        for other in ("none", f"none + hard gate, {source}"):
            pair = (arm_entries(records, guided), arm_entries(records, other))
            precision, recall = _differences(pair)
            threshold, at_recall = _at_equal_recall(pair)
            rows.append((f"{guided} over {other}", precision, recall, at_recall, threshold, len(records)))
            if other == "none":
                name = f"{guided} over none, "
                aims.append(Aim(name=name + "precision", reached=precision, aim=0.20))
                aims.append(Aim(name=name + "recall", reached=recall, aim=0.03, is_limit=True))
    columns = ("Comparison", "Δ precision", "Δ recall", "Δ precision at equal recall", "at", "Patients")
    note = (
        "Differences of pooled figures with 95 % intervals. For the comparison at equal recall the other "
        "arm's voxel threshold is moved, on these patients, to where its recall comes closest (column "
        "“at”); it describes the curves and chooses nothing."
    )
    return [Table(title="Attention over none", columns=columns, rows=tuple(rows), note=note)], aims


def _gain_of_registration(records: Sequence[Record]) -> tuple[list[Table], list[Aim]]:
    """Compare the cascade with itself on the same patients, their phases left where the scanner puts them."""
    if not records:
        return [], []
    pair = arm_entries(records, "attention, predicted"), arm_entries(records, UNREGISTERED)
    n = len(records)
    matches = [[matches_of(entry) for entry in entries] for entries in pair]

    def gain(name: Literal["recall", "precision", "f"]) -> Interval:
        def difference(rows: Sequence[int]) -> float:
            with_it, without = (getattr(_scores(each, rows), name) for each in matches)
            return float(with_it - without)

        return over_patients(difference, n)

    def voxel_dice(rows: Sequence[int]) -> float:
        with_it, without = (_voxels([entries[row] for row in rows]).dice for entries in pair)
        return with_it - without

    gains = {name: gain(name) for name in ("recall", "precision", "f")}
    row: tuple[Cell, ...] = ("registered over not", *gains.values(), over_patients(voxel_dice, n), n)
    columns = ("Comparison", "Δ recall", "Δ precision", "Δ F", "Δ voxel Dice", "Patients")
    note = (
        "Differences of pooled figures with 95 % intervals, the cascade on its own structures and tumor. The "
        "same networks, trained on registered phases, see the same patients with the arterial phase where "
        "the coordinates of the scanner put it."
    )
    table = Table(title="Registration over none", columns=columns, rows=(row,), note=note)
    return [table], [Aim(name="stage 1, registered over not, F", reached=gains["f"], aim=0.0)]


Pair = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]


def _differences(pair: Pair) -> tuple[Interval, Interval]:
    guided, other = ([matches_of(entry) for entry in entries] for entries in pair)

    def precision(rows: Sequence[int]) -> float:
        return _scores(guided, rows).precision - _scores(other, rows).precision

    def recall(rows: Sequence[int]) -> float:
        return _scores(guided, rows).recall - _scores(other, rows).recall

    return over_patients(precision, len(guided)), over_patients(recall, len(guided))


def _scores(matches: Sequence[InstanceMatches], rows: Sequence[int]) -> InstanceScores:
    return instance_scores([matches[row] for row in rows])


def _at_equal_recall(pair: Pair) -> tuple[float, float]:
    """Return the threshold that brings the other arm's recall closest, and Δ precision there."""
    guided = instance_scores([matches_of(entry) for entry in pair[0]])
    counts = np.array([entry["sweep"] for entry in pair[1]], dtype=float).sum(axis=0)
    tp, fp, fn = counts.T
    distance = np.abs(tp / np.maximum(tp + fn, 1.0) - guided.recall)
    if not np.isfinite(distance).all():
        return float("nan"), float("nan")
    # Of equal recalls the highest threshold: it has the fewest false positives.
    best = int(np.flatnonzero(distance == distance.min())[-1])
    found = tp[best] + fp[best]
    precision = tp[best] / found if found else float("nan")
    return SWEEP[best], float(guided.precision - precision)
