"""Trapezia are learned from Tab. II on: planted ones are found again, whatever the order of patients."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from tests.attention.test_atlas_fitting import drawn
from tests.attention.test_sampling import slab

from lymphct.attention.bands import PAPER_BANDS, Band, Trapezium
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.sampling import Voxels
from lymphct.attention.score import attention_score, combine
from lymphct.attention.trapezia import Trapezia
from lymphct.attention.trapezia_fitting import LEAST, MOST, START, fit_trapezia, learned_trapezia
from lymphct.attention.trapezia_likelihood import Softness, cross_entropy
from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.terms import GUIDING_STRUCTURES
from lymphct.evaluation.classification import auc
from lymphct.phantom.patient import PhantomPatient

EXACT = Softness(0.0, 0.0)


def scattered(seed: int, count: int, present: int) -> DoubleArray:
    """Distances of voxels to structures, inside one at most; the last ones are absent."""
    rng = np.random.default_rng(seed)
    distances = np.full((count, len(GUIDING_STRUCTURES)), np.inf)
    distances[:, :present] = rng.uniform(1.0, 40.0, (count, present))
    inside = np.arange(count // 4)
    distances[inside, inside % present] = rng.uniform(-12.0, -1.0, len(inside))
    return distances


def attention(distances: DoubleArray, shapes: tuple[Trapezium, ...]) -> DoubleArray:
    """Eq. 1 and Eq. 2 as printed."""
    scores = {
        number: attention_score(distances[:, number - 1].astype(np.float32), Band(low, high), border=ramp)
        for number, (low, high, ramp) in enumerate(shapes, start=1)
    }
    labels = np.where((distances < 0).any(axis=1), 1 + distances.argmin(axis=1), 0)
    return combine(scores, labels).astype(np.float64)


def test_planted_trapezia_are_found_again() -> None:
    planted = (Trapezium(-4.0, 9.0, 6.0), Trapezium(-1.0, 21.0, 2.0), Trapezium(-7.0, 14.0, 4.0))
    distances = scattered(3, 6000, len(planted))
    chance = 1.0 / (1.0 + np.exp(4.0 - 5.0 * attention(distances, (*planted, *START[3:]))))
    # Every voxel is node and background in proportion, so no draw blurs what was planted.
    voxels = Voxels(
        np.concatenate([distances, distances]),
        np.arange(2 * len(distances)) < len(distances),
        np.concatenate([chance, 1.0 - chance]),
    )
    found = learned_trapezia(voxels)
    shapes = list(found.shapes.values())
    assert_allclose(shapes[:3], planted, atol=0.3)
    assert_allclose((found.outside, found.inside), (-4.0, 1.0), atol=0.1)
    # Structures that nobody has keep the bands of Tab. II and the ramp of Eq. 1.
    assert shapes[3:] == list(START[3:])


def test_learning_starts_at_table_ii() -> None:
    assert [shape[:2] for shape in START] == [PAPER_BANDS[structure] for structure in GUIDING_STRUCTURES]
    assert {shape.ramp for shape in START} == {3.0}
    distances = np.full((4, len(GUIDING_STRUCTURES)), np.inf)
    distances[:, 0] = 8.0  # on the plateau of the spleen: nothing to move a ramp for
    nothing = Voxels(distances, np.array([True, False, True, False]), np.ones(4))
    assert list(learned_trapezia(nothing).shapes.values()) == list(START)


def test_the_cross_entropy_is_that_of_the_map() -> None:
    distances, rng = scattered(5, 400, 4), np.random.default_rng(5)
    is_node, weights = rng.random(400) < 0.4, rng.uniform(0.1, 2.0, 400)
    logit = -1.5 + 3.0 * attention(distances, START)
    expected = weights @ np.logaddexp(0.0, np.where(is_node, -logit, logit))
    found, _ = cross_entropy(Voxels(distances, is_node, weights), np.array(START), (-1.5, 3.0), EXACT)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("softness", [EXACT, Softness(0.3, 0.1), Softness(1.0, 0.3)])
def test_the_gradient_is_that_of_differences(softness: Softness) -> None:
    distances, rng = scattered(6, 300, 4), np.random.default_rng(6)
    voxels = Voxels(distances, rng.random(300) < 0.4, rng.uniform(0.1, 2.0, 300))
    values = np.concatenate([(np.array(START) + rng.normal(0.0, 0.3, (10, 3))).ravel(), [-1.5, 3.0]])

    def loss(x: DoubleArray) -> float:
        return float(cross_entropy(voxels, x[:-2].reshape(-1, 3), (x[-2], x[-1]), softness)[0])

    _, gradient = cross_entropy(voxels, values[:-2].reshape(-1, 3), (-1.5, 3.0), softness)
    assert_allclose(gradient, approx_fprime(values, loss, 1e-7), atol=1e-4)


def test_they_tell_unseen_nodes_from_fat_better_than_table_ii(phantoms: list[PhantomPatient]) -> None:
    trapezia = fit_trapezia([drawn(p) for p in phantoms[:6]], "abcdef").for_unseen("ghi")
    areas: dict[str, list[float]] = {"learned": [], "paper": []}
    for patient in phantoms[6:]:
        nodes = patient.nodes.instances.array > 0
        counted = nodes | ((patient.structures.array == 0) & (patient.tumor.array == 0))
        for name, prior in (("learned", trapezia), ("paper", PAPER_BANDS)):
            values = guiding_attention(patient.structures, patient.tumor, prior).array
            areas[name].append(auc(nodes[counted], values[counted]))
    assert np.mean(areas["learned"]) > np.mean(areas["paper"]) + 0.02


def test_their_numbers_stay_in_order_and_within_limits(phantoms: list[PhantomPatient]) -> None:
    found = fit_trapezia([drawn(p) for p in phantoms[:2]], "ab").value
    for shape in found.structures.values():
        assert LEAST.d_min <= shape.d_min <= 0.0 < LEAST.d_max <= shape.d_max
        assert LEAST.ramp <= shape.ramp <= MOST.ramp
        assert shape.d_max + shape.ramp <= 36.001
        assert [round(value, 3) for value in shape] == list(shape)


def test_whoever_comes_first_they_are_the_same_and_know_on_whom(phantoms: list[PhantomPatient]) -> None:
    names = dict(zip("abc", phantoms, strict=False))
    one, other = (fit_trapezia((drawn(names[name]) for name in order), order) for order in ("abc", "cab"))
    assert one == other
    assert Trapezia.model_validate_json(one.value.model_dump_json()) == other.value
    assert one.patients == frozenset("abc")
    with pytest.raises(LeakageError, match="1 patients were used for fitting"):
        one.for_unseen(["d", "b"])


def test_nobody_with_nodes_is_nothing_to_learn_from() -> None:
    for training in ([], [slab()]):
        with pytest.raises(InputError, match="nobody has a lymph node near a guiding structure") as told:
            fit_trapezia(training, [str(n) for n in range(len(training))])
        assert told.value.code == "E_PRIOR"
