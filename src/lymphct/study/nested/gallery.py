"""The failures of a study: patients called wrongly, lymph nodes missed, and what was taken for one.

They are chosen by rule from what was measured of test patients; `study.nested.picturing` draws them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lymphct.report.evaluation_page import shown
from lymphct.scoring.score_table import ScoreTable
from lymphct.study.nested.findings import folds_of, records_of
from lymphct.study.nested.materials import Materials

MOST: Final = 6
"""Pictures of each kind."""
MOST_OF_ONE: Final = 2
"""Lymph nodes of one patient in each kind: one bad patient is not all there is to see."""
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A way to fail.

    Attributes:
        name: of its files.
        title: what is wrong.
        order: which come first.

    """

    name: str
    title: str
    order: str


PATIENTS: Final = (
    Kind(
        name="patient_called_negative",
        title="N+ patients called N−",
        order="lowest score first; cut through the largest drawn positive lymph node",
    ),
    Kind(
        name="patient_called_positive",
        title="N− patients called N+",
        order="highest score first; cut through the largest lymph node that was called positive",
    ),
)
"""Of the method of most parts."""
NODES: Final = (
    Kind(name="positive_missed", title="Positive lymph nodes that were not found", order="largest first"),
    Kind(
        name="positive_called_negative",
        title="Positive lymph nodes called negative",
        order="lowest probability first",
    ),
    Kind(
        name="negative_called_positive",
        title="Negative lymph nodes called positive",
        order="highest probability first",
    ),
    Kind(
        name="nothing_called_positive",
        title="Called positive, and no drawn lymph node",
        order="highest probability first",
    ),
)
"""Of the cascade, whatever the patient's score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that went wrong.

    Attributes:
        kind: how.
        patient: id.
        fold: in which the patient is tested, from 1.
        truth: what is true.
        said: what was said.
        score: of the patient or the lymph node, 0 to 1; None where it has none.
        node: number of the lymph node shown, drawn or found; 0 for none.
        is_drawn: whether it is a drawn one.
        short_axis: of it, mm; None where unknown.
        volume: of it, mm³; likewise.

    """

    kind: Kind
    patient: str
    fold: int
    truth: str
    said: str
    score: float | None
    node: int = 0
    is_drawn: bool = False
    short_axis: float | None = None
    volume: float | None = None

    @property
    def cells(self) -> list[str]:
        """Return the cells of its row in a table."""
        size = ", ".join(
            text
            for value, text in (
                (self.short_axis, f"{shown(self.short_axis, 1)} mm"),
                (self.volume, f"{shown(self.volume, 0)} mm³"),
            )
            if value is not None
        )
        return [self.patient, str(self.fold), self.truth, self.said, shown(self.score), size or shown(None)]

    @property
    def caption(self) -> str:
        """Return what stands beneath its picture."""
        patient, fold, truth, said, score, size = self.cells
        scored = "" if self.score is None else f" · score {score}"
        sized = "" if not self.node else f" · node {size}"
        return f"{patient} · {truth} → {said}{scored}{sized} · fold {fold}"


HEADING: Final = ("Patient", "Fold", "Truth", "Said", "Score", "Short axis, volume")


def failures(materials: Materials, variant: str, table: ScoreTable | None) -> Iterator[Failure]:
    """Yield the failures of a study, kind by kind, worst first.

    Args:
        materials: of the study.
        variant: cascade whose lymph nodes are looked at.
        table: what the method of most parts says of the cohort; None where it says nothing.

    """
    folds = folds_of(materials.plan)
    records = {
        name: records_of(materials, folds[name], variant, name).get("nodes", {}) for name in sorted(folds)
    }
    if table is not None:
        yield from _patients(table, folds, records)
    for kind, choose in zip(NODES, (_missed, _called_negative, _called_positive, _nothing), strict=True):
        ranked = sorted(
            (rank, name, node["label"], node)
            for name, record in records.items()
            for rank, node in choose(record)
        )
        taken: dict[str, int] = {}
        chosen: list[Failure] = []
        for _, name, _, node in ranked:
            taken[name] = taken.get(name, 0) + 1
            if taken[name] <= MOST_OF_ONE and len(chosen) < MOST:
                chosen.append(_of_node(kind, name, folds[name], node))
        yield from chosen


