"""What is written of an evaluated cohort: its JSON record and its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.cohort_cases import Cohort, CohortCase, CohortRequest
from lymphct.scoring.cohort_patient import NODE_GROUPS, TUMOR, NodeMeasures, PatientMeasures
from lymphct.scoring.evaluation import Scored
from lymphct.scoring.node_records import node_tables, nodes_record
from lymphct.scoring.predicted import Stage
from lymphct.scoring.segmentation import CaseScores, labels_record, labels_table
from lymphct.scoring.status import StatusEvaluation
from lymphct.scoring.status_tables import status_tables
from lymphct.scoring.stored import Table, finite


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortEvaluation:
    """A cohort and what was measured of it.

    Attributes:
        cohort: every patient of the manifest.
        request: how it was evaluated.
        measures: of each scored patient, by id.
        status: N status; None when it is not known of both an N+ and an N- patient.

    """

    cohort: Cohort
    request: CohortRequest
    measures: Mapping[str, PatientMeasures]
    status: StatusEvaluation | None

    @property
    def stamps(self) -> list[str]:
        """Return what must stand on every table: why its figures are not what they seem."""
        cases, stamps = self.cohort.cases, []
        fitted = sum(case.result.is_seen for case in cases)
        if fitted:
            stamps.append(f"includes {_patients(fitted)} the models were fitted on")
        for stage in self.request.without:
            given = sum(case.result.given(stage) for case in cases)
            if given:
                stamps.append(f"{stage} of {_patients(given)} were given, not predicted: scores rest on them")
        bundles = {case.result.bundle.sha256 for case in cases}
        if len(bundles) > 1:
            stamps.append(f"predictions of {len(bundles)} different bundles")
        return sorted(stamps)

    def of_stage(self, stage: Stage) -> list[Scored[CaseScores]]:
        """Return the masks of structures or of the tumor, of the patients in whom they are drawn."""
        found = [(case.case, getattr(self.measures[case.case], stage)) for case in self.cohort.cases]
        return [Scored(name, result) for name, result in found if result is not None]

    @property
    def nodes(self) -> dict[str, NodeMeasures]:
        """Return the nodes of the patients in whom they are drawn."""
        found = {case.case: self.measures[case.case].nodes for case in self.cohort.cases}
        return {name: nodes for name, nodes in found.items() if nodes is not None}


def _patients(number: int) -> str:
    return f"{number} patient{'' if number == 1 else 's'}"


def cohort_record(evaluation: CohortEvaluation) -> dict[str, JSON]:
    """Return what the JSON says, without its origin; null stands for what is not drawn or left out."""
    cohort = evaluation.cohort
    structures, tumor = evaluation.of_stage("structures"), evaluation.of_stage("tumor")
    bundles = {case.result.bundle.sha256: case.result.bundle.name for case in cohort.cases}
    return {
        "patients": patient_counts(cohort),
        "excluded": dict(cohort.excluded),
        "without_result": dict(cohort.without_result),
        "seen_in_training": list(cohort.seen),
        "stamps": list(evaluation.stamps),
        "bundles": dict(bundles),
        "structures": labels_record(structures) if structures else None,
        "tumor": labels_record(tumor)[TUMOR] if tumor else None,
        "nodes": nodes_record(evaluation.nodes, evaluation.request) if evaluation.nodes else None,
        "without_n_status": [case.case for case in cohort.cases if case.record.n_status is None],
        "status": None if evaluation.status is None else evaluation.status.record(),
    }


def patient_counts(cohort: Cohort) -> dict[str, JSON]:
    """Return how many patients of the manifest are evaluated, and what became of the others."""
    counts = {
        "evaluated": len(cohort.cases),
        "excluded": len(cohort.excluded),
        "without_result": len(cohort.without_result),
        "seen_in_training": len(cohort.seen),
    }
    return {"in_manifest": sum(counts.values()), **counts}


def cohort_tables(evaluation: CohortEvaluation) -> dict[str, Table]:
    """Return all tables by name, each with the stamps of the evaluation."""
    stamp = "; ".join(evaluation.stamps)
    masks = [*evaluation.of_stage("structures"), *evaluation.of_stage("tumor")]
    tables = {
        "results": Table(RESULT_COLUMNS, result_rows(evaluation)),
        "masks": labels_table(masks, case="patient_id", label="structure"),
        **node_tables(evaluation.nodes),
    }
    if evaluation.status is not None:
        tables |= status_tables(evaluation.status.groups)
    return {name: table.stamped(stamp) for name, table in tables.items()}


_COUNTS: Final = tuple(f"{group}_{count}" for group in NODE_GROUPS for count in ("tp", "fp", "fn"))

RESULT_COLUMNS: Final = (
    "patient_id", "center", "state", "n_status", "probability", "threshold", "call",
    "nodes_drawn", "nodes_predicted", "nodes_predicted_positive", *_COUNTS, "nodes_dice",
    "guiding_structures_dice", "other_structures_dice", "tumor_dice", "tumor_asd", "tumor_hd", "notices",
)  # fmt: skip
"""A row per patient of the manifest; blank where nothing is drawn, predicted or scored."""


def result_rows(evaluation: CohortEvaluation) -> list[list[object]]:
    """Return a row per patient: first who is evaluated, then who is not, with the reason as the state."""
    cohort = evaluation.cohort
    rows = [_evaluated_row(case, evaluation.measures[case.case]) for case in cohort.cases]
    others = [
        *((name, "excluded") for name in cohort.excluded),
        *((name, "without_result") for name in cohort.without_result),
        *((name, "seen_in_training") for name in cohort.seen),
    ]
    records = cohort.records
    blank: list[object] = [None] * (len(RESULT_COLUMNS) - 4)
    rows += [[name, records[name].center, state, records[name].n_status, *blank] for name, state in others]
    return rows


def _evaluated_row(case: CohortCase, measures: PatientMeasures) -> list[object]:
    result = case.result
    status = [result.probability, result.threshold, result.predicted_n_status]
    row: list[object] = [case.case, case.record.center, "evaluated", case.record.n_status, *status]
    row += _node_cells(measures.nodes, searched=result.nodes_search == "searched")
    guiding = {structure.label for structure in GUIDING_STRUCTURES}
    row.append(_mean_dice(measures.structures, guiding))
    row.append(_mean_dice(measures.structures, {s.label for s in Structure} - guiding))
    tumor = None if measures.tumor is None else measures.tumor.scores[TUMOR]
    row += [None] * 3 if tumor is None else [finite(v) for v in (tumor.dice, tumor.asd, tumor.hd)]
    return [*row, " ".join(result.codes)]


def _node_cells(nodes: NodeMeasures | None, *, searched: bool) -> list[object]:
    if nodes is None:
        return [None] * (4 + len(_COUNTS))
    positive = sum(node.is_positive is True for node in nodes.predicted.values())
    cells: list[object] = [nodes.drawn, *((len(nodes.predicted), positive) if searched else (None, None))]
    for group in NODE_GROUPS:
        found = nodes.matches.get(group)
        cells += (
            [None] * 3
            if found is None
            else [found.true_positives, found.false_positives, found.false_negatives]
        )
    return [*cells, finite(nodes.voxels["found"].dice)]


def _mean_dice(structures: CaseScores | None, names: set[str]) -> float | None:
    if structures is None:
        return None
    values = [score.dice for name, score in structures.scores.items() if name in names]
    return float(np.mean(values)) if values else None
