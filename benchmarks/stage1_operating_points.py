"""Print what stage 1 of a training run reaches on its validation patients at many operating points.

`python benchmarks/stage1_operating_points.py RUN`: recall, precision and F at IoU ≥ 0.3, pooled, for voxel
thresholds and smallest nodes. With `--recall R` the one whose recall comes nearest to R is written into the
run's bundle, of equally near ones the most precise: so two networks can be compared at one recall that was
brought about on validation patients.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from lymphct.cascade.cases import Material
from lymphct.cascade.description import ThresholdChoice
from lymphct.cascade.node_candidates import NodeCandidate, node_candidates
from lymphct.cascade.thresholds import PROBABILITIES, VOLUMES
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle, update_bundle_part
from lymphct.io.models.loading import load_models
from lymphct.study.plan import Run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument(
        "--work", type=Path, help="store of its prepared patients, where it is not in the run"
    )
    parser.add_argument("--recall", type=float, help="choose for this recall and change the run's bundle")
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(given.run, given.work)
    trained = load_models(read_bundle(run.bundle), torch.device("cpu")).nodes
    if trained is None:
        parser.error("the run has no stage 1 yet")
    grid = tuple(product(PROBABILITIES, VOLUMES))
    plan = run.plan
    material = Material(patients=run.patients, learned=plan.learned, config=plan.config)
    judged = plan.roles(StageName.NODES).validation
    candidates = node_candidates(trained.network, trained.settings, material, judged, grid)
    print(f"{'threshold':>9} {'mm³':>5} {'recall':>7} {'precision':>9} {'F':>6}")
    for candidate in candidates:
        print(line(candidate))
    if given.recall is not None:
        chosen = nearest(candidates, given.recall)
        write(chosen, run.bundle)
        print(f"{line(chosen)}  written into {run.bundle}")


def line(candidate: NodeCandidate) -> str:
    scores = candidate.scores
    return (
        f"{candidate.threshold:>9.2f} {candidate.min_volume:>5.0f} {scores.recall:>7.3f} "
        f"{scores.precision:>9.3f} {scores.f:>6.3f}"
    )


def nearest(candidates: Sequence[NodeCandidate], recall: float) -> NodeCandidate:
    """Return the candidate whose recall is nearest, of equally near ones the most precise."""
    return min(candidates, key=lambda c: (abs(c.scores.recall - recall), -c.scores.precision))


def write(chosen: NodeCandidate, folder: Path) -> None:
    """Let stage 1 of a bundle work at an operating point."""
    bundle = read_bundle(folder)
    part = bundle.info.parts[StageName.NODES]
    values = {"threshold": chosen.threshold, "min_volume": chosen.min_volume}
    scores = {name: getattr(chosen.scores, name) for name in ("recall", "precision", "f")}
    changed = part.model_copy(update={"architecture": {**part.architecture, **values}, "scores": scores})
    how = ThresholdChoice(by="validation", patients=chosen.patients)
    changed = changed.model_copy(update={"chosen": dict.fromkeys(("node_voxel", "node_min_volume_mm3"), how)})
    thresholds = {"node_voxel": chosen.threshold, "node_min_volume_mm3": chosen.min_volume}
    update_bundle_part(
        folder, StageName.NODES, changed, bundle.weights["nodes"], {"thresholds": dict(thresholds)}
    )


if __name__ == "__main__":
    main()
