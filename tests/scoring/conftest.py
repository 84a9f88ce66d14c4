"""A predicted cohort on disk, drawn and predicted by hand: what it holds is known to the voxel."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume

GRID = Geometry(shape=(20, 16, 12), spacing=(0.68, 0.7, 0.8), origin=(1.0, 2.0, 3.0))
PREDICTED = {"structures": "network", "tumor": "network", "nodes": "network"}

Box = tuple[slice, slice, slice]
LEFT: Box = (slice(1, 5), slice(1, 5), slice(1, 5))
SHIFTED: Box = (slice(2, 6), slice(1, 5), slice(1, 5))  # IoU with LEFT 3/5
RIGHT: Box = (slice(12, 15), slice(2, 5), slice(2, 5))
FAR: Box = (slice(12, 15), slice(10, 13), slice(8, 11))


@dataclass
class Patient:
    """One patient: what is true, and what was predicted; boxes by number.

    `sure` are further cells of a found node, `detection,detection_mean,node_probability`; older results have
    none.
    """

    patient_id: str
    n_status: int | None = 0
    probability: float | None = 0.2
    center: str = "A"
    drawn: dict[int, tuple[Box, str]] = field(default_factory=dict)
    found: dict[int, tuple[Box, str, float]] = field(default_factory=dict)
    sure: dict[int, str] = field(default_factory=dict)
    sources: Any = field(default_factory=lambda: dict(PREDICTED))
    notices: Sequence[str] = ()
    result: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OnDisk:
    """A cohort that was written: its manifest and its results."""

    manifest: Path
    results: Path


def standard() -> list[Patient]:
    """Two patients of each status in two centers, one node right, one missed, one spurious."""
    patients = []
    for place, (status, probability) in enumerate(((0, 0.1), (1, 0.8), (0, 0.6), (1, 0.7))):
        name = "positive" if status else "negative"
        patients.append(
            Patient(
                f"p{place}",
                n_status=status,
                probability=probability,
                center="AB"[place // 2],
                drawn={1: (LEFT, name), 2: (RIGHT, "negative")},
                found={1: (SHIFTED, name, 0.9 if status else 0.2), 2: (FAR, "positive", 0.6)},
            )
        )
    return patients


def painted(boxes: dict[int, Box]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for number, box in boxes.items():
        array[box] = number
    return array


def store(path: Path, array: Any) -> None:
    write_volume(path, Volume(array=array, geometry=GRID))


def write_truth(folder: Path, patient: Patient) -> dict[str, Any]:
    folder.mkdir(parents=True)
    structures = painted({Structure.AORTA: LEFT, Structure.LIVER: RIGHT})
    store(folder / "structures.nii.gz", structures)
    store(folder / "tumor.nii.gz", painted({1: LEFT}))
    store(folder / "nodes.nii.gz", painted({label: box for label, (box, _) in patient.drawn.items()}))
    described = {str(label): {"class": name} if name else {} for label, (_, name) in patient.drawn.items()}
    (folder / "nodes.json").write_text(json.dumps({"instances": described}))
    files = {name: f"{patient.patient_id}/{name}.nii.gz" for name in ("structures", "tumor", "nodes")}
    status = "" if patient.n_status is None else patient.n_status
    row = {"patient_id": patient.patient_id, "venous": "gone.nii.gz", "center": patient.center}
    return {**row, **files, "n_status": status, "exclude_reason": "", **patient.columns}


def write_result(folder: Path, patient: Patient) -> None:
    (folder / "seg").mkdir(parents=True)
    store(folder / "seg" / "structures.nii.gz", painted({Structure.AORTA: SHIFTED, Structure.LIVER: RIGHT}))
    store(folder / "seg" / "tumor.nii.gz", painted({1: SHIFTED}))
    instances = painted({label: box for label, (box, _, _) in patient.found.items()})
    store(folder / "seg" / "node_instances.nii.gz", instances)
    heading = ["node,class,probability"]
    lines = [f"{label},{name},{p}" for label, (_, name, p) in patient.found.items()]
    if patient.sure:
        heading = ["node,class,probability,detection,detection_mean,node_probability"]
        lines = [f"{line},{patient.sure[label]}" for line, label in zip(lines, patient.found, strict=True)]
    (folder / "nodes.csv").write_text("\n".join([*heading, *lines, ""]))
    record = {
        "schema": "lymphct-result-1",
        "patient_id": patient.patient_id,
        "sources": patient.sources,
        "probability": patient.probability,
        "threshold": None if patient.probability is None else 0.5,
        "predicted_n_status": None if patient.probability is None else int(patient.probability >= 0.5),
        "nodes_search": "searched",
        "notices": [{"code": code, "text": "", "value": None} for code in patient.notices],
        "bundle": {"name": "test", "sha256": "abc", "is_phantom": False, "notice": ""},
        **patient.result,
    }
    if patient.sources is None:
        del record["sources"]
    (folder / "result.json").write_text(json.dumps(record))


@pytest.fixture
def patients() -> list[Patient]:
    """Return four patients as `standard` describes them, to be changed before they are written."""
    return standard()


@pytest.fixture
def new_patient() -> type[Patient]:
    """Return what makes a patient: `new_patient("p7", n_status=1)`."""
    return Patient


@pytest.fixture
def write_cohort(tmp_path: Path) -> Callable[..., OnDisk]:
    """Return a function that writes patients; `unpredicted` names those without a result."""

    def write(patients: Sequence[Patient], unpredicted: Sequence[str] = ()) -> OnDisk:
        rows = [write_truth(tmp_path / "truth" / p.patient_id, p) for p in patients]
        for patient in patients:
            if patient.patient_id not in unpredicted:
                write_result(tmp_path / "results" / patient.patient_id, patient)
        (tmp_path / "results").mkdir(exist_ok=True)
        manifest = tmp_path / "truth" / "cohort.csv"
        with manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return OnDisk(manifest, tmp_path / "results")

    return write
