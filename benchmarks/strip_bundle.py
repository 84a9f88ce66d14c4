"""Copy a bundle with some of its networks alone, for a training that makes the others anew.

`python benchmarks/strip_bundle.py BUNDLE OUT --parts structures,tumor`. What belongs to the networks left out
goes with them: their thresholds, their patients, the calibration of the score.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.stages import STAGES
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle, write_bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    parser.add_argument("--parts", required=True, help="networks to keep, with commas")
    given = parser.parse_args()
    kept = [StageName(name) for name in given.parts.split(",")]
    bundle = read_bundle(given.bundle)
    weights = {str(name): bundle.weights[name] for name in kept}
    write_bundle(
        given.out, stripped(bundle.info, kept), weights, f"# {', '.join(kept)} of {bundle.info.name}\n"
    )


def stripped(info: BundleInfo, kept: Sequence[StageName]) -> BundleInfo:
    """Return what a bundle of these networks alone says of itself."""
    chosen = {name for stage in kept for name in STAGES[stage].thresholds}
    return info.model_copy(
        update={
            "parts": {name: info.parts[name] for name in kept},
            "thresholds": {name: value for name, value in info.thresholds.items() if name in chosen},
            "fitted_on": {name: who for name, who in info.fitted_on.items() if name != "calibration"},
            "calibration": None,
        }
    )


if __name__ == "__main__":
    main()
