"""The nnU-Net baseline with the real tool, beside ours: same phantoms, as many steps, the same scorer.

`LYMPHCT_NNUNET=PYTHON python benchmarks/nnunet_baseline.py [--target structures] [--patients 16] [--test 4]
[--epochs 5] [--iterations 50] [--out FOLDER] [--json FILE]`. PYTHON has nnunetv2 (an environment of its own).

Phantoms of size nano are exported by `lymphct export nnunet --split plan`; the real nnU-Net checks, plans,
preprocesses and trains on them; three ways then segment patients nobody learned from:

- nnU-Net: its own prediction, without mirroring.
- nnU-Net's weights, imported by `lymphct import nnunet` and run by `lymphct predict`.
- lymphct: its own network, as wide and deep, trained for as many iterations on the same patients.

Everything is scored by `lymphct evaluate segmentation`. So few iterations teach little: the table tells that
both tools are at work on the same data, not which is better.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.masks import read_whole_numbers
from lymphct.io.images.nifti import write_nifti
from lymphct.io.nnunet_child import VARIABLE, predict_by_nnunet

TRAINER: Final = Path(__file__).with_name("nnunet_trainer.py")
FEATURES: Final = (8, 16, 32)
"""Of the preset phantom_nano, for both."""
PATCH: Final = (24, 32, 32)
"""Of the same, along k, j, i."""
NUMBER: Final = 501
WAYS: Final = ("nnU-Net", "nnU-Net's weights in lymphct", "lymphct")


def lymphct(*words: object) -> str:
    """Run a command and return what it prints; stop with its last line when it fails."""
    start = "from lymphct.cli.main import run; run()"
    command = [sys.executable, "-c", start, *map(str, words), "-q", "--config", "phantom_nano"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"lymphct {words[0]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def write_cohort(out: Path, patients: int, test: int, seed: int) -> tuple[Path, list[str]]:
    """Make phantoms and keep the last ones for the test; return the manifest and the test patients."""
    lymphct("phantom", out, "--patients", patients, "--size", "nano", "--seed", seed, "--phase-shift", "off")
    path = out / "cohort.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["split"] = "test" if number >= patients - test else "train"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path, [row["patient_id"] for row in rows if row["split"] == "test"]


def train_nnunet(raw: Path, out: Path, epochs: int, iterations: int) -> Path:
    """Train the real nnU-Net and return its results folder."""
    python = os.environ.get(VARIABLE, "")
    if not python:
        sys.exit(f"{VARIABLE} names no interpreter that has nnunetv2")
    command = [python, str(TRAINER), str(raw), str(NUMBER), str(out), "--epochs", str(epochs)]
    command += [
        "--iterations",
        str(iterations),
        "--features",
        *map(str, FEATURES),
        "--patch",
        *map(str, PATCH),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"nnU-Net: {done.stderr[-1500:]}")
    return next((out / "results").glob("Dataset*/*__3d_fullres"))


def predict_ours(cohort: Path, bundle: Path, out: Path, target: str) -> None:
    """Let a bundle draw the patients of a manifest."""
    given = ("--given", "structures,tumor") if target == "nodes" else ()
    lymphct("predict", cohort, "--bundle", bundle, "--out", out, "--only", target, *given)


def scores(folder: Path, masks: Mapping[str, Path], cohort: Path, target: str) -> dict[str, Any]:
    """Score masks of patients by `lymphct evaluate segmentation`, each put onto the grid of its CT first."""
    place = {name: folder / name for name in ("prediction", "truth")}
    for patient, mask in masks.items():
        drawn = read_whole_numbers(cohort.parent / patient / f"{target}.nii.gz", None, name=target)
        drawn_by = resample_labels(read_whole_numbers(mask, None, name="prediction"), drawn.geometry)
        for name, volume in (("prediction", drawn_by), ("truth", drawn)):
            values = volume.array if target == "structures" else volume.array > 0
            write_nifti(place[name] / f"{patient}.nii.gz", volume.with_array(values.astype(np.uint8)))
    words = ("--prediction", place["prediction"], "--truth", place["truth"], "--out", folder / "scores")
    found: dict[str, Any] = json.loads(lymphct("evaluate", "segmentation", *words, "--json"))
    return found


def summary(found: Mapping[str, Any]) -> dict[str, float]:
    """Return Dice and ASD over labels and patients; a label that was not found has Dice 0 and no ASD."""
    rows = [row for case in found["cases"].values() for row in case.values()]
    dice = [row["dice"] for row in rows if row["dice"] is not None]
    asd = [row["asd"] for row in rows if isinstance(row["asd"], float) and np.isfinite(row["asd"])]
    return {
        "dice": float(np.mean(dice)),
        "found": float(np.mean([value > 0 for value in dice])),
        "asd_mm": float(np.mean(asd)) if asd else float("nan"),
    }


def compare(given: argparse.Namespace, out: Path) -> dict[str, dict[str, float]]:
    """Do all of it; return the summary of each way."""
    target = given.target
    cohort, test = write_cohort(out / "cohort", given.patients, given.test, given.seed)
    raw, work = out / "raw", out / "prepared"
    common = ("--target", target, "--split", "plan", "--number", NUMBER, "--name", "Baseline", "--work", work)
    lymphct("export", "nnunet", cohort, "--out", raw, *common)
    results = train_nnunet(raw, out / "nnunet", given.epochs, given.iterations)
    lymphct("import", "nnunet", results, "--out", out / "imported")
    steps = [
        f"{target}.training.epochs={given.epochs}",
        f"{target}.training.iterations_per_epoch={given.iterations}",
    ]
    settings = [word for step in steps for word in ("--set", step)]
    lymphct("train", target, "--cohort", cohort, "--out", out / "ours", "--work", work, *settings)
    found: dict[str, dict[str, Path]] = {way: {} for way in WAYS}
    images = raw / f"Dataset{NUMBER}_Baseline" / "imagesTs"
    for patient in test:
        phases = sorted(images.glob(f"{patient}_*.nii.gz"))
        found[WAYS[0]][patient] = predict_by_nnunet(results, phases, out / "theirs" / f"{patient}.nii.gz")
    tested = out / "cohort" / "test.csv"
    rows = cohort.read_text(encoding="utf-8").splitlines()
    tested.write_text("\n".join([rows[0], *(r for r in rows[1:] if r.split(",")[0] in test)]) + "\n", "utf-8")
    for way, bundle in zip(WAYS[1:], (out / "imported", out / "ours" / "bundle"), strict=True):
        place = out / f"by-{bundle.name}"
        predict_ours(tested, bundle, place, target)
        found[way] = {patient: place / patient / "seg" / f"{target}.nii.gz" for patient in test}
    return {
        way: summary(scores(out / f"scores-{number}", masks, cohort, target))
        for number, (way, masks) in enumerate(found.items())
    }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table in Markdown."""
    lines = ["| | Dice | found | ASD, mm |", "|-|-|-|-|"]
    for way, row in rows.items():
        lines.append(f"| {way} | {row['dice']:.3f} | {100 * row['found']:.0f} % | {row['asd_mm']:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", choices=("structures", "tumor", "nodes"), default="structures")
    parser.add_argument("--patients", type=int, default=16)
    parser.add_argument("--test", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="keep everything here")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.out is not None:
        shutil.rmtree(given.out, ignore_errors=True)
        rows = compare(given, given.out)
    else:
        with tempfile.TemporaryDirectory() as name:
            rows = compare(given, Path(name))
    print(table(rows))
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
