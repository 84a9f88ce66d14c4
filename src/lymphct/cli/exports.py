"""What `lymphct import` says of a PACS export: proposals, doubts with reasons, what was left out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lymphct.cli.context import GLOBALS, counted, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from lymphct.patients.exports.choosing import Proposal
    from lymphct.patients.exports.cohort import ImportedExport, Request
    from lymphct.patients.exports.phases import Judged

_SHOWN = 40


def import_pacs(folder: Path, request: "Request", *, as_json: bool) -> None:
    """Import an export and tell what became of it.

    Raises:
        CohortPartlyFailedError: somebody was to be taken and is not in the manifest.

    """
    from lymphct.core.errors import CohortPartlyFailedError
    from lymphct.patients.exports.cohort import RECORD_FILE, import_export

    GLOBALS.go_on = lambda: "run the same command again: series that were looked at are kept"
    with ExitStack() as bars:

        def watched(what: str, count: int) -> "Callable[[int], object]":
            done = bars.enter_context(progress_bar(what, count))
            return lambda _number: done("") if what == "series" else None

        found = import_export(folder, request, jobs=GLOBALS.jobs, watched=watched)
    if as_json:
        typer.echo(json.dumps(found.record, sort_keys=True))
    else:
        for line in told(found, request):
            typer.echo(line)
    missing = len(found.failures)
    if request.accept:
        missing += sum(not one.is_sure for one in found.proposals)
    if missing:
        verb = "is" if missing == 1 else "are"
        msg = f"{missing} of {counted(len(found.proposals), 'patient')} {verb} not in the manifest"
        raise CohortPartlyFailedError(msg, cure=f"see {RECORD_FILE}; name series with --choices")


def told(found: "ImportedExport", request: "Request") -> Iterator[str]:
    """Yield what a user should read: numbers, a table of doubts, what was left out, how to go on."""
    from lymphct.patients.exports.tables import PROPOSALS_FILE, SERIES_FILE

    patients, series, files = (found.record[name] for name in ("patients", "series", "files"))
    yield (
        f"{counted(files['count'], 'file')}, {series['count']} series, "
        f"{counted(patients['count'], 'patient')}: {len(patients['sure'])} sure, "
        f"{len(patients['doubtful'])} doubtful"
    )
    for problem, count in files["of_no_series"].items():
        yield f"  {counted(count, 'file')} in no series: {problem}"
    for reason, count in series["left_out"].items():
        yield f"  {count} series left out: {reason}"
    doubtful = [one for one in found.proposals if not one.is_sure]
    for one in doubtful[:_SHOWN]:
        yield from doubt_lines(one, found.series)
    if len(doubtful) > _SHOWN:
        yield f"and {len(doubtful) - _SHOWN} more doubtful patients: see {PROPOSALS_FILE}"
    for error in found.failures.values():
        yield f"failed: {error}"
    yield f"every series and its fate: {request.out / SERIES_FILE}"
    if found.manifest is not None:
        yield f"{counted(len(patients['done']), 'patient')} taken: {found.manifest}"
    else:
        yield "nobody was taken" + ("" if request.accept else ": --accept takes the sure ones")
    if doubtful:
        yield (
            f"to decide: fill venous and arterial in a copy of {request.out / PROPOSALS_FILE}, then "
            "--choices COPY"
        )


def doubt_lines(proposal: "Proposal", series: "Sequence[Judged]") -> Iterator[str]:
    """Yield the reasons of a doubt and a table of the patient's series that come into question."""
    from lymphct.patients.exports.tables import patient_of

    yield f"{proposal.patient_id}: doubtful"
    for doubt in proposal.doubts:
        yield f"  - {doubt}"
    rows = [one for one in series if patient_of(one) == proposal.patient_id and one.look is not None]
    if rows:
        yield "  series      slices    mm  aorta  liver kidney  proposed  description"
    for one in rows:
        contrast, look = one.contrast, one.look or {}
        measured = (contrast.aorta, contrast.liver, contrast.kidney)
        shown = " ".join(f"{'-' if value is None else f'{value:.0f}':>6}" for value in measured)
        use = next((column for column, chosen in proposal.phases.items() if chosen is one), "")
        yield (
            f"  {one.series.key:11} {look['shape'][2]:>6} {look['spacing'][2]:>5.2f} {shown}  {use:8}  "
            f"{one.series.tags.description}"
        )
