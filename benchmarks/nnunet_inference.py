"""Time sliding windows beside nnU-Net's own predictor: the same weights, the same image, equal label maps.

`python benchmarks/nnunet_inference.py --peer PYTHON [--shape 512 512 300] [--json FILE]`, one thread: a plain
U-Net a quarter as wide as nnU-Net's plan for the patch 160×192×80, ten classes, two channels; trained for a
moment on synthetic organs, so that its labels mean something.
PYTHON is that of an environment with torch and nnunetv2, for instance:

    python -m venv build/nnunet
    build/nnunet/bin/pip install torch==2.13.0
    build/nnunet/bin/pip install --no-deps nnunetv2 dynamic-network-architectures acvl-utils batchgenerators \
        batchgeneratorsv2
    build/nnunet/bin/pip install numpy scipy tqdm scikit-learn scikit-image SimpleITK pandas nibabel \
        matplotlib einops blosc2 connected-components-3d fft-conv-pytorch

Every row is a child process: CPU seconds and memory beyond program, weights and image, from normalised
image to label map. Loading is not timed; converting the network to OpenVINO is. The error of a row is 1 less
the smallest Dice of a class between its label map and that of the row nnU-Net; for nnU-Net itself against the
organs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Table, Timing, finish, memory, parser, reset_peak

from lymphct.core.arrays import FloatArray, Index3, LabelArray
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.settings import UNetSettings
from lymphct.learning.tensors import reversed_axes
from lymphct.learning.unet import SegmentationNetwork, initialize

CLASSES: Final = 10
CHANNELS: Final = 2
PATCH: Final[Index3] = (160, 192, 80)
ORGAN, ITERATIONS = 24, 80
"""Voxels from organ to organ; steps of training: enough that most voxels are decided."""
UNET: Final = UNetSettings(features=(8, 16, 32, 64, 80, 80))
WAYS: Final = {
    "torch": InferenceSettings(),
    "openvino": InferenceSettings(backend="openvino"),
    "openvino bfloat16": InferenceSettings(backend="openvino", precision="bfloat16"),
}
"""Our rows; the first is that of the ratios."""


def organs(shape: Index3, seed: int) -> tuple[FloatArray, LabelArray]:
    """Return normalised channels (c, k, j, i) of soft, noisy organs, and which organ lies where (k, j, i)."""
    generator = torch.Generator().manual_seed(seed)
    size = reversed_axes(shape)
    highest, labels = torch.full(size, -torch.inf), torch.zeros(size, dtype=torch.uint8)
    for organ in range(CLASSES):
        coarse = torch.randn(1, 1, *(n // ORGAN + 2 for n in size), generator=generator)
        field = nn.functional.interpolate(coarse, size=size, mode="trilinear")[0, 0]
        labels[field > highest] = organ
        highest = torch.maximum(highest, field)
    tissue = torch.randn(CHANNELS, CLASSES, generator=torch.Generator().manual_seed(0))
    image = 0.3 * torch.randn(CHANNELS, *size, generator=generator)
    for channel in range(CHANNELS):
        image[channel] += tissue[channel][labels.int()]
    return image.numpy(), labels.numpy()


def trained_network(iterations: int) -> SegmentationNetwork:
    """Return the network after some steps of Adam on small patches of organs."""
    network = SegmentationNetwork(CHANNELS, CLASSES, UNET)
    initialize(network, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for n in range(iterations):
        image, labels = organs((64, 64, 32), 1 + n)
        logits = network(torch.from_numpy(image)[None])[0]
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels)[None].long())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's
        optimizer.step()
    return network.eval()


def write_task(folder: Path, shape: Index3) -> None:
    """Lay down image, weights and plan for all rows."""
    image, labels = organs(shape, 0)
    np.save(folder / "image.npy", image)
    np.save(folder / "truth.npy", labels)
    network = trained_network(ITERATIONS)
    np.savez(folder / "weights.npz", **{name: value.numpy() for name, value in network.state_dict().items()})
    plan = {
        "classes": CLASSES,
        "channels": CHANNELS,
        "features": UNET.features,
        "strides": [reversed_axes(stride) for stride in UNET.strides],
        "convolutions": UNET.convolutions_per_stage,
        "patch_size": reversed_axes(PATCH),
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def our_record(folder: Path, way: str) -> dict[str, Any]:
    """Segment the image in one of `WAYS`; watch time and memory."""
    torch.set_num_threads(1)
    network = SegmentationNetwork(CHANNELS, CLASSES, UNET)
    weights = np.load(folder / "weights.npz")
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    image = np.load(folder / "image.npy")
    reset_peak()
    before = memory("VmRSS")
    starts = (time.process_time(), time.perf_counter())
    labels = sliding_window_labels(network.eval(), image, None, PATCH, WAYS[way])
    cpu, wall = time.process_time() - starts[0], time.perf_counter() - starts[1]
    peak = memory("VmHWM")
    np.save(folder / "ours.npy", labels.numpy())
    extra = None if before is None or peak is None else peak - before
    return {"cpu": cpu, "wall": wall, "extra_mib": extra}


def smallest_dice(labels: LabelArray, truth: LabelArray) -> float:
    """Return the smallest Dice of the classes that occur, background included."""
    joint = np.bincount(truth.reshape(-1) * np.int64(CLASSES) + labels.reshape(-1), minlength=CLASSES**2)
    table = joint.reshape(CLASSES, CLASSES)
    both = table.sum(0) + table.sum(1)
    return float(min(2 * table[n, n] / both[n] for n in range(CLASSES) if both[n]))


def row(name: str, command: list[str], folder: Path, file: str) -> Timing:
    """Run a child process; compare its label map with nnU-Net's, where that is there."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    error = None
    truth = folder / ("truth.npy" if file == "theirs.npy" else "theirs.npy")
    if truth.exists():
        error = 1 - smallest_dice(np.load(folder / file), np.load(truth))
    return Timing(method=name, error=error, **found)


def table(shape: Index3, ways: list[str], peer: Path | None) -> Table:
    """Run nnU-Net first, then us in every way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder, shape)
        rows = []
        if peer is not None:
            script = Path(__file__).with_name("nnunet_predictor.py")
            theirs = row("nnU-Net", [str(peer), str(script), name, "cpu"], folder, "theirs.npy")
            rows = [theirs]
        for way in ways:
            ours = row(
                f"lymphct, {way}", [sys.executable, __file__, "--child", way, name], folder, "ours.npy"
            )
            rows.append(ours)
    first, rest = rows[: peer is not None], rows[peer is not None :]
    return Table(
        title=f"{'×'.join(map(str, shape))} voxels, {CLASSES} classes, one thread", rows=[*rest, *first]
    )


def main() -> int:
    options = parser(__doc__ or "", (512, 512, 300))
    options.add_argument("--peer", type=Path, help="Python that has nnunetv2; without it we run alone")
    options.add_argument("--way", action="append", choices=WAYS, help="only this row of ours")
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child is not None:
        way, folder = given.child
        print(json.dumps(our_record(Path(folder), way)))
        return 0
    finish([table(tuple(given.shape), given.way or list(WAYS), given.peer)], given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
