"""How well each prior alone tells voxels of lymph nodes from others, on phantoms it never saw.

`python benchmarks/priors.py [--size nano] [--training 60] [--patients 40] [--seed 5708] [--json FILE]
[--write]`: bands of Tab. II; bands, trapezia and atlas fitted on other phantoms; each with and without
attention inside other organs. AUC of nodes against other fat and against the whole body, the share of nodes
within the quarter of the fat that has most attention, and the shares with any attention, with 95 % intervals
over patients. Drawn structures and tumors, no network. Takes two minutes.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.tables import Cell, Table, over_patients, write_between_marks
from benchmarks.side_by_side import write_record

from lymphct.attention.atlas_fitting import fit_atlas
from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.fitting import fit_bands
from lymphct.attention.mapping import guided_by, guiding_attention
from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import FULL, as_bytes
from lymphct.attention.trapezia_fitting import fit_trapezia
from lymphct.core.arrays import DoubleArray
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings

SEED: Final = 5708
QUARTER: Final = 0.25
"""Share of the other fat within which nodes are counted for maps that light volumes of their own."""
AIR: Final = -200
"""HU below which a voxel is outside the body, or gas in it."""
Group = Literal["nodes", "fat", "organs"]
Counts = dict[Group, DoubleArray]
"""How many voxels of a kind have each of the 256 stored values of attention."""


def phantoms(settings: PhantomSettings, seed: int, indices: range) -> list[PhantomPatient]:
    """Return patients by index: those of one range are never those of another."""
    return [generate_patient(settings, seed=seed, index=index) for index in indices]


def priors(training: Sequence[PhantomPatient]) -> dict[str, Prior]:
    """Return what is compared; all but the first know the training patients."""
    names = [f"{number:04d}" for number in range(len(training))]
    drawn = [(guided_by(p.structures, p.tumor), p.tumor, p.nodes.instances) for p in training]
    bands = fit_bands(((guiding, nodes) for guiding, _, nodes in drawn), names)
    return {
        "bands of Tab. II": PAPER_BANDS,
        "bands fitted": bands.value,
        "trapezia": fit_trapezia(drawn, names).value,
        "atlas": fit_atlas(drawn, names).value,
    }


def counted(patient: PhantomPatient, prior: Prior, *, suppress: bool) -> Counts:
    """Count the voxels of a patient by kind and attention."""
    settings = AttentionSettings(suppress_other_organs=suppress)
    attention = as_bytes(guiding_attention(patient.structures, patient.tumor, prior, settings).array)
    nodes = patient.nodes.instances.array > 0
    body = (patient.venous.array > AIR) & ~nodes
    organs = (patient.structures.array > 0) | (patient.tumor.array > 0)
    masks = {"nodes": nodes, "fat": body & ~organs, "organs": body & organs}
    return {
        name: np.bincount(attention[masks[name]], minlength=FULL + 1).astype(np.float64)
        for name in get_args(Group)
    }


def area(positive: DoubleArray, negative: DoubleArray) -> float:
    """Return the AUC of two counts over the same rising values, ties halved."""
    below = np.cumsum(negative) - 0.5 * negative
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def covered(positive: DoubleArray, negative: DoubleArray) -> float:
    """Return the share of one within the `QUARTER` of the other of largest values; ties in proportion."""
    taken, found = (np.cumsum(counts[::-1]) / counts.sum() for counts in (negative, positive))
    return float(np.interp(QUARTER, [0.0, *taken], [0.0, *found]))


def lit(counts: DoubleArray) -> float:
    """Return the share of voxels with any attention."""
    return float(counts[1:].sum() / counts.sum())


MEASURES: Final[dict[str, Callable[[Counts], float]]] = {
    "AUC against other fat": lambda c: area(c["nodes"], c["fat"]),
    "AUC against the whole body": lambda c: area(c["nodes"], c["fat"] + c["organs"]),
    "Nodes in a quarter of the fat": lambda c: covered(c["nodes"], c["fat"]),
    "Nodes lit": lambda c: lit(c["nodes"]),
    "Other fat lit": lambda c: lit(c["fat"]),
    "Whole body lit": lambda c: lit(c["fat"] + c["organs"]),
}


def pooled(each: Sequence[Counts], of: Callable[[Counts], float], chosen: Sequence[int]) -> float:
    """Return a measure of all voxels of some patients."""
    return of({kind: np.sum([each[row][kind] for row in chosen], axis=0) for kind in get_args(Group)})


def table(settings: PhantomSettings, seed: int, training: int, patients: int) -> Table:
    """Return a row for each prior, with and without other organs."""
    found = priors(phantoms(settings, seed, range(training)))
    unseen = [
        patient
        for patient in phantoms(settings, seed, range(training, training + patients))
        if patient.nodes.nodes
    ]
    rows: list[tuple[Cell, ...]] = []
    for name, prior in found.items():
        for suppress in (False, True):
            counts = [counted(patient, prior, suppress=suppress) for patient in unseen]
            cells = [over_patients(partial(pooled, counts, of), len(unseen)) for of in MEASURES.values()]
            rows.append((name + (", other organs dark" if suppress else ""), *cells))
    nodes = sum(len(patient.nodes.nodes) for patient in unseen)
    return Table(
        title="Maps alone",
        columns=("Map", *MEASURES),
        rows=tuple(rows),
        note=f"{len(unseen)} unseen phantoms of size `{settings.size}` with {nodes} nodes, voxels pooled, "
        f"intervals over patients; fitted on {training} others. Lit: attention above 0.",
    )


def main() -> None:
    options = arguments()
    settings = PhantomSettings(size=options.size, mode="unbiased", phase_shift=False)
    found = table(settings, options.seed, options.training, options.patients)
    print(found.markdown())
    if options.json is not None:
        told = {name: getattr(options, name) for name in ("size", "training", "patients", "seed")}
        write_record(options.json, options=told, rows=found.record()["rows"])
    if options.write:
        write_between_marks(options.docs, found.markdown())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("nano", "tiny"), default="nano")
    parser.add_argument("--training", type=int, default=60)
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("--docs", type=Path, default=Path("docs/priors.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
