"""A store of prepared patients of 512×512×300 voxels, made of one phantom of size `paper`.

Eight patients are written, each the phantom moved by some voxels and brightened by some HU in a bed of air
and noise; every further one is the files of one of them under another name (hard links). Used by
`training_scale.py` and `training_pipeline.py`; `python benchmarks/training_store.py FOLDER --patients 8`
writes one.
"""

import argparse
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.settings import AttentionSettings
from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Clinical
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop
from lymphct.imaging.locations import class_locations
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.volumes import save_volumes, smallest_unsigned
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.files import NODES_FILE
from lymphct.patients.prepared.preparation import Store
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings

FULL: Index3 = (512, 512, 300)
SPACING = (0.68, 0.68, 0.80)
PHANTOM = PhantomSettings(size="paper")
WRITTEN = 8
"""Patients with files of their own."""
SEED = 11
AIR = -1000


def scale_store(folder: Path, patients: int) -> PreparedCohort:
    """Return so many patients, written where they are not there yet, with their attention."""
    cohort = PreparedCohort(
        Store(folder, "scale"), {_name(n): Clinical(n_status=n % 2) for n in range(patients)}
    )
    wanted = [n for n in range(min(patients, WRITTEN)) if not _place(cohort, n).is_dir()]
    if wanted:
        phantom = generate_patient(PHANTOM, seed=SEED, index=0)
        for number in wanted:
            _write(phantom, cohort, number)
            print(f"patient {number} written", flush=True)
    for number in range(patients):
        if number < WRITTEN:
            # Mapped once and kept beside the images; anew where the code that maps has changed since.
            cohort[_name(number)].attention_view(PAPER_BANDS, AttentionSettings())
        else:
            target = _place(cohort, number).parent
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(_place(cohort, number % WRITTEN).parent, target, copy_function=os.link)
    return cohort


def _name(number: int) -> str:
    return f"p{number:03d}"


def _place(cohort: PreparedCohort, number: int) -> Path:
    return cohort.store.place(_name(number))


def _write(phantom: PhantomPatient, cohort: PreparedCohort, number: int) -> None:
    rng = np.random.default_rng((SEED, number))
    # Around the middle, by up to a fifth of the margin.
    start = [
        -((full - have) // 2 + int(rng.integers(-(full - have) // 10, (full - have) // 10 + 1)))
        for full, have in zip(FULL, phantom.venous.geometry.shape, strict=True)
    ]
    grid = Geometry(shape=FULL, spacing=SPACING, origin=(0.0, 0.0, 0.0))

    def placed(values: AnyArray, fill: float) -> AnyArray:
        return crop(values, start, FULL, fill)

    shift = np.int16(rng.integers(-15, 16))
    around = rng.normal(AIR, 12.0, FULL).astype(np.int16)
    arrays: dict[str, AnyArray] = {}
    for name, phase in (("venous", phantom.venous), ("arterial", phantom.arterial)):
        inside = placed(phase.array + shift, -32768)
        arrays[name] = np.where(inside == -32768, around, inside)
    arrays["structures"] = placed(phantom.structures.array, 0)
    arrays["tumor"] = placed(phantom.tumor.array, 0)
    arrays["nodes"] = placed(phantom.nodes.instances.array, 0)
    drawn = {name: smallest_unsigned(arrays[name]) for name in ("structures", "tumor", "nodes")}
    volumes = {name: Volume(array=values, geometry=grid) for name, values in {**arrays, **drawn}.items()}
    classes = [
        {
            "label": node.label,
            # Both classes in every patient, so that stage 2 can learn from any number of them.
            "class": "positive" if node.label % 2 else "negative",
            "station": node.station,
        }
        for node in phantom.nodes.nodes
    ]

    def write(place: Path) -> None:
        locations = {name: class_locations(values) for name, values in drawn.items()}
        save_volumes(place, volumes, locations=locations)
        (place / NODES_FILE).write_text(json.dumps(classes))

    made(_place(cohort, number), Recipe(settings={"number": number}, code=("io.results.volumes",)), write)


def sizes(cohort: PreparedCohort, patients: int) -> Mapping[str, float]:
    """Return bytes per voxel of the store, all in all, and its size in GB without hard links."""
    written = [_place(cohort, n).parent for n in range(min(patients, WRITTEN))]
    total = sum(path.stat().st_size for place in written for path in place.rglob("*") if path.is_file())
    return {"bytes_per_voxel": total / len(written) / np.prod(FULL, dtype=float), "gb": total / 1e9}


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--patients", type=int, default=8)
    given = options.parse_args()
    logging.basicConfig(level=logging.INFO)
    print(sizes(scale_store(given.folder, given.patients), given.patients))
    return 0


if __name__ == "__main__":
    sys.exit(main())
