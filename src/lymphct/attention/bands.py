"""Distance bands: the paper's, a user's, and those measured on training patients (Tab. II)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import structure_distances


class Band(NamedTuple):
    """Signed distances from a structure between which its lymph nodes lie, mm (negative inside)."""

    d_min: float
    d_max: float


Bands = Mapping[Structure, Band]

PAPER_BANDS: Final[Bands] = {
    Structure.SPLEEN: Band(0.0, 16.0),
    Structure.ESOPHAGUS: Band(0.0, 25.0),
    Structure.STOMACH: Band(-2.0, 18.0),
    Structure.AORTA: Band(0.0, 28.0),
    Structure.PANCREAS: Band(-5.0, 20.0),
    Structure.DUODENUM: Band(-5.0, 22.0),
    Structure.SUPERIOR_MESENTERIC_ARTERY: Band(-1.0, 20.0),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: Band(-2.0, 18.0),
    Structure.LEFT_GASTRIC_ARTERY: Band(0.0, 21.0),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: Band(0.0, 20.0),
}
"""Tab. II."""


def bands_from_mapping(entries: Mapping[str, object]) -> dict[Structure, Band]:
    """Read bands as a YAML file states them: structure name → `{d_min: mm, d_max: mm}`.

    Only the structures named get a band.

    >>> bands_from_mapping({"spleen": {"d_min": 0, "d_max": 16}})
    {<Structure.SPLEEN: 1>: Band(d_min=0.0, d_max=16.0)}

    Raises:
        InputError: nothing is named, a name is not one of the ten guiding structures, a value is no finite
            number, or d_min is not below d_max.

    """
    names = {structure.label: structure for structure in GUIDING_STRUCTURES}
    if not isinstance(entries, Mapping) or not entries:
        msg = "no distance band is given"
        raise InputError(
            msg, code="E_BANDS", cure="write one line a structure: spleen: {d_min: 0, d_max: 16}"
        )
    bands: dict[Structure, Band] = {}
    for name, entry in entries.items():
        if name not in names:
            msg = f"distance band for {name!r}, which is not a structure that guides the attention"
            raise InputError(msg, code="E_BANDS", cure=f"use one of: {', '.join(names)}")
        bands[names[name]] = _band(name, entry)
    return bands


def _band(name: str, entry: object) -> Band:
    keys = {"d_min", "d_max"}
    if not isinstance(entry, Mapping) or set(entry) != keys:
        msg = f"the distance band of {name} must have exactly d_min and d_max, got {entry!r}"
        raise InputError(msg, code="E_BANDS", cure=f"write {name}: {{d_min: 0, d_max: 16}}")
    d_min, d_max = entry["d_min"], entry["d_max"]
    for value in (d_min, d_max):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            msg = f"the distance band of {name} holds {value!r}, which is no finite number of mm"
            raise InputError(msg, code="E_BANDS", cure=f"write {name}: {{d_min: 0, d_max: 16}}")
    if d_min >= d_max:
        msg = f"the distance band of {name} is empty: d_min {d_min:g} mm is not below d_max {d_max:g} mm"
        raise InputError(msg, code="E_BANDS", cure="exchange the two numbers")
    return Band(float(d_min), float(d_max))


@dataclass(frozen=True, slots=True)
class MeasuredBands(Mapping[Structure, Band]):
    """Bands of all ten structures, measured where the training patients have lymph nodes.

    Attributes:
        bands: one per guiding structure.
        voxels: how many lymph node voxels were nearest to each structure.
        kept_from_paper: structures without lymph nodes; they keep the band of Tab. II.

    """

    bands: Bands
    voxels: Mapping[Structure, int]
    kept_from_paper: tuple[Structure, ...]

    def __getitem__(self, structure: Structure) -> Band:
        return self.bands[structure]

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.bands)

    def __len__(self) -> int:
        return len(self.bands)


def fit_bands(
    training: Iterable[tuple[Volume, Volume]], patients: Iterable[str], *, percentile: float = 0.0
) -> Fitted[MeasuredBands]:
    """Measure how far from their nearest structure the lymph nodes of training patients lie (Tab. II).

    Every lymph node voxel belongs to the guiding structure with the smallest signed distance; the band of a
    structure reaches from the smallest to the largest distance of its voxels, or between the percentiles
    `percentile` and 100 - `percentile`. A structure whose voxels do not show two different distances keeps
    the band of Tab. II and is listed in `kept_from_paper`.

    Args:
        training: per patient the label map and the lymph node mask (non-zero = node) on its grid.
        patients: their ids.
        percentile: percent cut off at both ends.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its structures.

    """
    found: dict[Structure, list[float]] = {structure: [] for structure in GUIDING_STRUCTURES}
    for structures, node_mask in training:
        node_mask.require_same_grid(structures, name="lymph node mask", reference="structures")
        positions = structures.geometry.world(np.argwhere(node_mask.array != 0))
        distances = structure_distances(structures, positions)
        closest = distances.argmin(axis=1)
        for column, structure in enumerate(GUIDING_STRUCTURES):
            of_structure = distances[closest == column, column]
            found[structure].extend(of_structure[np.isfinite(of_structure)].tolist())
    bands = dict(PAPER_BANDS)
    kept: list[Structure] = []
    for structure, values in found.items():
        if len(set(values)) < 2:
            kept.append(structure)
            continue
        low, high = np.percentile(values, (percentile, 100.0 - percentile))
        bands[structure] = Band(float(low), float(high))
    voxels = Counter({structure: len(values) for structure, values in found.items()})
    return Fitted(MeasuredBands(bands, voxels, tuple(kept)), frozenset(patients))
