"""What a reader is told of a prediction: most important first, and nothing that is not so."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lymphct.anatomy.plausibility import Finding
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade import notices
from lymphct.cascade.alignment import Aligned
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.models import Models
from lymphct.cascade.notices import about_registration, collected_notices
from lymphct.cascade.patient import predict_patient
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.score import PatientScore
from lymphct.cascade.settings import CascadeSettings, Config
from lymphct.core.patient import IMPLAUSIBLE, Multiphase, Node, NodeMap, Notice, PatientInput
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.imaging.preprocess import resample
from lymphct.learning.inference_settings import InferenceChoice
from lymphct.registration.settings import RegistrationSettings

MakePatient = Callable[..., PreparedPatient]
SCORED = PatientScore(probability=0.7, threshold=0.5)
WITHHELD = PatientScore(
    probability=None, threshold=None, reason=Notice(code="no_tumor", text="no tumor found")
)
CONFIG = Config()


@pytest.fixture(autouse=True)
def odd(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is odd about the structures of a patient; the boxes of these tests are no abdomen."""
    found: list[Finding] = []
    monkeypatch.setattr(notices, "implausible", lambda _: found)
    return found


@pytest.fixture
def ct(make_patient: MakePatient) -> Multiphase:
    return make_patient().ct


@pytest.fixture
def found(ct: Multiphase, answering: Models) -> Findings:
    """All ten structures, one positive and one negative node."""
    seen = examine(ct, Given(), answering, AttentionSettings(), Stopwatch())
    return replace(seen, used=GUIDING_STRUCTURES)


@pytest.fixture
def patient(ct: Multiphase) -> PatientInput:
    return PatientInput(patient_id="p0", venous=ct.venous, arterial=ct.arterial)


def codes(told: list[Notice]) -> list[str]:
    return [notice.code for notice in told]


