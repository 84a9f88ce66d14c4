"""The paper's claims, one by one, on a cohort of phantoms: nested cross-validation, paired intervals.

`python benchmarks/claims.py --folder FOLDER [--size nano] [--patients 120] [--iterations 1500] [--inner 2]
[--jobs 2] [--page docs/claims.md] [--json FILE]`. Phantoms of mode `unbiased` breathe between the phases and
are registered by DEEDS. One study learns its status methods from lymph nodes out of fold (`--features oof`),
with attention and without; a second one, of the same patients and folds, in-sample (`--features paper`).
Masks of structures and tumor are given: the claims are about lymph nodes and patients. What is in the folder
is not made again: kill it at any moment, and start the same line. One thread for each process.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.claims_judged import (
    ATTENTION,
    SEED,
    Claim,
    gaps,
    node_claim,
    paired,
    permuted,
    precise,
    registration,
)
from benchmarks.claims_measured import counts_of, seen_by_methods
from benchmarks.phantom_registration import Measurement, worked_through
from benchmarks.quality.tables import Table, write_between_marks
from benchmarks.side_by_side import write_record

from lymphct.core.errors import LymphctError
from lymphct.core.terms import StageName
from lymphct.evaluation.statistics import Interval
from lymphct.io.manifest import read_manifest
from lymphct.io.settings import load_config
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import SIZES, PhantomSettings
from lymphct.registration.settings import RegistrationSettings
from lymphct.scoring.comparing import CompareRequest, compare_files
from lymphct.study.nested.beginning import begin_study
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.outlook import foresee_study
from lymphct.study.nested.plan import COHORT
from lymphct.study.nested.predictions import COMPARED
from lymphct.study.nested.publishing import published
from lymphct.study.nested.request import CrossvalRequest
from lymphct.study.nested.work import open_nested
from lymphct.study.tasks.board import Board, board_record
from lymphct.study.tasks.workers import Hands, run_here

NONE, GATED = "none", "none_gated"
METHODS: Final = (
    "combined", "nodes", "nodes_without_attention", "tumor", "permuted_labels", "node_count", "tumor_volume",
)  # fmt: skip
REGISTRATION: Final = {"nano": 4.0}
"""mm between the points of the work grid, where the voxels are large; else 2."""


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    try:
        studies = {name: studied(given, name) for name in ("oof", "paper")}
        records = registered(given)
        claims = list(measured(given, studies, records))
    except LymphctError as error:
        sys.exit(f"error: {error}")
    text = "\n\n".join(
        [told(given, studies), table(claims).markdown(), methods_table(studies["oof"]).markdown()]
    )
    print(text)
    if given.page is not None:
        write_between_marks(given.page, text)
    if given.json is not None:
        options = {
            name: value for name, value in vars(given).items() if name not in {"folder", "page", "json"}
        }
        rows = [{"claim": c.text, "figures": c.figures, "shown": c.is_shown} for c in claims]
        write_record(given.json, options=options, claims=rows)


def arguments(words: str | None = __doc__) -> argparse.Namespace:
    """Read the options; those of a script that goes on with the same studies are the same."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps phantoms and both studies")
    parser.add_argument("--size", choices=sorted(SIZES), default="nano")
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--iterations", type=int, default=1500, help="of stage 1; the others in proportion")
    parser.add_argument("--inner", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def settings_words(given: argparse.Namespace) -> list[str]:
    """Return what differs from the recipe of the phantoms' size: longer trainings, registration."""
    epochs = {"nodes": 10, "identification": 10, "metastasis": 8}
    per_epoch = {
        "nodes": given.iterations // 10,
        "identification": given.iterations // 30,
        "metastasis": given.iterations // 40,
    }
    return [
        "registration.method=deeds",
        f"registration.spacing_mm={REGISTRATION.get(given.size, 2.0)}",
        "nodes.validation_cases=12",
        "nodes.training.warmup_iterations=100",
        "identification.sampling.batch_size=8",
        *(f"{stage}.training.epochs={count}" for stage, count in epochs.items()),
        *(f"{stage}.training.iterations_per_epoch={max(1, count)}" for stage, count in per_epoch.items()),
        "nodes.training.validate_every=5",
        "identification.head.node_features=true",
        "identification.head.mask_average=true",
        "identification.head.logistic_start=true",
    ]


def phantoms(given: argparse.Namespace) -> PhantomSettings:
    return PhantomSettings(size=given.size, mode="unbiased", phase_shift=True)


def studied(
    given: argparse.Namespace,
    features: Any,  # noqa: ANN401 - one of two words
    more: Sequence[str] = (),
) -> Materials:
    """Return a study that is done: begun, gone on with, or as it was; `more` are further methods."""
    cohort = PhantomCohort(
        folder=given.folder / "cohort", settings=phantoms(given), seed=SEED, patients=given.patients
    )
    manifest = read_manifest(write_phantoms(cohort, jobs=given.jobs))
    is_oof = features == "oof"
    request = CrossvalRequest(
        folder=given.folder / features,
        name=f"claims-{features}",
        manifests={COHORT: manifest},
        config=load_config(f"phantom_{given.size}", settings_words(given)),
        seed=given.seed,
        work=given.folder / "prepared",
        features=features,
        inner=given.inner,
        methods=(*METHODS, *more) if is_oof else ("nodes",),
        ablations=(NONE, GATED) if is_oof else (),
        given=(StageName.STRUCTURES, StageName.TUMOR),
        threads=1,
    )
    outlook = foresee_study(request)
    if outlook.problems:
        sys.exit("\n".join(map(str, outlook.problems)))
    begin_study(request, outlook)
    run_here(request.folder, open_nested, Hands(jobs=given.jobs, devices=("cpu",)), said)
    published(request.folder)
    work = open_nested(request.folder)
    return Materials(work.run, work.plan, work.preparation, work.records)


def said(name: str, state: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {state}", file=sys.stderr, flush=True)


def registered(given: argparse.Namespace) -> list[Mapping[str, Any]]:
    """Register the cohort's phantoms and compare with the field that moved them."""
    plan = Measurement(
        phantoms=phantoms(given),
        seed=SEED,
        settings=RegistrationSettings(method="deeds", spacing_mm=REGISTRATION.get(given.size, 2.0)),
        work=given.folder / "registration",
    )
    return list(worked_through(plan, range(given.patients), given.jobs))


def measured(
    given: argparse.Namespace, studies: Mapping[str, Materials], records: list[Mapping[str, Any]]
) -> list[Claim]:
    study = studies["oof"]
    counts = {
        variant: counts_of(study, variant, given.folder / "counts") for variant in (ATTENTION, NONE, GATED)
    }
    seen = {name: seen_by_methods(materials, ATTENTION) for name, materials in studies.items()}
    return [
        precise("no attention", counts[ATTENTION], counts[NONE]),
        precise("no attention, nodes outside it dropped afterwards", counts[ATTENTION], counts[GATED]),
        node_claim(study),
        *(paired(study, "combined", other) for other in ("tumor", "nodes")),
        *gaps(seen),
        permuted(study),
        *registration(records),
    ]


def told(given: argparse.Namespace, studies: Mapping[str, Materials]) -> str:
    """Return how the figures came about, and what they cost."""
    hours = sum(_hours(materials.run) for materials in studies.values())
    plan = studies["oof"].plan
    return (
        f"{given.patients} phantoms of size `{given.size}` (mode `unbiased`, {positives(plan)} N+), five "
        f"outer folds, {given.inner} inner ones, {given.iterations:,} iterations of stage 1, batches of two, "
        f"seed {given.seed}; {hours:.1f} hours of one processor for all tasks of both studies. In brackets "
        "95 % intervals over patients; a claim is shown where the whole interval lies on its side."
    )


def positives(plan: Any) -> int:  # noqa: ANN401 - a plan
    return sum(plan.patients[name].n_status == 1 for name in plan.ids(COHORT))


def _hours(run: Path) -> float:
    record: Any = board_record(Board(run, open_nested(run)))
    return float(record["hours_spent"])


def table(claims: list[Claim]) -> Table:
    return Table(
        title="Claims", columns=("claim", "measured", "shown"), rows=tuple(claim.row for claim in claims)
    )


def methods_table(study: Materials) -> Table:
    """Return the AUC of each method of the out-of-fold study."""
    places = [study.run / COMPARED / COHORT / f"{name}.csv" for name in study.plan.methods]
    record: Any = compare_files(places, CompareRequest(seed=SEED))
    rows = []
    for name in study.plan.methods:
        own = record["methods"][name]
        folds, pooled = own["crossvalidated"], own["auc"]
        found = pooled if folds is None else folds
        value = Interval(
            estimate=found["estimate"], low=found["low"], high=found["high"], level=0.95, undefined=0
        )
        rows.append((study.plan.titles[name], value))
    return Table(
        title="Methods",
        columns=("method", "AUC over the folds"),
        rows=tuple(rows),
        note=f"{record['compared_by_score']} test patients whom every method could score.",
    )


if __name__ == "__main__":
    main()
