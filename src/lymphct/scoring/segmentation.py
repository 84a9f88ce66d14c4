"""`lymphct evaluate segmentation`: overlap and surface distances of label maps (Tab. III, Tab. V)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import reduce
from operator import add
from pathlib import Path

from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.evaluation.segmentation import (
    SegmentationScores,
    VoxelCounts,
    label_counts,
    label_scores,
    labels_present,
    summarize,
)
from lymphct.evaluation.surfaces import SurfaceSettings
from lymphct.io.images.reading import Scheme
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.evaluation import Evaluation, MaskPair, Scored, evaluate, read_pair
from lymphct.scoring.stored import Table, finite

MOST_LABELS = 256
"""More different numbers in a file mean that it is an image, not a label map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRequest:
    """What to score.

    Attributes:
        labels: numbers to score; none scores every number that occurs in a case, in truth or prediction.
        scheme: numbering of both files as structures, which are then scored by name; None keeps numbers.
        surface: how surfaces are compared.

    """

    labels: tuple[int, ...] = ()
    scheme: Scheme | None = None
    surface: SurfaceSettings = field(default_factory=SurfaceSettings)

    def name_of(self, label: int) -> str:
        """Return the structure a label stands for, or its number."""
        return str(label) if self.scheme is None else Structure(label).label


@dataclass(frozen=True, slots=True)
class CaseScores:
    """One case: scores and voxel counts by name of the label."""

    scores: Mapping[str, SegmentationScores]
    counts: Mapping[str, VoxelCounts]


def score_case(pair: MaskPair, request: SegmentationRequest) -> CaseScores:
    """Score the labels of one case.

    Raises:
        InputError: a mask is refused; the message names the case.

    """
    prediction, truth = read_pair(pair, request.scheme)
    try:
        labels = request.labels or labels_present(prediction.array, truth.array, most=MOST_LABELS)
    except InputError as error:
        raise error.at(patient=pair.case) from None
    scores = label_scores(
        prediction.array, truth.array, labels, truth.geometry.spacing, surface=request.surface
    )
    counts = label_counts(prediction.array, truth.array, labels)
    return CaseScores(
        scores={request.name_of(label): value for label, value in scores.items()},
        counts={request.name_of(label): value for label, value in counts.items()},
    )


@dataclass(frozen=True, slots=True)
class _Scorer:
    request: SegmentationRequest

    def __call__(self, pair: MaskPair) -> CaseScores:
        return score_case(pair, self.request)


def evaluate_segmentation(
    pairs: Sequence[MaskPair],
    request: SegmentationRequest,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Score label maps and write `segmentation.json` and `segmentation.csv`; return what the JSON holds.

    The JSON has per label `mean` (mean, sd, median and counts of undefined and infinite values over the
    cases) and `pooled` (voxels of all cases together), and per case every score; null stands for a value
    that is not defined or infinite (`lymphct.evaluation.segmentation` says when).

    Raises:
        InputError: a mask is refused; nothing is written.
        OutputInUseError: the folder holds something else.

    """
    settings: dict[str, JSON] = {
        "labels": list(request.labels),
        "scheme": None if request.scheme is None else str(request.scheme),
        **request.surface.model_dump(mode="json"),
    }
    evaluation = Evaluation(
        name="segmentation",
        settings=settings,
        code="scoring.segmentation",
        score=_Scorer(request),
        record=_record,
        tables=_tables,
    )
    return evaluate(evaluation, pairs, folder, jobs=jobs, progress=progress)


def _record(cases: Sequence[Scored[CaseScores]]) -> dict[str, JSON]:
    return {
        "labels": labels_record(cases),
        "cases": {
            case.case: {name: dict(scores.record()) for name, scores in case.result.scores.items()}
            for case in cases
        },
    }


def labels_record(cases: Sequence[Scored[CaseScores]]) -> dict[str, JSON]:
    """Return each label over all cases that have it: means over the cases, and voxels pooled."""
    return {name: _label(cases, name) for name in _names(cases)}


def _names(cases: Sequence[Scored[CaseScores]]) -> list[str]:
    names = {name for case in cases for name in case.result.scores}
    return sorted(names, key=lambda name: (len(name), name) if name.isdigit() else (0, name))


def _label(cases: Sequence[Scored[CaseScores]], name: str) -> dict[str, JSON]:
    """Return one label over all cases that have it."""
    having = [case.result for case in cases if name in case.result.scores]
    pooled = reduce(add, (result.counts[name] for result in having))
    means = summarize([result.scores[name] for result in having])
    return {
        "cases": len(having),
        "mean": {
            score: {
                key: finite(value) if isinstance(value, float) else value
                for key, value in asdict(summary).items()
            }
            for score, summary in means.items()
        },
        "pooled": {
            "prediction_voxels": pooled.prediction,
            "truth_voxels": pooled.truth,
            "common_voxels": pooled.both,
            "dice": finite(pooled.dice),
            "recall": finite(pooled.recall),
            "precision": finite(pooled.precision),
        },
    }


_METRICS = tuple(column.name for column in fields(SegmentationScores))


def _tables(cases: Sequence[Scored[CaseScores]]) -> dict[str, Table]:
    return {"segmentation": labels_table(cases)}


def labels_table(cases: Sequence[Scored[CaseScores]], *, case: str = "case", label: str = "label") -> Table:
    """Return a row per case and label; `case` and `label` are the headings of the first two columns."""
    rows = [
        [case.case, name, *(scores.record()[metric] for metric in _METRICS)]
        for case in cases
        for name, scores in case.result.scores.items()
    ]
    return Table((case, label, *_METRICS), rows)
