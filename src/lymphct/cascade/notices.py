"""What a reader of a prediction must know, most important first."""

import numpy as np

from lymphct.anatomy.plausibility import implausible
from lymphct.cascade.alignment import Aligned
from lymphct.cascade.examination import Findings
from lymphct.cascade.models import Models, inference_notices
from lymphct.cascade.operating_points import operating_point_notices
from lymphct.cascade.score import PatientScore
from lymphct.cascade.settings import Config
from lymphct.core.patient import Notice, PatientInput
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.core.volume import Volume
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
    notices += _about_training(patient, models)
    if score.reason is not None:
        notices.append(score.reason)
    notices += _about_given(patient, score)
    if score.uncalibrated is not None:
        notices.append(score.uncalibrated)
    notices += _about_sources(patient, models)
    notices += _about_anatomy(patient, found)
    notices += patient.notices
    if patient.arterial is None:
        text = "no arterial phase was given: the networks saw the venous phase alone"
        notices.append(Notice(code="no_arterial", text=text))
    notices += _about_structures(patient, found, config)
    notices += operating_point_notices(models)
    notices += inference_notices(models)
    notices += _about_nodes(patient, found)
    return notices


def _about_training(patient: PatientInput, models: Models) -> list[Notice]:
    seen = models.info.parts_that_saw(patient.patient_id)
    if not seen:
        return []
    text = f"the models were fitted on this patient ({', '.join(seen)}): the result is no test of them"
    return [Notice(code="seen_in_training", text=text, value=" ".join(seen))]


def _about_sources(patient: PatientInput, models: Models) -> list[Notice]:
    """Say where stage 1 is guided by masks of another kind than in its training (decision 0039)."""
    trained = {"structures": models.info.structures_source, "tumor": models.info.tumor_source}
    notices = []
    for name, source in trained.items():
        here = "network" if getattr(patient, name) is None else "given"
        if source is None or source == here or patient.nodes is not None:
            continue
        whose = {"given": f"drawn {name}", "network": f"the network's {name}"}
        text = f"the search for lymph nodes was trained with {whose[source]}, here it goes by {whose[here]}"
        notices.append(Notice(code=f"{name}_source", text=text, value=here))
    return notices


def _about_given(patient: PatientInput, score: PatientScore) -> list[Notice]:
    """Say that a score rests on what somebody drew."""
    drawn = [name for name in ("tumor", "nodes") if getattr(patient, name) is not None]
    if not drawn or score.probability is None:
        return []
    text = f"the score rests on drawn {' and '.join(drawn)}, not on what the networks would find"
    return [Notice(code="score_from_given", text=text, value=" ".join(drawn))]


def _about_nodes(patient: PatientInput, found: Findings) -> list[Notice]:
    if not found.searched:
        return []
    verb, called = ("found", "predicted positive") if patient.nodes is None else ("drawn", "called positive")
    notices = _about_lost_nodes(patient, found)
    if not found.nodes.nodes:
        verb = "left to count" if notices else verb
        return [*notices, Notice(code="no_nodes", text=f"0 nodes {verb}", value=0)]
    odd = [node.label for node in found.nodes.nodes if not node.is_plausible]
    if odd:
        text = (
            f"{len(odd)} of {len(found.nodes.nodes)} nodes cannot be lymph nodes (outside the body, in gas "
            f"or of impossible density) and are not counted: {', '.join(map(str, odd))}"
        )
        notices.append(Notice(code="implausible_nodes", text=text, value=len(odd)))
    if _are_called(found) and not _positive(found):
        notices.append(Notice(code="no_positive_nodes", text=f"0 nodes {called}", value=0))
    return notices


def _about_lost_nodes(patient: PatientInput, found: Findings) -> list[Notice]:
    """Name drawn nodes that hold no voxel of the working grid: nothing is measured there."""
    if patient.nodes is None:
        return []
    kept = {node.label for node in found.nodes.nodes}
    lost = [node.label for node in patient.nodes.nodes if node.label not in kept]
    if not lost:
        return []
    text = (
        f"{len(lost)} of {len(patient.nodes.nodes)} drawn nodes are smaller than a voxel of the networks' "
        f"grid and are neither listed nor counted: {', '.join(map(str, lost))}"
    )
    return [Notice(code="nodes_too_small", text=text, value=len(lost))]


def _about_anatomy(patient: PatientInput, found: Findings) -> list[Notice]:
    """Say which structures of the network no abdomen has; those of a file were judged when it was read."""
    added = _structures_in(found.structures)
    if patient.structures is not None:
        added -= _structures_in(patient.structures)
    findings = implausible(found.structures) if added else ()
    if patient.structures is not None:
        findings = tuple(finding for finding in findings if added.intersection(finding.structures))
    if not findings:
        return []
    wrong = [structure for structure in Structure if any(structure in f.structures for f in findings)]
    names = ", ".join(structure.title for structure in wrong)
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    text = (
        f"the structures found cannot be right ({names}): {findings[0].text}{more}; "
        "does the CT show the upper abdomen? Attention, nodes and score rest on them"
    )
    return [Notice(code="implausible_structures", text=text, value=len(wrong))]


def _structures_in(labels: Volume) -> set[Structure]:
    return {Structure(number) for number in np.unique(labels.array).tolist() if number}


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
    return sum(n.is_plausible and n.node_class is NodeClass.POSITIVE for n in found.nodes.nodes)
