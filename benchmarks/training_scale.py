"""What a training takes besides its network, from few patients and from many of 512×512×300 voxels.

`python benchmarks/training_scale.py --store FOLDER [--patients 8 64] [--stages nodes …] [--iterations 4]
[--whole] [--keep] [--json FILE]`: every row is a process of its own, which trains a stage with a small
network but the patches of the paper from the store of `training_store.py`. It is written first where it is
not there, up to 2 GB for any number of patients, and removed at the end unless `--keep`. A row says

- network: largest resident memory (GB) after two steps on made-up batches of the same size,
- training: the same after training from the store, validation on patches included,
- more: their difference, the goal is 3 GB at most and the same for any number of patients,
- first: wall seconds from the list of patients to the first batch,
- CPU per patch: seconds for reading and augmenting, median over batches, one thread,
- validation_share: of an epoch of nnU-Net (250 iterations) that 50 validation patches take, CPU time,
- whole: with `--whole`, memory after sliding windows over one patient and the choice of operating points too.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record
from benchmarks.training_store import scale_store, sizes

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.learned import Learned
from lymphct.cascade.node_cases import identification_cases
from lymphct.cascade.settings import Config
from lymphct.cascade.thresholds import Lesson, choose_nodes
from lymphct.config import parse_config
from lymphct.core.leakage import Roles
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.io.results.arrays import StoredArray, save_array
from lymphct.learning.batches import Batch
from lymphct.learning.cases import TrainingCase
from lymphct.learning.patches import PatchSampler
from lymphct.learning.segmentation import batch_loss, fit_segmentation
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.learning.training import EpochRecord, train
from lymphct.learning.validation import patch_dice, validation_sampler
from lymphct.metastasis.prediction import build_status_network, fit_status, status_loss
from lymphct.metastasis.sampling import StatusBatch, StatusCase, StatusSampler
from lymphct.nodes.crops import NodeBatch
from lymphct.nodes.identification import build_identification_network, fit_identification, identification_loss
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import NodeSegmentationSettings

STAGES = (StageName.NODES, StageName.IDENTIFICATION, StageName.METASTASIS)
UNET = "{features: [4, 8, 16], strides: [[1, 1, 1], [2, 2, 2], [2, 2, 2]], convolutions_per_stage: 1}"
TRAINING = "{epochs: 1, iterations_per_epoch: %d}"
SETTINGS = """
nodes: {unet: UNET, training: TRAINING, validation_patches: 4, inference: {step: 1.0, window_batch: 1}}
identification: {unet: UNET, training: TRAINING, sampling: {batch_size: 4}}
metastasis: {training: TRAINING, network: {width: 0.125}, sampling: {batch_size: 4}}
"""


def config_of(iterations: int) -> Config:
    training = TRAINING % iterations
    return parse_config(SETTINGS.replace("UNET", UNET).replace("TRAINING", training))


def peak() -> float:
    """Return the largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class Watch:
    """Collects the figures of one row."""

    def __init__(self) -> None:
        self.row: dict[str, float] = {}
        self.began = time.perf_counter()

    def network_done(self) -> None:
        """Note the memory of the network alone."""
        self.row["network"] = peak()
        self.began = time.perf_counter()

    def batches(self, batch: Callable[[int], object], per_batch: int) -> None:
        """Time the first batch since the patients were named, then some more on their own."""
        batch(0)
        self.row["first"] = time.perf_counter() - self.began
        seconds = []
        for number in range(1, 9):
            start = time.process_time()
            batch(number)
            seconds.append((time.process_time() - start) / per_batch)
        self.row["cpu_per_patch"] = median(seconds)

    def trained(self, records: Sequence[EpochRecord]) -> None:
        """Note the memory after training."""
        self.row["training"] = peak()
        self.row["more"] = self.row["training"] - self.row["network"]
        self.row["loss"] = records[-1].loss


def nodes_row(material: Material, ids: Sequence[str], watch: Watch, *, whole: bool) -> None:
    settings = material.config.nodes
    network = build_node_network(settings)
    i, j, k = settings.sampling.patch_size
    size = (settings.sampling.batch_size, 1, k, j, i)
    made_up = Batch(
        torch.zeros(size[0], 2, k, j, i), torch.zeros((size[0], k, j, i), dtype=torch.uint8), torch.ones(size)
    )
    two = settings.training.model_copy(update={"iterations_per_epoch": 2})
    list(train(network, lambda _: made_up, batch_loss(settings.loss), two))
    watch.network_done()
    cases = segmentation_cases(material, ids, StageName.NODES)
    sampler = PatchSampler(cases, settings.sampling, settings.augmentation, 0)
    watch.batches(sampler.batch, settings.sampling.batch_size)
    watch.trained(list(fit_segmentation(network, cases, cases[:4], settings, seed=0)))
    watch.row["validation_share"] = validation_share(network, cases, settings)
    if whole:
        roles = Roles(train=(), validation=tuple(ids[:2]))
        lesson = Lesson(material=material, roles=roles, settings=settings, cases=cases, validation=cases[:2])
        choose_nodes(network, lesson)
        watch.row["whole"] = peak() - watch.row["network"]


