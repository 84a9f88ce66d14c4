"""Corrections as a cohort: a manifest that names the corrected masks, and a log of who changed what, when."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError, LymphctError, OutputInUseError, UsageError
from lymphct.io.labelled_structures import LABELLED_COLUMN
from lymphct.io.manifest import Manifest, PatientRecord, write_manifest
from lymphct.io.manifest_check import require_usable
from lymphct.io.results.jsonfile import JSON, append_json_line, read_json, read_json_lines
from lymphct.io.results.store import locked, read_done
from lymphct.io.source_record import origin_beside, write_origin
from lymphct.patients.annotation.masks import FILES
from lymphct.patients.annotation.taking_back import CHANGES_FILE, TakeBack, Taker, is_corrected
from lymphct.patients.one_by_one import CohortOutcome, Result, work_through, write_outcome
from lymphct.patients.predicting.prediction import images_of

MANIFEST_FILE: Final = "cohort.csv"
LOG_FILE: Final = "annotations.jsonl"
"""One line per change; the one file that tells a time."""
ANNOTATED_COLUMN: Final = "annotated"
"""Column of ours that lists the masks a reader corrected or confirmed."""

_READER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LARGEST_LOG: Final = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """What became of the corrections of a cohort.

    Attributes:
        manifest: the corrected one.
        outcome: what `changes.json` says of each patient, and why patients were refused.
        logged: lines that the log did not have, by patient.

    """

    manifest: Path
    outcome: CohortOutcome
    logged: Mapping[str, int]


def take_back(
    cohort: Manifest,
    request: TakeBack,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> TakenBack:
    """Take the corrections of all patients back into a new cohort, or go on with one that was begun.

    Patients of whom nothing was saved keep what the manifest says of them. A patient whose correction is
    refused does not stop the others, and keeps what was taken back before. The same corrections a second
    time change nothing and add nothing to the log.

    Raises:
        UsageError: no name of a reader, or an id that is not in the manifest.
        InputError: nothing was corrected.
        OutputInUseError: `out` holds another manifest, or another process writes there.

    """
    request = replace(request, out=request.out.absolute())
    _require_reader(request, cohort)
    _require_place(cohort, request)
    wanted = [record for record in cohort.patients if _is_wanted(record, request)]
    if not wanted:
        msg = f"nothing was corrected in {request.source.name}"
        cure = "save the segmentations in the viewer, or name who was seen with --reviewed"
        raise InputError(msg, code="E_NOTHING", cure=cure)
    chosen = replace(cohort, patients=tuple(wanted))
    broken: dict[str, LymphctError] = dict(require_usable(images_of(chosen)))
    with locked(request.out):
        outcome = work_through(wanted, Taker(request), broken, jobs=jobs, progress=progress)
        logged = _log(request.out, [record.patient_id for record in cohort.patients])
        manifest = request.out / MANIFEST_FILE
        if outcome.results or manifest.exists():
            _write_manifest(manifest, cohort, request.out)
        write_outcome(request.out, chosen, outcome, _told)
    return TakenBack(manifest=manifest, outcome=outcome, logged=logged)


def _require_reader(request: TakeBack, cohort: Manifest) -> None:
    if not _READER.fullmatch(request.reader):
        msg = f"the reader {request.reader[:40]!r} is no name for the log"
        raise UsageError(msg, cure="give initials: letters, digits, dots, hyphens or underscores")
    unknown = sorted(request.reviewed - {record.patient_id for record in cohort.patients})
    if unknown:
        msg = f"--reviewed names {unknown[0][:64]!r}, who is not in the manifest"
        raise UsageError(msg, cure="give ids of the manifest, separated by commas")


def _require_place(cohort: Manifest, request: TakeBack) -> None:
    """Refuse to write over a manifest that is not one of ours."""
    manifest = request.out / MANIFEST_FILE
    is_input = manifest.exists() and manifest.resolve() == cohort.path.resolve()
    if is_input or (manifest.exists() and not (request.out / LOG_FILE).exists()):
        msg = f"{request.out.name} holds {'the manifest itself' if is_input else 'another manifest'}"
        cure = "choose a folder of its own for the corrected cohort"
        raise OutputInUseError(msg, cure=cure).at(file=MANIFEST_FILE)
    if not request.source.is_dir():
        msg = "no such folder"
        raise InputError(msg, code="E_MISSING", cure="give the folder that lymphct annotate wrote").at(
            file=str(request.source)
        )


def _is_wanted(record: PatientRecord, request: TakeBack) -> bool:
    if record.is_excluded:
        return False
    return record.patient_id in request.reviewed or is_corrected(request.source / record.patient_id)


def _log(out: Path, patients: Iterable[str]) -> dict[str, int]:
    """Append what the log does not have yet of committed corrections, also of a run that was killed."""
    path = out / LOG_FILE
    known = {(line.get("revision"), line.get("part")) for line in read_log(path)}
    added: dict[str, int] = {}
    for patient in patients:
        if read_done(out / patient) is None:
            continue
        told: Any = read_json(out / patient / CHANGES_FILE)
        for part, change in enumerate(told["changes"], start=1):
            if (told["revision"], part) in known:
                continue
            mask = change["mask"]
            line: dict[str, JSON] = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "reader": told["reader"],
                "patient_id": patient,
                "revision": told["revision"],
                "part": part,
                **change,
                "sha256": told["sha256"].get(mask),
                "sha256_before": told["sha256_before"].get(mask),
            }
            append_json_line(path, line)
            added[patient] = added.get(patient, 0) + 1
    return added


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; none where there is no file.

    Raises:
        InputError: too large, or not a file.

    """
    lines = read_json_lines(path, max_bytes=_LARGEST_LOG) if path.exists() else []
    return [line for line in lines if isinstance(line, dict)]


def _write_manifest(path: Path, cohort: Manifest, out: Path) -> None:
    write_manifest(path, [_row(record, out) for record in cohort.patients])
    origin = origin_beside(cohort.path)
    if origin is not None:
        write_origin(path, origin)


def _row(record: PatientRecord, out: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        **record.cells,
        **{name: file.absolute() for name, file in record.paths.items()},
    }
    place = out / record.patient_id
    if read_done(place) is None:
        return {**row, ANNOTATED_COLUMN: record.cells.get(ANNOTATED_COLUMN, "")}
    told: Any = read_json(place / CHANGES_FILE)
    masks: Sequence[str] = told["masks"]
    row |= {name: None if name in told["blank"] else place / FILES[name] for name in masks}
    if "structures" in masks:
        row[LABELLED_COLUMN] = ";".join(told["labelled"])
    return {**row, ANNOTATED_COLUMN: ";".join(masks)}


def _told(result: Result) -> dict[str, JSON]:
    """Return what the summary says of a patient."""
    return {key: result[key] for key in ("changes", "notices", "masks")}


def counts(results: Mapping[str, Result]) -> dict[str, int]:
    """Return how many changes of each kind there are.

    >>> counts({"a": {"changes": [{"change": "class"}, {"change": "class"}]}})
    {'class': 2}
    """
    found: dict[str, int] = {}
    for result in results.values():
        for change in result["changes"]:
            found[change["change"]] = found.get(change["change"], 0) + 1
    return dict(sorted(found.items()))
