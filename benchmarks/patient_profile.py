"""Where the time of a patient goes: start of the command, a small patient whole, a large one classical.

`python benchmarks/patient_profile.py [PART …] [--json FILE]`. PART is one of these; without a name all run:

- start: `lymphct --help`, `import lymphct`, torch and all that `lymphct predict` imports, beside a Python
  that does nothing.
- whole: a `tiny` phantom with the shipped bundle, from reading the files to the report, the second of two
  runs (the first compiles); two threads where the machine has them.
- ct: a whole CT of 384×384×200 mm with the shipped bundle, a `tiny` phantom in a body that fills the field;
  with what `predict` chooses, by torch, and in other ways of running it; how equal the masks are.
- classical: a phantom of size `--size`, what needs no network: read, register, resample, attention, nodes,
  metrics, write. One thread, after a warm-up on a small phantom.

Every profile runs in a process of its own, so that its memory is its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest import mock

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import memory, reset_peak, write_record

from lymphct.attention.mapping import attention_map, guided_by
from lymphct.cascade import examination as cascade
from lymphct.cascade.alignment import AIR
from lymphct.config import Config
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import match_instances
from lymphct.evaluation.segmentation import label_scores
from lymphct.imaging.crop import crop_volume
from lymphct.imaging.preprocess import resample, resample_labels, working_grid
from lymphct.io.images.reading import read_volume, write_volume
from lymphct.io.manifest import PatientRecord, read_manifest
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.nodes.features import node_features
from lymphct.nodes.instances import find_instances
from lymphct.nodes.measurement import measure_nodes
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.predicting import prediction
from lymphct.patients.reading import read_patient
from lymphct.phantom.settings import SIZES, PhantomSettings
from lymphct.registration.registering import register_with
from lymphct.registration.settings import RegistrationSettings

STARTED = time.process_time()
"""Seconds of starting Python and of all imports."""
PARTS = ("start", "whole", "ct", "classical")
SEED = 20
"""Of the demo: patients the shipped bundle was never trained on."""
SPACING = (0.68, 0.68, 0.80)
FIELD, FAT, AROUND = (384.0, 384.0, 200.0), -95.0, -300.0
"""mm of a whole CT; HU of what surrounds a phantom in it, and what is darker than any tissue."""
CHOICES: dict[str, dict[str, str]] = {
    "as chosen by itself": {},
    "by torch": {"backend": "torch"},
    "few windows with attention": {"windows": "few"},
    "openvino in bfloat16": {"backend": "openvino", "precision": "bfloat16"},
}
MASKS = ("structures", "tumor", "node_instances")
STARTS = {
    "Python alone": ("-c", "pass"),
    "import lymphct": ("-c", "import lymphct"),
    "import torch": ("-c", "import torch"),
    "imports of lymphct predict": ("-c", "import lymphct.patients.predicting.prediction"),
    "lymphct --help": ("-c", "from lymphct.cli.main import run; run()", "--help"),
}
HOOKS = {
    "lymphct.patients.predicting.prediction.models_in": "read the models",
    "lymphct.io.results.made.digest_input": "digest the files",
    "lymphct.patients.predicting.prediction.read_patient": "read and check the images",
    "lymphct.patients.predicting.files.write_volume": "write the images",
    "lymphct.patients.predicting.files.write_patient_page": "report",
}
"""Functions by the name they are called by, and what the profile calls them."""


@dataclass(slots=True)
class Step:
    """What one step took.

    Attributes:
        step: its name.
        cpu: seconds, of all threads.
        wall: seconds.
        peak_mib: largest resident memory of the process while it ran; None off Linux.

    """

    step: str
    cpu: float = 0.0
    wall: float = 0.0
    peak_mib: float | None = None


@dataclass(slots=True)
class Profile:
    """The steps of one process, in the order they first ran."""

    steps: dict[str, Step] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; blocks of one name add up."""
        reset_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        step = self.steps.setdefault(name, Step(name))
        step.cpu += time.process_time() - cpu
        step.wall += time.perf_counter() - wall
        peak = memory("VmHWM")
        step.peak_mib = None if peak is None else max(peak, step.peak_mib or 0.0)

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work` that times itself."""

        @wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            with self.stage(name):
                return work(*arguments, **named)

        return timed

    def record(self) -> list[dict[str, Any]]:
        """Return the steps for JSON."""
        return [asdict(step) for step in self.steps.values()]


def start_record(runs: int) -> list[dict[str, Any]]:
    """Return medians of CPU and wall seconds of short processes."""
    rows = []
    for name, words in STARTS.items():
        seconds = [process_seconds([sys.executable, *words]) for _ in range(runs + 1)][1:]
        cpu, wall = (statistics.median(column) for column in zip(*seconds, strict=True))
        rows.append(asdict(Step(name, cpu=cpu, wall=wall)))
    return rows


def process_seconds(command: list[str]) -> tuple[float, float]:
    """Return CPU and wall seconds of a process and its children."""
    before, wall = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after, wall = os.times(), time.perf_counter() - wall
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return (cpu, wall)


def in_child(part: str, manifest: Path) -> dict[str, Any]:
    """Profile a part in a fresh process; add what the whole process took."""
    command = [sys.executable, __file__, "--child", part, "--manifest", str(manifest)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "profile.json"
        cpu, wall = process_seconds([*command, "--json", str(target)])
        record: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return {**record, "cpu": cpu, "wall": wall}


def placed_in_field(phase: Volume, seed: int) -> Volume:
    """Return a phase of a phantom in a body that fills a field of 384×384×200 mm; noise is drawn from `seed`.

    The air around the phantom becomes fat with soft structure within an ellipse; slices beyond its ends
    repeat the last ones.
    """
    grid = phase.geometry
    i, j, k = (round(length / step) for length, step in zip(FIELD, grid.spacing, strict=True))
    start = ((grid.shape[0] - i) // 2, (grid.shape[1] - j) // 2, grid.shape[2] - k)
    field = crop_volume(phase, start, (i, j, k), fill=AIR)
    values = field.array.astype(np.float32)
    values[:, :, : -start[2]] = values[:, :, -start[2], None]
    pieces, _ = ndimage.label(values < AROUND)
    rng = np.random.default_rng(seed)
    soft = ndimage.zoom(rng.normal(0, 25, (i // 12, j // 12, k // 12)), 12, order=1)
    soft = np.pad(soft, [(0, n - m) for n, m in zip((i, j, k), soft.shape, strict=True)], mode="edge")
    x, y = np.meshgrid(np.linspace(-1, 1, i), np.linspace(-1, 1, j), indexing="ij")
    body = (x / 0.92) ** 2 + (y / 0.7) ** 2 < 1
    fat = (pieces == pieces[0, 0, 0]) & body[:, :, None]
    noise = rng.normal(0, 10, values.shape)
    values = np.where(fat, FAT + soft + noise, values + noise * (np.arange(k) < -start[2]))
    return field.with_array(np.round(values).clip(AIR, 1024).astype(np.int16))


def ct_record(record: PatientRecord, folder: Path) -> PatientRecord:
    """Write both phases of a phantom in the large field; return the patient without masks."""
    patient = read_patient(record)
    if patient.arterial is None:
        sys.exit("the patient lacks a file")
    venous, arterial = folder / "venous.nii.gz", folder / "arterial.nii.gz"
    write_volume(venous, placed_in_field(patient.venous, 1))
    write_volume(arterial, placed_in_field(patient.arterial, 1))
    cells = {**record.cells, "venous": str(venous), "arterial": str(arterial)}
    return replace(record, venous=venous, arterial=arterial, cells=cells)


def ct_profile(record: PatientRecord) -> dict[str, Any]:
    """Profile a whole CT in each of `CHOICES`; tell how equal the masks are."""
    with tempfile.TemporaryDirectory() as name:
        placed = ct_record(record, Path(name))
        found, masks = {}, {}
        for way, choice in CHOICES.items():
            out = Path(name) / way.replace(" ", "-")
            found[way] = whole_profile(placed, Config.model_validate({"inference": choice}), out)
            found[way]["cpu"] = sum(step["cpu"] for step in found[way]["steps"])
            masks[way] = [read_volume(out / "seg" / f"{mask}.nii.gz").array for mask in MASKS]
    truth = masks["by torch"]
    for way, drawn in masks.items():
        found[way]["dice"] = {
            mask: float(2 * ((a == b) & (a > 0)).sum() / max((a > 0).sum() + (b > 0).sum(), 1))
            for mask, a, b in zip(MASKS, drawn, truth, strict=True)
        }
    return {"ways": found, "steps": next(iter(found.values()))["steps"]}


def whole_profile(record: PatientRecord, config: Config, out: Path) -> dict[str, Any]:
    """Predict one patient from files to report in `out`; time every stage."""
    profile = Profile()
    imported = Step("start Python, import", cpu=STARTED, wall=STARTED)  # nothing runs beside an import
    profile.steps[imported.step] = imported
    request = prediction.PredictionRequest(bundle=shipped_bundle_path(), config=config)
    patient = replace(record, structures=None, tumor=None, nodes=None)  # the networks draw them
    with ExitStack() as stack:
        stages = profile.stage

        def stage(_watch: cascade.Stopwatch, name: str) -> Any:  # noqa: ANN401 - a context manager
            return stages(name)

        stack.enter_context(mock.patch.object(cascade.Stopwatch, "stage", stage))
        for name, step in HOOKS.items():
            work = profile.timed(step, resolve_name(name))
            stack.enter_context(mock.patch(name, work))
        prediction.predict_single(patient, request, out)
    return {"steps": profile.record()}


def classical_profile(record: PatientRecord) -> dict[str, Any]:
    """Do with one patient all that needs no network."""
    profile = Profile()
    with profile.stage("read and check the images"):
        patient = read_patient(record)
    arterial, structures, tumor, drawn = patient.arterial, patient.structures, patient.tumor, patient.nodes
    if arterial is None or structures is None or tumor is None or drawn is None:
        sys.exit("the patient lacks a file")
    grid = working_grid(patient.venous.geometry, SPACING)
    with profile.stage("register by DEEDS"):
        registration = register_with(patient.venous, arterial, RegistrationSettings())
    with profile.stage("resample and warp"):
        late = resample(patient.venous, grid, fill=AIR)
        ct = Multiphase(venous=late, arterial=registration.warp_image(arterial, grid, fill=AIR))
        guiding = guided_by(resample_labels(structures, grid), resample_labels(tumor, grid))
        instances = resample_labels(drawn.instances, grid)
    with profile.stage("attention map"):
        attention = attention_map(guiding)
    with profile.stage("nodes: components"):
        nodes = find_instances(instances.with_array((instances.array > 0).astype(np.float32)))
    with profile.stage("nodes: measurements and features"):
        nodes = measure_nodes(nodes, ct, guiding)
        node_features(nodes, ct)
    other = np.roll(guiding.array, 1, axis=0)
    with profile.stage("metrics of 19 structures"):
        label_scores(other, guiding.array, range(1, 20), grid.spacing)
    with profile.stage("matching of nodes"):
        match_instances(nodes.instances.array, instances.array)
    with tempfile.TemporaryDirectory() as folder, profile.stage("write structures and attention"):
        write_volume(Path(folder) / "structures.nii.gz", guiding)
        write_volume(Path(folder) / "attention.nii.gz", attention)
    return {"steps": profile.record(), "shape": grid.shape, "acquired": patient.venous.geometry.shape}


def profiled(part: str, size: str, runs: int) -> dict[str, Any]:
    """Generate a phantom and profile it; the first of two processes compiles."""
    with tempfile.TemporaryDirectory() as folder:
        settings = PhantomSettings.model_validate({"size": size})
        cohort = PhantomCohort(folder=Path(folder), settings=settings, seed=SEED, patients=1)
        manifest = write_phantoms(cohort)
        for _ in range(runs - 1):
            in_child(part, manifest)
        return {"size": size, **in_child(part, manifest)}


def print_steps(title: str, steps: list[dict[str, Any]]) -> None:
    """Print what each step took, and all together."""
    total = {name: sum(step[name] for step in steps) for name in ("cpu", "wall")}
    steps = [*steps, {"step": "together", **total, "peak_mib": None}]
    print(f"{title}\n{'step':<42}{'CPU s':>9}{'wall s':>9}{'peak MiB':>10}")
    for step in steps:
        peak = "-" if step["peak_mib"] is None else f"{step['peak_mib']:.0f}"
        print(f"{step['step']:<42}{step['cpu']:>9.2f}{step['wall']:>9.2f}{peak:>10}")


def child(part: str, manifest: Path, target: Path) -> None:
    record = read_manifest(manifest).patients[0]
    if part == "whole":
        with tempfile.TemporaryDirectory() as folder:
            found = whole_profile(record, Config(), Path(folder) / "result")
    elif part == "ct":
        found = ct_profile(record)
    else:
        with tempfile.TemporaryDirectory() as folder:
            settings = PhantomSettings(size="nano")
            small = write_phantoms(
                PhantomCohort(folder=Path(folder), settings=settings, seed=SEED, patients=1)
            )
            classical_profile(read_manifest(small).patients[0])
        found = classical_profile(record)
    target.write_text(json.dumps(found), encoding="utf-8")


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    options.add_argument("--size", choices=sorted(SIZES), default="paper", help="of the classical profile")
    options.add_argument("--runs", type=int, default=5, help="starts that are timed")
    options.add_argument("--once", action="store_true", help="run the small patient once: all is compiled")
    options.add_argument("--json", type=Path, help="file for the numbers")
    for name in ("--child", "--manifest"):
        options.add_argument(name, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child is not None:
        child(given.child, Path(given.manifest), given.json)
        return 0
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        options.error(f"unknown part {unknown[0]}, known: {', '.join(PARTS)}")
    found: dict[str, Any] = {}
    for part in given.parts or PARTS:
        if part == "start":
            found[part] = {"steps": start_record(given.runs)}
        else:
            twice = part == "whole" and not given.once
            size = given.size if part == "classical" else "tiny"
            found[part] = profiled(part, size, 1 + twice)
        for way, record in found[part].get("ways", {"": found[part]}).items():
            print_steps(f"{part} {way}".strip(), record["steps"])
            if "dice" in record:
                equal = ", ".join(f"{mask} {dice:.5f}" for mask, dice in record["dice"].items())
                print(f"Dice with the masks by torch: {equal}")
    if given.json is not None:
        write_record(given.json, profile=found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
