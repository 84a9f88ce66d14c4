"""How well the networks of a harvest find tumors that somebody drew and nothing learned from (Sec. IV-B)."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.evaluation.segmentation import SegmentationScores, segmentation_scores
from lymphct.io.images.reading import read_volume
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.patients.harvest.arterial_phase import MASK_FILE
from lymphct.patients.harvest.steps import Finding
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.study.harvest_table import MEASURES, score_rows
from lymphct.study.in_turn import in_turn

logger = logging.getLogger(__name__)

SCORES_FILE: Final = "scores.json"
TABLE_FILE: Final = "scores.csv"


def scored_networks(
    findings: Mapping[str, tuple[Finding, Sequence[str]]], folder: Path, *, jobs: int = 1
) -> dict[str, JSON]:
    """Score networks on patients they never saw, on the prepared venous phase; write scores and a table.

    Args:
        findings: name of a network → how it finds tumors, and in whom.
        folder: receives `scores.json` and, patient by patient, `scores.csv`.
        jobs: processes side by side.

    Returns:
        Network → measure → median, quartiles, number of patients. Dice counts everybody, as 0 where nothing
        is found; the distances count those in whom something is.

    """
    rows: list[dict[str, Any]] = []
    told: dict[str, JSON] = {}
    for name, (finding, ids) in findings.items():
        places = in_turn(finding.place, ids, jobs, f"tumors as {name} finds them")
        scores = {patient: drawn_score(places[patient], finding.patients[patient]) for patient in ids}
        rows += [
            {"patient_id": patient, "network": name, **{m: getattr(score, m) for m in MEASURES}}
            for patient, score in scores.items()
        ]
        told[name] = summary(list(scores.values()))
    write_json(folder / SCORES_FILE, told)
    replace_file(folder / TABLE_FILE, _csv(rows))
    return told


def drawn_score(place: Path, patient: StoredPatient) -> SegmentationScores:
    """Compare a mask with the drawn one where somebody looked."""
    drawn, found = patient.tumor, read_volume(place / MASK_FILE)
    if drawn is None:
        msg = "nobody drew the tumor"
        raise InputError(msg, code="E_NO_LABELS", cure="draw it, or keep another patient for the scores").at(
            patient=patient.patient_id
        )
    prediction = found.array > 0
    if patient.unjudged is not None:
        prediction = prediction & ~unjudged_in(patient.unjudged.array, StageName.TUMOR)
    return segmentation_scores(prediction, drawn.array > 0, drawn.geometry.spacing)


def summary(scores: Sequence[SegmentationScores]) -> dict[str, JSON]:
    """Return median, quartiles and number of patients of each measure."""
    told: dict[str, JSON] = {"patients": len(scores), "found": sum(bool(np.isfinite(s.hd)) for s in scores)}
    for measure in MEASURES:
        values = np.array([getattr(score, measure) for score in scores], dtype=np.float64)
        values = values[np.isfinite(values)]
        low, median, high = np.percentile(values, (25, 50, 75)) if len(values) else (None, None, None)
        told[measure] = {
            "median": _number(median), "q1": _number(low), "q3": _number(high), "patients": len(values)
        }  # fmt: skip
    return told


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ("patient_id", "network", *MEASURES), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        blank = {name: "" for name in MEASURES if not np.isfinite(row[name])}
        writer.writerow({**row, **blank})
    return text.getvalue().encode("utf-8")


def tell_scores(told: Mapping[str, Any]) -> None:
    """Say in a line of the log what each network reached."""
    for name, patients, found, *cells in score_rows(told):
        words = ", ".join(f"{MEASURES[m]} {cell}" for m, cell in zip(MEASURES, cells, strict=True))
        logger.info("%s: found in %s of %s patients nothing learned from; median (quartiles): %s",
                    name, found, patients, words)  # fmt: skip
