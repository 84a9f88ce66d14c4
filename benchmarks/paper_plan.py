"""Print what a real study costs: hours of each stage, memory and disk, for `train all` and for nested folds.

`python benchmarks/paper_plan.py [--patients 749] [--voxels 512 512 300] [--seconds 0.2 | --measure N]
[--registration 30] [--config paper] [--gpus 1] [--json FILE] [--page FILE]`.

Arithmetic: iterations and patch sizes come from the settings, windows from the grid that inference slides
over, patients of each fold from the cohort. Seconds: those of one training iteration of stage 1 are given, or
measured on `--device` by N iterations on random patches; other stages cost by the voxels they are shown, a
forward pass alone a third of a training step. Registration is given in CPU seconds a patient and shared by
all processors. Disk and memory: `paper_room.py`. In nested folds every inner fold trains all networks of its
own; a training drops its checkpoints when it is done, so that those of the GPUs at work are on the disk. The
table of studies has a row for each way to ask `lymphct crossval` for one; `--page` writes it into a page.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

import torch
from benchmarks.paper_designs import DESIGNS, GIVEABLE, INNER, OUTER, WHOLE, Design, with_costs
from benchmarks.paper_room import disk, memory, room_lines
from benchmarks.side_by_side import write_record

from lymphct.cascade.settings import Config
from lymphct.core.arrays import Index3
from lymphct.io.settings import load_config
from lymphct.learning.devices import chosen_device
from lymphct.learning.losses import DeepSupervisionLoss
from lymphct.learning.tensors import reversed_axes
from lymphct.learning.windows import window_grid
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import NodeSegmentationSettings

if TYPE_CHECKING:
    from lymphct.learning.settings import SegmentationTrainingSettings

SEGMENTED: Final = {"structures": 1.0, "tumor": 1 / 3, "nodes": 1.0}
"""Stages that slide over a patient, and over which share of the image."""
CASCADE_SHARE: Final = 0.6
"""Of the patients of `train all`, who teach the stages that examine; the others teach the status network."""
FORWARD: Final = 1 / 3
"""Share of a training step that is the forward pass: the backward pass costs about two of them."""
STATUS_SECONDS: Final = 0.03
"""Assumed of one iteration of the status network, whose 16 patches are a hundredth of the work of stage 1."""
HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One kind of work, once.

    Attributes:
        name: of the work.
        amount: iterations, windows or patients.
        unit: of the amount.
        hours: of one GPU, for registration of all processors.

    """

    name: str
    amount: int
    unit: str
    hours: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that everything else follows from.

    Attributes:
        iteration: of stage 1, training.
        registration: CPU seconds of a patient.
        processors: that share the registration.

    """

    iteration: float
    registration: float
    processors: int


def voxels(size: Index3) -> int:
    """Return how many there are."""
    return math.prod(size)


def measured_iteration(settings: NodeSegmentationSettings, device: torch.device, count: int) -> float:
    """Train stage 1 on random patches; return the wall seconds of an iteration without its data."""
    network = build_node_network(settings).to(device)
    shape = (settings.sampling.batch_size, 2, *reversed_axes(settings.sampling.patch_size))
    image = torch.randn(shape, device=device)
    attention = torch.ones(shape[0], 1, *shape[2:], device=device)
    labels = (torch.rand(shape[0], *shape[2:], device=device) > 0.99).long()
    criterion = DeepSupervisionLoss(settings.loss)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    _step(network, optimizer, criterion, (image, attention, labels))
    began = time.perf_counter()
    for _ in range(count):
        _step(network, optimizer, criterion, (image, attention, labels))
    return (time.perf_counter() - began) / count


def _step(
    network: NodeNetwork,
    optimizer: torch.optim.Optimizer,
    criterion: DeepSupervisionLoss,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    image, attention, labels = batch
    optimizer.zero_grad()
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=image.device.type == "cuda"):
        loss = criterion(network(image, attention), labels)
    torch.autograd.backward(loss)
    optimizer.step()
    loss.item()  # waits for the device


def trainings(config: Config, costs: Costs) -> dict[str, Job]:
    """Return one training of each stage."""
    base = config.nodes.sampling
    unit = costs.iteration / (voxels(base.patch_size) * base.batch_size)
    jobs = {}
    for name in ("structures", "tumor", "nodes"):
        stage: SegmentationTrainingSettings = getattr(config, name)
        shown = voxels(stage.sampling.patch_size) * stage.sampling.batch_size
        jobs[name] = _training(name, stage.training, unit * shown)
    crops = config.identification.sampling
    shown = voxels(crops.crop_size) * crops.batch_size
    jobs["identification"] = _training("identification", config.identification.training, unit * shown)
    jobs["metastasis"] = _training("metastasis", config.metastasis.training, STATUS_SECONDS)
    return jobs


def _training(name: str, training: Any, seconds: float) -> Job:  # noqa: ANN401 - two classes of settings
    amount = training.epochs * training.iterations_per_epoch
    return Job(name=name, amount=amount, unit="iterations", hours=amount * seconds / HOUR)


def examination(config: Config, size: Index3, costs: Costs, *, is_given: bool = False) -> Job:
    """Return one patient examined: structures and nodes over the whole image, the tumor over a third.

    Where masks of structures and tumor are given, only nodes are looked for.
    """
    base = config.nodes.sampling
    pace = costs.iteration / (voxels(base.patch_size) * base.batch_size) * FORWARD
    windows, seconds = 0, 0.0
    for name, share in SEGMENTED.items():
        if is_given and name in GIVEABLE:
            continue
        stage: SegmentationTrainingSettings = getattr(config, name)
        patch = stage.sampling.patch_size
        wide = [max(n, p) for n, p in zip(reversed_axes(size), reversed_axes(patch), strict=True)]
        count = math.ceil(len(window_grid(wide, reversed_axes(patch), stage.inference.step)) * share)
        windows += count
        seconds += count * voxels(patch) * pace
    return Job(name="examination of a patient", amount=windows, unit="windows", hours=seconds / HOUR)


def single_split(config: Config, patients: int, size: Index3, costs: Costs) -> list[Job]:
    """Return the work of `train all`."""
    return [
        registration(patients, costs),
        *trainings(config, costs).values(),
        times(examination(config, size, costs), seen_once(patients), "examination for the status network"),
    ]


def seen_once(patients: int) -> int:
    """Return how many patients the status network learns from: the cascade examines them."""
    return patients - round(CASCADE_SHARE * patients)


def nested(config: Config, patients: int, size: Index3, costs: Costs, design: Design = WHOLE) -> list[Job]:
    """Return the work of a nested cross-validation: inner folds give features out of fold."""
    examined = design.examined(patients)
    once = trainings(config, costs)
    seen = examination(config, size, costs, is_given=design.is_given)
    return [
        registration(patients, costs),
        *(times(once[name], count, f"{name}, {count} trainings") for name, count in design.runs.items()),
        times(seen, examined, f"examination, {examined} patients"),
    ]


def gpu_hours(jobs: list[Job]) -> float:
    """Return the hours of one GPU."""
    return sum(job.hours for job in jobs if job.unit != "patients")


def study_table(config: Config, patients: int, size: Index3, costs: Costs) -> str:
    """Return what each way to ask for a study costs, as Markdown."""
    rows = ["| study | cascades | GPU hours |", "|-|-|-|"]
    for design in DESIGNS:
        hours = gpu_hours(nested(config, patients, size, costs, design))
        rows.append(f"| {design.options} | {design.cascades * design.variants} | {hours:,.0f} |")
    first = nested(config, patients, size, costs)[0]
    sentence = (
        f"{patients} patients of {'×'.join(map(str, size))} voxels, {costs.iteration:g} s an iteration of "
        f"stage 1. Add {first.hours:.0f} hours of {costs.processors} processors to register."
    )
    return "\n".join([*rows, "", sentence])


def registration(patients: int, costs: Costs) -> Job:
    """Return DEEDS for everybody."""
    hours = patients * costs.registration / costs.processors / HOUR
    return Job(name="registration", amount=patients, unit="patients", hours=hours)


def times(job: Job, count: int, name: str) -> Job:
    """Return the same work so many times."""
    return Job(name=name, amount=job.amount * count, unit=job.unit, hours=job.hours * count)


def lines(title: str, jobs: list[Job], gpus: int) -> Iterator[str]:
    """Yield a table; trainings and examinations are shared by the GPUs, stage by stage."""
    yield title
    yield f"{'work':<44}{'amount':>12} {'':<11}{'hours':>9}"
    for job in jobs:
        yield f"{job.name:<44}{job.amount:>12,} {job.unit:<11}{job.hours:>9.1f}"
    on_gpu = gpu_hours(jobs)
    yield f"{'GPU hours together':<44}{'':>12} {'':<11}{on_gpu:>9.1f}"
    if gpus > 1:
        yield f"{f'days on {gpus} GPUs, all busy':<44}{'':>12} {'':<11}{on_gpu / gpus / 24:>9.1f}"


def main() -> None:
    """Print both tables, and what the cohort takes of disk and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=749)
    parser.add_argument("--voxels", type=int, nargs=3, default=(512, 512, 300), help="of the working grid")
    parser.add_argument("--config", default="paper")
    parser.add_argument("--seconds", type=float, default=0.2, help="of an iteration of stage 1")
    parser.add_argument("--measure", type=int, default=0, help="measure it by so many iterations")
    parser.add_argument("--registration", type=float, default=30.0, help="CPU seconds of a patient")
    parser.add_argument("--processors", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="write the table of studies between the marks of a page")
    options = parser.parse_args()
    config = load_config(options.config, [])
    size: Index3 = tuple(options.voxels)
    seconds = options.seconds
    if options.measure:
        seconds = measured_iteration(config.nodes, chosen_device(options.device), options.measure)
    costs = Costs(iteration=seconds, registration=options.registration, processors=options.processors)
    patients = options.patients
    nested_title = f"nested cross-validation, {OUTER} × {INNER} folds"
    plans = {
        "train all": single_split(config, patients, size, costs),
        nested_title: nested(config, patients, size, costs),
    }
    room = {
        "disk, train all": disk(config, size, patients, seen_once(patients), len(trainings(config, costs))),
        f"disk, {nested_title}": disk(config, size, patients, WHOLE.examined(patients), max(options.gpus, 1)),
        "memory": memory(config, size),
    }
    how = "measured" if options.measure else "given"
    print(f"{patients} patients of {size} voxels, {seconds:.3g} s an iteration of stage 1 ({how})\n")
    for title, jobs in plans.items():
        print("\n".join(lines(title, jobs, options.gpus)), end="\n\n")
    table = study_table(config, patients, size, costs)
    print(table, end="\n\n")
    if options.page:
        options.page.write_text(with_costs(options.page.read_text("utf-8"), table), encoding="utf-8")
    for title, amounts in room.items():
        print("\n".join(room_lines(title, amounts)), end="\n\n")
    if options.json:
        tables = {title: [asdict(job) for job in jobs] for title, jobs in plans.items()}
        amounts_of = {title: [asdict(amount) for amount in amounts] for title, amounts in room.items()}
        write_record(
            options.json,
            costs=asdict(costs),
            how=how,
            patients=patients,
            voxels=size,
            plans=tables,
            room=amounts_of,
        )


if __name__ == "__main__":
    main()
