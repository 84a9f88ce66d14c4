"""Dice of a tumor network from few drawn masks, with a harvest and without (Sec. IV-B, decision 0041).

`python benchmarks/tumor_harvest.py [--size tiny] [--drawn 10] [--harvested 50] [--test 40] [--iterations
400] [--network-share 1] [--phases venous] [--seed 0] [--folder FOLDER] [--json FILE] [--markdown FILE]
[--page FILE]`. Phantoms that breathe between the phases go through `train tumor --few` as patients do, with
structures as free tools give them: registered by DEEDS, a teacher of the arterial phase as acquired, its
masks, the tuned teacher, its masks on the venous phase, the network. Beside it stands a network of the same
kind that learned from the same drawn masks alone, in 2.5 times the teacher's iterations: with the last
network's share at 1 those of all three together, at 2.5 those of the last one. Both are scored on test
phantoms that nothing learned from, as they find tumors in the whole body and as `predict` does where the
pancreas is known: medians and quartiles, and the paired differences of Dice with their 95 % intervals over
patients (bootstrap). With `--folder` what is there is not made again; `--page` writes the
table into a page between its two marks. One thread.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record

from lymphct.cascade.settings import Config
from lymphct.core.terms import StageName
from lymphct.evaluation.segmentation import dice
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import PatientRecord, read_manifest
from lymphct.io.settings import load_config
from lymphct.patients.harvest.steps import Finding
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.prepared.whole_cohort import whole_cohort
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.harvest_scores import TABLE_FILE, scored_networks
from lymphct.study.harvest_table import FINAL, MEASURES, TEACHER, TUNED, at_pancreas
from lymphct.study.plan import Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_one

SEED = 2203
EPOCHS = 4
"""Of the teacher; the tuning has half."""
TOGETHER = 2.5
"""Epochs of the few alone, as a multiple of the teacher's."""
DRAWS = 10_000
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
SMALL = {
    "tiny": (
        "tumor.unet.features=[16,32,64]",
        "tumor.unet.strides=[[1,1,1],[2,2,2],[2,2,2]]",
        "tumor.sampling.patch_size=[48,48,32]",
    ),
    "nano": ("registration.spacing_mm=4",),  # of voxels of 3 mm
}
"""Smaller than the networks of the shipped bundle, so that four trainings take minutes."""
ALONE = "alone"
NAMES = {
    ALONE: "few drawn masks alone",
    TEACHER: "teacher (arterial, warped)",
    TUNED: "tuned teacher (arterial, warped)",
    FINAL: "after the harvest",
}

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Arm → patient → measure; NaN where nothing was found."""


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as spare:
        folder = given.folder or Path(spare)
        records = cohort(given, folder / "cohort")
        scores, counts = arms(given, records, folder)
        taught = masks_that_taught(folder)
    text = told(scores, counts, taught)
    print(text)
    if given.markdown is not None:
        given.markdown.write_text(text, encoding="utf-8")
    if given.page is not None:
        given.page.write_text(with_table(given.page.read_text("utf-8"), text), encoding="utf-8")
    if given.json is not None:
        options = {n: v for n, v in vars(given).items() if n not in {"json", "markdown", "folder", "page"}}
        rows: list[dict[str, object]] = [
            {"arm": arm, "patient": patient, **{m: finite(v) for m, v in values.items()}}
            for arm, found in scores.items()
            for patient, values in found.items()
        ]
        for where, arm in (("body", str), ("pancreas", at_pancreas)):
            low, middle, high = difference(scores, arm)
            rows.append({"looks": where, "difference": middle, "low": low, "high": high, **counts})
        rows += [{"taught": name, "dice": value} for name, value in taught.items()]
        write_record(given.json, options=options, rows=rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("nano", "tiny"), default="tiny")
    parser.add_argument("--drawn", type=int, default=10, help="phantoms with a drawn tumor; some choose")
    parser.add_argument("--harvested", type=int, default=50, help="phantoms without; some have no role")
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--iterations", type=int, default=400, help="of the teacher")
    parser.add_argument(
        "--network-share",
        type=float,
        default=1.0,
        help="iterations of the last network, in those of the teacher",
    )
    parser.add_argument("--phases", choices=("both", "venous"), default="venous", help="of the network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="receives phantoms and runs; default: one that goes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--page", type=Path)
    return parser.parse_args()


def cohort(given: argparse.Namespace, folder: Path) -> list[PatientRecord]:
    """Return phantoms of unknown status: drawn ones, others without a drawn tumor, test ones."""
    began = time.process_time()
    patients = given.drawn + given.harvested + given.test
    settings = PhantomSettings(size=given.size)
    made = PhantomCohort(folder=folder, settings=settings, seed=SEED, patients=patients)
    records = read_manifest(write_phantoms(made)).patients
    print(f"{patients} phantoms: {time.process_time() - began:.0f} CPU-s", flush=True)
    found = []
    for number, record in enumerate(records):
        is_blank = given.drawn <= number < given.drawn + given.harvested
        split = "test" if number >= given.drawn + given.harvested else "train"
        hidden = ("nodes", "n_status", *(("tumor",) if is_blank else ()))
        cells = {name: cell for name, cell in record.cells.items() if name not in hidden}
        blank: dict[str, Any] = dict.fromkeys(hidden)
        found.append(replace(record, **blank, cells={**cells, "split": split}))
    return found


def settings_of(given: argparse.Namespace, epochs: int) -> Config:
    return load_config(
        f"phantom_{given.size}",
        [
            f"tumor.training.epochs={epochs}",
            f"tumor.training.iterations_per_epoch={given.iterations // EPOCHS}",
            f"tumor_harvest.network_share={given.network_share}",
            "tumor.training.validate_every=1",
            "tumor.sampling.phase_dropout=0",
            f"tumor.phases={given.phases}",
            "registration.method=deeds",
            *SMALL[given.size],
        ],
    )


def arms(
    given: argparse.Namespace, records: Sequence[PatientRecord], folder: Path
) -> tuple[Scores, dict[str, int]]:
    """Return every measure of each test phantom, of every way to learn, and who learned from whom."""
    request = TrainingRequest(
        folder=folder / "few",
        name="few",
        records=records,
        config=settings_of(given, EPOCHS),
        seed=given.seed,
        device="cpu",
        work=folder / "store",
        few=True,
        resume=(folder / "few" / "few").exists(),
    )
    began = time.process_time()
    bundle = train_one(request, StageName.TUMOR)
    print(f"harvest: {time.process_time() - began:.0f} CPU-s", flush=True)
    scores = read_scores(bundle.parent / "few")
    began, epochs = time.process_time(), round(TOGETHER * EPOCHS)
    resume = (folder / "alone" / "stages").exists()
    alone = replace(
        request, folder=folder / "alone", few=False, config=settings_of(given, epochs), resume=resume
    )
    network = train_one(alone, StageName.TUMOR)
    test = [record for record in records if record.split == "test"]
    patients = whole_cohort(test, request.preparation)
    finding = Finding(folder=folder / "found", bundle=network, patients=patients, device="cpu")
    near = replace(finding, folder=folder / "found-near", at_pancreas=True)
    names = [record.patient_id for record in test]
    scored_networks({ALONE: (finding, names), at_pancreas(ALONE): (near, names)}, folder)
    print(f"few alone: {time.process_time() - began:.0f} CPU-s", flush=True)
    roles = Run.open(bundle.parent, request.work).plan.roles(StageName.TUMOR)
    drawn = {record.patient_id for record in records if record.tumor is not None}
    counts = {
        "drawn": len(drawn.intersection(roles.train)),
        "harvested": len(set(roles.train) - drawn),
        "chosen_by": len(drawn.intersection(roles.validation)),
        "test": len(test),
    }
    return {**read_scores(folder), **scores}, counts


def masks_that_taught(folder: Path) -> dict[str, float]:
    """Return the Dice of each harvested mask, as it lies on the venous phase, with the hidden truth."""
    hidden = {
        record.patient_id: record.tumor for record in read_manifest(folder / "cohort" / "cohort.csv").patients
    }
    found = {}
    for place in sorted((folder / "few" / "few" / "warped").iterdir()):
        truth = hidden.get(place.name)
        if truth is None or not (place / "tumor.nii.gz").exists():
            continue
        drawn = read_volume(truth)
        taught = resample_labels(read_volume(place / "tumor.nii.gz"), drawn.geometry)
        found[place.name] = dice(taught.array == 1, drawn.array > 0)
    return found


def read_scores(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    with (folder / TABLE_FILE).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            values = {m: float(row[m]) if row[m] else float("nan") for m in MEASURES}
            found.setdefault(row["network"], {})[row["patient_id"]] = values
    return found


def told(scores: Scores, counts: Mapping[str, int], taught: Mapping[str, float]) -> str:
    """Return a Markdown table of medians and quartiles, and the paired difference."""
    lines = [
        "| network | looks | found | " + " | ".join(MEASURES.values()) + " |",
        "|-|-|-|" + "-|" * len(MEASURES),
    ]
    for arm in (*NAMES, *map(at_pancreas, NAMES)):
        if arm not in scores:
            continue
        name = NAMES[arm.removesuffix(at_pancreas(""))]
        where = "in the body" if arm in NAMES else "at the pancreas"
        cells = [cell([values[m] for values in scores[arm].values()]) for m in MEASURES]
        found = sum(np.isfinite(values["hd"]) for values in scores[arm].values())
        lines.append(f"| {name} | {where} | {found} of {len(scores[arm])} | {' | '.join(cells)} |")
    told = []
    for where, of in (("in the body", str), ("at the pancreas", at_pancreas)):
        low, middle, high = difference(scores, of)
        told.append(
            f"{where} {middle:+.3f} ({low:+.3f} to {high:+.3f}; shown to be better: "
            f"{'yes' if low > 0 else 'no'})"
        )
    sentence = (
        f"{counts['drawn']} drawn masks teach, {counts['harvested']} phantoms are harvested, "
        f"{counts['chosen_by']} choose the epoch, {counts['test']} are scored. Mean difference of Dice, "
        f"after the harvest − few alone: {', '.join(told)}."
    )
    if taught:
        tenth, quartile, median = np.percentile(list(taught.values()), (10, 25, 50))
        sentence += (
            f" Dice of the {len(taught)} masks moved to the venous phase: median {median:.2f}, lower "
            f"quartile {quartile:.2f}, nine of ten above {tenth:.2f}."
        )
    return "\n".join([*lines, "", sentence, ""])


def with_table(page: str, table: str) -> str:
    """Return the page with a table between its two marks."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{END}{after}"


def cell(values: Sequence[float]) -> str:
    there = np.array([value for value in values if np.isfinite(value)])
    if not len(there):
        return "-"
    low, median, high = np.percentile(there, (25, 50, 75))
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


def difference(scores: Scores, name: Callable[[str], str]) -> tuple[float, float, float]:
    """Return lower limit, mean and upper limit of the difference of Dice in the same patients (bootstrap)."""
    final, alone = scores[name(FINAL)], scores[name(ALONE)]
    apart = np.array([final[patient]["dice"] - alone[patient]["dice"] for patient in alone])
    rng = np.random.default_rng(SEED)
    means = apart[rng.integers(len(apart), size=(DRAWS, len(apart)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(apart.mean()), float(high)


def finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


if __name__ == "__main__":
    main()
