"""How an outlook is printed, and how a command ends for what stands in its way."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from lymphct.cli.context import GLOBALS, counted, progress_bar

if TYPE_CHECKING:
    from lymphct.io.images.reading import Scheme
    from lymphct.io.manifest import Manifest
    from lymphct.patients.foresight.checking import CheckedCohort
    from lymphct.patients.foresight.outlook import Lesson, Need, Outlook, Share
    from lymphct.patients.foresight.problems import Problem

_GIGABYTE = 1e9


def checked_cohort(manifest: "Manifest", labels: "Scheme") -> "CheckedCohort":
    """Read every image of a cohort, with a bar."""
    from lymphct.patients.foresight.checking import check_cohort

    GLOBALS.go_on = lambda: "run the same command again: a check keeps nothing"
    patients = sum(not record.is_excluded for record in manifest.patients)
    with progress_bar("patients", patients) as advance:
        return check_cohort(manifest, labels=labels, jobs=GLOBALS.jobs, progress=advance)


def after_reading(outlook: "Outlook", manifest: "Manifest", labels: "Scheme") -> "Outlook":
    """Read every image and return an outlook that knows what they showed."""
    from lymphct.patients.foresight.inventory import taken_inventory

    checked = checked_cohort(manifest, labels)
    return outlook.with_images(checked, taken_inventory(manifest.patients, count_maps=True))


def end_dry_run(outlook: "Outlook", *, as_json: bool = False) -> NoReturn:
    """Print what was found out, and leave."""
    show_outlook(outlook, as_json=as_json)
    raise typer.Exit(3 if outlook.problems else 0)


def settle(outlook: "Outlook") -> None:
    """End the command if something forbids the work; return if work can begin.

    Everything that forbids it is told at once, a line each. The exit code is the smallest of theirs.

    Raises:
        LymphctError: the only problem there is.
        typer.Exit: there are several.

    """
    for notice in outlook.notices:
        typer.echo(f"WARNING {notice.text}", err=True)
    end_for(outlook.stopping)


def end_for(stopping: "Sequence[Problem]") -> None:
    """End the command if anything stops it, all of it told at once; the exit code is the smallest.

    Raises:
        LymphctError: the only problem there is.
        typer.Exit: there are several.

    """
    if len(stopping) == 1:
        raise stopping[0].error()
    for problem in stopping:
        typer.echo(f"error: {problem}", err=True)
    if stopping:
        raise typer.Exit(min(problem.exit_code for problem in stopping))


def show_outlook(outlook: "Outlook", *, as_json: bool) -> None:
    """Print an outlook: one JSON object, or lines with the problems last."""
    if as_json:
        typer.echo(json.dumps(outlook.record()))
        return
    for line in outlook_lines(outlook):
        typer.echo(line)
    for notice in outlook.notices:
        typer.echo(f"notice: {notice.text}")
    for patient in () if outlook.checked is None else outlook.checked.patients:
        for notice in patient.notices:
            typer.echo(f"notice: line {patient.line}: {patient.patient}: {notice.text}")
    for problem in outlook.problems:
        typer.echo(str(problem))
    typer.echo(
        f"{counted(len(outlook.problems), 'problem')} in {counted(outlook.inventory.patients, 'patient')}"
    )


def outlook_lines(outlook: "Outlook") -> Iterator[str]:
    """Yield what there is, what would be learned from, and what it takes."""
    there = outlook.inventory
    out = [f"{there.excluded} excluded"] if there.excluded else []
    out += [f"{there.held_out} held out for the test"] if there.held_out else []
    left = f" ({', '.join(out)})" if out else ""
    yield f"patients: {there.patients}{left}; {_status(there.n_status)}"
    yield f"phases: {_counts(there.phases)}; masks: {_counts(there.masks)}"
    uncounted = f" (and {there.uncounted} class maps, not counted)" if there.uncounted else ""
    yield f"nodes: {_counts(there.nodes)}{uncounted}"
    yield f"centers: {', '.join(f'{count} {name}' for name, count in there.centers.items())}"
    yield from map(share_line, outlook.parts)
    yield from map(lesson_line, outlook.lessons)
    jobs = "" if outlook.jobs == 1 else f" for each of {outlook.jobs} processes"
    yield f"memory: {_need(outlook.memory)}{jobs}; disk: {_need(outlook.disk)}"


def lesson_line(lesson: "Lesson") -> str:
    """Say in one line what a stage learns from, and how long: epochs and iterations."""
    classes = f" ({_counts(lesson.classes)})" if lesson.classes else ""
    guided = f"; {lesson.guided_by}" if lesson.guided_by else ""
    others = f", {lesson.harvested} are harvested, {lesson.scored} are scored" if lesson.harvested else ""
    length = f"{counted(lesson.epochs, 'epoch')} of {counted(lesson.iterations, 'iteration')}"
    return (
        f"stage {lesson.stage}: {counted(lesson.train, 'training patient')}{classes}, {lesson.validation} "
        f"for validation{others}, {length}{guided}"
    )


def share_line(share: "Share") -> str:
    """Say in one line who is in a part of the split."""
    return (
        f"part {share.name}: {counted(share.patients, 'patient')}; {_status(share.n_status)}; "
        f"{_counts(share.masks)}"
    )


def _status(counts: Mapping[str, int]) -> str:
    unknown = f", {counts['unknown']} unknown" if counts["unknown"] else ""
    return f"{counts['positive']} N+, {counts['negative']} N-{unknown}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def _need(need: "Need") -> str:
    free = "how much is free is not known" if need.free is None else f"{_bytes(need.free)} free"
    return f"{_bytes(need.needed)} needed, {free}"


def _bytes(number: int) -> str:
    is_large = number >= _GIGABYTE
    return f"{number / _GIGABYTE:.1f} GB" if is_large else f"{number / _GIGABYTE * 1000:.0f} MB"
