"""Print what stage 1 of a training run reaches on its validation patients at many operating points.

`python benchmarks/stage1_operating_points.py RUN`: recall, precision and F at IoU ≥ 0.3, pooled, for voxel
thresholds and smallest nodes beyond the candidates that training itself tries.
"""

import argparse
from itertools import product
from pathlib import Path

import torch

from lymphct.io.bundle import read_bundle
from lymphct.workflow.models import load_models
from lymphct.workflow.operating_point import NodeCandidate, node_candidates
from lymphct.workflow.run import Run

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
VOLUMES = (30.0, 50.0, 70.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a training run")
    folder = parser.parse_args().run
    torch.set_num_threads(1)
    run = Run.open(folder)
    trained = load_models(read_bundle(run.bundle), torch.device("cpu")).nodes
    if trained is None:
        parser.error("the run has no stage 1 yet")
    candidates = node_candidates(run, trained.network, trained.settings, tuple(product(THRESHOLDS, VOLUMES)))
    print(f"{'threshold':>9} {'mm³':>5} {'recall':>7} {'precision':>9} {'F':>6}")
    for candidate in candidates:
        print(line(candidate))


def line(candidate: NodeCandidate) -> str:
    scores = candidate.scores
    return (
        f"{candidate.threshold:>9.2f} {candidate.min_volume:>5.0f} {scores.recall:>7.3f} "
        f"{scores.precision:>9.3f} {scores.f:>6.3f}"
    )


if __name__ == "__main__":
    main()
