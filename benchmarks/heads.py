"""Ways to judge a patient by lymph nodes, on the same patients, beside the paper's (decision 0049).

`python benchmarks/heads.py --folder FOLDER [options of benchmarks/claims.py] --page docs/heads.md`. Goes on
with the out-of-fold study of the claims in that folder: the same phantoms, folds and cascades, judged by
further methods, which takes minutes where those hours are spent. Each head learns from the nodes of training
patients out of fold. AUC over the folds, and its paired difference to the volume of the largest node called
positive (Eq. 7's V), with intervals by influence curves and p values after Holm.
"""

import sys
from pathlib import Path
from typing import Any, Final

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.claims import arguments, positives, studied
from benchmarks.claims_judged import SEED
from benchmarks.quality.tables import Cell, Table, write_between_marks
from benchmarks.side_by_side import write_record

from lymphct.core.errors import LymphctError
from lymphct.evaluation.statistics import Interval
from lymphct.scoring.comparing import CompareRequest, compare_files
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.plan import COHORT
from lymphct.study.nested.predictions import COMPARED

LARGEST: Final = "nodes"
HEADS: Final = ("nodes_max_probability", "nodes_noisy_or", "nodes_expected_count", "nodes_set", "nodes_graph")


def main() -> None:
    given = arguments(__doc__)
    torch.set_num_threads(1)
    try:
        study = studied(given, "oof", HEADS)
    except LymphctError as error:
        sys.exit(f"error: {error}")
    places = [study.run / COMPARED / COHORT / f"{name}.csv" for name in (LARGEST, *HEADS)]
    record: Any = compare_files(places, CompareRequest(seed=SEED))
    found = table(record, study.plan.titles)
    text = f"{told(given, study)}\n\n{found.markdown()}"
    print(text)
    if given.page is not None:
        write_between_marks(given.page, text)
    if given.json is not None:
        options = {n: v for n, v in vars(given).items() if n not in {"folder", "page", "json"}}
        write_record(given.json, options=options, rows=found.record()["rows"])


def told(given: Any, study: Materials) -> str:  # noqa: ANN401 - options
    """Return on whom it was measured."""
    return (
        f"{given.patients} phantoms of size `{given.size}` (mode `unbiased`, {positives(study.plan)} N+), "
        f"five outer folds, {given.inner} inner ones, {given.iterations:,} iterations of stage 1, "
        f"seed {given.seed}: the cascades of the page of claims."
    )


def table(record: Any, titles: Any) -> Table:  # noqa: ANN401 - of `compare_files`, and of a plan
    """Return AUC of each head and its difference to the first, from a record of comparisons."""
    pairs = {pair["second"]: pair["scores"] for pair in record["comparisons"]}
    rows: list[tuple[Cell, ...]] = []
    for name in (LARGEST, *HEADS):
        own = record["methods"][name]
        folds, pooled = own["crossvalidated"], own["auc"]
        area = interval(pooled if folds is None else folds)
        difference: Cell = None
        p: Cell = None
        if name in pairs:
            test = pairs[name]["crossvalidated"] or pairs[name]
            # Of the head against the largest volume: the record has it the other way round.
            turned = {"estimate": -test["difference"], "low": -test["high"], "high": -test["low"]}
            after_holm = test["delong_p_holm"] if "delong_p_holm" in test else test["p_holm"]
            difference, p = interval(turned), None if after_holm is None else f"{after_holm:.3f}"
        rows.append((titles[name], area, difference, p))
    return Table(
        title="Heads",
        columns=("Head", "AUC over the folds", "Gain over the largest volume", "p after Holm"),
        rows=tuple(rows),
        note=f"{record['compared_by_score']} test patients whom every head could score.",
    )


def interval(found: Any) -> Interval:  # noqa: ANN401 - a part of the record
    return Interval(estimate=found["estimate"], low=found["low"], high=found["high"], level=0.95, undefined=0)


if __name__ == "__main__":
    main()
