"""What a reader of a prediction must know, most important first."""

from lymphct.cascade.alignment import Aligned
from lymphct.cascade.examination import Findings
from lymphct.cascade.models import Models, inference_notices
from lymphct.cascade.operating_points import operating_point_notices
from lymphct.cascade.score import PatientScore
from lymphct.cascade.settings import Config
from lymphct.core.patient import Notice, PatientInput
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass
from lymphct.registration.settings import RegistrationSettings


def about_registration(aligned: Aligned, how: RegistrationSettings, models: Models) -> tuple[Notice, ...]:
    """Return what the registration gave notice of, and whether the models were trained on another."""
    trained = models.info.registration
    if aligned.ct.arterial is None or how.method == trained:
        return aligned.notices
    text = f"the phases were registered by method {how.method}, those of the bundle's training by {trained}"
    return (*aligned.notices, Notice(code="registration_differs", text=text, value=how.method))


def collected_notices(
    patient: PatientInput, found: Findings, score: PatientScore, models: Models, config: Config
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
    notices += operating_point_notices(models)
    notices += inference_notices(models)
    if found.searched and not found.nodes.nodes:
        notices.append(Notice(code="no_nodes", text="0 nodes found", value=0))
    elif found.searched and _are_called(found) and not _positive(found):
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


def _are_called(found: Findings) -> bool:
    return all(node.node_class is not None for node in found.nodes.nodes)


def _positive(found: Findings) -> int:
    return sum(node.node_class is NodeClass.POSITIVE for node in found.nodes.nodes)
