"""How often the intervals of a cross-validated AUC hold the truth, in simulated studies (decision 0046).

python -m benchmarks.interval_coverage [--studies 1000] [--seed 1]

Five stratified folds; patients are normal in each feature, the first of which tells the classes apart. The
truth is the mean over the folds of what each model is worth on anybody.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc

FOLDS = 5
EFFECT = 0.8
COHORTS = ((749, 351), (120, 56))
Z = 1.959964


@dataclass(frozen=True)
class Models:
    """Fixed linear models that differ by fold, or nearest means trained on the other folds."""

    name: str
    features: int
    trained: bool


MODELS = (
    Models("five fixed models", 10, trained=False),
    Models("nearest mean of 3 features, trained", 3, trained=True),
    Models("nearest mean of 10 features, trained", 10, trained=True),
)


def study(
    models: Models, labels: AnyArray, folds: AnyArray, rng: np.random.Generator
) -> tuple[OutOfFold, float]:
    """Return what the models of one study say of their test patients, and what they are truly worth."""
    effect = EFFECT * (np.arange(models.features) == 0)
    seen = rng.normal(size=(labels.size, models.features)) + labels[:, None] * effect
    scores, worth = np.empty(labels.size), []
    for fold in range(FOLDS):
        train = folds != fold
        if models.trained:
            weights = seen[train & (labels == 1)].mean(0) - seen[train & (labels == 0)].mean(0)
        else:
            weights = effect + 0.3 * (fold - FOLDS // 2) * np.roll(effect, 1)
        scores[~train] = seen[~train] @ weights
        worth.append(norm.cdf(weights @ effect / np.linalg.norm(weights) / np.sqrt(2)))
    return OutOfFold(labels, folds, scores), float(np.mean(worth))


def plug_in_variance(tested: OutOfFold) -> float:
    """Return the published variance: mean squared influence, without n - 1."""
    share = tested.labels.mean()
    means = []
    for fold in range(FOLDS):
        ones, zeros = (tested.scores[(tested.folds == fold) & (tested.labels == value)] for value in (1, 0))
        ordered: DoubleArray = (np.sign(ones[:, None] - zeros[None]) + 1) / 2
        of_ones = (ordered.mean(1) - ordered.mean()) / share
        of_zeros = (ordered.mean(0) - ordered.mean()) / (1 - share)
        means.append(np.mean(np.concatenate([of_ones, of_zeros]) ** 2))
    return float(np.mean(means) / tested.labels.size)


def coverage(models: Models, cohort: tuple[int, int], studies: int, seed: int) -> list[float]:
    """Return how often the plug-in, the n - 1 and the logit interval hold the truth."""
    n, positives = cohort
    labels = (np.arange(n) < positives).astype(int)
    folds = np.concatenate([np.arange(positives) % FOLDS, np.arange(n - positives) % FOLDS])
    rng = np.random.default_rng(seed)
    held = np.zeros(3)
    for _ in range(studies):
        tested, truth = study(models, labels, folds, rng)
        found = crossvalidated_auc(tested)
        apart = abs(found.mean - truth)
        held += (
            apart <= Z * np.sqrt(plug_in_variance(tested)),
            apart <= Z * np.sqrt(found.variance),
            found.interval[0] <= truth <= found.interval[1],
        )
    return [float(share) for share in held / studies]


def main() -> None:
    """Print a row per cohort and kind of model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("| n | models | plug-in, Wald | n − 1, Wald | n − 1, logit |\n|-|-|-|-|-|")
    for cohort in COHORTS:
        for models in MODELS:
            shown = " | ".join(
                f"{share:.3f}" for share in coverage(models, cohort, given.studies, given.seed)
            )
            print(f"| {cohort[0]} | {models.name} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
