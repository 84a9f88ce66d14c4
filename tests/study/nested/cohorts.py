"""Cohorts whose images are no images: for what is asked of a manifest alone, and for evidence made up."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lymphct.core.evidence import Evidence
from lymphct.core.leakage import NOBODY, FittedOn
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import NodeClass
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.nodes.features import FEATURES

MASKS = ("structures", "tumor", "nodes")


def cells_of(number: int) -> dict[str, object]:
    """Return clinical facts of a patient: every second N+, two sites, a report that is often right."""
    status = number % 2
    return {
        "n_status": status,
        "tumor_location": ("head/uncinate", "body/tail")[number // 2 % 2],
        "ct_reported_n": status if number % 3 else 1 - status,
        "center": "A",
    }


def write_cohort(
    folder: Path,
    patients: int = 40,
    prefix: str = "case",
    change: Callable[[int], Mapping[str, object]] = lambda _: {},
    masks: Sequence[str] = MASKS,
) -> Manifest:
    """Write a manifest and a file of a few bytes for every image; return the manifest as it is read."""
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(patients):
        name = f"{prefix}{number:03d}"
        files: dict[str, object] = {}
        for image in ("venous", *masks):
            files[image] = folder / f"{name}_{image}.nii.gz"
            (folder / f"{name}_{image}.nii.gz").write_text(f"{image} of {name}")
        rows.append({"patient_id": name, **files, **cells_of(number), **change(number)})
    write_manifest(folder / "cohort.csv", rows)
    return read_manifest(folder / "cohort.csv")


def seen(
    patient: str, n_status: int | None, volume: float = 0.0, fitted_on: FittedOn = NOBODY, reported: int = 0
) -> Evidence:
    """Return a patient with one positive lymph node of a volume, mm³; without one where it is 0."""
    nodes = (
        (Node(label=1, volume=volume, center=(0.0, 0.0, 0.0), node_class=NodeClass.POSITIVE),)
        if volume
        else ()
    )
    return Evidence(
        patient=patient,
        patches=None,
        tumor_volume=0.0,
        nodes=nodes,
        features=np.zeros((len(nodes), len(FEATURES))),
        clinical=Clinical(n_status=n_status, ct_reported_n=reported),
        fitted_on=fitted_on,
    )
