"""FROC curves over the nodes of a cohort, by what stage 1 and stage 2 say of each (Sec. IV-D); ours.

A node that no stage kept is no candidate, so a curve ends where the operating points of the bundle end it.
Sensitivities are read up to there; what lower thresholds would reach is not known.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from lymphct.evaluation.froc import Candidates, Froc, froc_intervals
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.cohort_candidates import CURVES, NodeCandidates, Target, node_candidates
from lymphct.scoring.cohort_cases import CohortRequest
from lymphct.scoring.cohort_patient import NodeMeasures
from lymphct.scoring.detection_curve import CURVE_COLUMNS, FALSE_POSITIVES, curve_table
from lymphct.scoring.status_tables import interval_record
from lymphct.scoring.stored import Table

Curves = Mapping[Target, Mapping[str, NodeCandidates]]

END: Final = float("inf")
"""False positives per patient at which the end of a curve is read."""


def node_curves(nodes: Mapping[str, NodeMeasures]) -> Curves:
    """Return the candidates of every curve, by target and score."""
    return {
        target: {name: node_candidates(nodes, target, score) for name, score in scores.items()}
        for target, scores in CURVES.items()
    }


def curves_record(curves: Curves, request: CohortRequest) -> dict[str, JSON]:
    """Return target → score → what is read from the curve, with intervals; null where there is none."""
    return {
        target: {name: _curve_record(found, request) for name, found in scores.items()}
        for target, scores in curves.items()
    }


def _curve_record(found: NodeCandidates, request: CohortRequest) -> dict[str, JSON] | None:
    if found.candidates is None:
        return None
    candidates = found.candidates
    curve = whole_curve(candidates)
    reached = float(curve.false_positives.max(initial=0.0))
    # Where all are found, nothing is left for lower thresholds to find.
    is_complete = curve.sensitivity_at(END) == 1.0
    rates = [rate for rate in FALSE_POSITIVES if is_complete or rate <= reached]
    rng = np.random.default_rng(request.seed)
    read = froc_intervals(candidates, [*rates, END], rng, n=request.resamples)
    at = {
        f"{rate:g}": interval_record(read.sensitivity_at[rate]) if rate in rates else None
        for rate in FALSE_POSITIVES
    }
    return {
        "patients": found.patients,
        "true_nodes": int(candidates.truths.sum()),
        "candidates": int(candidates.hit.size),
        "average_precision": interval_record(read.average_precision),
        "sensitivity_at_false_positives": dict(at),
        "end": {"false_positives": reached, "sensitivity": interval_record(read.sensitivity_at[END])},
    }


def whole_curve(candidates: Candidates) -> Froc:
    """Return the curve of patients who count once each."""
    return candidates.curve(np.ones(candidates.truths.size))


def curves_table(curves: Curves) -> Table | None:
    """Return a line per point of every curve, most certain first; None without any."""
    rows = [
        [target, name, *row]
        for target, name, candidates in each_curve(curves)
        for row in curve_table(candidates).rows
    ]
    has_any = any(True for _ in each_curve(curves))
    return Table(("nodes", "score", *CURVE_COLUMNS), rows) if has_any else None


def each_curve(curves: Curves) -> Iterator[tuple[Target, str, Candidates]]:
    """Yield target, score and candidates of every curve there is."""
    for target, scores in curves.items():
        for name, found in scores.items():
            if found.candidates is not None:
                yield target, name, found.candidates