def validation_share(
    network: nn.Module, cases: Sequence[TrainingCase], settings: NodeSegmentationSettings
) -> float:
    """Return the CPU time of the default validation over that of nnU-Net's epoch of 250 iterations."""
    once = settings.training.model_copy(update={"iterations_per_epoch": 2})
    sampler = PatchSampler(cases, settings.sampling, settings.augmentation, 1)
    start = time.process_time()
    list(train(network, sampler.batch, batch_loss(settings.loss), once))
    step = (time.process_time() - start) / 2
    judged = validation_sampler(cases[:4], settings, 0)
    start = time.process_time()
    patch_dice(network, judged, settings)
    patch = (time.process_time() - start) / settings.validation_patches
    defaults = SegmentationTrainingSettings()
    epoch = defaults.training.iterations_per_epoch * step
    return defaults.validation_patches * patch / (epoch + defaults.validation_patches * patch)


def identification_row(material: Material, ids: Sequence[str], watch: Watch) -> None:
    settings = material.config.identification
    network = build_identification_network(settings)
    i, j, k = settings.sampling.crop_size
    count = settings.sampling.batch_size
    made_up = NodeBatch(
        torch.zeros(count, 2, k, j, i),
        torch.ones(count, 1, k, j, i),
        torch.tensor([[[8, 8, 8], [16, 16, 16]]]).repeat(count, 1, 1),
        torch.zeros(count, 7),
        torch.arange(count) % 2,
        torch.ones(count),
    )
    two = settings.training.model_copy(update={"iterations_per_epoch": 2})
    list(train(network, lambda _: made_up, identification_loss, two))
    watch.network_done()
    cases = identification_cases(material, ids)
    sampler = NodeSampler(cases, settings.sampling, settings.head.classes, 0)
    watch.batches(sampler.batch, count)
    watch.trained(list(fit_identification(network, cases, cases[:2], settings, seed=0)))


def metastasis_row(material: Material, folder: Path, count: int, watch: Watch) -> None:
    settings = material.config.metastasis
    network = build_status_network(settings)
    size = settings.patches.crop_size
    some = settings.sampling.batch_size
    made_up = StatusBatch(
        patches=torch.zeros(some, 3, size, size), volume=torch.zeros(some), n_status=torch.arange(some) % 2
    )
    two = settings.training.model_copy(update={"iterations_per_epoch": 2})
    list(train(network, lambda _: made_up, status_loss, two))
    watch.network_done()
    rng = np.random.default_rng(0)
    cases = []
    for number in range(count):
        path = folder / f"patches-{number}.npy"
        if not path.exists():
            save_array(path, rng.normal(size=(9, 3, size, size)).astype(np.float32))
        cases.append(
            StatusCase(
                patient=f"p{number}", patches=StoredArray.open(path), volume=100.0, n_status=number % 2
            )
        )
    sampler = StatusSampler(cases, settings.sampling, settings.augmentation, 0)
    watch.batches(sampler.batch, some)
    watch.trained(list(fit_status(network, cases[: count - 4], cases[count - 4 :], settings, seed=0)))


def row(given: argparse.Namespace) -> Mapping[str, float]:
    torch.set_num_threads(1)
    cohort = scale_store(given.store, given.child_patients)
    learned = Learned(intensity=dict.fromkeys(Phase, DEFAULT_INTENSITY), bands=PAPER_BANDS)
    material = Material(patients=cohort, learned=learned, config=config_of(given.iterations))
    ids, watch = list(cohort), Watch()
    if given.child_stage == StageName.NODES:
        nodes_row(material, ids, watch, whole=given.whole)
    elif given.child_stage == StageName.IDENTIFICATION:
        identification_row(material, ids, watch)
    else:
        metastasis_row(material, given.store, given.child_patients, watch)
    return watch.row


def measured(given: argparse.Namespace, stage: str, patients: int) -> dict[str, Any]:
    """Train in a process of its own, whose memory is its own."""
    words = ["--store", str(given.store), "--iterations", str(given.iterations)]
    words += ["--whole"] if given.whole else []
    words += ["--child-stage", stage, "--child-patients", str(patients)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"stage": stage, "patients": patients, **found}


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--store", type=Path, required=True, help="folder of the patients")
    options.add_argument("--patients", type=int, nargs="+", default=[8, 64])
    options.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    options.add_argument("--iterations", type=int, default=4)
    options.add_argument(
        "--whole", action="store_true", help="windows and operating points too, minutes more"
    )
    options.add_argument("--keep", action="store_true", help="keep the store")
    options.add_argument("--json", type=Path, help="file for the numbers")
    options.add_argument("--child-stage", help=argparse.SUPPRESS)
    options.add_argument("--child-patients", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child_stage:
        print(json.dumps(row(given)))
        return 0
    store = sizes(scale_store(given.store, max(given.patients)), max(given.patients))
    print(f"store: {store['bytes_per_voxel']:.2f} bytes per voxel, {store['gb']:.1f} GB without links")
    names = ("network", "training", "more", "whole", "first", "cpu_per_patch", "validation_share")
    print(f"{'stage':<16}{'patients':>9}" + "".join(f"{name:>18}" for name in names))
    rows = []
    for stage in given.stages:
        for patients in given.patients:
            rows.append(measured(given, stage, patients))
            cells = [f"{rows[-1][name]:.3f}" if name in rows[-1] else "-" for name in names]
            print(f"{stage:<16}{patients:>9}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    if given.json is not None:
        write_record(given.json, store=store, rows=rows)
    if not given.keep:
        shutil.rmtree(given.store)
    return 0


if __name__ == "__main__":
    sys.exit(main())
