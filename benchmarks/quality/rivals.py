"""Two bundles whose stage 2 and status network judge the same findings in the same patients, paired."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from benchmarks.quality.identification import found_nodes, pooled_auc
from benchmarks.quality.measurement import PLAIN_NUMBERS, SHARED
from benchmarks.quality.status import NUMBERS
from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Cell, Table, over_patients

from lymphct.cascade.models import Models
from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import UsageError
from lymphct.evaluation.classification import auc

Scores = tuple[npt.NDArray[np.bool_], DoubleArray]
"""Who is positive, and the scores."""

STATUS: Final = {
    "patient, combined": "probability",
    "patient, lymph nodes alone": "nodes_alone",
    "patient, tumor alone": "probability_tumor",
}


def require_rival(models: Models, rival: Models) -> None:
    """Refuse a rival that would have found other nodes.

    Raises:
        UsageError: a network before stage 2 is missing, or another one.

    """
    for name in SHARED:
        if name not in models.info.parts or name not in rival.info.parts:
            msg = f"one of the two bundles has no {name} network"
            raise UsageError(msg, cure="compare bundles that find nodes by themselves")
        if models.info.parts[name].sha256 != rival.info.parts[name].sha256:
            msg = f"the {name} network of the rival is another one"
            raise UsageError(msg, cure="train the rival with --init on the bundle it is compared with")


def rival_table(records: Sequence[Record], number: int, name: str) -> Table:
    """Return AUC of a bundle and one of its rivals and the difference, with intervals over patients.

    Args:
        records: of the patients.
        number: of the rival, from 0.
        name: for the title.

    """
    figures: dict[str, Callable[[Any], Scores]] = {
        "node, as drawn": _drawn,
        "node, as found": found_nodes,
        **{name: partial(_patient, key=key) for name, key in STATUS.items()},
    }
    rows = [row for what, read in figures.items() if (row := _row(what, read, records, number)) is not None]
    return Table(
        title=f"Against {name}",
        columns=("AUC", "Bundle", "Rival", "Gain", "Positive", "Negative"),
        rows=tuple(rows),
        note="The rival has the same networks for structures, tumor and stage 1: both judge the same nodes "
        "of the same patients. Patients without a score of either are left out of a row. A found node has "
        "the class of the true one it overlaps by an IoU of 0.3; the others are left out.",
    )


def numbers_table(records: Sequence[Record], names: Sequence[str]) -> Table | None:
    """Return the AUC of what can be said of a patient by the nodes alone; None where nothing judged them.

    Args:
        records: of the patients.
        names: of the bundle and its rivals; the last is what every row is compared with.

    """
    kept = [record for record in records if record.get("status", {}).get("numbers")]
    truth = np.array([record["n_status"] for record in kept])
    if len(set(truth.tolist())) < 2:
        return None

    def scores(side: int, number: str) -> DoubleArray:
        status = [(r if side == 0 else r["rivals"][side - 1])["status"] for r in kept]
        return np.array([entry["numbers"][number] for entry in status], dtype=np.float64)

    def area(rows: Sequence[int], own: DoubleArray) -> float:
        return auc(truth[rows], own[rows])

    def gain(rows: Sequence[int], own: DoubleArray, base: DoubleArray) -> float:
        return area(rows, own) - area(rows, base)

    base, labels = scores(len(names) - 1, "volume"), truth.tolist()
    rows: list[tuple[Cell, ...]] = []
    for side, name in enumerate(names):
        for number in PLAIN_NUMBERS:
            own = scores(side, number)
            figures = (partial(area, own=own), partial(gain, own=own, base=base))
            cells = (over_patients(figure, len(kept), labels) for figure in figures)
            rows.append((name, NUMBERS[number], *cells))
    return Table(
        title="By the nodes alone",
        columns=("Stage 2", "Number of a patient", "AUC", f"Gain over volume, {names[-1]}"),
        rows=tuple(rows),
        note=f"{len(kept)} patients, the same in every row.",
    )


def _row(
    name: str, read: Callable[[Any], Scores], records: Sequence[Record], number: int
) -> tuple[Cell, ...] | None:
    pairs = [(read(record), read({**record, **record["rivals"][number]})) for record in records]
    kept = [(own, other) for own, other in pairs if len(own[0]) and len(own[0]) == len(other[0])]
    truth = np.concatenate([np.zeros(0, np.bool_), *(own[0] for own, _ in kept)])
    if not truth.any() or truth.all():
        return None

    def area(patients: Sequence[int], side: int) -> float:
        return pooled_auc([pair[side][0] for pair in kept], [pair[side][1] for pair in kept], patients)

    sides = [over_patients(partial(area, side=side), len(kept)) for side in (0, 1)]
    gain = over_patients(lambda patients: area(patients, 0) - area(patients, 1), len(kept))
    return (name, *sides, gain, int(truth.sum()), int((~truth).sum()))


def _drawn(record: Any) -> Scores:  # noqa: ANN401 - whatever the file holds
    stage2 = record["stage2"]
    return np.asarray(stage2["positive"], dtype=np.bool_), np.asarray(stage2["probability"], dtype=np.float64)


def _patient(record: Any, *, key: str) -> Scores:  # noqa: ANN401 - likewise
    score = record["status"].get(key)
    known = [] if score is None else [score]
    is_positive = [record["n_status"] == 1] * len(known)
    return np.array(is_positive, dtype=np.bool_), np.array(known, dtype=np.float64)
