"""Fig. 2 as one function: from a two-phase CT to the probability of lymph node metastasis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lymphct.cascade.alignment import Aligned, align, nodes_as_acquired, nodes_on_grid
from lymphct.cascade.description import RegistrationName
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.models import Models, inference_notices
from lymphct.cascade.registration_check import registration_check
from lymphct.config import Config
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Notice, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, resample_labels
from lymphct.metastasis.aggregation import positive_volume
from lymphct.metastasis.prediction import predict_status
from lymphct.patients.reading import PatientInput
from lymphct.registration.registering import RegistrationSettings
from lymphct.study.evidence import status_patches

DEFAULT_THRESHOLD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Score:
    """Probability and threshold; both None where the score is withheld, with the reason."""

    probability: float | None
    threshold: float | None
    reason: Notice | None = None


def predict_patient(  # noqa: PLR0913 - the last three are options
    patient: PatientInput,
    models: Models,
    config: Config,
    *,
    fill_structures: bool = False,
    registration: RegistrationName | None = None,
    threads: int = 1,
) -> Prediction:
    """Follow Fig. 2 from a multiphase CT to the probability of lymph node metastasis.

    Args:
        patient: CT and, optionally, structures, tumor and nodes drawn by somebody else.
        models: the bundle.
        config: settings of attention, registration, notices and `inference`; the networks bring their own.
        fill_structures: let the network add structures the given label map lacks.
        registration: method; None = as the bundle was trained, whatever `config` says.
        threads: of the registration; the result does not depend on them.

    Returns:
        Everything on the venous grid as acquired.

    Raises:
        InputError: the arterial phase is missing and the bundle cannot do without; or the phases show
            different regions.
        ModelError: the bundle lacks a network that is needed.

    """
    watch = Stopwatch()
    models = models.running(config.inference)
    require_phases(patient.patient_id, patient.arterial, models)
    with watch.stage("alignment"):
        how = config.registration.model_copy(update={"method": registration or models.info.registration})
        aligned = align(patient.venous, patient.arterial, models.spacing, how, threads=threads)  # Sec. IV-A.2
        given = given_on_grid(patient, aligned.ct, fill_structures=fill_structures)
    found = examine(aligned.ct, given, models, config.attention, watch)  # Sec. III-A
    with watch.stage("status"):
        score = predict_score(found, models, drawn=patient.tumor is not None)  # Sec. III-B, Eq. 6, Eq. 7
    patient = replace(patient, notices=(*patient.notices, *_about_registration(aligned, how, models)))
    notices = _notices(patient, found, score, models, config)
    with watch.stage("output"):
        prediction = as_acquired(patient, found, score, notices, watch, filled=fill_structures)
    check = registration_check(aligned)
    return prediction if check is None else replace(prediction, checks=(check,))


def require_phases(patient_id: str, arterial: Volume | None, models: Models) -> None:
    """Refuse a patient without arterial phase when the networks never saw one (METHOD §3).

    Raises:
        InputError: that is so.

    """
    if arterial is None and not models.info.phase_dropout:
        msg = "the arterial phase is missing and the bundle was trained with both phases"
        cure = "give --arterial, or a bundle trained with phase dropout"
        raise InputError(msg, code="E_ARTERIAL", cure=cure).at(patient=patient_id)


def given_on_grid(patient: PatientInput, ct: Multiphase, *, fill_structures: bool) -> Given:
    """Bring what the user drew onto the working grid."""
    grid = ct.venous.geometry
    return Given(
        structures=None if patient.structures is None else resample_labels(patient.structures, grid),
        tumor=None if patient.tumor is None else resample_labels(patient.tumor, grid),
        nodes=None if patient.nodes is None else nodes_on_grid(patient.nodes, grid),
        fill_structures=fill_structures,
    )


def predict_score(found: Findings, models: Models, *, drawn: bool = False) -> _Score:
    """Predict the status of the patient, or say why not (Sec. III-B); `drawn`: the tumor mask was given."""
    if models.metastasis is None:
        return _withheld("no_status_model", "the bundle has no status network: score not computed")
    if not found.searched:
        return _withheld(
            "no_structures",
            "none of the ten guiding structures was found: lymph nodes not searched, score not computed",
        )
    if not np.any(found.tumor.array):
        where = "in the mask" if drawn else "found"
        return _withheld("no_tumor", f"no tumor {where}: score not computed")
    settings = models.metastasis.settings
    volume = positive_volume(found.nodes, settings.volume)  # mm³, Eq. 6
    patches = status_patches(found, settings, models.intensity)
    return _Score(
        probability=predict_status(models.metastasis.network, patches, volume),
        threshold=models.info.thresholds.get("patient", DEFAULT_THRESHOLD),
    )


def _withheld(code: str, text: str) -> _Score:
    return _Score(probability=None, threshold=None, reason=Notice(code=code, text=text))


def _about_registration(aligned: Aligned, how: RegistrationSettings, models: Models) -> tuple[Notice, ...]:
    trained = models.info.registration
    if aligned.ct.arterial is None or how.method == trained:
        return aligned.notices
    text = f"the phases were registered by method {how.method}, those of the bundle's training by {trained}"
    return (*aligned.notices, Notice(code="registration_differs", text=text, value=how.method))


def _notices(
    patient: PatientInput, found: Findings, score: _Score, models: Models, config: Config
) -> list[Notice]:
    """Collect the notices, most important first: what the models are, why there is no score, the rest."""
    notices = []
    if models.info.notice:
        notices.append(Notice(code="bundle", text=models.info.notice))
    if score.reason is not None:
        notices.append(score.reason)
    notices += patient.notices
    if patient.arterial is None:
        text = "no arterial phase was given: the networks saw the venous phase alone"
        notices.append(Notice(code="no_arterial", text=text))
    notices += _about_structures(patient, found, config)
    notices += inference_notices(models)
    if found.searched and not found.nodes.nodes:
        notices.append(Notice(code="no_nodes", text="0 nodes found", value=0))
    elif found.searched and not _positive(found):
        notices.append(Notice(code="no_positive_nodes", text="0 nodes predicted positive", value=0))
    return notices


def _about_structures(patient: PatientInput, found: Findings, config: Config) -> list[Notice]:
    missing = [structure for structure in GUIDING_STRUCTURES if structure not in found.used]
    if not missing or not found.used:
        return []
    names = ", ".join(structure.title for structure in missing)
    text = f"{len(found.used)} of {len(GUIDING_STRUCTURES)} guiding structures present; missing: {names}"
    few = len(missing) > config.cascade.tolerated_missing_structures
    source = "given" if patient.structures is not None else "found"
    code = f"few_structures_{source}" if few else "missing_structures"
    return [Notice(code=code, text=text, value=len(found.used))]


def _positive(found: Findings) -> int:
    return sum(node.node_class is NodeClass.POSITIVE for node in found.nodes.nodes)


def as_acquired(  # noqa: PLR0913 - the last names its role
    patient: PatientInput,
    found: Findings,
    score: _Score,
    notices: Sequence[Notice],
    watch: Stopwatch,
    *,
    filled: bool = False,
) -> Prediction:
    """Bring everything back onto the venous grid as acquired.

    Masks the user gave come back as they were given; the attention map is interpolated linearly, never by a
    cubic kernel that would spread it beyond its borders (METHOD §5).
    """
    grid = patient.venous.geometry
    nodes = nodes_as_acquired(found.nodes, grid)
    if patient.nodes is not None:
        nodes = replace(nodes, instances=patient.nodes.instances)
    return Prediction(
        probability=score.probability,
        threshold=score.threshold,
        nodes=nodes,
        search=SearchState.SEARCHED if found.searched else SearchState.NOT_SEARCHED,
        structures=_drawn_or(patient.structures, found.structures, grid, filled=filled),
        tumor=_drawn_or(patient.tumor, found.tumor, grid),
        attention=resample(found.attention, grid),
        structures_used=found.used,
        notices=tuple(notices),
        seconds=watch.seconds,
    )


def _drawn_or(drawn: Volume | None, found: Volume, grid: Geometry, *, filled: bool = False) -> Volume:
    """Return the user's own mask voxel by voxel; where nothing was drawn, what the networks added."""
    if drawn is not None and not filled:
        return drawn
    back = resample_labels(found, grid)
    if drawn is None:
        return back
    return drawn.with_array(np.where(drawn.array > 0, drawn.array, back.array))
