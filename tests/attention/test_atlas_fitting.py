"""An atlas is fitted on training patients, whatever their order, and finds where lymph nodes lie."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from tests.attention.test_sampling import Drawn, slab

from lymphct.attention import atlas_fitting
from lymphct.attention.atlas import KNOTS, LANDMARKS, Atlas
from lymphct.attention.atlas_fitting import fit_atlas
from lymphct.attention.mapping import guided_by, guiding_attention
from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import GeometryMismatchError, InputError, LeakageError
from lymphct.core.terms import Structure
from lymphct.evaluation.classification import auc
from lymphct.phantom.patient import PhantomPatient


def drawn(patient: PhantomPatient) -> Drawn:
    return guided_by(patient.structures, patient.tumor), patient.tumor, patient.nodes.instances


@pytest.fixture(scope="module")
def atlas(phantoms: list[PhantomPatient]) -> Atlas:
    return fit_atlas([drawn(p) for p in phantoms[:6]], "abcdef").for_unseen("ghi")


@pytest.mark.slow
def test_unseen_nodes_have_more_attention_than_other_fat(
    phantoms: list[PhantomPatient], atlas: Atlas
) -> None:
    areas, shares = [], []
    for patient in phantoms[6:]:
        attention = guiding_attention(patient.structures, patient.tumor, atlas).array
        assert attention.dtype == np.float32
        assert 0.0 <= attention.min() <= attention.max() <= 1.0
        nodes = patient.nodes.instances.array > 0
        fat = (patient.structures.array == 0) & (patient.tumor.array == 0)
        areas.append(auc(nodes[nodes | fat], attention[nodes | fat]))
        shares.append(float((attention[nodes] > 0).mean()))
    assert np.mean(areas) > 0.85
    assert np.mean(shares) > 0.9


def test_of_the_nodes_it_was_fitted_on_it_leaves_dark_and_faint_what_it_may(
    phantoms: list[PhantomPatient],
) -> None:
    known = [drawn(p) for p in phantoms[:6]]
    atlas = fit_atlas(known, "abcdef", outside=0.1, faint=0.5).value
    of_nodes = []
    for guiding, tumor, nodes in known:
        values = guiding_attention(guiding, tumor, atlas).array
        labels = nodes.array
        of_nodes += [values[labels == label] for label in np.unique(labels[labels > 0])]
    dark = np.mean([(values == 0).mean() for values in of_nodes])
    faint = np.mean([(values < 1).mean() for values in of_nodes])
    assert dark == pytest.approx(0.1, abs=0.05)
    assert faint == pytest.approx(0.5, abs=0.05)


def test_whoever_comes_first_the_atlas_is_the_same(phantoms: list[PhantomPatient], atlas: Atlas) -> None:
    names = dict(zip("abcdef", phantoms, strict=False))
    order = "fbdace"
    again = fit_atlas((drawn(names[name]) for name in order), order)
    assert again.value == atlas
    assert Atlas.model_validate_json(again.value.model_dump_json()) == atlas
    assert again.patients == frozenset("abcdef")


def test_patients_it_was_fitted_on_are_refused(phantoms: list[PhantomPatient]) -> None:
    fitted = fit_atlas([drawn(p) for p in phantoms[:2]], ["a", "b"])
    assert fitted.for_unseen(["c"]) is fitted.value
    with pytest.raises(LeakageError, match="1 patients were used for fitting"):
        fitted.for_unseen(["c", "b"])


def test_landmarks_nobody_has_count_for_nothing_and_others_still_do(phantoms: list[PhantomPatient]) -> None:
    without = [
        (guiding.with_array(np.where(guiding.array == Structure.AORTA, 0, guiding.array)), None, nodes)
        for guiding, _, nodes in map(drawn, phantoms[:4])
    ]
    atlas = fit_atlas(without, "abcd").value
    for name in ("aorta", "tumor"):
        assert not any(atlas.effects[name])
        assert atlas.absent[name] == 0.0
    assert any(atlas.effects["pancreas"])


def test_the_effect_is_highest_where_the_nodes_were() -> None:
    atlas = fit_atlas([slab(slice(15, 18), slice(16, 20))] * 8, "abcdefgh").value
    effect = dict(zip(KNOTS, (*atlas.effects["spleen"], 0.0), strict=True))
    assert max(effect, key=lambda knot: effect[knot]) in {6.0, 10.0}
    assert effect[-3.0] < effect[1.0] < effect[6.0] > effect[20.0]


def test_hat_functions_are_a_half_each_between_two_knots_and_nothing_far_away() -> None:
    distances = np.full((4, len(LANDMARKS)), np.inf)
    distances[:, 0] = (2.0, -50.0, 33.0, KNOTS[-1])
    hats = atlas_fitting._hats(distances).reshape(4, len(LANDMARKS), -1)
    assert not hats[:, 1:].any()
    assert_allclose(hats[0, 0, 3:5], 0.5)
    assert hats[1, 0].tolist() == [1.0] + [0.0] * 10
    assert_allclose(hats[2, 0, -1], 0.5)
    assert not hats[3].any()


def test_newton_ends_at_the_largest_penalised_likelihood() -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(-8.0, 45.0, (300, len(LANDMARKS)))
    is_node, weights = rng.random(300) < 0.3, rng.uniform(0.1, 1.0, 300)
    penalty = atlas_fitting._penalty()

    def loss(x: DoubleArray) -> float:
        design = np.concatenate([np.ones((300, 1)), atlas_fitting._hats(distances)], axis=1)
        sign = np.where(is_node, -1.0, 1.0)
        return float((weights * np.log1p(np.exp(sign * (design @ x)))).sum() + 0.5 * x @ penalty @ x)

    found = atlas_fitting._solved(distances, is_node, weights)
    reference = minimize(loss, np.zeros(len(penalty)), method="L-BFGS-B", options={"maxiter": 5000}).fun
    assert loss(found) <= reference + 1e-6


def test_the_quantile_counts_weights() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    shares = {0.0: 1.0, 0.49: 1.0, 0.5: 2.0, 0.74: 2.0, 0.75: 3.0}
    for share, expected in shares.items():
        assert atlas_fitting._quantile(values, weights, share) == expected


def test_nobody_with_nodes_is_no_atlas() -> None:
    for training in ([], [slab()], [slab(slice(58, 60), spacing=3.0)]):
        with pytest.raises(InputError, match="nobody has a lymph node near a guiding structure") as told:
            fit_atlas(training, [str(n) for n in range(len(training))])
        assert told.value.code == "E_PRIOR"


def test_masks_on_another_grid_are_refused() -> None:
    structures, _, nodes = slab(slice(12, 20))
    other = slab(slice(12, 20), spacing=0.5)[2]
    with pytest.raises(GeometryMismatchError, match="the lymph node mask lies on another voxel grid"):
        fit_atlas([(structures, None, other)], ["a"])
    with pytest.raises(GeometryMismatchError, match="the tumor mask lies on another voxel grid"):
        fit_atlas([(structures, other, nodes)], ["a"])
