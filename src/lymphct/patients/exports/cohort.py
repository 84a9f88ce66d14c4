"""A PACS export as a cohort: proposals first, a manifest of what is sure or named, a line for all else."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from lymphct.core.errors import InputError, LymphctError, UsageError
from lymphct.io.images.dicom.file_head import FileHead
from lymphct.io.images.limits import LookLimits
from lymphct.io.manifest import read_manifest, write_manifest
from lymphct.io.pseudonyms import Pseudonyms, require_outside
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.locks import locked
from lymphct.patients.exports.choosing import Proposal, proposed
from lymphct.patients.exports.files import damaged_folders, files_below, problems_of, read_heads
from lymphct.patients.exports.grouping import own_folders, series_of_heads
from lymphct.patients.exports.linkage import write_linkage
from lymphct.patients.exports.looking import looked_at, workers
from lymphct.patients.exports.phases import Judged
from lymphct.patients.exports.tables import (
    PROPOSALS_FILE,
    SERIES_FILE,
    Use,
    patient_of,
    read_choices,
    why_left_out,
    write_proposals,
    write_series,
)
from lymphct.patients.exports.taking import Line, Taking, taken

MANIFEST_FILE: Final = "cohort.csv"
RECORD_FILE: Final = "import.json"

Images = Literal["reference", "nifti"]
Watched = Callable[[str, int], Callable[[int], object]]
"""Called with what begins and how many there are of it; returns what is told how many are done since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user wants of an export.

    Attributes:
        out: folder of the cohort.
        key: file of the key of pseudonyms; made where none is. Never in `out`.
        accept: take the patients of whom everything is sure.
        choices: table in which the user names series; None for none.
        linkage: file that gets the way back from pseudonyms to patients; None for none. Never in `out`.
        resample: bring tilted and uneven stacks onto an even grid.
        images: leave series where they lie if nothing else lies there, or write all of them as NIfTI.

    """

    out: Path
    key: Path
    accept: bool = False
    choices: Path | None = None
    linkage: Path | None = None
    resample: bool = False
    images: Images = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedExport:
    """What became of an export.

    Attributes:
        manifest: the cohort; None when nobody was taken.
        record: content of `import.json`.
        proposals: one per patient.
        series: all series, judged.
        failures: why patients that were to be taken failed, by id.

    """

    manifest: Path | None
    record: Mapping[str, Any]
    proposals: Sequence[Proposal]
    series: Sequence[Judged]
    failures: Mapping[str, LymphctError]


def import_export(
    folder: Path,
    request: Request,
    *,
    jobs: int = 1,
    limits: LookLimits | None = None,
    watched: Watched | None = None,
) -> ImportedExport:
    """Propose the phases of every patient of an export, and write a cohort of those that are taken.

    A patient is taken who is sure, with `accept`, or whose series the user names. What can be no phase is
    listed with the reason; what cannot be read costs itself alone. Run again, it looks only at what changed.

    Args:
        folder: the export, as it is.
        request: what is wanted.
        jobs: processes side by side.
        limits: of a process that looks at one series; None for the defaults.
        watched: told of what goes on.

    Raises:
        InputError: no DICOM files, a damaged key or another than the cohort's, choices that name no series.
        UsageError: the key or the cohort would lie where it must not.
        OutputInUseError: another process writes the cohort.
        EnvironmentProblemError: no space and the like.

    """
    _require_apart(folder, request)
    pseudonyms = Pseudonyms.of_file(request.key)
    begun = watched or (lambda _what, _count: lambda _done: None)
    with locked(request.out):
        _require_same_key(request.out, pseudonyms)
        paths = files_below(folder.absolute())
        heads = read_heads(paths, pseudonyms, jobs=jobs, watched=begun("files", len(paths)))
        if all(head.tags is None for head in heads):
            msg = f"none of {len(heads)} files is a DICOM file that can be read"
            raise InputError(msg, code="E_NO_SLICES", cure="give the folder of the export").at(
                file=folder.name
            )
        series = series_of_heads(heads, pseudonyms, damaged_folders(heads))
        with workers(jobs, limits) as crew:
            told = begun("series", len(series))
            judged = looked_at(series, request.out, crew, resample=request.resample, watched=told)
            proposals = _named(_proposals(judged), judged, request.choices)
            accepted = [one for one in proposals if one.is_named or (request.accept and one.is_sure)]
            own = own_folders(heads, series) if request.images == "reference" else {}
            lines, failures = taken(
                accepted, Taking(out=request.out, own=own, resample=request.resample), crew
            )
        record = _record(heads, judged, proposals, (lines, failures), (request, pseudonyms))
        manifest = _written(request, judged, proposals, lines, record)
        if request.linkage is not None:
            write_linkage(request.linkage, judged)
    return ImportedExport(
        manifest=manifest, record=record, proposals=proposals, series=judged, failures=failures
    )


def _require_apart(folder: Path, request: Request) -> None:
    require_outside(request.key, request.out, "the key")
    if request.linkage is not None:
        require_outside(request.linkage, request.out, "the linkage file")
    if request.out.resolve().is_relative_to(folder.resolve()):
        msg = "the cohort would lie in the export, and be read as a part of it"
        raise UsageError(msg, cure="name a folder outside for --out")


def _require_same_key(out: Path, pseudonyms: Pseudonyms) -> None:
    try:
        record: Any = read_json(out / RECORD_FILE)
    except InputError:
        return
    if isinstance(record, dict) and record.get("key") not in {None, pseudonyms.hashed("key")}:
        msg = "the cohort was imported with another key: its patients would get other pseudonyms"
        raise InputError(msg, code="E_KEY", cure="name that key, or another --out").at(file=out.name)


def _proposals(series: Sequence[Judged]) -> list[Proposal]:
    by_patient: dict[str, list[Judged]] = {}
    for one in series:
        by_patient.setdefault(patient_of(one), []).append(one)
    return [proposed(name, group) for name, group in sorted(by_patient.items()) if _has_ct(group)]


def _has_ct(series: Sequence[Judged]) -> bool:
    return any(one.series.tags.is_ct_image and not one.series.tags.is_localizer for one in series)


def _named(proposals: list[Proposal], series: Sequence[Judged], path: Path | None) -> list[Proposal]:
    """Replace what is proposed by what the user names."""
    if path is None:
        return proposals
    chosen = read_choices(path)
    known = {one.series.key: one for one in series}
    unknown = sorted(set(chosen) - {one.patient_id for one in proposals})
    if unknown:
        msg = f"the patient {unknown[0][:20]!r} is none of the export"
        raise InputError(msg, code="E_CHOICES", cure=f"see {PROPOSALS_FILE}").at(file=path.name)

    def of(patient_id: str, key: str) -> Judged | None:
        if not key:
            return None
        one = known.get(key)
        if one is None or patient_of(one) != patient_id:
            msg = f"{patient_id} has no series {key[:20]!r}"
            raise InputError(msg, code="E_CHOICES", cure=f"see {SERIES_FILE}").at(file=path.name)
        if one.reason:
            msg = f"the series {key} of {patient_id} cannot be used: {one.reason}"
            raise InputError(msg, code="E_CHOICES", cure="name another").at(file=path.name)
        return one

    return [
        replace(
            one,
            venous=of(one.patient_id, chosen[one.patient_id][0]),
            arterial=of(one.patient_id, chosen[one.patient_id][1]),
            is_named=True,
        )
        if one.patient_id in chosen
        else one
        for one in proposals
    ]


def _record(
    heads: Sequence[FileHead],
    series: Sequence[Judged],
    proposals: Sequence[Proposal],
    outcome: tuple[Sequence[Line], Mapping[str, LymphctError]],
    about: tuple[Request, Pseudonyms],
) -> dict[str, JSON]:
    lines, failures = outcome
    request, pseudonyms = about
    left_out = Counter(why_left_out(one) for one in series if one.reason)
    return {
        "schema": 1,
        "key": pseudonyms.hashed("key"),
        "settings": {
            "accept": request.accept,
            "resample": request.resample,
            "images": request.images,
            "choices": request.choices is not None,
        },
        "files": {"count": len(heads), "of_no_series": dict(problems_of(heads))},
        "series": {"count": len(series), "left_out": dict(sorted(left_out.items()))},
        "patients": {
            "count": len(proposals),
            "done": [line["patient_id"] for line in lines],
            "sure": [one.patient_id for one in proposals if one.is_sure],
            "doubtful": {one.patient_id: list(one.doubts) for one in proposals if not one.is_sure},
            "failed": {name: str(error) for name, error in failures.items()},
            "excluded": {x["patient_id"]: x["exclude_reason"] for x in lines if x.get("exclude_reason")},
            "notices": {x["patient_id"]: list(x["notices"]) for x in lines if x["notices"]},
        },
    }


def _written(
    request: Request,
    series: Sequence[Judged],
    proposals: Sequence[Proposal],
    lines: Sequence[Line],
    record: Mapping[str, JSON],
) -> Path | None:
    """Write the tables; the manifest last, so that it never speaks of what is not there."""
    done = {line["patient_id"] for line in lines}
    used = {
        one.series.key: Use(column, proposal.patient_id in done, proposal.is_sure)
        for proposal in proposals
        for column, one in proposal.phases.items()
    }
    write_series(request.out / SERIES_FILE, series, used)
    write_proposals(request.out / PROPOSALS_FILE, proposals)
    write_json(request.out / RECORD_FILE, record)
    manifest = request.out / MANIFEST_FILE
    if not lines:
        return None
    older = _older_cells(manifest)
    ours = [{name: value for name, value in line.items() if name != "notices"} for line in lines]
    write_manifest(manifest, [{**older.get(line["patient_id"], {}), **line} for line in ours])
    return manifest


def _older_cells(manifest: Path) -> dict[str, dict[str, str]]:
    """Return what a manifest of an earlier run says: the columns that were filled by hand are kept."""
    if not manifest.is_file():
        return {}
    try:
        patients = read_manifest(manifest).patients
    except InputError:
        return {}
    ours = {"venous", "arterial", "image_digest", "exclude_reason"}
    return {
        patient.patient_id: {name: cell for name, cell in patient.cells.items() if name not in ours and cell}
        for patient in patients
    }