def _patients(
    table: ScoreTable, folds: Mapping[str, int], records: Mapping[str, Record]
) -> Iterator[Failure]:
    """Yield patients on the wrong side of the threshold, the largest error first."""
    columns = table.columns
    for kind, label in zip(PATIENTS, (1, 0), strict=True):
        wrong = [
            (abs(label - float(columns.scores[place])) * -1, table.patients[place], place)
            for place in range(len(table.patients))
            if columns.labels[place] == label
            and columns.scored[place]
            and columns.called[place]
            and int(columns.calls[place]) != label
            and table.patients[place] in folds
        ]
        for _, name, place in sorted(wrong)[:MOST]:
            node, is_drawn = _telling(records.get(name, {}), label)
            yield Failure(
                kind=kind,
                patient=name,
                fold=folds[name],
                truth="N+" if label else "N−",
                said="N−" if label else "N+",
                score=float(columns.scores[place]),
                node=int(node.get("label", 0)),
                is_drawn=is_drawn,
                short_axis=node.get("short_axis_mm"),
                volume=node.get("volume_mm3"),
            )


def _telling(record: Record, label: int) -> tuple[Record, bool]:
    """Return the node a patient's picture goes through, and whether it is a drawn one; none without nodes."""
    drawn, found = record.get("drawn", []), record.get("found", [])
    groups = ((drawn, True), (found, False)) if label else ((found, False), (drawn, True))
    for nodes, is_drawn in groups:
        positive = [node for node in nodes if node["class"] == "positive"]
        if positive or nodes:
            largest = max(positive or nodes, key=lambda node: (node["volume_mm3"] or 0.0, -node["label"]))
            return largest, is_drawn
    return {}, False


_Ranked = Iterator[tuple[float, dict[str, Any]]]


def _missed(record: Record) -> _Ranked:
    for node in record.get("drawn", []):
        if node["class"] == "positive" and not node["found"]:
            yield -(node["short_axis_mm"] or 0.0), {**node, "is_drawn": True, "said": "not found"}


def _called(record: Record, truth: str | None, call: str) -> Iterator[tuple[Record, Record]]:
    """Yield found nodes of a call with the drawn node of a class that each is; with none where it is none."""
    drawn = {node["label"]: node for node in record.get("drawn", [])}
    for node in record.get("found", []):
        partner = drawn.get(node["drawn_as"])
        is_asked = partner is None if truth is None else partner is not None and partner["class"] == truth
        if node["class"] == call and is_asked:
            yield node, partner or {}


def _called_negative(record: Record) -> _Ranked:
    for found, drawn in _called(record, "positive", "negative"):
        said = {"is_drawn": True, "said": "negative", "probability": found["probability"]}
        yield found["probability"], {**drawn, **said}


def _called_positive(record: Record) -> _Ranked:
    for found, drawn in _called(record, "negative", "positive"):
        said = {"is_drawn": True, "said": "positive", "probability": found["probability"]}
        yield -found["probability"], {**drawn, **said}


def _nothing(record: Record) -> _Ranked:
    for found, _ in _called(record, None, "positive"):
        yield -found["probability"], {**found, "class": None, "is_drawn": False, "said": "positive"}


def _of_node(kind: Kind, patient: str, fold: int, node: Record) -> Failure:
    return Failure(
        kind=kind,
        patient=patient,
        fold=fold,
        truth=node["class"] or "not drawn",
        said=node["said"],
        score=node.get("probability"),
        node=node["label"],
        is_drawn=node["is_drawn"],
        short_axis=node["short_axis_mm"],
        volume=node["volume_mm3"],
    )
