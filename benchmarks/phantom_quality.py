"""Measure a phantom bundle on unseen synthetic patients: structures, tumor, nodes, stage 2, status.

`python benchmarks/phantom_quality.py --jobs 2 --write` measures the shipped bundle and writes the tables in
docs/quality.md. Patients are generated, sent through the cascade and forgotten; only one small record of each
is kept (--work), so that an interrupted measurement goes on where it stopped. Every part of a bundle that is
there is measured, what is missing is named. With --without-attention RUN_OR_BUNDLE (stage 1 trained with
`--set nodes.heads.use_attention=false`) the arms without attention are measured on the same patients. With
--rival RUN_OR_BUNDLE another stage 2 and status network judge what the same first networks find, paired;
given several times, each is compared with the bundle.
"""

import argparse
import logging
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.anatomy import anatomy_tables
from benchmarks.quality.arms import Source
from benchmarks.quality.identification import fit_baseline, stage2_tables
from benchmarks.quality.measurement import PARTS, Measurement
from benchmarks.quality.rivals import numbers_table, require_rival, rival_table
from benchmarks.quality.stage1 import stage1_tables
from benchmarks.quality.status import status_tables
from benchmarks.quality.subjects import Cohort, NodeExamples, Record, models_of
from benchmarks.quality.tables import Table, aims_table, around_marks, write_between_marks

from lymphct.cascade.models import Models
from lymphct.core.errors import LymphctError, UsageError
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.processes import map_patients
from lymphct.io.results.fingerprints import code_version
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.learning.inference_settings import Precision
from lymphct.phantom.settings import SIZES, Mode, PhantomSettings

TEST_SEED = 2
BASELINE_SEED = 3
"""Seeds of patients nobody was trained on; the shipped bundle was trained on patients of seed 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Everything the measurement says: a sentence on how, the tables, what is missing, how long it took."""

    method: str
    tables: tuple[Table, ...]
    missing: tuple[str, ...]
    seconds: float
    seconds_per_patient: Mapping[str, float]

    def markdown(self) -> str:
        """Return the report for readers."""
        parts = [self.method, *(table.markdown() for table in self.tables)]
        if self.missing:
            parts.append("\n".join(["## Not measured", "", *(f"- {line}" for line in self.missing)]))
        return "\n\n".join(parts)


