"""Dice of structures learned from few whole label maps, with and without many partial ones (decision 0038).

`python benchmarks/partial_labels.py [--whole 10] [--partial 30] [--test 10] [--iterations 2000] [--seeds 1]
[--json FILE]`: `nano` phantoms; in the partial ones six structures were drawn, those that TotalSegmentator
gives freely and that guide attention. Three trainings of equal length and settings: from the whole ones
alone, from both with the loss of partial labels, and from both as if the six were all there is. Told is the
mean Dice over test phantoms that teach nobody, and the difference to the first with its 95 % interval over
patients. One thread.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record

from lymphct.anatomy.settings import StructureSettings
from lymphct.anatomy.structures import segment_structures
from lymphct.cascade.alignment import align, normalized
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.parts import Start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.leakage import Roles
from lymphct.core.patient import Multiphase
from lymphct.core.terms import GUIDING_STRUCTURES, StageName, Structure
from lymphct.evaluation.segmentation import dice
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.settings import load_config
from lymphct.learning.keeping import Forget
from lymphct.learning.unet import SegmentationNetwork
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

SEED = 4711
EPOCHS = 10
DRAWS = 10_000
SIX = (
    Structure.SPLEEN,
    Structure.ESOPHAGUS,
    Structure.STOMACH,
    Structure.AORTA,
    Structure.PANCREAS,
    Structure.DUODENUM,
)
GROUPS: Mapping[str, Sequence[Structure]] = {
    "all 19": tuple(Structure),
    "the ten": GUIDING_STRUCTURES,
    "the six": SIX,
    "the 13 others": tuple(s for s in Structure if s not in SIX),
}
ALONE, TOGETHER, NAIVE = "whole alone", "whole and partial", "partial taken for whole"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--whole", type=int, default=10)
    parser.add_argument("--partial", type=int, default=30)
    parser.add_argument("--test", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(
        "phantom_nano",
        [
            f"structures.training.epochs={EPOCHS}",
            f"structures.training.iterations_per_epoch={given.iterations // EPOCHS}",
        ],
    )
    taught = given.whole + given.partial
    patients = {f"p{n:03d}": phantom(n, config) for n in range(taught + given.test)}
    whole, test = list(patients)[: given.whole], list(patients)[taught:]
    arms = {
        ALONE: {name: patients[name] for name in whole},
        TOGETHER: {name: p if name in whole else partial(p, SIX) for name, p in taught_of(patients, test)},
        NAIVE: {name: p if name in whole else partial(p, None) for name, p in taught_of(patients, test)},
    }
    scores = {
        arm: np.mean(
            [
                test_scores(learners, [patients[name] for name in test], config, seed)
                for seed in range(given.seeds)
            ],
            axis=0,
        )
        for arm, learners in arms.items()
    }
    record = told(scores)
    if given.json is not None:
        options = {name: value for name, value in vars(given).items() if name != "json"}
        write_record(given.json, options=options, rows=record)


def phantom(index: int, config: Config) -> PreparedPatient:
    """Return a phantom on the working grid."""
    made = generate_patient(PhantomSettings(size="nano", phase_shift=False), seed=SEED, index=index)
    ct = align(made.venous, made.arterial, config.imaging.spacing, config.registration).ct
    grid = ct.venous.geometry
    rounded = [
        None if x is None else x.with_array(np.rint(x.array).astype(np.int16))
        for x in (ct.venous, ct.arterial)
    ]
    if rounded[0] is None:
        raise ValueError(index)
    return PreparedPatient(
        patient_id=f"p{index:03d}",
        ct=Multiphase(venous=rounded[0], arterial=rounded[1]),
        structures=resample_labels(made.structures, grid),
    )


def taught_of(
    patients: Mapping[str, PreparedPatient], test: Sequence[str]
) -> list[tuple[str, PreparedPatient]]:
    """Return everybody who may teach."""
    return [(name, patient) for name, patient in patients.items() if name not in test]


def partial(patient: PreparedPatient, labelled: tuple[Structure, ...] | None) -> PreparedPatient:
    """Keep the six of a patient's structures; `labelled` is what is said of them."""
    if patient.structures is None:
        raise ValueError(patient.patient_id)
    array = np.where(np.isin(patient.structures.array, SIX), patient.structures.array, 0).astype(np.uint8)
    return replace(patient, structures=patient.structures.with_array(array), labelled=labelled)


def test_scores(
    learners: Mapping[str, PreparedPatient], test: Sequence[PreparedPatient], config: Config, seed: int
) -> DoubleArray:
    """Return the Dice of each test patient (rows) and structure; NaN where there is none to find."""
    began = time.process_time()
    learned = fit_learned(learners, list(learners), config)
    network = trained(learners, learned, config, seed)
    rows = []
    for patient in test:
        image = normalized(patient.ct, learned.sight(StageName.STRUCTURES).phases)
        found = segment_structures(network, image, config.structures).array
        rows.append([class_dice(found, patient, structure) for structure in Structure])
    print(f"{len(learners)} patients, seed {seed}: {time.process_time() - began:.0f} CPU-s", flush=True)
    return np.array(rows)


def trained(
    learners: Mapping[str, PreparedPatient], learned: Learned, config: Config, seed: int
) -> SegmentationNetwork:
    """Return the network that learned from everybody; nobody chooses its epoch, the last one counts."""
    stage = STAGES[StageName.STRUCTURES]
    part = fit_stage(
        stage,
        learners,
        Roles(train=tuple(learners), validation=()),
        learned,
        Start(config=config, seed=seed),
        Forget(),
    )
    if not isinstance(part.settings, StructureSettings):
        raise TypeError(part.settings)
    network = stage.build(part.settings)
    network.load_state_dict(dict(part.weights))
    if not isinstance(network, SegmentationNetwork):
        raise TypeError(network)
    return network.eval()


def class_dice(found: AnyArray, patient: PreparedPatient, structure: Structure) -> float:
    """Return the Dice of one structure; NaN where the patient has none."""
    truth = np.zeros_like(found) if patient.structures is None else patient.structures.array
    return dice(found == structure, truth == structure) if np.any(truth == structure) else float("nan")


def told(scores: Mapping[str, DoubleArray]) -> list[dict[str, object]]:
    """Print and return the mean Dice of each arm and group, with the difference to whole maps alone."""
    rng = np.random.default_rng(SEED)
    record: list[dict[str, object]] = []
    print(f"\n{'mean Dice over':<15} {'learned from':<25} {'Dice':>6} {'difference':>11}  95 % interval")
    for group, structures in GROUPS.items():
        columns = [structure - 1 for structure in structures]
        by_patient = {arm: np.nanmean(found[:, columns], axis=1) for arm, found in scores.items()}
        for arm, values in by_patient.items():
            apart = values - by_patient[ALONE]
            drawn = apart[rng.integers(len(apart), size=(DRAWS, len(apart)))].mean(axis=1)
            low, high = np.percentile(drawn, (2.5, 97.5))
            line = f"{group:<15} {arm:<25} {values.mean():>6.3f}"
            print(line if arm == ALONE else f"{line} {apart.mean():>+11.3f}  {low:+.3f} to {high:+.3f}")
            record.append(
                {"group": group, "arm": arm, "dice": float(values.mean()), "difference": float(apart.mean()),
                 "low": float(low), "high": float(high)}
            )  # fmt: skip
    return record


if __name__ == "__main__":
    main()