def test_where_everything_is_as_it_should_be_nothing_is_said(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    assert collected_notices(patient, found, SCORED, answering, CONFIG) == []


def test_why_a_score_is_not_calibrated_is_told(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    why = Notice(code="calibration_withheld", text="the score is not calibrated")
    told = collected_notices(patient, found, replace(SCORED, uncalibrated=why), answering, CONFIG)
    assert told == [why]


def test_the_most_important_comes_first(patient: PatientInput, found: Findings, answering: Models) -> None:
    models = answering.running(InferenceChoice(mode="box", backend="torch"))
    models = replace(models, info=models.info.model_copy(update={"notice": "for phantoms only"}))
    file = (Notice(code="odd_file", text="an odd file"),)
    taught = replace(patient, patient_id="teacher", arterial=None, notices=file)
    bare = replace(found, used=GUIDING_STRUCTURES[:7], nodes=replace(found.nodes, nodes=()))
    told = collected_notices(taught, bare, WITHHELD, models, CONFIG)
    assert codes(told) == [
        "bundle", "seen_in_training", "no_tumor", "odd_file", "no_arterial", "missing_structures",
        "inference_box", "no_nodes",
    ]  # fmt: skip
    assert told[0].text == "for phantoms only"
    assert told[4].text == "no arterial phase was given: the networks saw the venous phase alone"


def test_what_a_score_rests_on_comes_where_a_withheld_one_would_say_why(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    file = (Notice(code="odd_file", text="an odd file"),)
    drawn = replace(patient, tumor=found.tumor, nodes=found.nodes, notices=file)
    scored = collected_notices(drawn, found, SCORED, answering, CONFIG)
    assert codes(scored) == ["score_from_given", "odd_file"]
    assert scored[0].value == "tumor nodes"
    assert codes(collected_notices(drawn, found, WITHHELD, answering, CONFIG)) == ["no_tumor", "odd_file"]


def test_a_patient_the_models_learned_from_is_told_by_what_they_learned(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    (notice,) = collected_notices(replace(patient, patient_id="teacher"), found, SCORED, answering, CONFIG)
    assert (notice.code, notice.value) == ("seen_in_training", "intensity")
    assert "the models were fitted on this patient (intensity)" in notice.text


def test_what_cannot_be_a_lymph_node_is_counted_named_and_not_positive(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    positive, negative = found.nodes.nodes
    assert positive.node_class is NodeClass.POSITIVE
    doubted = (replace(positive, flags=(IMPLAUSIBLE,)), negative)
    odd, none = collected_notices(
        patient, replace(found, nodes=replace(found.nodes, nodes=doubted)), SCORED, answering, CONFIG
    )
    assert (odd.code, odd.value) == ("implausible_nodes", 1)
    assert odd.text.startswith("1 of 2 nodes cannot be lymph nodes")
    assert odd.text.endswith(f": {positive.label}")
    assert none.code == "no_positive_nodes"


def test_drawn_nodes_that_the_working_grid_lost_are_named(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    drawn = replace(patient, nodes=found.nodes)
    kept, lost = found.nodes.nodes
    fewer = replace(found, nodes=replace(found.nodes, nodes=(kept,)))
    told, _ = collected_notices(drawn, fewer, WITHHELD, answering, CONFIG)[::-1]
    assert (told.code, told.value) == ("nodes_too_small", 1)
    assert told.text.startswith("1 of 2 drawn nodes are smaller than a voxel of the networks' grid")
    assert told.text.endswith(f": {lost.label}")
    none = replace(found, nodes=replace(found.nodes, nodes=()))
    *_, both, nothing = collected_notices(drawn, none, WITHHELD, answering, CONFIG)
    assert (both.value, nothing.code, nothing.text) == (2, "no_nodes", "0 nodes left to count")
    # Of nodes the networks find none is lost, however few a patient has.
    assert "nodes_too_small" not in codes(collected_notices(patient, fewer, SCORED, answering, CONFIG))


def test_a_drawn_node_that_falls_between_the_voxels_is_named_in_the_prediction(
    patient: PatientInput, answering: Models
) -> None:
    i, j, k = patient.venous.geometry.spacing
    fine = patient.venous.geometry.resampled((i / 2, j / 2, k / 2))
    venous = resample(patient.venous, fine, fill=0.0)
    tiny = np.zeros(fine.shape, np.int32)
    tiny[20, 20, 20], tiny[8:14, 8:14, 8:14] = 5, 6
    labels = tuple(
        Node(label=n, volume=0.0, center=(0.0, 0.0, 0.0), node_class=NodeClass.NEGATIVE) for n in (5, 6)
    )
    drawn = NodeMap(instances=venous.with_array(tiny), nodes=labels)
    asked = replace(patient, venous=venous, nodes=drawn)
    models = replace(answering, info=answering.info.model_copy(update={"spacing": (i, j, k)}))
    told = {notice.code: notice for notice in predict_patient(asked, models, CONFIG).notices}
    assert told["nodes_too_small"].text.endswith("neither listed nor counted: 5")


def test_structures_of_the_network_that_no_abdomen_has_are_said_after_the_score(
    patient: PatientInput, found: Findings, answering: Models, odd: list[Finding]
) -> None:
    told = replace(patient, notices=(Notice(code="odd_file", text="an odd file"),))
    odd.append(Finding(structures=(Structure.SPLEEN,), text="the spleen has 2 ml"))
    odd.append(
        Finding(structures=(Structure.LIVER, Structure.SPLEEN), text="the liver lies left of the spleen")
    )
    first, second = collected_notices(told, found, SCORED, answering, CONFIG)
    assert (first.code, first.value, second.code) == ("implausible_structures", 2, "odd_file")
    assert "(spleen, liver): the spleen has 2 ml and 1 more;" in first.text
    # Those of a file were judged when it was read.
    drawn = replace(told, structures=found.structures)
    assert codes(collected_notices(drawn, found, SCORED, answering, CONFIG)) == ["odd_file"]


def test_structures_that_the_network_added_to_a_file_are_judged_and_those_of_the_file_are_not(
    patient: PatientInput, found: Findings, answering: Models, odd: list[Finding]
) -> None:
    odd.append(Finding(structures=(Structure.AORTA,), text="the aorta has 2 ml"))
    odd.append(
        Finding(structures=(Structure.LIVER, Structure.SPLEEN), text="the liver lies left of the spleen")
    )
    array = found.structures.array
    without_liver = found.structures.with_array(np.where(array == Structure.LIVER, 0, array))
    drawn = replace(patient, structures=without_liver)
    (notice,) = collected_notices(drawn, found, SCORED, answering, CONFIG)
    assert (notice.code, notice.value) == ("implausible_structures", 2)
    assert "(spleen, liver): the liver lies left of the spleen;" in notice.text
    del odd[1]
    assert collected_notices(drawn, found, SCORED, answering, CONFIG) == []


def test_missing_structures_are_counted_and_named(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    bare = replace(found, used=(*GUIDING_STRUCTURES[:6], *GUIDING_STRUCTURES[8:]))
    (notice,) = collected_notices(patient, bare, SCORED, answering, CONFIG)
    assert (notice.code, notice.value) == ("missing_structures", 8)
    assert notice.text == (
        "8 of 10 guiding structures present; missing: superior mesenteric artery, "
        "celiac trunk and splenic artery"
    )


@pytest.mark.parametrize(
    "case",
    [
        (5, 5, False, "missing_structures"),
        (4, 5, False, "few_structures_found"),
        (4, 5, True, "few_structures_given"),
        (4, 6, True, "missing_structures"),
        (9, 0, False, "few_structures_found"),
    ],
)
def test_few_structures_are_a_notice_of_their_own_that_says_where_they_come_from(
    case: tuple[int, int, bool, str], patient: PatientInput, found: Findings, answering: Models
) -> None:
    present, tolerated, is_given, code = case
    config = Config(cascade=CascadeSettings(tolerated_missing_structures=tolerated))
    told = replace(patient, structures=found.structures if is_given else None)
    bare = replace(found, used=GUIDING_STRUCTURES[:present])
    (notice,) = collected_notices(told, bare, SCORED, answering, config)
    assert (notice.code, notice.value) == (code, present)


def test_without_any_structure_the_withheld_score_says_it_alone(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    reason = Notice(code="no_structures", text="none of the ten guiding structures was found")
    withheld = PatientScore(probability=None, threshold=None, reason=reason)
    unsearched = replace(found, used=(), searched=False, nodes=replace(found.nodes, nodes=()))
    assert collected_notices(patient, unsearched, withheld, answering, CONFIG) == [reason]


def test_no_nodes_and_no_positive_ones_are_told_apart(
    patient: PatientInput, found: Findings, answering: Models
) -> None:
    negative = tuple(replace(node, node_class=NodeClass.NEGATIVE) for node in found.nodes.nodes)
    (notice,) = collected_notices(
        patient,
        replace(found, nodes=replace(found.nodes, nodes=negative)),
        SCORED,
        answering,
        CONFIG,
    )
    assert (notice.code, notice.text, notice.value) == ("no_positive_nodes", "0 nodes predicted positive", 0)
    (notice,) = collected_notices(
        patient, replace(found, nodes=replace(found.nodes, nodes=())), SCORED, answering, CONFIG
    )
    assert (notice.code, notice.text, notice.value) == ("no_nodes", "0 nodes found", 0)


def test_a_registration_that_differs_from_the_trainings_is_said_after_its_own_notices(
    ct: Multiphase, answering: Models
) -> None:
    trained = replace(answering, info=answering.info.model_copy(update={"registration": "deeds"}))
    flagged = Notice(code="registration_flagged", text="cannot be trusted")
    aligned = Aligned(ct=ct, notices=(flagged,))
    deeds, none = RegistrationSettings(method="deeds"), RegistrationSettings(method="none")
    assert about_registration(aligned, deeds, trained) == (flagged,)
    told = about_registration(aligned, none, trained)
    assert told[0] == flagged
    assert (told[1].code, told[1].value) == ("registration_differs", "none")
    assert told[1].text == (
        "the phases were registered by method none, those of the bundle's training by deeds"
    )


def test_without_an_arterial_phase_there_is_no_registration_to_differ(
    ct: Multiphase, answering: Models
) -> None:
    alone = Aligned(ct=Multiphase(venous=ct.venous))
    trained = replace(answering, info=answering.info.model_copy(update={"registration": "deeds"}))
    assert about_registration(alone, RegistrationSettings(method="none"), trained) == ()


@pytest.mark.parametrize(("trained", "here"), [("network", "given"), ("given", "network")])
def test_masks_of_another_kind_than_in_training_are_noticed(
    patient: PatientInput, found: Findings, answering: Models, trained: str, here: str
) -> None:
    info = answering.info.model_copy(update={"structures_source": trained, "tumor_source": trained})
    models = replace(answering, info=info)
    drawn = replace(patient, structures=found.structures, tumor=found.tumor)
    alike, other = (patient, drawn) if here == "given" else (drawn, patient)

    def told(seen: PatientInput, by: Models) -> list[Notice]:
        said = collected_notices(seen, found, WITHHELD, by, CONFIG)
        return [notice for notice in said if notice.code.endswith("_source")]

    assert told(alike, models) == []
    differing = told(other, models)
    assert [(n.code, n.value) for n in differing] == [("structures_source", here), ("tumor_source", here)]
    whose = {"given": "drawn structures", "network": "the network's structures"}
    assert differing[0].text == (
        f"the search for lymph nodes was trained with {whose[trained]}, here it goes by {whose[here]}"
    )
    # Bundles made before say nothing, and drawn nodes are not searched for.
    assert told(other, answering) == []
    assert told(replace(other, nodes=found.nodes), models) == []
