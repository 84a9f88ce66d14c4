"""The peer of `matching.py` that needs an environment of its own: times panoptica, prints one JSON line.

`PYTHON_WITH_PANOPTICA benchmarks/panoptica_matching.py FOLDER RUNS`: FOLDER holds prediction.npy, truth.npy.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from panoptica import (  # type: ignore[import-not-found] # only in that environment
    InputType,
    Metric,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
    UnmatchedInstancePair,
)

from side_by_side import median_seconds, memory, reset_peak  # type: ignore[import-not-found] # run as a file


def main() -> None:
    folder, runs = Path(sys.argv[1]), int(sys.argv[2])
    prediction, truth = (np.load(folder / f"{name}.npy") for name in ("prediction", "truth"))
    matcher = NaiveThresholdMatching(matching_metric=Metric.IOU, matching_threshold=0.3)
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE,
        instance_matcher=matcher,
        instance_metrics=[Metric.IOU],
        global_metrics=[],
    )

    def match() -> object:
        return matcher.match_instances(UnmatchedInstancePair(prediction, truth))

    def evaluate() -> Any:  # noqa: ANN401 - a result class of that environment
        return evaluator.evaluate(prediction, truth, verbose=False)["ungrouped"]

    record: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for name, work in (("match", match), ("evaluate", evaluate)):
            work()
            reset_peak()
            before = memory("VmRSS")
            work()
            peak = memory("VmHWM")
            extra = None if before is None or peak is None else peak - before
            record[name] = {"seconds": median_seconds(work, runs), "extra_mib": extra}
        found = evaluate()
        record["found"] = [int(found.tp), int(found.fp), int(found.fn), float(found.sq)]
    sys.stderr.write(json.dumps(record))  # its stdout ends in an advertisement


if __name__ == "__main__":
    main()
