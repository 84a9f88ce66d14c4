"""Time the augmentation of training patches against batchgeneratorsv2 with nnU-Net's list.

`python benchmarks/augmentation.py [--shape 160 192 80] [--draws 200] [--json FILE]`: two phases as int16 HU,
attention and labels as bytes, in memory; one thread. Both are asked for as many patches, from the same
images, in turns: ours normalises while it cuts, batchgeneratorsv2 is given normalised single precision
(nnU-Net stores it so) and as large a box as nnU-Net cuts; attention goes with its image as a third channel
only while it moves. nnU-Net moves labels as interpolated indicators of each class; the third row asks
batchgeneratorsv2 for the nearest voxel instead, as ours does, and so do the rows of single changes. That each
change is the same is what `tests/learning/test_augmentation_parity.py` holds.

A processor with narrower vectors is imitated by numba's own switches: `NUMBA_CPU_NAME=znver3` (or `haswell`)
and `NUMBA_CPU_FEATURES=` (empty) compile for AVX2; torch follows `ATEN_CPU_CAPABILITY=avx2`.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform as TheirSpatial
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from numba import njit

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Table, Timing, memory, parser, reset_peak, write_record

from lymphct.core.arrays import AnyArray, Index3
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation import (
    IntensityChanges,
    Noise,
    PatchPlace,
    SpatialTransform,
    change_intensities,
    cut_attention,
    cut_image,
    cut_labels,
    draw_changes,
    draw_spatial,
)
from lymphct.learning.augmentation_drawing import rotation
from lymphct.learning.settings import AugmentationSettings
from lymphct.learning.tensors import reversed_axes

STATISTICS: Final = (IntensityStatistics(-100.0, 240.0, 70.0, 85.0),) * 2
ANGLE: Final = np.deg2rad(30.0)
MARGIN: Final = 0.55
"""Half the share by which the images are wider than the patch, so that boxes of turned patches fit mostly."""


def patient(patch: Index3, rng: np.random.Generator) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return phases (2, k, j, i) int16 HU, attention and labels of a body with organs and noise."""
    shape = tuple(round(n * (1 + 2 * MARGIN)) for n in patch)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    waves = 60 + 120 * np.sin(9 * x + 4 * z) * np.cos(7 * y)
    body = np.where(x**2 + 1.3 * y**2 < 0.9, waves, -1000)
    phases = [(body + rng.normal(0, 15, shape)).astype(np.int16) for _ in range(2)]
    attention = np.clip(waves + 40, 0, 255).astype(np.uint8)
    labels = (waves > 150).astype(np.uint8)
    return np.stack(phases), attention, labels


