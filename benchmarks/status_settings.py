"""Compare settings of the status network by cross-validation among the training patients of a run.

`python benchmarks/status_settings.py RUN [--set metastasis.training.epochs=40 …]`: five folds, stratified by
N- and N+ (`evaluation.folds`), of the patients whose cascade results the run keeps for its status network;
each is predicted by a network trained on the other four, for as long as the settings say, no epoch being
chosen. AUC and log loss tell how well, the median probability of N- and N+ whether a threshold near 0.5 makes
sense. The figures of decision 0004 are of a former split, at random.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import log_loss

from lymphct.core.arrays import DoubleArray
from lymphct.evaluation.classification import auc
from lymphct.evaluation.folds import stratified_folds
from lymphct.io.settings import load_config
from lymphct.learning.training import best_weights
from lymphct.metastasis.fusing import status_cases
from lymphct.metastasis.prediction import build_status_network, fit_status, predict_status
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.study.plan import Run
from lymphct.study.single.training import run_evidence

FOLDS = 5


def out_of_fold(cases: Sequence[StatusCase], settings: MetastasisSettings, seed: int) -> DoubleArray:
    """Return the probability of each patient by a network that has not seen him."""
    by_id = {case.patient: case for case in cases}
    strata = {case.patient: f"N{case.n_status}" for case in cases}
    found: dict[str, float] = {}
    for number, fold in enumerate(stratified_folds(strata, FOLDS, seed)):
        # Nothing is decided on the validation part: it is trained on too.
        train = [by_id[name] for name in (*fold.train, *fold.validation)]
        network = build_status_network(settings, seed=number)
        *_, last = fit_status(network, train, [], settings, seed=number)
        network.load_state_dict(best_weights(last.state))
        for name in fold.test:
            found[name] = predict_status(network, by_id[name].patches, by_id[name].volume)
    return np.array([found[case.patient] for case in cases])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a training run that has its four first stages")
    parser.add_argument(
        "--work", type=Path, help="store of its prepared patients, where it is not in the run"
    )
    parser.add_argument("--config", default="phantom_tiny", help="preset or file")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", help="settings, name=value")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_config(given.config, given.changes).metastasis
    run = Run.open(given.run, given.work)
    evidence = run_evidence(run, device="cpu")
    taught = [evidence[name] for name in run.plan.ids("fusion_train") if name in evidence]
    cases = status_cases(taught, settings)
    truth = np.array([case.n_status for case in cases])
    found = out_of_fold(cases, settings, given.seed)
    volumes = [case.volume for case in cases]
    print(f"{len(cases)} patients, {truth.sum()} N+; AUC of the volume alone {auc(truth, volumes):.3f}")
    print(f"AUC {auc(truth, found):.3f}, log loss {log_loss(truth, np.clip(found, 1e-6, 1 - 1e-6)):.3f}")
    print(f"median probability N- {np.median(found[truth == 0]):.3f}, N+ {np.median(found[truth == 1]):.3f}")


if __name__ == "__main__":
    main()
