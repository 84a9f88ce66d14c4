"""Shape and density of nodes whose truth is known: ellipsoids in fat, averaged over voxels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from lymphct.core.arrays import BoolArray, DoubleArray, Vector3
from lymphct.nodes.robust_features import BLUR, ROBUST_FEATURES, robust_features

SPACING: Vector3 = (2.0, 2.0, 2.5)
FAT = -100.0
COLUMN = {name: n for n, name in enumerate(ROBUST_FEATURES)}


def ellipsoid(half: Vector3, spacing: Vector3 = SPACING) -> DoubleArray:
    """Return the share of each voxel inside, with a border of fat, by points on a fine lattice."""
    fine = 5
    shape = [2 * int(np.ceil((h + 7.0) / s)) + 1 for h, s in zip(half, spacing, strict=True)]
    axes = [
        (np.arange(n * fine) - (n * fine - 1) / 2) * s / fine for n, s in zip(shape, spacing, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = np.linalg.norm(points / np.asarray(half), axis=-1) <= 1.0
    a, b, c = shape
    share: DoubleArray = inside.reshape(a, fine, b, fine, c, fine).mean(axis=(1, 3, 5))
    return share


def seen(share: DoubleArray, hu: float) -> DoubleArray:
    return FAT + (hu - FAT) * share


def measured(share: DoubleArray, hu: float, others: BoolArray | None = None) -> dict[str, float]:
    mask = share >= 0.5
    image = seen(share, hu)
    row = robust_features(mask, np.zeros_like(mask) if others is None else others, [image, image], SPACING)
    return dict(zip(ROBUST_FEATURES, row.tolist(), strict=True))


@pytest.mark.parametrize("half", [(9.0, 6.0, 5.0), (12.0, 12.0, 12.0), (14.0, 7.0, 7.0)])
def test_axes_of_an_ellipsoid_come_back(half: Vector3) -> None:
    found = measured(ellipsoid(half), 80.0)
    ordered = sorted(half)
    assert found["flatness"] == pytest.approx(ordered[0] / ordered[2], abs=0.07)
    assert found["elongation"] == pytest.approx(ordered[1] / ordered[2], abs=0.07)
    assert np.exp(found["log_volume"]) == pytest.approx(4 / 3 * np.pi * np.prod(half), rel=0.15)


@pytest.mark.parametrize("hu", [40.0, 90.0])
def test_unmixed_density_is_nearer_to_the_truth_than_the_mean(hu: float) -> None:
    share = ellipsoid((5.0, 4.0, 4.0))
    # As a soft kernel blurs it, which is what the features undo.
    image = ndimage.gaussian_filter(seen(share, hu), [BLUR / s for s in SPACING])
    mask = share >= 0.5
    row = robust_features(mask, np.zeros_like(mask), [None, image], SPACING)
    unmixed = row[COLUMN["venous_unmixed"]]
    assert abs(unmixed - hu) < 0.5 * abs(image[mask].mean() - hu)


def test_without_arterial_phase_its_columns_alone_are_missing() -> None:
    share = ellipsoid((6.0, 5.0, 5.0))
    row = robust_features(share >= 0.5, share > 2, [None, seen(share, 80.0)], SPACING)
    is_arterial = np.array([name.startswith("arterial") for name in ROBUST_FEATURES])
    assert np.isnan(row[is_arterial]).all()
    assert np.isfinite(row[~is_arterial]).all()


def test_a_dark_core_lowers_center_and_minimum() -> None:
    share = ellipsoid((10.0, 10.0, 10.0))
    core = ellipsoid((5.0, 5.0, 5.0))
    cut = tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(share.shape, core.shape, strict=True))
    image = seen(share, 80.0)
    image[cut] -= 50.0 * core
    mask = share >= 0.5
    dark = robust_features(mask, np.zeros_like(mask), [image, image], SPACING)
    plain = measured(share, 80.0)
    for name in ("venous_center_excess", "venous_smoothed_minimum", "venous_edge_to_center"):
        assert dark[COLUMN[name]] < plain[name]


def test_a_neighbouring_node_is_not_taken_for_surroundings() -> None:
    share = ellipsoid((6.0, 5.0, 5.0))
    mask = share >= 0.5
    others = np.zeros_like(mask)
    others[:2] = True
    image = seen(share, 80.0)
    image[others] = 300.0
    row = robust_features(mask, others, [image, image], SPACING)
    assert row[COLUMN["venous_around"]] < 0.0


@pytest.mark.parametrize("voxels", [1, 2, 3])
def test_a_node_of_few_voxels_has_every_number(voxels: int) -> None:
    mask = np.zeros((7, 7, 7), dtype=np.bool_)
    mask[3, 3, 3 : 3 + voxels] = True
    image = np.random.default_rng(0).normal(50.0, 10.0, mask.shape)
    row = robust_features(mask, np.zeros_like(mask), [image, image], SPACING)
    assert np.isfinite(row).all()
    assert row[COLUMN["venous_center_excess"]] == 0.0


def test_a_node_that_fills_the_image_has_no_surroundings() -> None:
    mask = np.ones((4, 4, 4), dtype=np.bool_)
    image = np.full(mask.shape, 70.0)
    row = robust_features(mask, np.zeros_like(mask), [image, image], SPACING)
    assert np.isnan(row[COLUMN["venous_around"]])
    assert_allclose(row[COLUMN["venous_p50"]], 70.0)
    assert np.isfinite(row[COLUMN["venous_unmixed"]])