class Ours:
    """Patches by the project's own loops."""

    def __init__(self, images: tuple[AnyArray, AnyArray, AnyArray], patch: Index3) -> None:
        self.images, self.patch, self.rng = images, patch, np.random.default_rng(1)
        self.settings = AugmentationSettings()

    def place(self, transform: SpatialTransform) -> PatchPlace:
        """Return a patch in the middle of the images."""
        wide = transform.source_size(self.patch)
        k, j, i = ((n - w) // 2 for n, w in zip(self.images[1].shape, wide, strict=True))
        return PatchPlace((k, j, i), self.patch, transform)

    def draw(self) -> None:
        """Make one patch."""
        changes = draw_changes(self.settings, self.rng, 2)
        image, _, _ = self.cut(changes.spatial)
        change_intensities(image, changes.intensities)

    def cut(self, transform: SpatialTransform) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Cut image, attention and labels."""
        image, attention, labels = self.images
        place = self.place(transform)
        return cut_image(image, place, STATISTICS), cut_attention(attention, place), cut_labels(labels, place)


class Theirs:
    """Patches by batchgeneratorsv2 in nnU-Net's order, with its probabilities."""

    def __init__(
        self, images: tuple[AnyArray, AnyArray, AnyArray], patch: Index3, labels_by: str = "bilinear"
    ) -> None:
        image, attention, labels = images
        self.labels_by = labels_by
        self.patch, self.settings, self.rng = patch, AugmentationSettings(), np.random.default_rng(2)
        # nnU-Net cuts one size for all patches: that of the farthest turn and scaling about each axis.
        turned = [rotation(np.eye(3)[axis] * ANGLE) for axis in range(3)]
        wide = np.max([np.abs(matrix) @ np.array(patch) for matrix in turned], axis=0) / 0.85
        box = tuple(
            slice((n - int(w)) // 2, (n - int(w)) // 2 + int(w))
            for n, w in zip(labels.shape, np.minimum(wide, labels.shape), strict=True)
        )
        z_scored = np.stack(
            [
                (np.clip(channel[box], one.low, one.high) - one.mean) / one.sd
                for channel, one in zip(image.astype(np.float32), STATISTICS, strict=True)
            ]
        )
        smooth = np.concatenate([z_scored, attention[box][None] / np.float32(255)]).astype(np.float32)
        self.smooth, self.labels = torch.from_numpy(smooth), torch.from_numpy(labels[box][None].copy())
        self.spatial = self.moving(0.2, 0.2)
        self.intensity = [RandomTransform(change, share) for change, share in their_changes().values()]
        self.mirror = MirrorTransform((0, 1, 2))

    def moving(self, rotated: float, scaled: float) -> TheirSpatial:
        """Return nnU-Net's spatial transform with these probabilities."""
        return TheirSpatial(
            self.patch,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_rotation=rotated,
            rotation=(-ANGLE, ANGLE),
            p_scaling=scaled,
            scaling=(0.7, 1.4),
            p_synchronize_scaling_across_axes=1,
            mode_seg=self.labels_by,
        )

    def draw(self) -> None:
        """Make one patch."""
        moved = self.spatial(image=self.smooth, segmentation=self.labels)
        changed: dict[str, Any] = {"image": moved["image"][:2].contiguous()}
        for change in self.intensity:
            changed = change(**changed)
        both = torch.cat([changed["image"], moved["image"][2:]])
        self.mirror(image=both, segmentation=moved["segmentation"])


def their_changes() -> dict[str, tuple[BasicTransform, float]]:
    """Return nnU-Net's changes of intensities and how often each is made."""
    quarter, gamma = BGContrast((0.75, 1.25)), BGContrast((0.7, 1.5))
    apart = {"synchronize_channels": False}
    return {
        "noise": (GaussianNoiseTransform((0, 0.1), 1, synchronize_channels=True), 0.1),
        "blur": (GaussianBlurTransform((0.5, 1.0), **apart, p_per_channel=0.5, benchmark=True), 0.2),
        "brightness": (MultiplicativeBrightnessTransform(quarter, **apart), 0.15),
        "contrast": (ContrastTransform(quarter, preserve_range=True, **apart), 0.15),
        "low resolution": (
            SimulateLowResolutionTransform(
                (0.5, 1), **apart, synchronize_axes=True, ignore_axes=None, p_per_channel=0.5
            ),
            0.25,
        ),
        "inverted gamma": (GammaTransform(gamma, 1, **apart, p_per_channel=1, p_retain_stats=1), 0.1),
        "gamma": (GammaTransform(gamma, 0, **apart, p_per_channel=1, p_retain_stats=1), 0.3),
    }


def changed_by_them(transform: BasicTransform, patch: torch.Tensor) -> object:
    return transform(image=patch.clone())


def timed(work: Callable[[], object], runs: int) -> list[tuple[float, float]]:
    """Return CPU and wall seconds of each run."""
    seconds = []
    for _ in range(runs):
        starts = time.process_time(), time.perf_counter()
        work()
        seconds.append((time.process_time() - starts[0], time.perf_counter() - starts[1]))
    return seconds


def whole(methods: Mapping[str, Callable[[], None]], draws: int) -> tuple[Table, dict[str, float]]:
    """Return mean seconds of patches, and median CPU seconds; the methods take turns of ten patches."""
    peaks: dict[str, float | None] = {}
    for name, draw in methods.items():
        timed(draw, 10)
        reset_peak()
        before = memory("VmRSS")
        timed(draw, max(draws // 10, 3))
        peak = memory("VmHWM")
        peaks[name] = None if before is None or peak is None else max(peak - before, 0.0)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for _ in range(0, draws, 10):
        for name, draw in methods.items():
            seconds[name] += timed(draw, min(10, draws))
    rows = [
        Timing(
            method=name,
            cpu=float(np.mean(each, axis=0)[0]),
            wall=float(np.mean(each, axis=0)[1]),
            extra_mib=peaks[name],
            error=None,
        )
        for name, each in seconds.items()
    ]
    medians = {name: float(np.median(each, axis=0)[0]) for name, each in seconds.items()}
    return Table(title=f"one patch, mean of {draws} draws", rows=rows, facts={"draws": draws}), medians


def single(ours: Ours, theirs: Theirs, runs: int) -> list[dict[str, Any]]:
    """Return what each change costs when it is made, on both channels; medians."""
    turned, plain = SpatialTransform(rotation(np.deg2rad([12.0, -18.0, 15.0]))), SpatialTransform()
    mirrored = SpatialTransform(None, (True, True, True))
    image = ours.cut(plain)[0]
    patch = torch.from_numpy(image.copy())
    changes = {
        "noise": IntensityChanges(noise=Noise(1, 0.01)),
        "blur": IntensityChanges(blur=((0.75, 0.75, 0.75),) * 2),
        "brightness": IntensityChanges(brightness=(0.99, 1.01)),
        "contrast": IntensityChanges(contrast=(0.9, 1.1)),
        "low resolution": IntensityChanges(low_resolution=(0.75, 0.75)),
        "inverted gamma": IntensityChanges(inverted_gamma=(0.9, 1.1)),
        "gamma": IntensityChanges(gamma=(0.9, 1.1)),
    }
    moving, still = theirs.moving(1.0, 1.0), theirs.moving(0.0, 0.0)

    def theirs_cut() -> torch.Tensor:
        found: torch.Tensor = still(image=theirs.smooth, segmentation=theirs.labels)["image"]
        return found

    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "cut": (
            lambda: ours.cut(plain),
            lambda: theirs_cut().clone(),
        ),
        "cut and mirrored": (
            lambda: ours.cut(mirrored),
            lambda: torch.flip(theirs_cut(), (1, 2, 3)),
        ),
        "turned and scaled": (
            lambda: ours.cut(turned),
            lambda: moving(image=theirs.smooth, segmentation=theirs.labels),
        ),
    }
    their = their_changes()
    for name, change in changes.items():
        transform = their[name][0]
        if hasattr(transform, "p_per_channel"):
            transform.p_per_channel = 1
        pairs[name] = (
            partial(change_intensities, image, change),
            partial(changed_by_them, transform, patch),
        )
    rows = []
    for name, (one, other) in pairs.items():
        one()
        other()
        seconds = [float(np.median(timed(work, runs), axis=0)[0]) for work in (one, other)]
        rows.append({"change": name, "lymphct": seconds[0], "batchgeneratorsv2": seconds[1]})
    return rows


def _sum(values: AnyArray) -> int:
    total = 0
    for n in range(values.size):
        total += values[n]
    return total


def instruction_set() -> dict[str, str | None]:
    """Return the processor and what is really compiled for it: the widest registers of a loop."""
    compiled = njit(_sum)
    compiled(np.zeros(9, np.int64))
    names = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ())
        if line.startswith("model name")
    ]
    code = "".join(compiled.inspect_asm().values())
    width = "AVX-512" if "zmm" in code else "AVX2" if "ymm" in code else "narrower than AVX"
    return {
        "processor": names[0] if names else None,
        "compiled_for": width,
        "torch": torch.backends.cpu.get_cpu_capability(),
    }


def source_voxels(draws: int, patch: Index3) -> float:
    """Return how many voxels the boxes hold in the mean, per voxel of the patch: what a reader must read."""
    rng = np.random.default_rng(3)
    sizes = [np.prod(draw_spatial(AugmentationSettings(), rng).source_size(patch)) for _ in range(draws)]
    return float(np.mean(sizes) / np.prod(patch))


def main() -> None:
    options = parser(__doc__, (160, 192, 80))
    options.add_argument("--draws", type=int, default=200, help="patches of either")
    options.set_defaults(runs=7)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - batchgeneratorsv2 draws from the global state
    patch = reversed_axes((arguments.shape[0], arguments.shape[1], arguments.shape[2]))
    images = patient(patch, np.random.default_rng(0))
    ours, theirs = Ours(images, patch), Theirs(images, patch)
    nearest = Theirs(images, patch, "nearest")
    methods = {
        "lymphct": ours.draw,
        "batchgeneratorsv2": theirs.draw,
        "… labels by nearest": nearest.draw,
    }
    table, medians = whole(methods, arguments.draws)
    changes, machine = single(ours, nearest, arguments.runs), instruction_set()
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print(table.text())
    print("medians: " + ", ".join(f"{name} {median:.4f}" for name, median in medians.items()))
    print(f"\n{'change, CPU ms':<22}{'lymphct':>9}{'theirs':>9}{'ratio':>7}")
    for row in changes:
        one, other = row["lymphct"], row["batchgeneratorsv2"]
        print(f"{row['change']:<22}{1000 * one:>9.2f}{1000 * other:>9.2f}{other / one:>7.1f}")
    voxels = source_voxels(2000, patch)
    print(f"voxels of the boxes per voxel of the patch: {voxels:.2f}; max RSS {memory('VmHWM') or 0:.0f} MiB")
    if arguments.json is not None:
        write_record(
            arguments.json,
            machine=machine,
            shape=arguments.shape,
            tables=[asdict(table)],
            medians=medians,
            changes=changes,
            source_voxels=voxels,
            max_rss_mib=memory("VmHWM"),
        )


if __name__ == "__main__":
    main()