def main() -> None:
    options = read_arguments()
    logging.getLogger("lymphct").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    try:
        if options.write:
            around_marks(options.docs)  # better now than after an hour of measuring
        quality, plan = measure(options)
        print(quality.markdown())
        print("seconds per patient:", quality.seconds_per_patient, file=sys.stderr)
        if options.json:
            write_json(options.json, report(quality, plan, options))
        if options.write:
            write_between_marks(options.docs, quality.markdown())
    except LymphctError as error:
        sys.exit(f"error: {error}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=shipped_bundle_path(), help="bundle or run folder")
    parser.add_argument("--without-attention", type=Path, help="bundle or run folder, stage 1 without it")
    parser.add_argument(
        "--rival",
        type=Path,
        action="append",
        default=[],
        help="bundle or run folder, the same up to stage 1; repeatable",
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="networks to measure, with commas")
    parser.add_argument(
        "--structures", choices=("both", *get_args(Source)), default="both", help="of stage 1"
    )
    parser.add_argument("--patients", type=int, default=200, help="in all")
    parser.add_argument(
        "--arm-patients", type=int, default=60, help="with true structures, without attention"
    )
    parser.add_argument(
        "--baseline-patients", type=int, default=150, help="for logistic regression; 0 = none"
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--mode", choices=get_args(Mode), default="unbiased", help="of the phantoms")
    parser.add_argument("--phase-shift", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--registration", choices=("deeds", "none"), help="of the phases; default: the bundle's"
    )
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="of the windows; default: the bundle's"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, one thread each")
    parser.add_argument("--work", type=Path, default=Path("runs/phantom_quality"), help="keeps the records")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into the docs")
    parser.add_argument("--docs", type=Path, default=Path("docs/quality.md"))
    return parser.parse_args()


def measure(options: argparse.Namespace) -> tuple[Quality, Measurement]:
    """Measure everything asked for and possible."""
    began = time.perf_counter()
    plan, missing = plan_of(options)
    records = worked_through("patients", plan, range(options.patients), options.jobs)
    baseline = None
    models = models_of(plan.bundle, plan.precision, plan.device)
    if "identification" in plan.parts and options.baseline_patients:
        others = replace(plan.cohort, seed=BASELINE_SEED)
        examples = NodeExamples(cohort=others, spacing=models.spacing, work=plan.work)
        indices = range(options.baseline_patients)
        baseline = fit_baseline(worked_through("for logistic regression", examples, indices, options.jobs))
    node_threshold = 0.5 if models.identification is None else models.identification.settings.threshold
    fused = "volume" if models.metastasis is None else models.metastasis.settings.fused
    tables: list[Table] = []
    aims = []
    for found, its_aims in (
        anatomy_tables(records),
        stage1_tables(records),
        stage2_tables(records, baseline, node_threshold),
        status_tables(records, models.info.thresholds, node_threshold, fused),
    ):
        tables += found
        aims += its_aims
    names = rival_names(plan, options)
    tables += [rival_table(records, number, name) for number, name in enumerate(names)]
    by_nodes = numbers_table(records, [models.info.name, *names]) if names else None
    tables += [] if by_nodes is None else [by_nodes]
    quality = Quality(
        method=method_text(plan, models, records),
        tables=(aims_table(aims), *tables),
        missing=tuple(missing),
        seconds=time.perf_counter() - began,
        seconds_per_patient=seconds_per_patient(records),
    )
    return quality, plan


def plan_of(options: argparse.Namespace) -> tuple[Measurement, list[str]]:
    """Settle what is measured, and name what is not.

    Raises:
        UsageError: an unknown part, or stage 1 of the other bundle was trained with attention.

    """
    wanted = [part for part in options.parts.split(",") if part]
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        msg = f"there is no part {unknown[0]!r}"
        raise UsageError(msg, cure=f"choose from {', '.join(PARTS)}")
    bundle, other = bundle_in(options.bundle), options.without_attention
    models = models_of(bundle, options.precision, options.device)
    parts = tuple(part for part in PARTS if part in wanted and part in models.info.parts)
    missing = [f"{part}: not in the bundle" for part in wanted if part not in models.info.parts]
    missing += [f"{part}: not asked for" for part in PARTS if part not in wanted]
    if other is None:
        missing.append("attention over none: no bundle without attention was given (--without-attention)")
    else:
        other = bundle_in(other)
        require_no_attention(models_of(other, options.precision, options.device))
    rivals = tuple(map(bundle_in, options.rival))
    for rival in rivals:
        require_rival(models, models_of(rival, options.precision, options.device))
    sources = get_args(Source) if options.structures == "both" else (cast("Source", options.structures),)
    if "predicted" in sources and "nodes" in parts and not {"structures", "tumor"} <= set(parts):
        missing.append("stage 1 with predicted structures: needs the parts structures and tumor")
    phantoms = PhantomSettings(size=options.size, mode=options.mode, phase_shift=options.phase_shift)
    plan = Measurement(
        bundle=bundle,
        without_attention=other,
        rivals=rivals,
        cohort=Cohort(
            phantoms=phantoms,
            seed=options.seed,
            registration=options.registration or models.info.registration,
        ),
        parts=parts,
        sources=sources,
        arm_patients=options.arm_patients,
        precision=options.precision,
        device=options.device,
        work=options.work,
    )
    return plan, missing


def rival_names(plan: Measurement, options: argparse.Namespace) -> list[str]:
    """Return the names of the rivals' bundles, with the folder where two have the same."""
    names = [models_of(rival, options.precision, options.device).info.name for rival in plan.rivals]
    return [
        name if names.count(name) == 1 else f"{name} in {folder.name}"
        for name, folder in zip(names, options.rival, strict=True)
    ]


def bundle_in(folder: Path) -> Path:
    """Return the bundle of a training run, or the folder itself."""
    return folder / "bundle" if (folder / "bundle" / "bundle.json").is_file() else folder


def require_no_attention(models: Models) -> None:
    """Refuse a bundle that would make a false comparison.

    Raises:
        UsageError: its stage 1 is missing or was trained with attention.

    """
    heads = None if models.nodes is None else models.nodes.settings.heads
    if heads is None or heads.use_attention or heads.attention_channel:
        msg = "stage 1 of the bundle for comparison is missing or uses the attention"
        raise UsageError(msg, cure="train it with --set nodes.heads.use_attention=false")


def worked_through(
    what: str, work: Callable[[int], Record], indices: Sequence[int], jobs: int
) -> list[Record]:
    """Return the records of all patients; say on stderr how far it is."""
    records: list[Record] = []
    began = time.perf_counter()
    for outcome in map_patients(work, indices, jobs=jobs):
        if outcome.error is not None:
            print(outcome.details, file=sys.stderr)
            raise outcome.error
        records.append(outcome.result())
        each = (time.perf_counter() - began) / len(records)
        print(f"\r{what}: {len(records)} of {len(indices)}, {each:.1f} s each ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return records


def method_text(plan: Measurement, models: Models, records: Sequence[Record]) -> str:
    """Return how the figures came about."""
    phantoms = plan.cohort.phantoms
    grid = "×".join(f"{step:g}" for step in models.spacing)
    shift = "with" if phantoms.phase_shift else "without"
    precision = plan.precision or "the precision of the bundle"
    return (
        f"Bundle `{models.info.name}` (digest `{models.digest[:12]}`, parts {', '.join(plan.parts)}) on "
        f"{len(records)} unseen synthetic patients of size `{phantoms.size}`, mode "
        f"`{phantoms.mode}`, {shift} phase shift, registration `{plan.cohort.registration}`, "
        f"seed {plan.cohort.seed}; windows at {precision}, compared "
        f"with the truth on the working grid of {grid} mm. Intervals are 95 % percentiles of 1,000 bootstrap "
        f"resamples of the patients."
    )


def seconds_per_patient(records: Sequence[Record]) -> dict[str, float]:
    """Return mean wall seconds of each step over the patients that have it, and CPU seconds in all."""
    steps = sorted({step for record in records for step in record["seconds"]})
    return {
        step: round(float(np.mean([r["seconds"][step] for r in records if step in r["seconds"]])), 2)
        for step in steps
    }


def report(quality: Quality, plan: Measurement, options: argparse.Namespace) -> dict[str, JSON]:
    """Return all figures with everything they depend on."""
    models = models_of(plan.bundle, plan.precision, plan.device)
    return {
        "bundle": {
            "name": models.info.name,
            "digest": models.digest,
            "thresholds": dict(models.info.thresholds),
        },
        "phantoms": plan.cohort.phantoms.model_dump(mode="json"),
        "seed": plan.cohort.seed,
        "registration": plan.cohort.registration,
        "patients": options.patients,
        "arm_patients": options.arm_patients,
        "parts": list(plan.parts),
        "precision": plan.precision,
        "tables": [table.record() for table in quality.tables],
        "missing": list(quality.missing),
        "seconds": round(quality.seconds, 1),
        "seconds_per_patient": dict(quality.seconds_per_patient),
        "jobs": options.jobs,
        "device": options.device,
        "code": code_version(),
        "machine": {"processor": platform.machine(), "torch": torch.__version__, "numpy": np.__version__},
    }


if __name__ == "__main__":
    main()
