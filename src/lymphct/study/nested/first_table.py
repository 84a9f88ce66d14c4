"""Patients as Tab. I tells of them: from the cells of its manifests, and the lymph nodes that were drawn."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from lymphct.core.terms import NodeClass
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.report.studies.cohort_table import PN, PT, SITES, Characteristics

_SEXES: Final = {"f": "F", "female": "F", "w": "F", "m": "M", "male": "M"}
_HEAD: Final = ("head", "uncinate")
_BODY: Final = ("body", "tail")


def characteristics(
    cells: Mapping[str, str],
    n_status: int | None,
    location: str,
    volumes: Mapping[str, Sequence[float]],
) -> Characteristics:
    """Return what Tab. I tells of a patient; a cell it cannot read counts as missing.

    Args:
        cells: of the manifest: `sex`, `age`, `pT`, `pN`, `tumor_size_cm`.
        n_status: 1 for N+, 0 for N-, None when unknown.
        location: of the tumor, as the manifest has it.
        volumes: mm³ of each drawn lymph node, under `positive` and `negative`.

    >>> cells = {"sex": "female", "pT": "T3", "pN": "pN1b", "age": "61"}
    >>> found = characteristics(cells, 1, "head/uncinate", {})
    >>> found.sex, found.pt, found.pn, found.age, found.site
    ('F', 'pT3', 'pN1', 61.0, 'head')
    """
    return Characteristics(
        sex=_SEXES.get(cells.get("sex", "").strip().casefold(), ""),
        age=_number(cells.get("age", "")),
        pt=_stage(cells.get("pT", ""), PT),
        pn=_stage(cells.get("pN", ""), PN),
        n_status=n_status,
        tumor_size=_number(cells.get("tumor_size_cm", "")),
        site=_site(location),
        positive_volumes=tuple(volumes.get("positive", ())),
        negative_volumes=tuple(volumes.get("negative", ())),
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
