"""`lymphct evaluate instances`: how many lymph nodes were found (Sec. IV-D, Tab. V)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lymphct.core.arrays import LabelArray
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import (
    InstanceMatches,
    InstanceScores,
    MatchingRule,
    instance_scores,
    match_instances,
)
from lymphct.io.jsonfile import JSON, write_json
from lymphct.nodes.components import find_components
from lymphct.workflow.evaluation import (
    MaskPair,
    Scored,
    evaluation_folder,
    finite,
    read_pair,
    score_pairs,
    write_table,
)

Components = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOrder:
    """How to match.

    Attributes:
        iou: smallest intersection over union of a match, above 0 to 1 (Sec. IV-D: 0.3).
        rule: how competing pairs are settled.
        components: `auto` splits a map of 0 and 1 into its 26-connected parts and takes any other as an
            instance map; `always` splits every map into connected parts of equal number; `never` none.

    """

    iou: float = 0.3
    rule: MatchingRule = "maximum"
    components: Components = "auto"


@dataclass(frozen=True, slots=True)
class CaseMatches:
    """One case: its matches, and the volume of one voxel, mm³."""

    matches: InstanceMatches
    voxel_volume: float


def match_case(pair: MaskPair, order: InstanceOrder) -> CaseMatches:
    """Match the instances of one case.

    Raises:
        InputError: a mask is refused; the message names the case.
        UsageError: the IoU or the rule is none.

    """
    prediction, truth = read_pair(pair)
    matches = match_instances(
        instances_of(prediction, order.components),
        instances_of(truth, order.components),
        iou=order.iou,
        rule=order.rule,
    )
    return CaseMatches(matches, truth.geometry.voxel_volume)


def instances_of(mask: Volume, components: Components) -> LabelArray:
    """Return the instance map of a mask, by the rule `InstanceOrder.components` describes."""
    is_binary = int(mask.array.max()) <= 1
    if components == "never" or (components == "auto" and not is_binary):
        return mask.array
    # Whatever the file's number type, the compiled pass is built for two.
    parts = find_components(mask.array.astype(np.uint8 if is_binary else np.int32))
    return parts.paint(np.arange(1, parts.values.size + 1))


@dataclass(frozen=True, slots=True)
class _Matcher:
    order: InstanceOrder

    def __call__(self, pair: MaskPair) -> CaseMatches:
        return match_case(pair, self.order)


def evaluate_instances(
    pairs: Sequence[MaskPair],
    order: InstanceOrder,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Match instances and write `instances.json`, `instances.csv` and `instances_pairs.csv`.

    The JSON has `pooled` (all instances of all cases together), `mean` (over the cases in which the value is
    defined) and per case counts, ratios and matches; null stands for a ratio with nothing below the line.

    Raises:
        InputError: a mask is refused; nothing is written.
        UsageError: the IoU or the rule is none.
        OutputInUseError: the folder holds something else.

    """
    with evaluation_folder(folder, pairs, asdict(order)) as (staging, record):
        cases = score_pairs(pairs, _Matcher(order), jobs=jobs, progress=progress)
        scores = instance_scores([case.result.matches for case in cases])
        record["schema"] = "lymphct-instances-1"
        record["pooled"] = _pooled(scores)
        record["mean"] = {
            "recall": finite(scores.mean_recall),
            "precision": finite(scores.mean_precision),
            "f": finite(scores.mean_f),
            "cases": scores.patients,
            "cases_with_truth": scores.patients_with_truth,
            "cases_with_prediction": scores.patients_with_prediction,
        }
        record["cases"] = {case.case: _case_record(case.result.matches) for case in cases}
        write_json(staging / "instances.json", record)
        write_table(staging / "instances.csv", _COLUMNS, _rows(cases))
        write_table(staging / "instances_pairs.csv", _PAIR_COLUMNS, _pair_rows(cases))
    return record


def _pooled(scores: InstanceScores) -> dict[str, JSON]:
    return {
        "true_positives": scores.true_positives,
        "false_positives": scores.false_positives,
        "false_negatives": scores.false_negatives,
        "recall": finite(scores.recall),
        "precision": finite(scores.precision),
        "f": finite(scores.f),
    }


def _case_record(matches: InstanceMatches) -> dict[str, JSON]:
    return {
        **_pooled(instance_scores([matches])),
        "duplicates": len(matches.duplicates),
        "matches": [
            {"prediction": pair.prediction, "truth": pair.truth, "iou": pair.iou} for pair in matches.pairs
        ],
        "missed": list(matches.missed),
        "spurious": list(matches.spurious),
    }


_NUMBERS = ("true_positives", "false_positives", "false_negatives", "duplicates", "recall", "precision", "f")
_COLUMNS = ("case", *_NUMBERS)
_PAIR_COLUMNS = ("case", "prediction", "truth", "iou", "prediction_mm3", "truth_mm3")


def _rows(cases: Sequence[Scored[CaseMatches]]) -> list[list[object]]:
    records = [(case.case, _case_record(case.result.matches)) for case in cases]
    return [[name, *(record[number] for number in _NUMBERS)] for name, record in records]


def _pair_rows(cases: Sequence[Scored[CaseMatches]]) -> list[list[object]]:
    """Return a row per instance: matched, missed (truth alone) or spurious (prediction alone)."""
    rows: list[list[object]] = []
    for case in cases:
        matches = case.result.matches
        joined: list[tuple[int | None, int | None, float | None]] = [*matches.pairs]
        joined += [(None, label, None) for label in matches.missed]
        joined += [(label, None, None) for label in matches.spurious]
        for predicted, true, iou in joined:
            sizes = (matches.prediction_voxels.get(predicted or 0), matches.truth_voxels.get(true or 0))
            volumes = [None if n is None else round(n * case.result.voxel_volume, 3) for n in sizes]
            rows.append([case.case, predicted, true, iou, *volumes])
    return rows
