"""Fig. 2 as one function: from a two-phase CT to the probability of lymph node metastasis."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lymphct.cascade.alignment import AIR, align, nodes_as_acquired, nodes_on_grid
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine, require_phases
from lymphct.cascade.models import Models
from lymphct.cascade.notices import about_registration, collected_notices
from lymphct.cascade.partial_examination import examine_until, score_of_masks
from lymphct.cascade.registration_check import registration_check
from lymphct.cascade.score import PatientScore, predict_score, with_worth
from lymphct.cascade.settings import Config
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Notice, PatientInput, Prediction, SearchState
from lymphct.core.terms import RegistrationMethod, Source, StageName, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, resample_labels


def predict_patient(  # noqa: PLR0913 - the last four are options
    patient: PatientInput,
    models: Models,
    config: Config,
    *,
    fill_structures: bool = False,
    registration: RegistrationMethod | None = None,
    threads: int = 1,
    only: StageName | None = None,
    begun: Callable[[str], None] | None = None,
) -> Prediction:
    """Follow Fig. 2 from a multiphase CT to the probability of lymph node metastasis.

    Args:
        patient: CT and, optionally, structures, tumor and nodes drawn by somebody else.
        models: the bundle.
        config: settings of attention, registration, notices and `inference`; the networks bring their own.
        fill_structures: let the network add structures the given label map lacks.
        registration: method; None = as the bundle was trained, whatever `config` says.
        threads: of the registration; the result does not depend on them.
        only: last stage that draws a mask; no network beyond it is needed or run. None = to the end.
        begun: called with the name of each stage that begins.

    Returns:
        Everything on the venous grid as acquired.

    Raises:
        InputError: the arterial phase is missing and the bundle cannot do without; or the phases show
            different regions.
        ModelError: the bundle lacks a network that is needed.

    """
    watch = Stopwatch(begun=begun)
    models = models.running(config.inference)
    require_phases(patient.patient_id, patient.arterial, models)
    with watch.stage("alignment"):
        how = config.registration.model_copy(update={"method": registration or models.info.registration})
        aligned = align(patient.venous, patient.arterial, models.spacing, how, threads=threads)  # Sec. IV-A.2
        given = given_on_grid(patient, aligned.ct, fill_structures=fill_structures)
    if only is not None:
        found = examine_until(aligned.ct, given, models, config.attention, watch, last=only)
        score = score_of_masks(only)
    else:
        found = examine(aligned.ct, given, models, config.attention, watch)  # Sec. III-A
        with watch.stage("status"):
            score = predict_score(  # Sec. III-B
                found,
                models,
                drawn=patient.tumor is not None,
                explained=config.cascade.explain_score,
            )
            score = with_worth(score, patient, models)
    patient = replace(patient, notices=(*patient.notices, *about_registration(aligned, how, models)))
    notices = collected_notices(patient, found, score, models, config)
    with watch.stage("output"):
        prediction = as_acquired(patient, found, score, notices, watch, filled=fill_structures)
    if only is StageName.STRUCTURES and patient.tumor is None:  # nobody looked for one
        prediction = replace(prediction, sources={**prediction.sources, StageName.TUMOR: Source.NONE})
    check = registration_check(aligned)
    return prediction if check is None else replace(prediction, checks=(check,))


def given_on_grid(patient: PatientInput, ct: Multiphase, *, fill_structures: bool) -> Given:
    """Bring what the user drew onto the working grid."""
    grid = ct.venous.geometry
    return Given(
        structures=None if patient.structures is None else resample_labels(patient.structures, grid),
        tumor=None if patient.tumor is None else resample_labels(patient.tumor, grid),
        nodes=None if patient.nodes is None else nodes_on_grid(patient.nodes, grid),
        fill_structures=fill_structures,
    )


def as_acquired(  # noqa: PLR0913 - the last names its role
    patient: PatientInput,
    found: Findings,
    score: PatientScore,
    notices: Sequence[Notice],
    watch: Stopwatch,
    *,
    filled: bool = False,
) -> Prediction:
    """Bring everything back onto the venous grid as acquired.

    Masks the user gave come back as they were given; the attention map is interpolated linearly, never by a
    cubic kernel that would spread it beyond its borders (decision 0014).
    """
    grid = patient.venous.geometry
    seen = found.ct.arterial
    nodes = nodes_as_acquired(found.nodes, grid)
    if patient.nodes is not None:
        nodes = replace(nodes, instances=patient.nodes.instances)
    structures = _drawn_or(patient.structures, found.structures, grid, filled=filled)
    whose = structure_sources(patient, structures)
    return Prediction(
        probability=score.probability,
        threshold=score.threshold,
        nodes=nodes,
        search=SearchState.SEARCHED if found.searched else SearchState.NOT_SEARCHED,
        structures=structures,
        tumor=_drawn_or(patient.tumor, found.tumor, grid),
        attention=resample(found.attention, grid),
        structures_used=found.used,
        notices=tuple(notices),
        seconds=watch.seconds,
        sources=sources(patient, found, filled=filled),
        structure_sources=whose,
        structure_confidence={s: sure for s, sure in patient.structure_confidence.items() if s in whose},
        arterial=None if seen is None else resample(seen, grid, fill=AIR),
        calibrated=score.calibrated,
        drivers=score.drivers,
    )


def sources(patient: PatientInput, found: Findings, *, filled: bool = False) -> dict[StageName, Source]:
    """Return where structures, tumor and nodes of a result come from."""
    structures = Source.NETWORK if patient.structures is None else Source.GIVEN
    if filled and patient.structures is not None:
        drawn, used = patient.structures.array, found.structures.array
        added = not np.isin(np.unique(used), np.unique(drawn)).all()
        structures = Source.FILLED if added else Source.GIVEN
    nodes = Source.NETWORK if patient.nodes is None else Source.GIVEN
    return {
        StageName.STRUCTURES: structures,
        StageName.TUMOR: Source.NETWORK if patient.tumor is None else Source.GIVEN,
        StageName.NODES: nodes if found.searched else Source.NONE,
    }


def structure_sources(patient: PatientInput, structures: Volume) -> dict[Structure, str]:
    """Return who gave each structure of a result: a named source, `given` or `network`."""
    drawn = patient.structures
    given = set() if drawn is None else set(np.unique(drawn.array).tolist())
    present = [Structure(number) for number in np.unique(structures.array).tolist() if number]
    other = {True: Source.GIVEN.value, False: Source.NETWORK.value}
    return {s: patient.structure_sources.get(s, other[int(s) in given]) for s in present}


def _drawn_or(drawn: Volume | None, found: Volume, grid: Geometry, *, filled: bool = False) -> Volume:
    """Return the user's own mask voxel by voxel; where nothing was drawn, what the networks added."""
    if drawn is not None and not filled:
        return drawn
    back = resample_labels(found, grid)
    if drawn is None:
        return back
    return drawn.with_array(np.where(drawn.array > 0, drawn.array, back.array))
