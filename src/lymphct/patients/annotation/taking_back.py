"""One patient's corrections: which files a reader saved, what changed, and the masks that come of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Phase
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_ct
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.fingerprints import digest_file, fingerprint_key
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.store import is_current
from lymphct.patients.annotation.changes import (
    CONFIRMED,
    Change,
    node_changes,
    structure_changes,
    tumor_changes,
)
from lymphct.patients.annotation.exporting import (
    DICOM_NODES,
    EXPORTED,
    RECORD_FILE,
    SEGMENTATIONS,
    edited_files,
)
from lymphct.patients.annotation.masks import Masks, read_corrections, read_handed_out, read_kept, write_kept

CHANGES_FILE: Final = "changes.json"
"""What the last correction of a patient changed, beside his masks; the log has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack:
    """Where corrections are and where they go.

    Attributes:
        source: folder that was handed out.
        out: folder of the corrected cohort.
        reader: initials of who corrected.
        reviewed: patients whose lymph nodes count as seen though nothing was saved.

    """

    source: Path
    out: Path
    reader: str
    reviewed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes one patient back after the other; travels to other processes."""

    request: TakeBack

    def __call__(self, record: PatientRecord) -> dict[str, Any]:
        """Return what `changes.json` of the patient says.

        Raises:
            InputError: a correction is refused; what was taken back of the patient before stays.

        """
        return take_back_patient(record, self.request)


def is_corrected(folder: Path) -> bool:
    """Tell whether there is something to take back, or to refuse, in a patient's folder."""
    try:
        return bool(corrections(folder))
    except InputError:
        return True


def corrections(folder: Path, *, is_reviewed: bool = False) -> dict[str, Path]:
    """Return what a reader saved: column of the manifest, or name of a DICOM file → file.

    Raises:
        InputError: a segmentation under a name that was not handed out.

    """
    if not (folder / EXPORTED / RECORD_FILE).is_file():
        return {}
    edited = edited_files(folder)
    known = {*SEGMENTATIONS.values(), DICOM_NODES}
    strangers = sorted(path.name for path in folder.glob("*.seg.nrrd") if path.name not in known)
    if strangers:
        msg = f"{strangers[0]} is no name that was handed out"
        cure = f"save it as one of {', '.join(SEGMENTATIONS.values())}, or move it away"
        raise InputError(msg, code="E_SEGMENT", cure=cure)
    found = {name: folder / file for name, file in SEGMENTATIONS.items() if file in edited}
    exported = folder / EXPORTED / DICOM_NODES
    objects = [path for path in sorted(folder.glob("*.dcm")) if not _is_same(path, exported)]
    found |= {path.name: path for path in objects}
    if is_reviewed and not found:
        found["nodes"] = folder / SEGMENTATIONS["nodes"]
    return found


def _is_same(path: Path, other: Path) -> bool:
    return other.is_file() and digest_file(path) == digest_file(other)


def take_back_patient(record: PatientRecord, request: TakeBack) -> dict[str, Any]:
    """Make a patient's corrected masks, unless they are there and current; return what changed.

    Raises:
        InputError: as `Taker`.

    """
    folder = request.source / record.patient_id
    files = corrections(folder, is_reviewed=record.patient_id in request.reviewed)
    recipe = Recipe.of_files(
        {**files, "venous": record.venous, "exported": folder / EXPORTED / RECORD_FILE},
        {"patient_id": record.patient_id},
        ("patients.annotation.taking_back",),
    )
    made(
        request.out / record.patient_id,
        recipe,
        partial(_take, record=record, request=request, files=files),
    )
    told: Any = read_json(request.out / record.patient_id / CHANGES_FILE)
    return dict(told)


def _take(folder: Path, *, record: PatientRecord, request: TakeBack, files: Mapping[str, Path]) -> None:
    exported = request.source / record.patient_id / EXPORTED
    place = request.out / record.patient_id
    ct = read_ct(record.venous, phase=Phase.VENOUS)
    now, notices = read_corrections(files, ct, exported)
    history = _history(place)
    kept = read_kept(place, history.get("masks", ()), ct.volume.geometry)
    first = [name for name in now.present if name not in kept.present]
    before = kept.over(read_handed_out(exported, first, ct))
    changes: list[Change] = []
    for name in now.present:
        changed = _changed(name, before, now)
        changes += changed or ([{"mask": name, "change": CONFIRMED}] if name in first else [])
    result = now.over(kept)
    digests = write_kept(folder, result)
    handed = {name: digest_file(exported / SEGMENTATIONS[name]) for name in first}
    told: dict[str, JSON] = {
        "schema": 1,
        "patient_id": record.patient_id,
        "reader": request.reader,
        "changes": list(changes),
        "notices": list(notices),
        "masks": list(result.present),
        "blank": [] if result.tumor is None or result.tumor.array.any() else ["tumor"],
        "labelled": _labelled(result.structures),
        "sha256": dict(digests),
        "sha256_before": {**handed, **history.get("sha256", {})},
    }
    # Each revision names the one before it: the same change made twice is two lines of the log.
    chain: dict[str, JSON] = {**told, "previous": history.get("revision", "")}
    write_json(folder / CHANGES_FILE, {**told, "revision": fingerprint_key(chain)})


def _history(place: Path) -> dict[str, Any]:
    """Return what is told of a patient who was taken back before; nothing where there is none, or damage."""
    if not is_current(place, verify=True):
        return {}
    told: Any = read_json(place / CHANGES_FILE)
    return dict(told)


def _changed(name: str, before: Masks, now: Masks) -> list[Change]:
    if name == "nodes" and before.nodes is not None and now.nodes is not None:
        return node_changes(before.nodes, now.nodes)
    if name == "structures" and before.structures is not None and now.structures is not None:
        return structure_changes(before.structures, now.structures)
    if name == "tumor" and before.tumor is not None and now.tumor is not None:
        return tumor_changes(before.tumor, now.tumor)
    return []


def _labelled(structures: Volume | None) -> list[JSON]:
    present = set() if structures is None else set(np.unique(structures.array).tolist())
    return [name for name, structure in STRUCTURES_BY_NAME.items() if structure in present]
