"""Time our AUC and rates beside scikit-learn's, and the imports a command can spare (decision 0026).

python -m benchmarks.statistics_speed
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from sklearn import metrics

from lymphct.evaluation import classification as ours

PATIENTS = 200
REPEATS = 200
IMPORTS = (
    "monai.networks.nets.resnet",
    "sklearn.metrics",
    "statsmodels.stats.contingency_tables",
    "pandas",
    "scipy.stats",
)
START = (
    "import time; import {base}; began = time.process_time(); "
    "import {module}; print(time.process_time() - began)"
)


def milliseconds(compute: Callable[[], object]) -> float:
    """Return the median of the time of one call."""
    compute()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        compute()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def import_seconds(module: str) -> float | None:
    """Return the CPU time of an import in a fresh process, beside what is loaded anyway; None when absent."""
    base = "torch" if module.startswith("monai") else "numpy"
    command = [sys.executable, "-c", START.format(base=base, module=module)]
    taken = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        taken.append(float(done.stdout))
    return statistics.median(taken)


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, PATIENTS)
    scores = labels + rng.normal(size=PATIENTS)
    called = scores > 0.5
    pairs: tuple[tuple[str, Callable[[], float], Callable[[], float]], ...] = (
        ("AUC", lambda: ours.auc(labels, scores), lambda: float(metrics.roc_auc_score(labels, scores))),
        (
            "sensitivity",
            lambda: ours.sensitivity(labels, called),
            lambda: float(metrics.recall_score(labels, called)),
        ),
        (
            "accuracy",
            lambda: ours.accuracy(labels, called),
            lambda: float(metrics.accuracy_score(labels, called)),
        ),
        (
            "balanced accuracy",
            lambda: ours.balanced_accuracy(labels, called),
            lambda: float(metrics.balanced_accuracy_score(labels, called)),
        ),
    )
    print(f"{PATIENTS} patients, median of {REPEATS}: ms ours, ms scikit-learn, ratio")
    for name, own, theirs in pairs:
        if abs(own() - theirs()) > 1e-12:
            sys.exit(f"{name}: {own()} is not {theirs()}")
        mine, other = milliseconds(own), milliseconds(theirs)
        print(f"{name:18} {mine:7.3f} {other:7.3f} {other / mine:6.1f}")
    print("import: CPU seconds in a fresh process, median of 3")
    for module in IMPORTS:
        taken = import_seconds(module)
        print(f"{module:38} {'absent' if taken is None else f'{taken:.2f}'}")


if __name__ == "__main__":
    main()
