"""What `prepare` and `predict` would do and what stands in their way, before anything is computed."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.partial_examination import networks_needed
from lymphct.core.errors import InputError, LymphctError, ModelError
from lymphct.core.patient import Notice
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.memory import available_memory
from lymphct.io.models.bundle_reading import about_file, read_bundle, read_part
from lymphct.io.results.usable import require_usable, require_usable_result
from lymphct.learning.devices import chosen_device
from lymphct.patients.foresight.checking import column_notices
from lymphct.patients.foresight.inventory import taken_inventory
from lymphct.patients.foresight.outlook import Need, Outlook
from lymphct.patients.foresight.problems import Problem, by_line, found_by, of_manifest
from lymphct.patients.foresight.space import require_room, room_to_predict, room_to_prepare
from lymphct.patients.predicting.prediction import PredictionRequest
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, preparation_of
from lymphct.patients.prepared.memory import worker_memory
from lymphct.patients.prepared.preparation import Preparation


def foresee_preparation(manifest: Manifest, request: PreparationRequest, *, jobs: int = 1) -> Outlook:
    """Return what preparing a cohort takes and what forbids it; nothing is made, no image is read."""
    records = taking_part(manifest)
    info, problems = None, list(found_by(lambda: require_usable(request.out)))
    if request.bundle is not None:
        info, refused = looked_at(request.bundle, request.device)
        problems += refused
        if info is not None:
            problems += _unserved(records, partial(_lacks_to_draw, info=info))
    preparation = preparation_of(request, info)
    disk = room_to_prepare(records, preparation, request.out)
    problems += found_by(lambda: require_room(disk, request.out))
    memory = memory_need(records, preparation, with_networks=request.bundle is not None)
    return Outlook(
        purpose="prepare",
        inventory=taken_inventory(manifest.patients),
        jobs=jobs,
        memory=memory,
        disk=disk,
        notices=(*column_notices(manifest), *weak_memory(memory, jobs)),
        problems=by_line([*problems, *of_manifest(manifest)]),
    )


def foresee_prediction(
    manifest: Manifest, request: PredictionRequest, out: Path, *, single: bool = False, jobs: int = 1
) -> Outlook:
    """Return what predicting takes and what forbids it; nothing is made, no image is read, no network runs.

    Args:
        manifest: of the cohort, or of the one patient.
        request: how to predict.
        out: folder of the results.
        single: `out` is the folder of the one patient, not one that holds a folder per patient.
        jobs: processes side by side.

    """
    records = taking_part(manifest)
    problems = list(found_by(lambda: require_usable(out)))
    for record in records if not problems else ():
        place = out if single else out / record.patient_id
        problems += found_by(lambda place=place: require_usable_result(place))  # type: ignore[misc] # bound now
    info, refused = looked_at(request.bundle, request.device)
    problems += refused
    if info is not None:
        problems += _unserved(records, partial(_lacks_to_predict, info=info, request=request))
    if request.afterwards is not None:
        problems += _unserved(records, request.afterwards.refusal)
    disk = room_to_predict(records, out)
    problems += found_by(lambda: require_room(disk, out))
    how = PreparationRequest(out=out, config=request.config, registration=request.registration)
    preparation = preparation_of(how, info)
    memory = memory_need(records, preparation, with_networks=True)
    return Outlook(
        purpose="predict",
        inventory=taken_inventory(manifest.patients),
        jobs=jobs,
        memory=memory,
        disk=disk,
        notices=(*column_notices(manifest), *weak_memory(memory, jobs)),
        problems=by_line([*problems, *of_manifest(manifest, all_stop=single)]),
    )


def taking_part(manifest: Manifest) -> list[PatientRecord]:
    """Return the patients who are not excluded."""
    return [record for record in manifest.patients if not record.is_excluded]


def memory_need(
    records: Sequence[PatientRecord], preparation: Preparation, *, with_networks: bool = False
) -> Need:
    """Return what one worker takes for the largest patient, and what is free."""
    needed = worker_memory(records, preparation, with_networks=with_networks)
    return Need(needed=needed, free=available_memory())


def looked_at(bundle: Path, device: str) -> tuple[BundleInfo | None, list[Problem]]:
    """Return the description of a bundle whose files are whole, and what is wrong with it or the device."""
    problems = found_by(lambda: chosen_device(device))
    try:
        found = read_bundle(bundle)
        for part in found.info.parts.values():
            with about_file(part.file):
                read_part(bundle, part)
    except LymphctError as error:
        return None, [*problems, Problem.of(error)]
    return found.info, problems


def _unserved(
    records: Sequence[PatientRecord], lacking: Callable[[PatientRecord], LymphctError | None]
) -> list[Problem]:
    """Return who cannot be served: one line where it is everybody, for the same reason."""
    refused = [(record, error) for record in records if (error := lacking(record)) is not None]
    causes = Counter(error.cause for _, error in refused)
    if len(refused) == len(records) and len(causes) == 1:
        return [Problem.of(refused[0][1])]
    return [
        Problem.of(error.at(patient=record.patient_id), record.line, stops=False) for record, error in refused
    ]


def _lacks_to_draw(record: PatientRecord, info: BundleInfo) -> LymphctError | None:
    if record.structures is None and StageName.STRUCTURES not in info.parts:
        return _no_part(StageName.STRUCTURES, "structures")
    return _no_phase(record, info) if record.structures is None or record.tumor is None else None


def _lacks_to_predict(
    record: PatientRecord, info: BundleInfo, request: PredictionRequest
) -> LymphctError | None:
    needed = networks_needed(
        request.brought(record), fill_structures=request.fill_structures, last=request.only
    )
    for stage in needed:
        if stage not in info.parts:
            return _no_part(stage, stage.value if stage is not StageName.IDENTIFICATION else "nodes")
    return _no_phase(record, info)


def _no_part(stage: StageName, column: str) -> LymphctError:
    msg = f"the bundle has no {stage} network and {column} are not given"
    return ModelError(msg, code="E_PART", cure=f"give {column}, or use a bundle with all stages")


def _no_phase(record: PatientRecord, info: BundleInfo) -> LymphctError | None:
    if record.arterial is not None or not info.needs_arterial:
        return None
    msg = "the arterial phase is missing and the bundle was trained with both phases"
    return InputError(msg, code="E_ARTERIAL", cure="give arterial, or a bundle trained with phase dropout")


def weak_memory(memory: Need, jobs: int) -> tuple[Notice, ...]:
    """Return a notice where memory may not suffice for the processes asked for."""
    if memory.free is None or memory.needed * jobs <= memory.free:
        return ()
    fitting = max(1, memory.free // memory.needed)
    text = f"memory suffices for {fitting} of {jobs} processes" if jobs > 1 else "memory may not suffice"
    return (Notice(code="memory", text=text, value=memory.free),)
