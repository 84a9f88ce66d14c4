"""How large the page of a patient is, with and without its viewer, and how long it takes to write.

`python benchmarks/page_size.py [--shape I J K] [--spacing X Y Z] [--noise HU] [--json FILE]
[--keep FOLDER]`: a made-up body of ellipsoids in both phases with white noise, the worst that a CT can do to
compression, and 60 lymph nodes, 40 of which have pictures. One JSON object with bytes, processor seconds and
what was reduced; `--keep` leaves the page with the viewer in a folder.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lymphct.core.arrays import Index3, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page

if TYPE_CHECKING:
    from pydantic import JsonValue

ORGANS = {
    Structure.LIVER: ((0.33, 0.45, 0.68), (0.17, 0.2, 0.2), 110.0),
    Structure.SPLEEN: ((0.72, 0.55, 0.7), (0.07, 0.1, 0.12), 120.0),
    Structure.STOMACH: ((0.62, 0.4, 0.65), (0.1, 0.09, 0.13), 40.0),
    Structure.PANCREAS: ((0.52, 0.48, 0.55), (0.13, 0.04, 0.05), 95.0),
    Structure.DUODENUM: ((0.42, 0.48, 0.48), (0.04, 0.05, 0.1), 60.0),
    Structure.AORTA: ((0.52, 0.58, 0.5), (0.022, 0.03, 0.5), 160.0),
    Structure.SUPERIOR_MESENTERIC_ARTERY: ((0.52, 0.53, 0.45), (0.01, 0.012, 0.2), 160.0),
    Structure.INFERIOR_VENA_CAVA: ((0.46, 0.57, 0.5), (0.03, 0.03, 0.5), 140.0),
    Structure.RIGHT_KIDNEY: ((0.36, 0.62, 0.45), (0.06, 0.08, 0.15), 180.0),
    Structure.LEFT_KIDNEY: ((0.67, 0.62, 0.47), (0.06, 0.08, 0.15), 180.0),
}
"""Middle and half axes as shares of the image, HU in the venous phase."""
NODES = 60


def inside(shape: Index3, middle: Vector3, half: Vector3) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the box of an ellipsoid and which of its voxels it holds."""
    size = np.asarray(shape)
    start = np.maximum(np.floor((np.asarray(middle) - half) * size), 0).astype(int)
    stop = np.minimum(np.ceil((np.asarray(middle) + half) * size), size).astype(int)
    steps = [
        ((np.arange(a, b) + 0.5) / n - m) / h
        for a, b, n, m, h in zip(start, stop, size, middle, half, strict=True)
    ]
    i, j, k = np.meshgrid(*steps, indexing="ij", sparse=True)
    return tuple(map(slice, start.tolist(), stop.tolist())), i**2 + j**2 + k**2 <= 1


def made_up(geometry: Geometry, noise: float) -> tuple[Multiphase, Prediction]:
    """Return a body of ellipsoids with noise, and what would be predicted of it."""
    shape = geometry.shape
    hu = np.full(shape, -1000, dtype=np.int16)
    labels = np.zeros(shape, dtype=np.uint8)
    box, body = inside(shape, (0.5, 0.52, 0.5), (0.42, 0.34, 3.0))
    hu[box][body] = -90
    box, wall = inside(shape, (0.5, 0.52, 0.5), (0.38, 0.29, 3.0))
    hu[box][wall] = 30
    for structure, (middle, half, density) in ORGANS.items():
        box, organ = inside(shape, middle, half)
        hu[box][organ] = density
        labels[box][organ] = structure
    instances = np.zeros(shape, dtype=np.int32)
    nodes = [_node(geometry, instances, label) for label in range(1, NODES + 1)]
    hu[instances > 0] = 80
    tumor = np.zeros(shape, dtype=np.uint8)
    box, mass = inside(shape, (0.44, 0.48, 0.53), (0.035, 0.035, 0.05))
    tumor[box][mass] = 1
    ct = Multiphase(
        venous=Volume(array=_noisy(hu, noise, 1), geometry=geometry),
        arterial=Volume(array=_noisy(hu, noise, 2), geometry=geometry),
    )
    attention = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None] * (labels == 0)
    return ct, Prediction(
        probability=0.7,
        threshold=0.5,
        nodes=NodeMap(instances=Volume(array=instances, geometry=geometry), nodes=tuple(nodes)),
        search=SearchState.SEARCHED,
        structures=Volume(array=labels, geometry=geometry),
        tumor=Volume(array=tumor, geometry=geometry),
        attention=Volume(array=attention, geometry=geometry),
        structures_used=GUIDING_STRUCTURES,
        notices=(),
        seconds={},
    )


def _node(geometry: Geometry, instances: np.ndarray, label: int) -> Node:
    rng = np.random.default_rng(label)
    middle = rng.uniform((0.38, 0.42, 0.3), (0.65, 0.56, 0.75))
    box, mask = inside(geometry.shape, tuple(middle), tuple(5.0 / np.asarray(geometry.size)))
    instances[box][mask] = label
    x, y, z = geometry.world(middle * geometry.shape - 0.5).tolist()
    share = float(rng.uniform())
    return Node(
        label=label,
        volume=524.0,
        center=(x, y, z),
        probability=share,
        node_class=NodeClass.POSITIVE if share > 0.5 else NodeClass.NEGATIVE,
    )


def _noisy(hu: np.ndarray, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noisy = np.empty_like(hu)
    for k in range(hu.shape[2]):
        noisy[:, :, k] = np.rint(hu[:, :, k] + rng.normal(0.0, noise, hu.shape[:2]))
    return noisy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300))
    parser.add_argument("--spacing", type=float, nargs=3, default=(0.7, 0.7, 1.0))
    parser.add_argument("--noise", type=float, default=15.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder in which the page with the viewer stays")
    order = parser.parse_args()
    ct, prediction = made_up(Geometry(shape=tuple(order.shape), spacing=tuple(order.spacing)), order.noise)
    bundle: dict[str, JsonValue] = {"name": "none", "sha256": "0", "is_phantom": True, "notice": ""}
    context = ReportContext(
        patient_id="made-up", bundle=bundle, versions={}, arterial_as_acquired=ct.arterial
    )
    record: dict[str, object] = {"shape": order.shape, "spacing": order.spacing, "noise": order.noise}
    with tempfile.TemporaryDirectory() as scratch:
        for name, viewer in (("pictures_alone", False), ("with_viewer", True)):
            began = time.process_time()
            folder = order.keep if viewer and order.keep else Path(scratch)
            path = write_patient_page(folder, prediction, ct, context, viewer=viewer)
            seconds = round(time.process_time() - began, 2)
            record[name] = {"bytes": path.stat().st_size, "processor_seconds": seconds}
        text = path.read_text(encoding="utf-8")
    record["reduced"] = text.partition('class="viewer-reduced">')[2].partition("</span>")[0]
    print(json.dumps(record, indent=1))
    if order.json:
        order.json.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
