"""Time sliding windows: skipped or not, over the box alone, by torch or OpenVINO; and watch their memory.

`python benchmarks/inference.py [PART …] [--shape 512 512 300] [--runs 5] [--unet small] [--json FILE]`, one
thread throughout. PART is one of these, without a name all run:

- windows: the paper's patch over the attention maps of a `tall` phantom and of one of size `paper` placed in
  an image of `--shape`, on nnU-Net's even grid and on one laid so that few windows have attention, with a
  small network; skipping must change no bit.
- backends: the shipped networks (with `--unet paper` also one window of the paper's), each library and
  precision against torch's float32; OpenVINO only where it is installed.
- patients: whole `tiny` phantoms by each library and precision and on windows laid for few with attention;
  the error is 1 less the mean Dice of structures, tumor and nodes with torch's float32 and even windows.
- memory: the largest memory of each stage beyond its input, in a child process, for an image of `--shape`
  full of tissue and attention, with the paper's patch and a small network or (hours) the paper's.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Method, Table, Timing, compare, finish, memory, parser, reset_peak

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.anatomy.structures import build_structure_network, segment_structures
from lymphct.anatomy.tumor import build_tumor_network, segment_tumor
from lymphct.attention.mapping import attention_map
from lymphct.cascade.patient import predict_patient
from lymphct.cascade.settings import Config
from lymphct.core.arrays import AnyArray, FloatArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, PatientInput, Prediction
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.models.bundles import read_bundle, shipped_bundle_path
from lymphct.io.models.loading import load_models
from lymphct.learning.inference import sliding_window_logits
from lymphct.learning.inference_settings import Backend, InferenceChoice, InferenceSettings, Precision
from lymphct.learning.settings import UNetSettings
from lymphct.learning.tensors import reversed_axes, to_network
from lymphct.nodes.segmentation import build_node_network, segment_nodes
from lymphct.nodes.settings import NodeSegmentationSettings
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

SPACING = (0.68, 0.68, 0.80)
SMALL = UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
UNETS = {"small": SMALL, "paper": UNetSettings()}
STAGES = ("structures", "tumor", "nodes")
PARTS = ("windows", "backends", "patients", "memory")


class Counted(nn.Module):
    """Stage 1 with a count of the windows it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_node_network(NodeSegmentationSettings(unet=SMALL))
        self.windows = 0

    def forward(self, image: Tensor, attention: Tensor) -> list[Tensor]:
        """Count and pass on."""
        self.windows += len(image)
        logits: list[Tensor] = self.network(image, attention)
        return logits

    def background_logits(self) -> Tensor | None:
        """Return those of the network."""
        return self.network.background_logits()


