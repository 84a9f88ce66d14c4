"""By which loss a way from score to probability should be chosen: slope and error on new patients, simulated.

Cohorts of scores whose logits are the true ones times a factor, plus noise that no curve can undo, are
calibrated by `lymphct.evaluation.score_calibration`; the method of least Brier score and the one of least
logarithmic loss over the same inner folds judge new patients of the same kind.

    python benchmarks/calibration_choice.py [--cohorts 200] [--patients 164] [--new 2000] [--seed 0]
"""

import argparse
from collections import Counter

import numpy as np
from scipy.special import expit

from lymphct.core.arrays import DoubleArray
from lymphct.evaluation.calibration import calibration
from lymphct.evaluation.score_calibration import METHODS, fit_score_calibration

FACTORS = (0.5, 1.0, 2.0)
SPREAD, NOISE = 2.5, 1.0


def drawn(rng: np.random.Generator, n: int, factor: float) -> tuple[DoubleArray, DoubleArray]:
    """Return scores and truth of patients."""
    logits = rng.normal(scale=SPREAD, size=n)
    truth = (rng.random(n) < expit(logits)).astype(np.float64)
    return expit(factor * (logits + rng.normal(scale=NOISE, size=n))), truth


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--patients", type=int, default=164)
    parser.add_argument("--new", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    names = [f"p{number:04d}" for number in range(asked.patients)]
    print("| Scores | Chosen by | Slope, median (5th to 95th percentile) | Brier score | Taken |")
    print("| --- | --- | ---: | ---: | --- |")
    for factor in FACTORS:
        slopes: dict[str, list[float]] = {"Brier score": [], "logarithmic loss": []}
        errors: dict[str, list[float]] = {name: [] for name in slopes}
        taken: dict[str, Counter[str]] = {name: Counter() for name in slopes}
        for number in range(asked.cohorts):
            scores, truth = drawn(rng, asked.patients, factor)
            fitted = fit_score_calibration(scores, truth, names, seed=number).value
            new, outcome = drawn(rng, asked.new, factor)
            for by, losses in (("Brier score", fitted.brier), ("logarithmic loss", fitted.log_loss)):
                method = min(losses, key=lambda name: losses[name])
                p = METHODS[method](scores, truth, names).probability(new)
                slopes[by].append(calibration(outcome, p).slope)
                errors[by].append(float(np.mean((p - outcome) ** 2)))
                taken[by][method] += 1
        for by, values in slopes.items():
            low, middle, high = np.percentile(values, (5, 50, 95))
            of = ", ".join(f"{name} {count}" for name, count in taken[by].most_common())
            print(
                f"| logits times {factor:g} | {by} | {middle:.2f} ({low:.2f} to {high:.2f}) "
                f"| {np.mean(errors[by]):.4f} | {of} |"
            )


if __name__ == "__main__":
    main()
