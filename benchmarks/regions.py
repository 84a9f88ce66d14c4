"""Dice and CPU seconds with windows over body and pancreas alone, and over the whole image.

`python benchmarks/regions.py [--patients 12] [--air 45] [--json FILE]`: `tiny` phantoms that no part of the
shipped bundle was fitted on, as they are and with so many voxels of air around the body, segmented by the
shipped networks with `structures.body_only` and `tumor.pancreas_only` on and off. One thread.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record

from lymphct.anatomy.structures import segment_structures
from lymphct.anatomy.tumor import segment_tumor
from lymphct.cascade.alignment import AIR
from lymphct.cascade.models import Models
from lymphct.core.arrays import AnyArray, Index3
from lymphct.core.patient import Multiphase
from lymphct.core.terms import StageName, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.io.models.bundles import read_bundle, shipped_bundle_path
from lymphct.io.models.loading import load_models
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings

SEED = 77


def dice(found: AnyArray, truth: AnyArray) -> float:
    """Return the Dice of two masks, 1 when both are empty."""
    mass = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / mass if mass else 1.0


def widened(volume: Volume, voxels: int, fill: float) -> Volume:
    """Put voxels of one value around an image, within each slice."""
    i, j, k = volume.geometry.shape
    start: Index3 = (-voxels, -voxels, 0)
    return crop_volume(volume, start, (i + 2 * voxels, j + 2 * voxels, k), fill=fill)


def measured(patient: PhantomPatient, models: Models, air: int) -> dict[str, tuple[float, float]]:
    """Return Dice and CPU seconds of one patient per task and setting."""
    if models.structures is None or models.tumor is None:
        sys.exit("the bundle has no structures or no tumor network")
    ct = Multiphase(venous=widened(patient.venous, air, AIR), arterial=widened(patient.arterial, air, AIR))
    image = models.view(ct, StageName.STRUCTURES)
    at_tumor = models.view(ct, StageName.TUMOR)
    drawn, tumor = widened(patient.structures, air, 0).array, widened(patient.tumor, air, 0).array > 0
    pancreas = image.venous.with_array(drawn == Structure.PANCREAS)
    rows = {}
    for is_on in (True, False):
        organs = models.structures.settings.model_copy(update={"body_only": is_on})
        start = time.process_time()
        found = segment_structures(models.structures.network, image, organs).array
        seconds = time.process_time() - start
        mean = float(np.mean([dice(found == structure, drawn == structure) for structure in Structure]))
        rows[f"structures, {'body only' if is_on else 'whole image'}, {air} voxels of air"] = (mean, seconds)
        at = models.tumor.settings.model_copy(update={"pancreas_only": is_on})
        start = time.process_time()
        mask = segment_tumor(models.tumor.network, at_tumor, at, pancreas).array > 0
        seconds = time.process_time() - start
        where = "pancreas only" if is_on else "whole image"
        rows[f"tumor, {where}, {air} voxels of air"] = (dice(mask, tumor), seconds)
    return rows


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--patients", type=int, default=12)
    options.add_argument("--air", type=int, default=45, help="voxels of 2 mm on each side, in a second round")
    options.add_argument("--json", type=Path, help="file for the numbers")
    given = options.parse_args()
    torch.set_num_threads(1)
    models = load_models(read_bundle(shipped_bundle_path()), torch.device("cpu"))
    settings = PhantomSettings(size="tiny", mode="unbiased", phase_shift=False)
    results: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for index in range(given.patients):
        patient = generate_patient(settings, seed=SEED, index=index)
        models.require_unseen(patient.patient_id)
        for air in (0, given.air):
            for name, row in measured(patient, models, air).items():
                results[name].append(row)
    table = {name: np.mean(rows, axis=0).tolist() for name, rows in results.items()}
    print(f"means over {given.patients} patients\n{'':<46}{'Dice':>8}{'CPU s':>8}")
    for name, (mean, seconds) in sorted(table.items()):
        print(f"{name:<46}{mean:>8.3f}{seconds:>8.2f}")
    if given.json is not None:
        write_record(given.json, patients=given.patients, means=table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
