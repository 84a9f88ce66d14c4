"""`lymphct evaluate instances`: how many lymph nodes were found (Sec. IV-D, Tab. V)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from lymphct.core.arrays import LabelArray
from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.evaluation.classification import auc
from lymphct.evaluation.detection import (
    InstanceMatches,
    InstanceScores,
    MatchingRule,
    instance_scores,
    match_instances,
)
from lymphct.evaluation.froc import Candidates, froc_candidates
from lymphct.imaging.components import find_components
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.detection_curve import curve_record, curve_table
from lymphct.scoring.evaluation import Evaluation, MaskPair, Scored, evaluate, read_pair
from lymphct.scoring.status import RESAMPLES
from lymphct.scoring.stored import Table, finite

Components = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRequest:
    """How to match.

    Attributes:
        iou: smallest intersection over union of a match, above 0 to 1 (Sec. IV-D: 0.3).
        rule: how competing pairs are settled.
        components: `auto` splits a map of 0 and 1 into its 26-connected parts and takes any other as an
            instance map; `always` splits every map into connected parts of equal number; `never` none.
        confidence: the predictions are detection maps: each 26-connected part is a candidate, and its voxels
            hold its confidence. Adds the FROC curve, average precision and the AUC of whole cases.
        ignore_duplicates: a second prediction of a node that has its match is no false positive.
        seed: of the resamples.
        resamples: of the cases, for the intervals of what is read from the FROC curve.

    """

    iou: float = 0.3
    rule: MatchingRule = "maximum"
    components: Components = "auto"
    confidence: bool = False
    ignore_duplicates: bool = False
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class CaseMatches:
    """One case: its matches, the volume of one voxel, mm³, and the confidence of each candidate if known."""

    matches: InstanceMatches
    voxel_volume: float
    confidences: Mapping[int, float] | None = None


def match_case(pair: MaskPair, request: InstanceRequest) -> CaseMatches:
    """Match the instances of one case.

    Raises:
        InputError: a mask is refused; the message names the case.
        UsageError: the IoU or the rule is none.

    """
    prediction, truth = read_pair(pair, is_confidence=request.confidence)
    confidences = None
    if request.confidence:
        try:
            found, confidences = candidates_of(prediction)
        except InputError as error:
            raise error.at(patient=pair.case, file=pair.prediction.name) from None
    else:
        found = instances_of(prediction, request.components)
    true = instances_of(truth, request.components)
    matches = match_instances(found, true, iou=request.iou, rule=request.rule)
    if request.ignore_duplicates:
        spurious = tuple(label for label in matches.spurious if label not in matches.duplicates)
        matches = replace(matches, spurious=spurious)
    return CaseMatches(matches, truth.geometry.voxel_volume, confidences)


def instances_of(mask: Volume, components: Components) -> LabelArray:
    """Return the instance map of a mask, by the rule `InstanceRequest.components` describes."""
    is_binary = int(mask.array.max()) <= 1
    if components == "never" or (components == "auto" and not is_binary):
        return mask.array
    parts = find_components(mask.array.astype(np.uint8, copy=False) if is_binary else mask.array)
    return parts.paint(np.arange(1, parts.values.size + 1))


def candidates_of(detection: Volume) -> tuple[LabelArray, dict[int, float]]:
    """Return the candidates of a detection map as instances, and the confidence of each.

    Raises:
        InputError: a 26-connected part holds more than one confidence.

    """
    parts = find_components(detection.array > 0)
    instances = parts.paint(np.arange(1, parts.values.size + 1))
    confidences: dict[int, float] = {}
    for part in range(parts.values.size):
        box = parts.box(part)
        values = detection.array[box][instances[box] == part + 1]
        if values.min() != values.max():
            msg = (
                f"a connected part holds confidences from {values.min():g} to {values.max():g}: "
                f"probabilities of voxels?"
            )
            cure = "write one confidence into all voxels of a candidate, and none between candidates"
            raise InputError(msg, code="E_SCORES", cure=cure)
        confidences[part + 1] = float(values[0])
    return (instances, confidences)


@dataclass(frozen=True, slots=True)
class _Matcher:
    request: InstanceRequest

    def __call__(self, pair: MaskPair) -> CaseMatches:
        return match_case(pair, self.request)

    def candidates(self, cases: Sequence[Scored[CaseMatches]]) -> Candidates | None:
        """Return the candidates of the FROC curve; None without confidences or without true nodes."""
        matches = [case.result.matches for case in cases]
        if not self.request.confidence or not any(match.truth_voxels for match in matches):
            return None
        scores = [case.result.confidences or {} for case in cases]
        return froc_candidates(matches, scores, ignore_duplicates=self.request.ignore_duplicates)

    def record(self, cases: Sequence[Scored[CaseMatches]]) -> dict[str, JSON]:
        """Return what the JSON says."""
        record = instances_record([case.result.matches for case in cases])
        if self.request.confidence:
            curve = curve_record(self.candidates(cases), self.request.seed, self.request.resamples)
            record["confidence"] = {**curve, "case_auc": _case_auc(cases)}
        return {**record, "cases": {case.case: _case_record(case.result) for case in cases}}

    def tables(self, cases: Sequence[Scored[CaseMatches]]) -> dict[str, Table]:
        """Return a line per case, a line per instance, and the FROC curve if there is one."""
        tables = {
            "instances": Table(_COLUMNS, _rows(cases)),
            "instances_pairs": Table(_PAIR_COLUMNS, _pair_rows(cases)),
        }
        candidates = self.candidates(cases)
        if candidates is not None:
            tables["instances_froc"] = curve_table(candidates)
        return tables


def evaluate_instances(
    pairs: Sequence[MaskPair],
    request: InstanceRequest,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Match instances and write `instances.json`, `instances.csv` and `instances_pairs.csv`.

    The JSON has `pooled` (all instances of all cases together), `mean` (over the cases in which the value is
    defined) and per case counts, ratios and matches; null stands for a ratio with nothing below the line.
    With confidences also `confidence` (average precision, sensitivity at a number of false positives per
    case, both with intervals over resampled cases, AUC of the largest confidence of a case) and
    `instances_froc.csv`.

    Raises:
        InputError: a mask is refused; nothing is written.
        UsageError: the IoU or the rule is none, or there are no resamples.
        OutputInUseError: the folder holds something else.

    """
    matcher = _Matcher(request)
    evaluation = Evaluation(
        name="instances",
        settings=asdict(request),
        code="scoring.instances",
        score=matcher,
        record=matcher.record,
        tables=matcher.tables,
    )
    return evaluate(evaluation, pairs, folder, jobs=jobs, progress=progress)


