"""What is drawn for the report of a study out of images and networks: Fig. 1, 3 and 4, and its failures."""

from collections.abc import Mapping
from typing import Any

from lymphct.attention.bands import Bands
from lymphct.report.studies.anatomy import anatomy_drawing
from lymphct.report.studies.pictures import Drawing
from lymphct.scoring.score_table import ScoreTable
from lymphct.study.nested.building import MASKS
from lymphct.study.nested.examples import example_drawing
from lymphct.study.nested.findings import found_in_tested
from lymphct.study.nested.gallery import failures
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.page import chosen_method
from lymphct.study.nested.picturing import pictured
from lymphct.study.nested.plan import COHORT, cascades_of
from lymphct.study.nested.reporting import Shown
from lymphct.study.nested.variants import ATTENTION
from lymphct.study.tasks.graph import Study


def shown_of(materials: Materials, scores: Mapping[str, ScoreTable]) -> Shown:
    """Draw what a study whose cascades looked at images has to show.

    Args:
        materials: of the study.
        scores: of the cohort, by method.

    """
    examined: Any = Study.read(materials.run).graph[MASKS].arguments["examined"]
    found = found_in_tested(materials, examined)
    variant = ATTENTION if ATTENTION in found else next(iter(found), ATTENTION)
    table = scores[chosen_method(scores)] if scores else None
    wrong = list(failures(materials, variant, table)) if found else []
    return Shown(
        anatomy=_anatomy(materials),
        examples=example_drawing(materials, found),
        failures=pictured(materials, variant, wrong),
        bands=fitted_bands(materials),
    )


def _anatomy(materials: Materials) -> Drawing | None:
    """Draw the patient of the cohort with most drawn nodes, of those with structures (Fig. 1)."""
    patients = materials.patients
    known = [name for name in materials.plan.ids(COHORT) if patients[name].view("structures") is not None]
    if not known:
        return None
    shown = patients[max(known, key=lambda name: len(patients[name].node_records))]
    structures = shown.structures
    return None if structures is None else anatomy_drawing(structures, shown.tumor, shown.nodes)


def fitted_bands(materials: Materials) -> tuple[Bands, ...]:
    """Return the bands of every cascade where the study fits them; nothing where Tab. II stands."""
    plan = materials.plan
    if not plan.config.cascade.fit_bands:
        return ()
    return tuple(
        materials.artefacts.learned(cascade).bands
        for fold in range(1, len(plan.nested) + 1)
        for cascade in cascades_of(plan, fold, ATTENTION)
    )
