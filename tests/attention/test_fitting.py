"""Bands measured on training patients."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.fitting import fit_bands
from lymphct.core.errors import GeometryMismatchError, LeakageError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume

SPACING = (0.5, 2.0, 2.0)
SHAPE = (60, 3, 3)


def patient(*nodes: slice, spacing: tuple[float, float, float] = SPACING) -> tuple[Volume, Volume]:
    """A slab of spleen in voxels 0 to 9 and one of aorta in 50 to 59, nodes where told."""
    grid = Geometry(shape=SHAPE, spacing=spacing)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:10], labels[50:] = Structure.SPLEEN, Structure.AORTA
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for node in nodes:
        mask[node, 1, 1] = 1
    return Volume(array=labels, geometry=grid), Volume(array=mask, geometry=grid)


def test_a_band_reaches_from_the_nearest_to_the_farthest_node_voxel() -> None:
    # Voxels 12 to 19 are 3 to 10 steps from the spleen's last, 9. Of the aorta, which begins at 50, voxel 40
    # lies 10 steps away, and voxel 51 two steps inside.
    fitted = fit_bands([patient(slice(12, 20)), patient(slice(40, 52))], ["a", "b"])
    bands = fitted.value
    assert_allclose(bands[Structure.SPLEEN], (1.5, 5.0))
    assert_allclose(bands[Structure.AORTA], (-1.0, 5.0))
    assert bands.voxels[Structure.SPLEEN] == 8
    assert bands.voxels[Structure.AORTA] == 12


def test_percentiles_cut_off_stray_voxels() -> None:
    strict = fit_bands([patient(slice(10, 30))], ["a"]).value[Structure.SPLEEN]
    cut = fit_bands([patient(slice(10, 30))], ["a"], percentile=10.0).value[Structure.SPLEEN]
    assert_allclose(strict, (0.5, 10.0))
    assert_allclose(cut, np.percentile(np.arange(0.5, 10.5, 0.5), (10, 90)))


def test_structures_without_nodes_keep_the_band_of_the_paper_and_are_named() -> None:
    bands = fit_bands([patient(slice(12, 20))], ["a"]).value
    assert tuple(bands) == GUIDING_STRUCTURES
    assert len(bands) == 10
    assert Structure.SPLEEN not in bands.kept_from_paper
    assert len(bands.kept_from_paper) == 9
    assert all(bands[structure] == PAPER_BANDS[structure] for structure in bands.kept_from_paper)


def test_a_single_distance_is_no_evidence_for_a_band() -> None:
    bands = fit_bands([patient(slice(12, 13))], ["a"]).value
    assert bands[Structure.SPLEEN] == PAPER_BANDS[Structure.SPLEEN]
    assert bands.voxels[Structure.SPLEEN] == 1


def test_patients_without_nodes_or_structures_do_no_harm() -> None:
    structures, nodes = patient(slice(12, 20))
    nothing = structures.with_array(np.zeros(SHAPE, dtype=np.uint8))
    bands = fit_bands([(structures, nodes), (structures, nothing), (nothing, nodes)], ["a", "b", "c"]).value
    assert_allclose(bands[Structure.SPLEEN], (1.5, 5.0))
    assert bands.voxels[Structure.SPLEEN] == 8


def test_fitted_bands_refuse_the_patients_they_were_fitted_on() -> None:
    fitted = fit_bands([patient(slice(12, 20))], ["a"])
    assert fitted.for_unseen(["b"])[Structure.SPLEEN] == Band(1.5, 5.0)
    with pytest.raises(LeakageError, match="1 patients were used for fitting"):
        fitted.for_unseen(["a", "b"])


def test_a_node_mask_on_another_grid_is_refused() -> None:
    structures, _ = patient()
    _, nodes = patient(slice(12, 20), spacing=(1.0, 2.0, 2.0))
    with pytest.raises(GeometryMismatchError, match="the lymph node mask lies on another voxel grid"):
        fit_bands([(structures, nodes)], ["a"])