def instances_record(matches: Sequence[InstanceMatches]) -> dict[str, JSON]:
    """Return counts and ratios of all cases together (`pooled`) and over the cases (`mean`).

    Raises:
        InputError: no case.

    """
    scores = instance_scores(matches)
    return {
        "pooled": _pooled(scores),
        "mean": {
            "recall": finite(scores.mean_recall),
            "precision": finite(scores.mean_precision),
            "f": finite(scores.mean_f),
            "cases": scores.patients,
            "cases_with_truth": scores.patients_with_truth,
            "cases_with_prediction": scores.patients_with_prediction,
        },
    }


def _pooled(scores: InstanceScores) -> dict[str, JSON]:
    return {
        "true_positives": scores.true_positives,
        "false_positives": scores.false_positives,
        "false_negatives": scores.false_negatives,
        "recall": finite(scores.recall),
        "precision": finite(scores.precision),
        "f": finite(scores.f),
    }


def _case_auc(cases: Sequence[Scored[CaseMatches]]) -> float | None:
    """Return the AUC of the largest confidence of a case for whether it has any true node."""
    has_nodes = [int(bool(case.result.matches.truth_voxels)) for case in cases]
    largest = [max((case.result.confidences or {}).values(), default=0.0) for case in cases]
    return finite(auc(has_nodes, largest))


def _case_record(case: CaseMatches) -> dict[str, JSON]:
    matches = case.matches
    record: dict[str, JSON] = {
        **_pooled(instance_scores([matches])),
        "duplicates": len(matches.duplicates),
        "matches": [
            {"prediction": pair.prediction, "truth": pair.truth, "iou": pair.iou} for pair in matches.pairs
        ],
        "missed": list(matches.missed),
        "spurious": list(matches.spurious),
    }
    if case.confidences is not None:
        record["confidences"] = {str(label): value for label, value in case.confidences.items()}
    return record


_NUMBERS = ("true_positives", "false_positives", "false_negatives", "duplicates", "recall", "precision", "f")
_COLUMNS = ("case", *_NUMBERS)
_PAIR_COLUMNS = ("case", "outcome", "prediction", "truth", "iou", "prediction_mm3", "truth_mm3", "confidence")


def _rows(cases: Sequence[Scored[CaseMatches]]) -> list[list[object]]:
    records = [(case.case, _case_record(case.result)) for case in cases]
    return [[name, *(record[number] for number in _NUMBERS)] for name, record in records]


def _pair_rows(cases: Sequence[Scored[CaseMatches]]) -> list[list[object]]:
    """Return a row per instance: matched, missed (truth alone), spurious or duplicate (prediction alone)."""
    rows: list[list[object]] = []
    for case in cases:
        matches = case.result.matches
        joined: list[tuple[str, int | None, int | None, float | None]] = []
        joined += [("matched", *pair) for pair in matches.pairs]
        joined += [("missed", None, label, None) for label in matches.missed]
        alone = sorted({*matches.spurious, *matches.duplicates})
        joined += [
            ("duplicate" if label in matches.duplicates else "spurious", label, None, None) for label in alone
        ]
        for outcome, predicted, true, iou in joined:
            sizes = (matches.prediction_voxels.get(predicted or 0), matches.truth_voxels.get(true or 0))
            volumes = [None if n is None else round(n * case.result.voxel_volume, 3) for n in sizes]
            confidence = (case.result.confidences or {}).get(predicted or 0)
            rows.append([case.case, outcome, predicted, true, iou, *volumes, confidence])
    return rows
