"""Fig. 2 up to one stage: masks alone, with no other network than it needs."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.attention.mapping import guided_by, prior_map, structures_present
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.examination import (
    Findings,
    Given,
    Stopwatch,
    find_nodes,
    find_structures,
    find_tumor,
    no_nodes,
)
from lymphct.cascade.models import Models
from lymphct.cascade.score import PatientScore
from lymphct.core.errors import ModelError
from lymphct.core.patient import Multiphase, Notice
from lymphct.core.terms import StageName
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.plausibility import flag_implausible

MASK_STAGES: Final = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES)
"""Stages that draw, in their order; each needs those before it."""


def examine_until(  # noqa: PLR0913 - the last stage is a keyword
    ct: Multiphase,
    given: Given,
    models: Models,
    settings: AttentionSettings,
    watch: Stopwatch,
    *,
    last: StageName,
) -> Findings:
    """Follow Fig. 2 up to one of `MASK_STAGES`; what lies beyond stays blank, nodes have no class.

    Raises:
        ModelError: a network that is needed is missing.

    """
    with watch.stage(StageName.STRUCTURES):
        structures = find_structures(ct, given, models)  # Sec. III-A.1
    shape = structures.geometry.shape
    found = Findings(
        ct=ct,
        structures=structures,
        tumor=structures.with_array(np.zeros(shape, np.uint8)),
        attention=structures.with_array(np.zeros(shape, np.float32)),
        used=structures_present(structures),
        nodes=no_nodes(ct),
        searched=False,
    )
    if last is StageName.STRUCTURES:
        return found
    with watch.stage(StageName.TUMOR):
        tumor = find_tumor(ct, structures, given, models)  # Sec. IV-B
    guiding = guided_by(structures, tumor)
    found = replace(found, tumor=tumor, used=structures_present(guiding))
    if last is StageName.TUMOR:
        return found
    with watch.stage("attention"):
        attention = prior_map(guiding, tumor, models.prior, models.attending(settings))  # Eq. 1, Eq. 2
    is_searched = bool(found.used) or given.nodes is not None
    with watch.stage(StageName.NODES):
        nodes = find_nodes(ct, attention, given, models) if is_searched else found.nodes
        nodes = flag_implausible(measure_nodes(nodes, ct, guiding), ct.venous)
    return replace(found, attention=attention, nodes=nodes, searched=is_searched)


def score_of_masks(last: StageName) -> PatientScore:
    """Withhold the score where only masks were asked for, and say so."""
    text = f"only the masks up to {last} were asked for: lymph nodes not called, score not computed"
    return PatientScore(
        probability=None, threshold=None, reason=Notice(code=f"only_{last}", text=text, value=last.value)
    )


def networks_needed(
    given: Collection[str], *, fill_structures: bool = False, last: StageName | None = None
) -> tuple[StageName, ...]:
    """Return the networks without which a patient cannot be examined; the score can be withheld.

    Args:
        given: masks that are brought instead, by the names of their columns.
        fill_structures: whether the network adds to the given structures.
        last: of `MASK_STAGES`; None examines to the end.

    >>> [stage.value for stage in networks_needed(["tumor"], last=StageName.TUMOR)]
    ['structures']
    """
    stages = MASK_STAGES if last is None else MASK_STAGES[: MASK_STAGES.index(last) + 1]
    needed = [
        stage
        for stage in stages
        if stage.value not in given or (stage is StageName.STRUCTURES and fill_structures)
    ]
    if last is None and StageName.NODES.value not in given:
        needed.append(StageName.IDENTIFICATION)
    return tuple(needed)


def require_networks(parts: Collection[StageName], needed: Collection[StageName]) -> None:
    """Refuse a bundle that lacks a network, before any is run.

    Raises:
        ModelError: names those that are missing.

    """
    missing = [stage for stage in needed if stage not in parts]
    if missing:
        able = [stage for stage in MASK_STAGES if set(networks_needed((), last=stage)) <= set(parts)]
        masks = f", or ask for masks alone: --only {able[-1]}" if able else ""
        given = [stage.value for stage in missing if stage in MASK_STAGES]
        brought = f"give --{given[0]}" if given else "use a bundle with all stages"
        msg = f"the bundle has no {missing[0]} network"
        raise ModelError(msg, code="E_PART", cure=f"{brought}{masks}")
