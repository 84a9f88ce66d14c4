"""What a cohort takes of disk and memory, by arithmetic from what the package asks for beforehand.

Disk: of prepared patients the bound that `train` asks for (`lymphct.patients.foresight.space`), beside it
what phantoms really took (`benchmarks/prepared_store.py`, decision 0032); the tumor patches of patients whom
the status network learns from; two checkpoints of each training, with weights, momentum and the best weights.

Memory: a worker that prepares (`lymphct.patients.prepared.memory`); a training on the store, which takes what
was measured beside network and batch whatever the cohort (`benchmarks/training_scale.py`, decision 0033);
weights, gradients and momentum of the largest network, and all that its backward pass keeps of a batch,
counted without computing anything.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lymphct.cascade.settings import Config
from lymphct.core.arrays import Index3
from lymphct.core.geometry import Geometry
from lymphct.learning.tensors import reversed_axes
from lymphct.nodes.segmentation import build_node_network
from lymphct.patients.foresight.space import STORED
from lymphct.patients.prepared.memory import GIGABYTE, grid_memory
from lymphct.patients.prepared.preparation import Preparation

ROLES: Final = ("venous", "arterial", "nodes")
"""Images of a patient of whom nobody drew structures and tumor: the networks' masks take most room."""
MEASURED_BYTES: Final = 1.45
"""Per voxel of a prepared phantom of 512×512×300, attention included (decision 0032)."""
TRAINING: Final = 0.2 * GIGABYTE
"""Of a training beside program, network and batch: largest of 8 and of 64 patients (decision 0033)."""
CHOOSING: Final = 1.15 * GIGABYTE
"""The same when windows over whole patients and the choice of operating points follow (decision 0033)."""
FLOAT: Final = 4
CHECKPOINTS, COPIES = 2, 3
"""Checkpoints that are kept of a training; in each weights, momentum, best weights."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A line of the table.

    Attributes:
        name: what takes it.
        gigabytes: of disk or memory, 10⁹ bytes.
        how: bound, measured or counted.

    """

    name: str
    gigabytes: float
    how: str


def disk(config: Config, size: Index3, patients: int, examined: int, trainings: int) -> list[Amount]:
    """Return what the disk must hold.

    Args:
        config: settings of the run.
        size: voxels of the working grid.
        patients: of the cohort.
        examined: examinations whose evidence is kept.
        trainings: whose checkpoints are kept.

    """
    voxels = math.prod(size)
    cut = config.metastasis.patches
    tumor_patches = 3 * cut.slices_per_axis * 3 * cut.crop_size**2 * FLOAT
    checkpoint = parameters(config) * FLOAT * COPIES
    amounts = {
        "prepared patients, as is asked for beforehand": (STORED.prepared(ROLES, voxels) * patients, "bound"),
        "prepared patients, as phantoms took": (MEASURED_BYTES * voxels * patients, "measured"),
        f"tumor patches of {examined:,} examinations": (tumor_patches * examined, "counted"),
        f"checkpoints of {trainings} trainings, all as stage 1": (
            checkpoint * CHECKPOINTS * trainings,
            "counted",
        ),
    }
    return _amounts(amounts)


def memory(config: Config, size: Index3) -> list[Amount]:
    """Return what a process takes of the memory; the last two lines are of the GPU where there is one."""
    spacing = config.imaging.spacing
    grid = Geometry(shape=size, spacing=spacing)
    preparation = Preparation(folder=Path(), spacing=spacing, registration=config.registration)
    amounts = {
        "a worker that prepares patients": (grid_memory(grid, preparation), "bound"),
        "a training beside program, network and batch": (TRAINING, "measured"),
        "the same with windows and operating points": (CHOOSING, "measured"),
        "stage 1: weights, gradients, momentum": (parameters(config) * FLOAT * COPIES, "counted"),
        "stage 1: kept for the backward pass, float32": (kept_for_backward(config), "counted"),
    }
    return _amounts(amounts)


def _amounts(found: dict[str, tuple[float, str]]) -> list[Amount]:
    return [Amount(name=name, gigabytes=size / GIGABYTE, how=how) for name, (size, how) in found.items()]


def parameters(config: Config) -> int:
    """Return how many weights the network of stage 1 has."""
    with torch.device("meta"):
        network = build_node_network(config.nodes)
    return sum(weights.numel() for weights in network.parameters())


def kept_for_backward(config: Config) -> int:
    """Return the bytes that stage 1 keeps of a batch for its backward pass, in single precision.

    Tensors without content pass the network; each piece of memory counts once. Mixed precision keeps about
    half of it.
    """
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor  # noqa: SLF001 - torch has no other name for it
        return tensor

    sampling = config.nodes.sampling
    shape = reversed_axes(sampling.patch_size)
    with torch.device("meta"):
        network = build_node_network(config.nodes)
        image = torch.empty(sampling.batch_size, 2, *shape)
        attention = torch.empty(sampling.batch_size, 1, *shape)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image, attention)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def room_lines(title: str, amounts: list[Amount]) -> Iterator[str]:
    """Yield a table of gigabytes."""
    yield f"{title:<57}{'':>11}{'GB':>9}"
    for amount in amounts:
        yield f"{amount.name:<57}{amount.how:<11}{amount.gigabytes:>9.3g}"
