"""Masks of any tool against truth: pairs of files in, metrics as JSON and CSV out (Sec. IV-C, Sec. IV-D)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from lymphct.core.errors import InputError, LymphctError, UsageError
from lymphct.core.orientation import reordered_like
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.label_names import LabelNames, dataset_file, label_names, same_name
from lymphct.io.images.labels import numbers_present, read_labels
from lymphct.io.images.masks import read_numbered
from lymphct.io.images.reading import Scheme
from lymphct.io.images.single_file import image_stem, read_single_file
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.scoring.stored import Measured, Table, stored

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Case(Protocol):
    """Something that is scored by itself and has a name."""

    @property
    def case(self) -> str:
        """Its name."""


AnyCase = TypeVar("AnyCase", bound=Case)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPair:
    """A predicted and a true mask of one case.

    Attributes:
        case: file name without suffix.
        prediction: NIfTI file.
        truth: NIfTI file.

    """

    case: str
    prediction: Path
    truth: Path


def pair_files(prediction: Path, truth: Path) -> tuple[MaskPair, ...]:
    """Pair two NIfTI files, or the NIfTI files of equal name in two folders, in the order of the names.

    Raises:
        InputError: something is missing, or a file has no partner; the message lists them.
        UsageError: a file and a folder.

    """
    for role, path in (("prediction", prediction), ("truth", truth)):
        if not path.exists():
            msg = f"{role}: no such file or folder"
            raise InputError(msg, code="E_MISSING", cure="check the path").at(file=path.name)
    if prediction.is_dir() != truth.is_dir():
        msg = "prediction and truth must be two files or two folders"
        raise UsageError(msg, cure="give two files or two folders")
    if not prediction.is_dir():
        return (MaskPair(case=_case(truth), prediction=prediction, truth=truth),)
    predicted, true = _masks(prediction), _masks(truth)
    alone = [f"{name} (no prediction)" for name in true if name not in predicted]
    alone += [f"{name} (no truth)" for name in predicted if name not in true]
    if alone:
        shown = ", ".join(sorted(alone)[:20]) + (" …" if len(alone) > 20 else "")
        msg = f"{len(alone)} masks have no partner of equal name: {shown}"
        raise InputError(msg, code="E_PAIRS", cure="give both folders the same file names")
    if not true:
        msg = "the folders hold no NIfTI files"
        raise InputError(msg, code="E_PAIRS", cure="give folders of .nii.gz files").at(file=truth.name)
    return tuple(MaskPair(case=case, prediction=predicted[case], truth=true[case]) for case in sorted(true))


def _masks(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or image_stem(path.name) is None:
            continue
        if _case(path) in found:
            msg = f"{path.name} and {found[_case(path)].name} have one name"
            raise InputError(msg, code="E_PAIRS", cure="keep one").at(file=folder.name)
        found[_case(path)] = path
    return found


def _case(path: Path) -> str:
    return image_stem(path.name) or path.name


def read_pair(
    pair: MaskPair, scheme: Scheme | None = None, *, is_confidence: bool = False
) -> tuple[Volume, Volume]:
    """Read the predicted and the true mask of a case, the prediction in the axis order of the truth.

    Args:
        pair: the files; only the safety limits apply.
        scheme: numbering of both as structures; None keeps their numbers.
        is_confidence: the prediction holds confidences from 0 on instead of labels.

    Raises:
        InputError: a damaged file, values that are not whole numbers from 0 on or that the scheme does not
            know, names in the files that contradict it or one another, confidences that are negative or not
            finite, or another voxel lattice; the message names the case and the file.

    """
    try:
        if scheme is not None:
            truth, prediction = (read_labels(path, scheme=scheme) for path in (pair.truth, pair.prediction))
        elif is_confidence:
            truth = read_numbered(pair.truth, None, name="truth").volume
            prediction = _confidences(pair.prediction)
        else:
            truth, prediction = _numbered(pair)
        try:
            same = reordered_like(prediction, truth.geometry, name="prediction", reference_name="truth")
        except InputError as error:
            raise error.at(file=pair.prediction.name) from None
    except LymphctError as error:
        raise error.at(patient=pair.case) from error.__cause__
    return (same, truth)


def _numbered(pair: MaskPair) -> tuple[Volume, Volume]:
    """Read two masks by their numbers; what both files name must be the same."""
    truth = read_numbered(pair.truth, None, name="truth")
    prediction = read_numbered(pair.prediction, None, name="prediction")
    try:
        _require_same_names(prediction, label_names(prediction, pair.prediction), truth, pair.truth)
    except InputError as error:
        raise error.at(file=error.file or pair.prediction.name) from error.__cause__
    return truth.volume, prediction.volume


def _require_same_names(prediction: ReadImage, names: LabelNames, truth: ReadImage, path: Path) -> None:
    others = label_names(truth, path) if names else LabelNames()
    for number in sorted(set(names.names) & set(others.names)):
        said, meant = names.structure(number), others.structure(number)
        if (said is None and meant is None) or same_name(names.names[number], others.names[number]):
            continue
        if number not in {*numbers_present(prediction.volume), *numbers_present(truth.volume)}:
            continue
        one, other = ("something else" if s is None else f"the {s.title}" for s in (said, meant))
        msg = f"by the names in both files number {number} is {one} in the prediction, {other} in the truth"
        cure = "say --labels auto to score organs by their names"
        raise InputError(msg, code="E_LABELS", cure=cure)


def _confidences(path: Path) -> Volume:
    image = read_single_file(path)
    for notice in image.notices:
        logger.warning("%s: %s", path.name, notice.text)
    low, high = float(image.volume.array.min()), float(image.volume.array.max())
    if not (low >= 0 and np.isfinite(high)):
        msg = f"the prediction holds confidences from {low:g} to {high:g}"
        raise InputError(msg, code="E_SCORES", cure="give finite values from 0 on").at(file=path.name)
    return image.volume


@dataclass(frozen=True, slots=True)
class Scored(Generic[Result]):
    """What was measured in one case."""

    case: str
    result: Result


def score_pairs(
    pairs: Sequence[AnyCase],
    score: Callable[[AnyCase], Result],
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> list[Scored[Result]]:
    """Score every pair (or other case); all must succeed, since a mean over some of them would mislead.

    Raises:
        LymphctError: the error of the first case that failed, with the number of the others.

    """
    scored, failures = [], []
    for outcome in map_patients(score, pairs, jobs=jobs):
        if outcome.error is not None:
            failures.append(outcome.error)
        else:
            scored.append(Scored(outcome.item.case, outcome.result()))
        if progress is not None:
            progress(outcome.item.case)
    if failures:
        first = failures[0]
        if len(failures) > 1:
            first.cause += f" (and {len(failures) - 1} more cases failed)"
        raise first
    return scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Generic[Result]):
    """One kind of evaluation: how a case is scored, and what is written about all of them.

    Attributes:
        name: of the JSON file, without suffix; its schema is `lymphct-<name>-1`.
        settings: written into the record, so that it says how it was made.
        code: the module that scores (`lymphct.io.results.made.Recipe`).
        score: measures one case; it travels to worker processes.
        record: what the JSON says about all cases.
        tables: name without suffix → CSV file.

    """

    name: str
    settings: Mapping[str, JSON]
    code: str
    score: Callable[[MaskPair], Result]
    record: Callable[[Sequence[Scored[Result]]], dict[str, JSON]]
    tables: Callable[[Sequence[Scored[Result]]], Mapping[str, Table]]


def evaluate(
    evaluation: Evaluation[Result],
    pairs: Sequence[MaskPair],
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Score all pairs, write the JSON and the tables into `folder`, return what the JSON holds.

    The JSON says what it was made from: settings, version of the code, digests of the masks. An evaluation of
    the same that is there already is kept. A place that cannot be written costs no work.

    Raises:
        LymphctError: a case is refused; nothing is written.
        OutputInUseError: the folder holds something else than an older evaluation.
        EnvironmentProblemError: no space, no permission and the like.

    """
    files = {f"{role}/{pair.case}": path for pair in pairs for role, path in _with_names(pair)}
    recipe = Recipe.of_files(files, dict(evaluation.settings), code=(evaluation.code,))

    def work() -> Measured:
        cases = score_pairs(pairs, evaluation.score, jobs=jobs, progress=progress)
        return Measured(record=evaluation.record(cases), tables=evaluation.tables(cases))

    return stored(folder, evaluation.name, recipe, work)


def _with_names(pair: MaskPair) -> list[tuple[str, Path]]:
    """Return the files of a pair by role, with those beside them that name their numbers."""
    files = [("prediction", pair.prediction), ("truth", pair.truth)]
    named = [(f"{role}-names", dataset_file(path)) for role, path in files]
    return files + [(role, path) for role, path in named if path is not None]