def reference_maps(shape: Index3) -> Iterator[tuple[str, FloatArray]]:
    """Draw the attention of a `tall` phantom on the paper's grid, and of one of size `paper` in `shape`."""
    for size in ("tall", "paper"):
        patient = generate_patient(PhantomSettings(size=size, phase_shift=False), seed=5, index=0)
        drawn = patient.structures
        if size == "tall":
            drawn = resample_labels(drawn, drawn.geometry.resampled(SPACING))
        else:
            i, j, k = ((small - large) // 2 for small, large in zip(drawn.geometry.shape, shape, strict=True))
            drawn = crop_volume(drawn, (i, j, k), shape)
        yield f"{size}, {'×'.join(map(str, drawn.geometry.shape))} voxels", attention_map(drawn).array


def windows_table(name: str, attention: FloatArray) -> Table:
    """Compare skipped, complete and boxed windows on one map; skipping must change no bit of either grid."""
    gate = to_network(attention)
    image = np.random.default_rng(0).normal(size=(2, *gate.shape)).astype(np.float32)
    patch_size = NodeSegmentationSettings().sampling.patch_size
    network = Counted().eval()
    counts: list[int] = []
    exact: dict[str, Tensor] = {}

    def slide(settings: InferenceSettings) -> Tensor:
        network.windows = 0
        logits = sliding_window_logits(network, image, gate, patch_size, settings)
        counts.append(network.windows)
        if settings.mode == "exact":
            exact.setdefault(settings.windows, logits)
        return logits

    def changed(settings: InferenceSettings, logits: Tensor) -> float:
        return float(not torch.equal(logits, exact[settings.windows]))

    choices = {
        "skipped without attention": InferenceSettings(),
        "complete grid": InferenceSettings(skip_without_attention=False),
        "few with attention, skipped": InferenceSettings(windows="few"),
        "few with attention, complete": InferenceSettings(windows="few", skip_without_attention=False),
        "box of the attention": InferenceSettings(mode="box"),
    }
    methods = [
        Method(
            name=title,
            compute=partial(slide, settings),
            error=None if settings.mode == "box" else partial(changed, settings),
            is_slow=True,
        )
        for title, settings in choices.items()
    ]
    table = compare(f"sliding windows, {name}", methods, 1)
    rows = [
        replace(row, method=f"{row.method}: {count} windows")
        for row, count in zip(table.rows, counts, strict=True)
    ]
    return replace(table, rows=rows)


def backend_tables(runs: int, unet: str) -> Iterator[Table]:
    """Compare libraries and precisions on an image of a `tiny` patient, with the shipped networks."""
    models = load_models(read_bundle(shipped_bundle_path()), torch.device("cpu"))
    for name, part in (("structures", models.structures), ("nodes", models.nodes)):
        if part is not None:
            work = (part.network, (96, 96, 64), part.settings.sampling.patch_size)
            yield compare(f"sliding over 96×96×64 voxels, shipped {name}", _backends(*work), runs)
    if unet == "paper":
        settings = NodeSegmentationSettings()
        patch_size = settings.sampling.patch_size
        work = (build_node_network(settings).eval(), patch_size, patch_size)
        yield compare("one window, stage 1 as in the paper, untrained", _backends(*work), runs)


def _backends(network: nn.Module, shape: Index3, patch_size: Index3) -> list[Method]:
    generator = torch.Generator().manual_seed(0)
    size = reversed_axes(shape)
    # As smooth as tissue: networks have seen no pure noise.
    image = (
        nn.functional.avg_pool3d(torch.randn(2, *size, generator=generator), 5, 1, 2).mul_(8).clamp_(-2, 2)
    )
    attention = torch.rand(size, generator=generator)

    def slide(settings: InferenceSettings) -> Tensor:
        return sliding_window_logits(network, image, attention, patch_size, settings)

    def without_kept_memory() -> Tensor:
        with mock.patch("lymphct.learning.inference.kept_memory", nullcontext):
            return slide(InferenceSettings())

    truth = slide(InferenceSettings())
    reach = float(truth.abs().max())

    def error(logits: Tensor) -> float:
        return float((logits - truth).abs().max())

    def method(backend: Backend, precision: Precision) -> Method:
        settings = InferenceSettings(backend=backend, precision=precision)
        limit = 1e-3 if precision == "float32" else 0.05 * reach
        name = f"{backend}, {precision}, logits to ±{reach:.1f}"
        return Method(name=name, compute=partial(slide, settings), error=error, limit=limit)

    methods = [
        method("torch", "float32"),
        Method(name="torch, float32, memory not kept", compute=without_kept_memory, error=error),
        method("torch", "bfloat16"),
    ]
    if importlib.util.find_spec("openvino") is not None:
        methods += [method("openvino", "float32"), method("openvino", "bfloat16")]
    return methods


def patients_table(count: int) -> Table:
    """Predict phantoms the shipped bundle never saw in several ways; tell how far masks and calls move."""
    models = load_models(read_bundle(shipped_bundle_path()), torch.device("cpu"))
    ways: dict[str, InferenceChoice] = {
        "torch, float32": InferenceChoice(backend="torch"),
        "torch, bfloat16": InferenceChoice(backend="torch", precision="bfloat16"),
        "torch, float32, few with attention": InferenceChoice(backend="torch", windows="few"),
    }
    if importlib.util.find_spec("openvino") is not None:
        ways["openvino, float32"] = InferenceChoice(backend="openvino")
        ways["openvino, bfloat16"] = InferenceChoice(backend="openvino", precision="bfloat16")
    phantoms = [generate_patient(PhantomSettings(size="tiny"), seed=20, index=n) for n in range(count)]
    found: dict[str, list[Prediction]] = {}
    rows = []
    for name, choice in ways.items():
        config = Config(inference=choice)
        starts = (time.process_time(), time.perf_counter())
        found[name] = [
            predict_patient(
                PatientInput(patient_id=p.patient_id, venous=p.venous, arterial=p.arterial),
                models, config, registration="none",
            )
            for p in phantoms
        ]  # fmt: skip
        cpu, wall = time.process_time() - starts[0], time.perf_counter() - starts[1]
        pairs = list(zip(found[name], found["torch, float32"], strict=True))
        moved = max(abs((a.probability or 0.0) - (b.probability or 0.0)) for a, b in pairs)
        dice = [f"{np.mean([_dice(mask(a), mask(b)) for a, b in pairs]):.4f}" for mask in MASKS]
        title = f"{name}: Dice {' '.join(dice)}, probability {moved:.3f}"
        error = 1 - min(map(float, dice))
        rows.append(Timing(method=title, cpu=cpu, wall=wall, extra_mib=None, error=error))
    return Table(title=f"{count} whole patients; Dice of structures, tumor, nodes", rows=rows)


def _dice(a: AnyArray, b: AnyArray) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero((a == b) & (a > 0)) / total if total else 1.0


MASKS: tuple[Callable[[Prediction], AnyArray], ...] = (
    lambda found: found.structures.array,
    lambda found: found.tumor.array,
    lambda found: found.nodes.instances.array > 0,
)


def memory_table(shape: Index3, unet: str) -> Table:
    """Run each stage in a child process."""
    rows = []
    for stage in STAGES:
        command = [sys.executable, __file__, "--stage", stage, "--unet", unet, "--shape", *map(str, shape)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(Timing(**json.loads(done.stdout)))
    return Table(
        title=f"memory beyond the input, {'×'.join(map(str, shape))} voxels, {unet} network", rows=rows
    )


def stage_record(stage: str, shape: Index3, unet: str) -> dict[str, Any]:
    """Segment an image full of tissue, with attention everywhere, and watch the memory."""
    grid = Geometry(shape=shape, spacing=SPACING)
    rng = np.random.default_rng(0)
    venous = Volume(array=rng.standard_normal(shape, dtype=np.float32), geometry=grid)
    image = Multiphase(venous=venous, arterial=venous.with_array(-venous.array))
    attention = venous.with_array(np.full(shape, 0.5, dtype=np.float32))
    parts: dict[str, Any] = {"unet": UNETS[unet]}
    work: Callable[[], Any]
    if stage == "structures":
        organs = StructureSettings(**parts)
        work = partial(segment_structures, build_structure_network(organs), image, organs)
    elif stage == "tumor":
        tumor = TumorSettings(**parts)
        work = partial(segment_tumor, build_tumor_network(tumor), image, tumor)
    else:
        nodes = NodeSegmentationSettings(**parts)
        work = partial(segment_nodes, build_node_network(nodes), image, attention, nodes)
    reset_peak()
    before = memory("VmRSS")
    starts = (time.process_time(), time.perf_counter())
    work()
    cpu, wall = time.process_time() - starts[0], time.perf_counter() - starts[1]
    peak = memory("VmHWM")
    extra = None if before is None or peak is None else peak - before
    return asdict(Timing(method=stage, cpu=cpu, wall=wall, extra_mib=extra, error=None))


def main() -> int:
    options = parser(__doc__ or "", (512, 512, 300))
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    options.add_argument("--unet", choices=UNETS, default="small", help="network whose memory is measured")
    options.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    given = options.parse_args()
    torch.set_num_threads(1)
    if given.stage is not None:
        print(json.dumps(stage_record(given.stage, tuple(given.shape), given.unet)))
        return 0
    tables = []
    for part in given.parts or PARTS:
        if part == "windows":
            tables += [windows_table(name, found) for name, found in reference_maps(tuple(given.shape))]
        elif part == "backends":
            tables += backend_tables(given.runs, given.unet)
        elif part == "patients":
            tables.append(patients_table(4))
        elif part == "memory":
            tables.append(memory_table(tuple(given.shape), given.unet))
        else:
            options.error(f"unknown part {part}, known: {', '.join(PARTS)}")
    finish(tables, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
