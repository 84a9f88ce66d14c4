"""What a prepared patient takes of the disk, and what a random patch of it and a start cost (decision 0032).

    lymphct phantom phantoms --patients 1 --size paper --seed 3
    python benchmarks/prepared_store.py phantoms
    python benchmarks/prepared_store.py phantoms --noise 30    # HU, added to both phases
    python benchmarks/prepared_store.py phantoms --start 100   # patients of a start

CPU seconds of one thread, the median over patches of 160×192×80 at random places; files are in the cache.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.cascade.alignment import align
from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import PatientInput
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations
from lymphct.io.manifest import PatientRecord, read_manifest
from lymphct.io.results.volumes import StoredImages, save_volumes
from lymphct.learning.tensors import to_network
from lymphct.patients.prepared.preparation import Preparation, prepare_patient
from lymphct.patients.prepared.preparing import cropped, images_of, on_working_grid
from lymphct.patients.reading import read_patient
from lymphct.registration.settings import RegistrationSettings

PATCH: Final = (160, 192, 80)
PATCHES: Final = 40
FULL_SIZE: Final = (512, 512, 300)
TODAY: Final = 10.0
"""Bytes per voxel before: int16 phases, uint8 masks, int32 nodes."""
BLOSC: Final = import_module("blosc2")
Box = tuple[slice, slice, slice]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("phantoms", type=Path, help="folder of `lymphct phantom`")
    parser.add_argument(
        "--noise", type=float, default=0.0, help="standard deviation, HU, added to both phases"
    )
    parser.add_argument("--start", type=int, default=0, help="time a start with so many patients instead")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    record = read_manifest(options.phantoms / "cohort.csv").patients[0]
    if options.start:
        started(record, options.start)
        return
    volumes = prepared(read_patient(record), options.noise)
    found = []
    for images in (volumes, varied(volumes)):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(images, Path(folder)))
    if options.json is not None:
        write_record(options.json, noise=options.noise, images=found)


def prepared(patient: PatientInput, noise: float) -> dict[str, Volume]:
    """Return the images of a patient on the working grid, with noise."""
    none = RegistrationSettings(method="none")
    aligned = align(patient.venous, patient.arterial, patient.venous.geometry.spacing, none)
    rng = np.random.default_rng(0)
    volumes = images_of(on_working_grid(patient, aligned.ct))
    return {name: noisy(volume, noise, rng) if name in {"venous", "arterial"} else volume
            for name, volume in volumes.items()}  # fmt: skip


def noisy(volume: Volume, sd: float, rng: np.random.Generator) -> Volume:
    """Return a phase with white noise."""
    if not sd:
        return volume
    noise = rng.normal(0.0, sd, volume.array.shape)
    return volume.with_array(np.clip(np.rint(volume.array + noise), -1024, 32767).astype(np.int16))


def varied(volumes: Mapping[str, Volume]) -> dict[str, Volume]:
    """Return the images at full size: their voxels repeated, and noise anew so that phases do not repeat."""
    rng = np.random.default_rng(1)
    grid = volumes["venous"].geometry
    factors = [new / old for new, old in zip(FULL_SIZE, grid.shape, strict=True)]
    large = Geometry(shape=FULL_SIZE, spacing=grid.spacing)
    found = {}
    for name, volume in volumes.items():
        array = ndimage.zoom(volume.array, factors, order=0)
        found[name] = noisy(Volume(array=array, geometry=large), 10.0 * (volume.array.dtype == np.int16), rng)
    return found


def measured(volumes: Mapping[str, Volume], folder: Path) -> dict[str, object]:
    """Print and return size and cost of reading of one patient, as stored and in other ways."""
    full = volumes["venous"].geometry
    images, crop = cropped(volumes)
    structures = images["structures"]
    attention = attention_map(structures, PAPER_BANDS, AttentionSettings())
    images["attention"] = structures.with_array(as_bytes(attention.array))
    found = {name: class_locations(images[name].array) for name in ("structures", "tumor", "nodes")}
    before = time.process_time()
    save_volumes(folder, images, crop=crop, locations=found)
    wrote = time.process_time() - before
    voxels = np.prod(full.shape)
    shape = images["venous"].geometry.shape
    share = np.prod(shape) / voxels
    print(f"\n{'×'.join(map(str, full.shape))}, of which {'×'.join(map(str, shape))} kept ({share:.0%})")
    sizes = {path.name: path.stat().st_size / voxels for path in sorted(folder.glob("*.chunks"))}
    total = sum(sizes.values())
    for name, size in sizes.items():
        print(f"  {name:32s} {size:7.4f} B/voxel of the working grid")
    print(
        f"  {'all':32s} {total:7.4f} B/voxel, {total / TODAY:.0%} of {TODAY:.0f} B; "
        f"written in {wrote:.2f} CPU-s"
    )
    boxes = random_boxes(shape)
    stored = StoredImages(folder)
    read = {
        name: cost(stored[name].read, boxes)
        for name in ("venous", "arterial", "structures", "nodes", "attention")
    }
    for name, seconds in read.items():
        print(f"  {name:32s} {seconds * 1e3:6.1f} ms a patch")
    patch = sum(read.values()) - read["nodes"]
    print(f"  {'phases, structures, attention':32s} {patch * 1e3:6.1f} ms a patch")
    mapped = computed(stored, boxes)
    return {
        "shape": full.shape,
        "kept": float(share),
        "bytes_per_voxel": total,
        "share_of_plain": total / TODAY,
        "files": sizes,
        "read": read,
        "patch": patch,
        "mapped": mapped,
        "other_ways": compared(images, boxes, folder),
    }


def random_boxes(shape: Index3) -> list[Box]:
    """Return boxes of a patch within an image; the same ones each time."""
    rng = np.random.default_rng(0)
    boxes = []
    for _ in range(PATCHES):
        starts = [int(rng.integers(0, max(n - size, 0) + 1)) for n, size in zip(shape, PATCH, strict=True)]
        i, j, k = (slice(s, min(s + size, n)) for s, size, n in zip(starts, PATCH, shape, strict=True))
        boxes.append((i, j, k))
    return boxes


def cost(read: Callable[[Box], AnyArray], boxes: Sequence[Box]) -> float:
    """Return the median CPU seconds of bringing a box into the order of the networks."""
    to_network(read(boxes[0]))
    taken = []
    for box in boxes:
        before = time.process_time()
        to_network(read(box))
        taken.append(time.process_time() - before)
    return median(taken)


def computed(stored: StoredImages, boxes: Sequence[Box]) -> float:
    """Print and return what the attention of a patch costs when it is mapped from the label map around it."""
    image = stored["structures"]
    settings = AttentionSettings()
    reach = max(band.d_max for band in PAPER_BANDS.values()) + settings.border
    margins = [int(np.ceil(reach / step)) for step in image.geometry.spacing]

    def mapped(box: Box) -> AnyArray:
        wide = [slice(max(part.start - m, 0), min(part.stop + m, n))
                for part, m, n in zip(box, margins, image.geometry.shape, strict=True)]  # fmt: skip
        i, j, k = wide
        labels = np.ascontiguousarray(image.read((i, j, k)))
        grid = Geometry(shape=labels.shape, spacing=image.geometry.spacing)
        attention = attention_map(Volume(array=labels, geometry=grid), PAPER_BANDS, settings)
        return attention.array[
            tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
        ]

    seconds = cost(mapped, boxes[:8])
    print(f"  {'attention from the label map':32s} {seconds * 1e3:6.1f} ms a patch (margin {reach:.0f} mm)")
    return seconds


def compared(images: Mapping[str, Volume], boxes: Sequence[Box], folder: Path) -> list[dict[str, object]]:
    """Print and return size and cost of one phase stored in other ways."""
    array = images["venous"].array
    turned = np.ascontiguousarray(array.transpose(2, 1, 0))
    print("  the venous phase in other ways:")
    rows = []
    for name, values in (("memory map, k fastest", array), ("memory map, i fastest", turned)):
        np.save(folder / "plain.npy", values)
        mapped = np.load(folder / "plain.npy", mmap_mode="r")
        view = mapped if values is array else mapped.transpose(2, 1, 0)
        taken = cost(lambda box, view=view: np.array(view[box]), boxes)  # type: ignore[misc] # bound now
        rows.append(told(name, mapped.nbytes / array.size, taken))
    for codec in ("LZ4", "ZSTD"):
        for filtered in ("SHUFFLE", "BITSHUFFLE"):
            for chunk, block in (
                ((64, 128, 128), (16, 32, 32)),
                ((32, 64, 64), (32, 64, 64)),
                ((32, 32, 32), (32, 32, 32)),
            ):
                how = {"codec": BLOSC.Codec[codec], "clevel": 5 if codec == "LZ4" else 1,
                       "filters": [BLOSC.Filter[filtered]], "nthreads": 1}  # fmt: skip
                path = folder / "array.b2nd"
                BLOSC.asarray(turned, chunks=chunk, blocks=block, urlpath=str(path), mode="w", cparams=how)
                opened = BLOSC.open(str(path), mode="r", dparams={"nthreads": 1})
                name = f"b2nd {codec} {filtered.lower()} {chunk[::-1]}, blocks {block[::-1]}"
                size = path.stat().st_size / array.size
                taken = cost(lambda box, opened=opened: opened[box[::-1]].transpose(2, 1, 0), boxes)  # type: ignore[misc] # bound now
                rows.append(told(name, size, taken))
    return rows


def told(name: str, size: float, seconds: float) -> dict[str, object]:
    """Print and return a line."""
    print(f"    {name:58s} {size:6.3f} B/voxel kept {seconds * 1e3:6.1f} ms a patch")
    return {"way": name, "bytes_per_voxel": size, "seconds": seconds}


def started(record: PatientRecord, number: int) -> None:
    """Print what a look at so many prepared patients costs, with inputs hashed and without."""
    records = [replace(record, patient_id=f"p{n:04}") for n in range(number)]
    old = time.time() - 3600
    for path in record.paths.values():
        os.utime(path, (old, old))
    with tempfile.TemporaryDirectory() as folder:
        how = Preparation(
            folder=Path(folder), spacing=(3.0, 3.0, 3.0), registration=RegistrationSettings(method="none")
        )
        for name, preparation in (
            ("prepared", how),
            ("looked at", how),
            ("hashed", replace(how, rehash=True)),
        ):
            wall, before = time.perf_counter(), time.process_time()
            for each in records:
                prepare_patient(each, preparation)
            cpu, wall = time.process_time() - before, time.perf_counter() - wall
            print(f"{name:12s} {cpu / number * 1e3:8.2f} CPU-ms a patient, {wall / number * 1e3:8.2f} ms;"
                  f" 749 patients: {cpu / number * 749:6.1f} CPU-s")  # fmt: skip
    held = sum(path.stat().st_size for path in record.paths.values())
    content = bytes(200_000_000)
    before = time.process_time()
    hashlib.sha256(content).digest()
    speed = len(content) / (time.process_time() - before)
    print(
        f"inputs of one patient: {held / 1e6:.1f} MB; at {speed / 1e6:.0f} MB/s hashing two phases of 100 MB "
        f"of 749 patients takes {749 * 200e6 / speed:.0f} CPU-s (arithmetic)"
    )


if __name__ == "__main__":
    main()
