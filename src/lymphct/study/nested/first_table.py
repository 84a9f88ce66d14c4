"""Tab. I of a study: from the cells of its manifests, and the lymph nodes that were drawn."""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from lymphct.core.terms import NodeClass
from lymphct.io.manifest import PatientRecord
from lymphct.patients.dataset import StoredPatient
from lymphct.report.studies.cohort_table import PN, PT, SITES, Characteristics, cohort_table
from lymphct.report.studies.printed import PrintedTable
from lymphct.study.nested.plan import NestedPlan

_SEXES: Final = {"f": "F", "female": "F", "w": "F", "m": "M", "male": "M"}
_HEAD: Final = ("head", "uncinate")
_BODY: Final = ("body", "tail")


def first_table(
    plan: NestedPlan,
    records: Mapping[str, PatientRecord],
    prepared: Mapping[str, StoredPatient],
    notes: tuple[str, ...] = (),
) -> PrintedTable:
    """Return Tab. I of the cohorts of a study.

    Args:
        plan: of the study.
        records: lines of its manifests, by id.
        prepared: patients whose drawn lymph nodes are measured, by id; of others none is counted.
        notes: sentences that stand under it.

    """
    cohorts = {
        cohort: [characteristics(records[name], prepared.get(name)) for name in plan.ids(cohort)]
        for cohort in plan.cohorts
    }
    return cohort_table(cohorts, notes)


def characteristics(record: PatientRecord, stored: StoredPatient | None) -> Characteristics:
    """Return what Tab. I tells of a patient; a cell it cannot read counts as missing.

    >>> from pathlib import Path
    >>> cells = {"sex": "female", "pT": "T3", "pN": "pN1b", "age": "61", "tumor_location": "head/uncinate"}
    >>> found = characteristics(PatientRecord(patient_id="a", venous=Path("v"), cells=cells), None)
    >>> found.sex, found.pt, found.pn, found.age, found.site
    ('F', 'pT3', 'pN1', 61.0, 'head')
    """
    volumes = {} if stored is None else node_volumes(stored)
    return Characteristics(
        sex=_SEXES.get(record.cells.get("sex", "").strip().casefold(), ""),
        age=_number(record.cells.get("age", "")),
        pt=_stage(record.cells.get("pT", ""), PT),
        pn=_stage(record.cells.get("pN", ""), PN),
        n_status=record.n_status,
        tumor_size=_number(record.cells.get("tumor_size_cm", "")),
        site=_site(record.tumor_location),
        positive_volumes=volumes.get(NodeClass.POSITIVE, ()),
        negative_volumes=volumes.get(NodeClass.NEGATIVE, ()),
    )


def node_volumes(stored: StoredPatient) -> dict[NodeClass, tuple[float, ...]]:
    """Return the volume, mm³ on the working grid, of each drawn lymph node by its class."""
    instances = stored.view("nodes")
    if instances is None:
        return {}
    counts = np.bincount(instances.whole().array.reshape(-1))
    found: dict[NodeClass, tuple[float, ...]] = {}
    for node in stored.node_records:
        if node.node_class is not None and node.label < counts.size and counts[node.label]:
            volume = float(counts[node.label]) * stored.geometry.voxel_volume
            found[node.node_class] = (*found.get(node.node_class, ()), volume)
    return found


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _stage(cell: str, stages: tuple[str, ...]) -> str:
    """Return a stage whatever letters stand before and after it: T3, pT3, ypT3a, 3."""
    letter = stages[0][1]
    found = re.fullmatch(rf"(?:[a-z]*{letter})?(\d)[a-z]*", cell.strip(), flags=re.IGNORECASE)
    stage = f"p{letter}{found.group(1)}" if found else ""
    return stage if stage in stages else ""


def _site(location: str) -> str:
    words = location.casefold()
    is_head, is_body = (any(word in words for word in names) for names in (_HEAD, _BODY))
    head, body = SITES
    return "" if is_head == is_body else head if is_head else body
