"""A tumor network from few drawn masks and those that a network draws in everybody else (Sec. IV-B).

Every step lies in `few/` of the run and is made once: arterial phases as acquired, a teacher of them, what it
draws, the teacher tuned on it, what that draws, the same on the venous phase, the network, its scores
(decision 0041).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lymphct.anatomy.harvest import surest
from lymphct.core.errors import InputError
from lymphct.core.terms import counted
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.patients.harvest.arterial_phase import drawn_pancreas
from lymphct.patients.harvest.steps import Finding, Warping
from lymphct.patients.prepared.dataset import prepared_cohort
from lymphct.patients.prepared.memory import affordable_jobs, worker_memory
from lymphct.patients.prepared.whole_cohort import whole_cohort
from lymphct.study.bundling import add_part, parts_in
from lymphct.study.few import chosen_cast, scored_records
from lymphct.study.guiding import tell_tumors
from lymphct.study.harvest_lessons import (
    LESSON,
    STAGE,
    HarvestWork,
    arterial_lesson,
    last_lesson,
    trained_network,
)
from lymphct.study.harvest_scores import scored_networks, tell_scores
from lymphct.study.harvest_table import FINAL, TEACHER, TUNED, at_pancreas
from lymphct.study.in_turn import in_turn
from lymphct.study.plan import Run
from lymphct.study.progress import Progress
from lymphct.study.request import FEW, HARVEST, TrainingRequest

logger = logging.getLogger(__name__)

RECORD_FILE: Final = "record.json"
CHOICE_FILE: Final = "teach.json"
"""Whose masks of a step teach."""


def harvest_tumors(run: Run, request: TrainingRequest, progress: Progress | None = None) -> None:
    """Train the tumor network of a run from few drawn masks, and add it to the bundle.

    Args:
        run: prepared, with its bundle laid.
        request: with the patients who are kept for the scores.
        progress: called after every epoch.

    Raises:
        InputError: an image cannot be read, nobody can be harvested, or nothing was found in anybody.
        UsageError: a training was begun and is not resumed, or its labels are others now.

    """
    if STAGE in read_bundle(run.bundle).info.parts:
        logger.info("%s: already in the bundle", STAGE)
        return
    work = _begun(run, request, progress)
    teacher = trained_network(work, arterial_lesson(work, TEACHER, {}))
    first = _harvest(work, "pseudo-1", teacher)
    tuned = trained_network(work, arterial_lesson(work, TUNED, first, start=teacher))
    second = _harvest(work, "pseudo-2", tuned)
    warping = Warping(folder=work.folder / "warped", drawing=work.drawing("pseudo-2", tuned))
    warped = in_turn(warping.place, list(second), request.jobs, "few: masks on the venous phase")
    final = trained_network(work, last_lesson(work, FINAL, warped))
    scores = _scores(work, {TEACHER: teacher, TUNED: tuned, FINAL: final})
    record = _record(work, {"pseudo-1": first, "pseudo-2": second}, scores)
    write_json(work.folder / RECORD_FILE, record)
    part = parts_in(read_bundle(final), (STAGE,))[STAGE]
    kept = {name: value for name, value in part.extra.items() if name != LESSON}
    add_part(run, replace(part, extra={**kept, HARVEST: record}))
    tell_tumors(run, device=request.device)


def _begun(run: Run, request: TrainingRequest, progress: Progress | None) -> HarvestWork:
    """Settle who does what, say so, and prepare those who are scored."""
    cast = chosen_cast(request, run.plan.roles(STAGE))
    scored = scored_records(request)
    if request.jobs > 1:
        memory = worker_memory(request.records, request.preparation, with_networks=True)
        request = replace(request, jobs=affordable_jobs(request.jobs, memory))
    if scored:
        whole_cohort(scored, request.preparation, jobs=request.jobs)
    records = [r for r in request.records if r.patient_id in run.plan.patients or r in scored]
    logger.info(
        "few: %s with a drawn tumor teach, %d are harvested, %d choose, %d are scored",
        counted(len(cast.few), "patient"), len(cast.harvested), len(cast.judges), len(cast.scored),
    )  # fmt: skip
    if cast.left_out:
        told = counted(len(cast.left_out), "training patient")
        logger.warning("few: %s without a drawn tumor and without arterial phase teach nothing", told)
    if not cast.scored:
        logger.warning("few: no drawn tumor is kept from the training: nothing will be scored")
    patients = prepared_cohort(request.preparation, records)
    return HarvestWork(run=run, request=request, cast=cast, patients=patients, progress=progress)


def _harvest(work: HarvestWork, name: str, bundle: Path) -> dict[str, Path]:
    """Let a network draw everybody who is harvested; return the folders of the masks that may teach."""
    drawing = work.drawing(name, bundle)
    places = in_turn(drawing.place, work.cast.harvested, work.request.jobs, f"few: the masks of {name}")
    told = {patient: drawing.record(patient) for patient in places}
    plausible = {patient: found["confidence"] for patient, found in told.items() if not found["refused"]}
    if not plausible:
        first = next(iter(places))
        msg = (
            f"none of {counted(len(places), 'mask')} of {FEW}/{name} may teach: "
            f"for example {first}: {told[first]['refused']}"
        )
        cure = "train longer (tumor.training), draw more, or move the limits of tumor_harvest"
        raise InputError(msg, code="E_NO_LABELS", cure=cure)
    kept = surest(plausible, work.run.plan.config.tumor_harvest.surest_share)
    logger.info(
        "few: of %d masks of %s %d can be, and the %d surest teach",
        len(places), name, len(plausible), len(kept),
    )  # fmt: skip
    write_json(drawing.folder / CHOICE_FILE, {"teach": list(kept)})
    return {patient: places[patient] for patient in kept}


def _scores(work: HarvestWork, networks: Mapping[str, Path]) -> dict[str, JSON]:
    """Score the three networks on whoever nothing learned from, also at the pancreas where it is drawn."""
    cast = work.cast
    if not cast.scored:
        return {}
    findings: dict[str, tuple[Finding, Sequence[str]]] = {}
    outlined = [name for name in cast.scored if drawn_pancreas(work.patients[name]) is not None]
    for name, bundle in networks.items():
        is_arterial = name != FINAL
        finding = Finding(
            folder=work.folder / "found" / name,
            bundle=bundle,
            patients=work.patients,
            phases=work.phases if is_arterial else None,
            device=work.request.device,
        )
        seen = read_bundle(bundle).info.fitted_on_anybody
        for patient in cast.scored:
            seen.require_unseen(patient)
        ids = cast.seen(cast.scored) if is_arterial else cast.scored
        if ids:
            findings[name] = finding, ids
        if known := [patient for patient in ids if patient in outlined]:
            folder = work.folder / "found" / at_pancreas(name)
            findings[at_pancreas(name)] = replace(finding, folder=folder, at_pancreas=True), known
    told = scored_networks(findings, work.folder, jobs=work.request.jobs)
    tell_scores(told)
    return told


def _record(
    work: HarvestWork, masks: Mapping[str, Mapping[str, Path]], scores: Mapping[str, JSON]
) -> dict[str, JSON]:
    """Return what the bundle says of the steps; no id of a patient."""
    cast = work.cast
    patients: dict[str, JSON] = {
        "few": len(cast.few),
        "harvested": len(cast.harvested),
        "judges": len(cast.judges),
        "scored": len(cast.scored),
        "without_arterial": len(cast.left_out),
    }
    return {
        "patients": patients,
        "settings": work.run.plan.config.tumor_harvest.model_dump(mode="json"),
        "taught_by": {name: len(places) for name, places in masks.items()},
        "scores": dict(scores),
    }
