"""Trapezia learned where the training patients have lymph nodes, from Tab. II on (decision 0062).

Attention of Eq. 1 and Eq. 2 becomes the log-odds of a lymph node, linear between where it is 0 and where it
is 1. Bands, ramps and both log-odds are those of the least cross entropy with a weak pull towards Tab. II,
over the voxels of `attention.sampling`. The corners of trapezia and maximum are round at first and sharper
from step to step: a structure whose band reaches too far then learns so before it is the farthest.
"""

import warnings
from collections.abc import Iterable
from typing import Final

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from lymphct.attention.bands import PAPER_BANDS, Trapezium
from lymphct.attention.sampling import REACH, Voxels, sampled
from lymphct.attention.trapezia import Trapezia
from lymphct.attention.trapezia_likelihood import Softness, cross_entropy
from lymphct.core.arrays import DoubleArray
from lymphct.core.leakage import Fitted
from lymphct.core.terms import GUIDING_STRUCTURES
from lymphct.core.volume import Volume

RAMP: Final = 3.0
"""Width of the ramps that learning starts with, mm (Eq. 1)."""
START: Final = tuple(Trapezium(*PAPER_BANDS[structure], RAMP) for structure in GUIDING_STRUCTURES)
"""Trapezia that learning starts with (Tab. II)."""
START_ODDS: Final = (-2.0, 4.0)
"""Log-odds at attention 0, and their rise to 1, that it starts with. Not stated in the paper; ours."""
LEAST: Final = Trapezium(-12.0, 1.0, 1.0)
"""Least values, mm: no voxel centre is deeper in most structures; about a voxel outside. Not stated in the
paper; ours."""
MOST: Final = Trapezium(0.0, REACH - 1.0, 20.0)
"""Largest values, mm: bands begin inside or at the surface, as all of Tab. II do, and d_max and ramp together
stay within `REACH`, as nobody looked at the background beyond. Not stated in the paper; ours."""
LARGEST_ODDS: Final = 10.0
"""Log-odds at attention 0, up or down, and half their rise, are no larger. Not stated in the paper; ours."""
EXPECTED: Final = 10.0
"""Standard deviation of each number from Tab. II that is expected beforehand, mm. Not stated in the paper;
ours: weak beside a few nodes, and what nobody has keeps its band."""
STEPS: Final = (Softness(1.0, 0.3), Softness(0.3, 0.1), Softness(0.1, 0.03), Softness(0.0, 0.0))
"""How round the corners are, step by step. Not stated in the paper; ours."""
ITERATIONS: Final = 300
"""Of each step, at most."""
UNIT: Final = 3.0
"""mm that the optimiser takes for 1, which in log-odds is 1."""


def fit_trapezia(
    training: Iterable[tuple[Volume, Volume | None, Volume]], patients: Iterable[str]
) -> Fitted[Trapezia]:
    """Learn band and ramp of each structure where the lymph nodes of training patients lie.

    Args:
        training: per patient what guides, tumor and lymph nodes, as `attention.sampling.sampled` takes them.
        patients: their ids.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its structures.
        InputError: no lymph node lies near a guiding structure.

    """
    ids = tuple(patients)
    voxels = sampled(training, ids)
    # The tumor guides as pancreas, and has no band of its own.
    near = Voxels(np.ascontiguousarray(voxels.distances[:, :-1]), voxels.is_node, voxels.weights)
    return Fitted(learned_trapezia(near), frozenset(ids))


def learned_trapezia(voxels: Voxels) -> Trapezia:
    """Return the trapezia of voxels with distances to the ten guiding structures, to a thousandth."""
    shapes = np.array(START)
    ends = [np.concatenate([(shapes / UNIT).ravel(), START_ODDS])]
    ends_within = LinearConstraint(_of_ends(len(shapes)), ub=REACH / UNIT)
    bounds = [(low / UNIT, high / UNIT) for low, high in zip(LEAST, MOST, strict=True)] * len(shapes)
    bounds += [(-LARGEST_ODDS, LARGEST_ODDS), (0.0, 2.0 * LARGEST_ODDS)]
    with warnings.catch_warnings():
        # A step that ends beyond a bound by a rounding error is put back, which SciPy tells.
        warnings.filterwarnings("ignore", "Values in x were outside bounds", RuntimeWarning)
        for softness in STEPS:
            found = minimize(
                _objective,
                ends[-1],
                args=(voxels, softness),
                jac=True,
                method="SLSQP",
                bounds=bounds,
                constraints=ends_within,
                options={"maxiter": ITERATIONS, "ftol": 1e-7},
            )
            ends.append(np.clip(found.x, *np.transpose(bounds)))
    # Where a step went astray, an earlier one stands.
    best = min(ends, key=lambda values: _objective(values, voxels, STEPS[-1])[0])
    return _as_trapezia(best)


def _objective(values: DoubleArray, voxels: Voxels, softness: Softness) -> tuple[float, DoubleArray]:
    """Return what is minimised, and its gradient: cross entropy and pull towards Tab. II, per weight."""
    shapes = UNIT * values[:-2].reshape(-1, 3)
    loss, gradient = cross_entropy(voxels, shapes, (values[-2], values[-1]), softness)
    deviation = ((shapes - np.array(START)) / EXPECTED).ravel()
    gradient[:-2] = UNIT * (gradient[:-2] + deviation / EXPECTED)
    total = voxels.weights.sum()
    return float((loss + 0.5 * deviation @ deviation) / total), gradient / total


def _of_ends(structures: int) -> DoubleArray:
    """Return what the optimiser's values are multiplied with for d_max + ramp of each structure."""
    ends = np.kron(np.eye(structures), [[0.0, 1.0, 1.0]])
    return np.concatenate([ends, np.zeros((structures, 2))], axis=1)


def _as_trapezia(values: DoubleArray) -> Trapezia:
    shapes = np.round(UNIT * values[:-2].reshape(-1, 3), 3) + 0.0
    outside, rise = np.round(values[-2:], 3) + 0.0
    return Trapezia(
        structures={
            structure.label: Trapezium(*row)
            for structure, row in zip(GUIDING_STRUCTURES, shapes.tolist(), strict=True)
        },
        outside=float(outside),
        inside=round(float(outside + rise), 3),
    )
