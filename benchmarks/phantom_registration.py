"""Measure registration on synthetic patients whose breathing is known: how far points lie off.

`python benchmarks/phantom_registration.py --patients 20 --write` generates patients with phase shift,
registers the arterial to the venous phase and compares the field with the true one, voxel by voxel in the
body. One small record of each patient is kept (--work), so that an interrupted measurement goes on where it
stopped.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.subjects import Record, digests_of, kept_record
from benchmarks.quality.tables import (
    Aim,
    Cell,
    Table,
    aims_table,
    around_marks,
    mean_defined,
    over_patients,
    write_between_marks,
)
from benchmarks.side_by_side import environment

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray
from lymphct.core.errors import LymphctError
from lymphct.core.terms import REGISTRATION_METHODS
from lymphct.imaging.body import body_mask
from lymphct.io.processes import map_patients
from lymphct.io.results.code import imported_by
from lymphct.io.results.fingerprints import code_version
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.made import Recipe
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import SIZES, PhantomSettings
from lymphct.registration.registering import Resources, register_with
from lymphct.registration.settings import RegistrationSettings

SEED = 6
"""Of patients that nothing in registration was tuned on."""
LARGEST_HARM = 1.0
"""mm by which the mean error of a patient may grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How one synthetic patient is registered and compared; called with the index of the patient."""

    phantoms: PhantomSettings
    seed: int
    settings: RegistrationSettings
    work: Path

    def __call__(self, index: int) -> Record:
        """Return the record of a patient, measured now or before."""
        settings: dict[str, JSON] = {
            "phantoms": self.phantoms.model_dump(mode="json"),
            "seed": self.seed,
            "registration": self.settings.model_dump(mode="json"),
        }
        script = Path(__file__)
        recipe = Recipe(inputs=digests_of(script), settings=settings, code=imported_by(script))
        return kept_record(self.work, recipe, index, lambda: self._measured(index))

    def _measured(self, index: int) -> dict[str, JSON]:
        patient = generate_patient(self.phantoms, seed=self.seed, index=index)
        return {"patient": f"phantom-{self.seed}-{index:04d}", **measured(patient, self.settings)}


def measured(patient: PhantomPatient, settings: RegistrationSettings) -> dict[str, Any]:
    """Register a synthetic patient; return its errors, mm, before and after, in the body and near nodes.

    A flagged registration counts as it is used: where `settings` fall back, its errors are those before.
    """
    began = time.process_time()
    found = register_with(patient.venous, patient.arterial, settings, Resources(threads=1))
    seconds = time.process_time() - began
    truth: FloatArray = patient.field.array
    guess = found.displacement(patient.venous.geometry)
    if found.is_flagged and settings.fall_back:
        guess = np.zeros_like(truth)
    body = body_mask(patient.venous.array.astype(np.float32))
    inside = {
        "body": body,
        "structures": patient.structures.array > 0,
        "nodes": patient.nodes.instances.array > 0,
    }
    return {
        "before": {name: _errors(truth, where) for name, where in inside.items()},
        "after": {name: _errors(truth - guess, where) for name, where in inside.items()},
        "cpu_seconds": round(seconds, 2),
        "report": {
            name: value
            for name, value in found.report.record().items()
            if name not in {"seconds", "peak_memory_mb"}
        },
    }


def _errors(vectors: FloatArray, where: BoolArray) -> dict[str, float | None]:
    if not where.any():
        return {"mean": None, "p95": None}
    off = np.linalg.norm(vectors[where], axis=1)
    return {"mean": round(float(off.mean()), 4), "p95": round(float(np.percentile(off, 95)), 4)}


def main() -> None:
    options = read_arguments()
    try:
        if options.write:
            around_marks(options.docs)  # better now than after an hour of measuring
        plan = Measurement(
            phantoms=PhantomSettings(size=options.size, mode="unbiased", phase_shift=True),
            seed=options.seed,
            settings=RegistrationSettings(method=options.method, spacing_mm=options.spacing),
            work=options.work,
        )
        records = worked_through(plan, range(options.patients), options.jobs)
        tables = (aims_table(aims(records)), summary_table(records), patients_table(records))
        text = "\n\n".join([method_text(plan, records), *(table.markdown() for table in tables)])
        print(text)
        if options.json:
            write_json(options.json, report(plan, tables, records))
        if options.write:
            write_between_marks(options.docs, text)
    except LymphctError as error:
        sys.exit(f"error: {error}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--method", choices=REGISTRATION_METHODS, default="deeds")
    parser.add_argument("--spacing", type=float, default=2.0, help="of the work grid, mm")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, one thread each")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/phantom_registration"), help="keeps the records"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into the docs")
    parser.add_argument("--docs", type=Path, default=Path("docs/registration-quality.md"))
    return parser.parse_args()


def worked_through(plan: Measurement, indices: Sequence[int], jobs: int) -> list[Record]:
    """Return the records of all patients; say on stderr how far it is."""
    records = []
    for outcome in map_patients(plan, indices, jobs=jobs):
        records.append(outcome.result())
        print(f"\r{len(records)} of {len(indices)} patients ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return records


def aims(records: Sequence[Record]) -> list[Aim]:
    """Return what registration promises on phantoms: it halves the error and harms nobody."""
    before, after = (_column(records, when, "body", "mean") for when in ("before", "after"))
    return [
        Aim(
            name="share of the mean error in the body that is gone",
            reached=1 - after.mean() / before.mean(),
            aim=0.5,
        ),
        Aim(
            name="largest growth of a patient's mean error, mm",
            reached=max(0.0, float((after - before).max())),
            aim=LARGEST_HARM,
            is_limit=True,
        ),
    ]


def summary_table(records: Sequence[Record]) -> Table:
    """Return means over the patients, with intervals."""
    rows: list[tuple[Cell, ...]] = []
    for where, title in (("body", "body"), ("structures", "organs and vessels"), ("nodes", "lymph nodes")):
        for figure, words in (("mean", "mean"), ("p95", "95th percentile")):
            columns = [_column(records, when, where, figure) for when in ("before", "after")]
            rows.append((f"{title}, {words}", *(_mean(column) for column in columns)))
    seconds = float(np.mean([record["cpu_seconds"] for record in records]))
    flagged = sum(bool(record["report"]["flags"]) for record in records)
    note = (
        f"Distance of a point from its true place, mm: means over {len(records)} patients of each patient's "
        f"mean or 95th percentile. Flagged: {flagged}. {seconds:.1f} CPU seconds per patient."
    )
    return Table(title="Error", columns=("where", "before", "after"), rows=tuple(rows), note=note)


def patients_table(records: Sequence[Record]) -> Table:
    """Return a row per patient."""
    columns = ("patient", "before", "after", "nodes before", "nodes after", "consistency p95", "flags")
    rows = tuple(
        (
            str(record["patient"]),
            record["before"]["body"]["mean"],
            record["after"]["body"]["mean"],
            record["before"]["nodes"]["mean"],
            record["after"]["nodes"]["mean"],
            record["report"]["consistency_p95_mm"],
            "; ".join(record["report"]["flags"]),
        )
        for record in records
    )
    return Table(
        title="Patients", columns=columns, rows=rows, note="Mean error in the body and in lymph nodes, mm."
    )


def _column(records: Sequence[Record], when: str, where: str, figure: str) -> DoubleArray:
    return np.array([record[when][where][figure] for record in records], dtype=np.float64)  # None is NaN


def _mean(values: DoubleArray) -> Cell:
    return over_patients(lambda rows: mean_defined(values[rows].tolist()), len(values))


def method_text(plan: Measurement, records: Sequence[Record]) -> str:
    """Return how the figures came about."""
    return (
        f"Method `{plan.settings.method}` at {plan.settings.spacing_mm:g} mm on {len(records)} synthetic "
        f"patients of size `{plan.phantoms.size}` with phase shift, seed {plan.seed}. Intervals are 95 % "
        "percentiles of 1,000 bootstrap resamples of the patients."
    )


def report(plan: Measurement, tables: Sequence[Table], records: Sequence[Record]) -> dict[str, JSON]:
    """Return all figures with everything they depend on."""
    return {
        "phantoms": plan.phantoms.model_dump(mode="json"),
        "seed": plan.seed,
        "registration": plan.settings.model_dump(mode="json"),
        "tables": [table.record() for table in tables],
        "patients": [dict(record) for record in records],
        "code": code_version(),
        "environment": environment(),
    }


if __name__ == "__main__":
    main()
