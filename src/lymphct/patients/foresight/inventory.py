"""What a cohort has, counted without reading an image: patients, labels, phases, masks, nodes, centers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lymphct.core.errors import LymphctError
from lymphct.io.images.node_masks import read_partial_nodes, sidecar, sidecar_classes
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON

UNKNOWN_CLASS = "without_class"
"""Name of the nodes whose class nobody gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Counts of the patients who take part.

    Attributes:
        patients: who take part.
        excluded: with a reason to leave them out.
        held_out: whose `split` is `test`; they take part in predictions and in no training.
        n_status: N+, N- and unknown.
        phases: images per phase.
        masks: masks per column.
        nodes: drawn lymph nodes by class; those in class maps only where they were counted.
        uncounted: node masks whose nodes were not counted, because that takes reading the whole image.
        centers: patients by center; `not said` where the manifest leaves it blank.

    """

    patients: int
    excluded: int
    held_out: int
    n_status: Mapping[str, int]
    phases: Mapping[str, int]
    masks: Mapping[str, int]
    nodes: Mapping[str, int]
    uncounted: int
    centers: Mapping[str, int]

    def record(self) -> dict[str, JSON]:
        """Return the counts for JSON."""
        fields: dict[str, Any] = asdict(self)
        return fields


def is_held_out(record: PatientRecord) -> bool:
    """Tell whether the manifest keeps a patient out of every training."""
    return record.cells.get("split", "").strip().casefold() == "test"


def taken_inventory(records: Sequence[PatientRecord], *, count_maps: bool = False) -> Inventory:
    """Count what a cohort has.

    Args:
        records: the lines of a manifest.
        count_maps: read node masks without a JSON file beside them, too, to count their nodes.

    """
    present = [record for record in records if not record.is_excluded]
    nodes: Counter[str] = Counter()
    uncounted = 0
    for record in present:
        classes = node_classes(record, count_maps=count_maps)
        uncounted += classes is None
        nodes.update(classes or {})
    return Inventory(
        patients=len(present),
        excluded=len(records) - len(present),
        held_out=sum(map(is_held_out, present)),
        n_status=status_counts(present),
        phases={phase: sum(phase in record.paths for record in present) for phase in ("venous", "arterial")},
        masks={mask: sum(mask in r.paths for r in present) for mask in ("structures", "tumor", "nodes")},
        nodes={name: nodes[name] for name in ("positive", "negative", UNKNOWN_CLASS)},
        uncounted=uncounted,
        centers=dict(sorted(Counter(record.center or "not said" for record in present).items())),
    )


def status_counts(records: Sequence[PatientRecord]) -> dict[str, int]:
    """Return how many patients are N+, N- and unknown."""
    found = Counter(record.n_status for record in records)
    return {"positive": found[1], "negative": found[0], "unknown": found[None]}


def node_classes(record: PatientRecord, *, count_maps: bool = False) -> dict[str, int] | None:
    """Return how many drawn nodes of each class a patient has; None where they were not counted.

    A damaged file has no nodes here; it is refused where it is read.
    """
    if record.nodes is None:
        return {}
    try:
        if sidecar(record.nodes).exists():
            found = sidecar_classes(record.nodes)
        elif count_maps:
            found = tuple(node.node_class for node in read_partial_nodes(record.nodes)[0].nodes)
        else:
            return None
    except (LymphctError, OSError):
        return {}
    return dict(Counter(UNKNOWN_CLASS if node is None else node.label for node in found))
