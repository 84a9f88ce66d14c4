"""A process that examines one study: `python -m lymphct.patients.serving.child PLACE`.

It ends with the service that started it, however that ends, and holds a lock meanwhile: the next service
waits for it before it clears the place.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lymphct.config import Config
from lymphct.core.errors import InputError
from lymphct.io.manifest import read_manifest
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.locks import locked
from lymphct.patients.exports.cohort import ImportedExport, Request, import_export
from lymphct.patients.predicting.dicom_objects import DicomObjects
from lymphct.patients.predicting.prediction import PredictionRequest, predict_single
from lymphct.patients.serving.examining import (
    ANSWER_FILE,
    COHORT_FOLDER,
    EXPORT_FOLDER,
    JOB_FILE,
    RESULT_FOLDER,
    Answer,
    How,
    answer_to,
)
from lymphct.patients.serving.ledger import State
from lymphct.patients.serving.parenthood import end_with


def main() -> None:
    """Examine the study of the place that is named on the command line."""
    place = Path(sys.argv[1])
    job: Any = read_json(place / JOB_FILE)
    end_with(int(job["parent"]))
    choices = None if job["choices"] is None else Path(job["choices"])
    with locked(place):
        answer = examined(place, How(**job["how"]), choices)
        write_json(place / ANSWER_FILE, {**asdict(answer)})


def examined(place: Path, how: How, choices: Path | None = None) -> Answer:
    """Import the study in `place/export` and predict it into `place/result`; a doubt refuses it.

    Args:
        place: folder of the work.
        how: what is wanted.
        choices: table in which the user names the series; None for none.

    """
    patient = ""

    def work(_: Path) -> str:
        nonlocal patient
        found = _imported(place, how, choices)
        patient = found.proposals[0].patient_id
        _require_sure(found)
        _predict(place, how)
        return patient

    outcome = next(map_patients(work, [place]))
    if outcome.error is None:
        return Answer(state=State.DONE, patient=patient)
    return answer_to(outcome.error, patient)


def _imported(place: Path, how: How, choices: Path | None) -> ImportedExport:
    request = Request(
        out=place / COHORT_FOLDER, key=Path(how.key), accept=True, choices=choices, resample=how.resample
    )
    return import_export(place / EXPORT_FOLDER, request, jobs=how.jobs)


def _require_sure(found: ImportedExport) -> None:
    """Refuse a study in which something would have to be guessed, or whose series cannot be read."""
    if len(found.proposals) > 1:
        msg = f"the study names {len(found.proposals)} patients"
        raise InputError(msg, code="E_PATIENTS", cure="mend the ids in the PACS and send it again")
    proposal = found.proposals[0]
    for error in found.failures.values():
        raise error
    if not proposal.is_sure:
        cure = "name the series in choices.csv beside proposals.csv"
        raise InputError("; ".join(proposal.doubts), code="E_DOUBT", cure=cure)


def _predict(place: Path, how: How) -> None:
    request = PredictionRequest(
        bundle=Path(how.bundle),
        signed=how.signed,
        config=Config.model_validate_json(how.config),
        registration=how.registration,  # type: ignore[arg-type] # the command line checked it
        device=how.device,
        threads=how.threads,
        afterwards=DicomObjects() if how.dicom else None,
    )
    manifest = read_manifest(place / COHORT_FOLDER / "cohort.csv")
    predict_single(manifest.patients[0], request, place / RESULT_FOLDER)


if __name__ == "__main__":
    main()
