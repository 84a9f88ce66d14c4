"""Distance bands measured where the training patients have lymph nodes (Tab. II)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lymphct.attention.bands import PAPER_BANDS, Band, Bands
from lymphct.core.leakage import Fitted
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import structure_distances


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
