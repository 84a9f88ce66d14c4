"""The series of a patient as the cohort holds them: where they lie, or written once as NIfTI."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import EnvironmentProblemError, InputError, LymphctError, OutputInUseError
from lymphct.io.images.dicom.series_worker import SeriesWorker
from lymphct.io.manifests import IMAGE_DIGEST
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.patients.exports.choosing import Proposal
from lymphct.patients.exports.looking import CODE, Workers
from lymphct.patients.exports.phases import Judged

IMAGES_FOLDER: Final = "images"
IMAGE_FILE: Final = "ct.nii.gz"
RECORD_FILE: Final = "series.json"

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """How series come into a cohort.

    Attributes:
        out: folder of the cohort.
        own: folders that hold one series alone, by its key: these may stay where they are.
        resample: accept tilted and uneven stacks.

    """

    out: Path
    own: Mapping[str, Path]
    resample: bool = False


def taken(
    proposals: list[Proposal], taking: Taking, crew: tuple[Workers, ThreadPoolExecutor]
) -> tuple[list[Line], dict[str, LymphctError]]:
    """Read every series of some patients as a whole; return their lines of the manifest, and who failed.

    Raises:
        EnvironmentProblemError: the machine refuses: the next patient would fail, too.
        OutputInUseError: another process writes there.

    """
    lent, pool = crew

    def take(proposal: Proposal) -> Line | LymphctError:
        try:
            with lent.one() as worker:
                return _line(proposal, taking, worker)
        except (EnvironmentProblemError, OutputInUseError):
            raise
        except LymphctError as error:
            return error.at(patient=proposal.patient_id)

    lines: list[Line] = []
    failures: dict[str, LymphctError] = {}
    for proposal, found in zip(proposals, pool.map(take, proposals), strict=True):
        if isinstance(found, LymphctError):
            failures[proposal.patient_id] = found
        else:
            lines.append(found)
    _exclude_copies(lines)
    return lines, failures


def _line(proposal: Proposal, taking: Taking, worker: SeriesWorker) -> Line:
    line: Line = {"patient_id": proposal.patient_id, "arterial": None}
    notices: list[str] = []
    digests: dict[str, str] = {}
    for column, series in proposal.phases.items():
        line[column], record = _image(proposal.patient_id, column, series, (taking, worker))
        notices += [f"{column}: {text}" for text in record["notices"]]
        digests[column] = record["image_digest"]
    if len(set(digests.values())) < len(digests):
        msg = "arterial and venous series hold the same image"
        raise InputError(msg, code="E_SAME_FILE", cure="name another series")
    return {**line, IMAGE_DIGEST: digests["venous"], "notices": notices}


def _image(
    patient_id: str, column: str, series: Judged, how: tuple[Taking, SeriesWorker]
) -> tuple[Path, Mapping[str, Any]]:
    """Return where a series is to be read, and what was noticed; it is read as a whole for that."""
    taking, worker = how
    one = series.series
    own = taking.own.get(one.key)
    is_resampled = series.look is not None and bool(series.look["is_resampled"])
    folder = None if is_resampled else own
    place = taking.out / IMAGES_FOLDER / patient_id / column
    recipe = Recipe(
        inputs={"series": one.stamp},
        settings={"is_written": folder is None, "is_resampled": is_resampled},
        code=(CODE,),
    )
    make = partial(_make, series=series, worker=worker, is_written=folder is None)
    made(place, recipe, make)
    record: Any = read_json(place / RECORD_FILE)
    return (place / IMAGE_FILE if folder is None else folder), record


def _make(place: Path, *, series: Judged, worker: SeriesWorker, is_written: bool) -> None:
    resample = series.look is not None and bool(series.look["is_resampled"])
    target = place / IMAGE_FILE if is_written else None
    one = series.series
    record = worker.take(one.files, to=target, stack=one.tags.stack, resample=resample)
    write_json(place / RECORD_FILE, {**record, "series": one.key})


def _exclude_copies(lines: list[Line]) -> None:
    """Say of a CT that two patients have whose it is first: they would be in two parts of a split."""
    seen: dict[str, str] = {}
    for line in lines:
        first = seen.setdefault(line[IMAGE_DIGEST], line["patient_id"])
        if first != line["patient_id"]:
            line["exclude_reason"] = f"the same CT as {first}"
