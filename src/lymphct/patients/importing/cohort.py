"""A data set as a cohort: manifest, masks, licence, and a list of everything that did not fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import EnvironmentProblemError, InputError, LymphctError, OutputInUseError
from lymphct.core.origin import licence_lines
from lymphct.core.terms import counted
from lymphct.io.manifest import read_manifest, write_manifest
from lymphct.io.manifests import IMAGE_DIGEST
from lymphct.io.processes import map_patients
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.store import locked
from lymphct.io.source_record import write_origin
from lymphct.patients.importing.layout import Layout
from lymphct.patients.importing.matching import FoundPatient, Matched, match_files
from lymphct.patients.importing.patient import Import, Importer
from lymphct.patients.importing.table import read_patient_table

MANIFEST_FILE: Final = "cohort.csv"
RECORD_FILE: Final = "import.json"
SOURCES_FILE: Final = "SOURCES.md"
LISTED: Final = 1000
"""Names of files that are listed in full; of more their number is told."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a data set.

    Attributes:
        manifest: the cohort.
        record: content of `import.json`.
        failures: why patients failed, by id.

    """

    manifest: Path
    record: Mapping[str, Any]
    failures: Mapping[str, LymphctError]


def import_cohort(
    folder: Path,
    request: Import,
    *,
    beside: Sequence[Path] = (),
    jobs: int = 1,
    watched: Callable[[int], Callable[[str], None]] | None = None,
) -> Imported:
    """Write a cohort out of a data set's folder; images stay where they are.

    Patients that were imported before, from the same files by the same layout, are kept. A patient whose
    files are refused is listed and does not stop the others.

    Args:
        folder: in which the data set was unpacked.
        request: where the cohort goes, and the layout.
        beside: manifests of cohorts used together with it: whoever has a CT of theirs is excluded.
        jobs: patients side by side.
        watched: called with the number of patients that were found; returns what is called with the id of
            each who is done or failed.

    Raises:
        InputError: no CT lies where the layout says, every patient fails, or a table or a manifest of
            `beside` is refused.
        OutputInUseError: another process writes the cohort.
        EnvironmentProblemError: no space and the like.

    """
    layout = request.layout
    taken = _digests(beside)
    matched = match_files(folder.absolute(), layout)
    cells, notices = ({}, []) if layout.table is None else read_patient_table(folder, layout.table)
    progress = None if watched is None else watched(len(matched.patients))
    with locked(request.out):
        lines, failures = _imported(matched.patients, request, jobs, progress)
        if not lines:
            first = next(iter(failures.values()))
            msg = f"all of {counted(len(failures), 'patient')} failed; the first: {first}"
            raise InputError(msg, code="E_COHORT", cure="check that the layout is that of the data set")
        for line in lines:
            said = cells.get(line["patient_id"], {})
            line |= {column: value for column, value in said.items() if value and not line.get(column)}
        _exclude(lines, layout, taken)
        record = _record(matched, lines, failures, (layout, notices))
        manifest = request.out / MANIFEST_FILE
        write_manifest(manifest, [{k: v for k, v in line.items() if k != "notices"} for line in lines])
        write_origin(manifest, layout.origin)
        replace_file(request.out / SOURCES_FILE, _sources(layout, record).encode())
        write_json(request.out / RECORD_FILE, record)
    return Imported(manifest=manifest, record=record, failures=failures)


def _digests(manifests: Sequence[Path]) -> dict[str, str]:
    """Return the CT of other cohorts: digest → whose it is."""
    taken: dict[str, str] = {}
    for path in manifests:
        manifest = read_manifest(path)
        if IMAGE_DIGEST not in manifest.columns:
            msg = f"the manifest has no column {IMAGE_DIGEST}, by which the same CT is known"
            raise InputError(msg, code="E_MANIFEST", cure="name a cohort that was imported").at(
                file=path.name
            )
        for patient in manifest.patients:
            if not patient.is_excluded and patient.cells[IMAGE_DIGEST]:
                whose = f"{patient.patient_id} of {patient.cells.get('dataset') or path.parent.name}"
                taken[patient.cells[IMAGE_DIGEST]] = whose
    return taken


def _imported(
    patients: Sequence[FoundPatient],
    request: Import,
    jobs: int,
    progress: Callable[[str], None] | None,
) -> tuple[list[Line], dict[str, LymphctError]]:
    lines, failures = [], {}
    for outcome in map_patients(Importer(request), patients, jobs=jobs):
        if isinstance(outcome.error, EnvironmentProblemError | OutputInUseError):
            raise outcome.error  # no fault of the patient: the next fails, too
        name = outcome.item.patient_id
        if outcome.value is None:
            failures[name] = outcome.error or LymphctError("no result")
        else:
            lines.append(outcome.value)
        if progress is not None:
            progress(name)
    return lines, failures


def _exclude(lines: Sequence[Line], layout: Layout, taken: Mapping[str, str]) -> None:
    """Say of whom the cohort holds twice, or another cohort holds, why he is left out."""
    seen, people = dict(taken), dict[str, str]()
    for line in lines:
        name, digest = line["patient_id"], line[IMAGE_DIGEST]
        person = name.rpartition(layout.person)[0] if layout.person else ""
        if digest in seen:
            line["exclude_reason"] = f"the same CT as {seen[digest]}"
        elif person and person in people:
            line["exclude_reason"] = f"another study of the person of {people[person]}"
        else:
            seen[digest] = name
            people[person] = name


def _record(
    matched: Matched,
    lines: Sequence[Line],
    failures: Mapping[str, LymphctError],
    about: tuple[Layout, Sequence[str]],
) -> dict[str, JSON]:
    layout, notices = about
    told: list[JSON] = list(notices)
    if layout.patients is not None and layout.patients != len(matched.patients):
        told.append(f"{len(matched.patients)} patients were found, the data set has {layout.patients}")
    missing: dict[str, list[str]] = {}
    for patient in matched.patients:
        for what in patient.missing:
            missing.setdefault(what, []).append(patient.patient_id)
    return {
        "schema": 1,
        "dataset": layout.name,
        "done": len(lines),
        "failed": {name: str(error) for name, error in failures.items()},
        "excluded": {x["patient_id"]: x["exclude_reason"] for x in lines if x.get("exclude_reason")},
        "missing": {what: list(ids) for what, ids in sorted(missing.items())},
        "unmatched": {"count": len(matched.unmatched), "files": list(matched.unmatched[:LISTED])},
        "without_image": list(matched.without_image),
        "names_without_files": dict(matched.unseen_names),
        "notices": told,
        "patients": {x["patient_id"]: list(x["notices"]) for x in lines if x["notices"]},
    }


def _sources(layout: Layout, record: Mapping[str, Any]) -> str:
    done, excluded = record["done"], len(record["excluded"])
    lines = [
        f"# {layout.title}",
        "",
        (
            f"{counted(done, 'patient')} of this cohort, {excluded} of them excluded, come from the data set "
            "below. Images lie where they were unpacked; masks were renumbered. The licence binds whoever "
            "uses them, and whoever uses what was trained on them."
        ),
        "",
        *licence_lines([layout.origin]),
        "",
        *(f"- {note}" for note in layout.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"
