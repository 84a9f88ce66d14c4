"""What stage 2 is shown of drawn and found nodes where it learns the IoU of masks and the place of nodes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor

from lymphct.attention.mapping import guided_by
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.cases import Material
from lymphct.cascade.examination import Given, Stopwatch, call_nodes, examine
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models, Trained
from lymphct.cascade.node_cases import found_cases, identification_cases
from lymphct.cascade.parts import Start, load_start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import ModelError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import NodeMap
from lymphct.core.terms import NodeClass, StageName
from lymphct.nodes.crops import NEGATIVE, NOT_A_NODE, POSITIVE, UNKNOWN
from lymphct.nodes.features import FEATURES
from lymphct.nodes.found import FoundNodes
from lymphct.nodes.identification import build_identification_network
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.network import IdentificationNetwork
from lymphct.nodes.place_features import PLACE_FEATURES, place_features

MakePatient = Callable[..., PreparedPatient]


def material_of(patient: PreparedPatient, config: Config, **head: Any) -> Material:
    """Return a patient for a stage 2 with these settings of its head; its found nodes teach."""
    stage2 = config.identification
    changed = stage2.model_copy(
        update={
            "head": stage2.head.model_copy(update=head),
            "found": stage2.found.model_copy(update={"learn": True}),
        }
    )
    return Material(
        patients={patient.patient_id: patient},
        learned=Learned(bands={}),
        config=config.model_copy(update={"identification": changed}),
    )


def found_in(patient: PreparedPatient, classes: Mapping[int, int], ious: Mapping[int, float]) -> FoundNodes:
    """Return the drawn nodes of a patient as if somebody had found them."""
    view = patient.view("nodes")
    assert view is not None
    boxes = {3: (slice(9, 12), slice(4, 7), slice(6, 9)), 7: (slice(22, 24), slice(9, 11), slice(10, 12))}
    return FoundNodes(
        patient=patient.patient_id,
        instances=view,
        labels=tuple(classes),
        boxes=tuple(boxes[label] for label in classes),
        classes=tuple(classes.values()),
        ious=tuple(ious[label] for label in classes),
        fitted_on=FittedOn.of(["somebody else"]),
    )


@pytest.mark.parametrize(("outputs", "said"), [(2, UNKNOWN), (3, NOT_A_NODE)])
def test_what_two_classes_cannot_say_teaches_the_iou_alone(
    outputs: int, said: int, make_patient: MakePatient, tiny: Config
) -> None:
    patient = make_patient()
    found = found_in(patient, {3: NOT_A_NODE, 7: POSITIVE}, {3: 0.0, 7: 0.4})
    (case,) = found_cases(material_of(patient, tiny, predict_iou=True, classes=outputs), [found])
    assert (case.classes, case.ious) == ((said, POSITIVE), (0.0, 0.4))
    kept = found_cases(material_of(patient, tiny, classes=outputs), [found])[0].classes
    assert kept == ((POSITIVE,) if outputs == 2 else (NOT_A_NODE, POSITIVE))


def test_a_piece_of_a_node_teaches_the_iou_and_a_patient_with_nothing_else_is_learned_from(
    make_patient: MakePatient, tiny: Config
) -> None:
    patient = replace(make_patient(), nodes=None)
    found = found_in(make_patient(), {3: UNKNOWN}, {3: 0.2})
    for predict_iou, count in ((True, 1), (False, 0)):
        material = material_of(patient, tiny, predict_iou=predict_iou)
        start = Start(config=material.config, found={"p0": found})
        cases = STAGES[StageName.IDENTIFICATION].cases(material, ["p0"], start)
        assert len(cases) == count
        assert all((case.classes, case.ious) == ((UNKNOWN,), (0.2,)) for case in cases)


@pytest.mark.parametrize("without", [(), ("tumor",), ("arterial",)])
def test_the_place_of_a_node_is_measured_as_in_prediction(
    without: tuple[str, ...], make_patient: MakePatient, tiny: Config
) -> None:
    patient = make_patient(without=without, noise=5.0)
    assert patient.structures is not None
    assert patient.nodes is not None
    material = material_of(patient, tiny, place_features=True)
    guiding = guided_by(patient.structures, patient.tumor)
    expected = place_features(measure_nodes(patient.nodes, patient.ct, guiding, patient.tumor).nodes)
    found = found_in(patient, {7: NEGATIVE, 3: POSITIVE}, {3: 1.0, 7: 1.0})
    (drawn,), (seen,) = identification_cases(material, ["p0"]), found_cases(material, [found])
    assert_array_equal(drawn.features[:, len(FEATURES) :], expected)
    assert_array_equal(seen.features[:, len(FEATURES) :], expected[::-1])
    missing = {"tumor": "tumor_distance", "arterial": "arterial_to_venous"}
    absent = [name for name, column in zip(PLACE_FEATURES, expected.T, strict=True) if np.isnan(column).all()]
    assert absent == [missing[name] for name in without]


def test_without_structures_no_distance_to_them_is_known(make_patient: MakePatient, tiny: Config) -> None:
    patient = make_patient(without=["structures"])
    (case,) = identification_cases(material_of(patient, tiny, place_features=True), ["p0"])
    told = dict(zip(case.feature_set.columns, case.features.T, strict=True))
    assert np.isnan(told["structure_distance"]).all()
    assert np.isfinite(told["tumor_distance"]).all()


class FarFromTumor(IdentificationNetwork):
    """Calls a node positive that lies further from the tumor than 10 mm."""

    def forward(self, image: Tensor, mask: Tensor, box: Tensor, features: Tensor) -> Tensor:
        del image, mask, box
        beyond = features[:, len(FEATURES) : len(FEATURES) + 1] - 10.0
        return torch.cat((-beyond, beyond), dim=1)


@pytest.fixture
def placing(answering: Models, tiny: Config) -> Models:
    stage2 = tiny.identification
    settings = stage2.model_copy(update={"head": stage2.head.model_copy(update={"place_features": True})})
    network = FarFromTumor(2, settings.unet, settings.head).eval()
    return replace(answering, identification=Trained(network, settings))


def test_stage_2_is_told_where_a_found_node_lies(make_patient: MakePatient, placing: Models) -> None:
    found = examine(make_patient().ct, Given(), placing, AttentionSettings(), Stopwatch())
    assert len(found.nodes.nodes) == 2
    for node in found.nodes.nodes:
        assert node.tumor_distance is not None
        is_far = node.tumor_distance > 10.0
        assert node.node_class is (NodeClass.POSITIVE if is_far else NodeClass.NEGATIVE)
    assert len({node.node_class for node in found.nodes.nodes}) == 2


def test_nodes_of_unknown_place_are_not_called(make_patient: MakePatient, placing: Models) -> None:
    patient = make_patient()
    assert patient.nodes is not None
    bare = tuple(replace(node, node_class=None, hu_venous=None) for node in patient.nodes.nodes)
    with pytest.raises(UsageError, match="was not measured"):
        call_nodes(patient.ct, NodeMap(instances=patient.nodes.instances, nodes=bare), placing)


def test_a_stage_2_that_predicts_the_iou_can_go_on_from_one_that_does_not(tiny: Config) -> None:
    stage2 = tiny.identification
    weights = build_identification_network(stage2, seed=1).state_dict()
    scaled = stage2.model_copy(update={"head": stage2.head.model_copy(update={"predict_iou": True})})
    network = build_identification_network(scaled, seed=2)
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_start(network, weights, StageName.IDENTIFICATION)
    state = network.state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    assert all(torch.equal(state[name], own[name]) for name in ("iou.weight", "iou.bias"))
    with pytest.raises(ModelError, match=r"1 tensors differ|2 tensors differ"):
        load_start(build_identification_network(stage2), state, StageName.IDENTIFICATION)


@pytest.mark.parametrize("more", ["place_features", "slice_pooling"])
def test_a_stage_2_that_is_told_more_cannot(more: str, tiny: Config) -> None:
    stage2 = tiny.identification
    weights = build_identification_network(stage2).state_dict()
    told = stage2.model_copy(update={"head": stage2.head.model_copy(update={more: True})})
    with pytest.raises(ModelError, match="has another form"):
        load_start(build_identification_network(told), weights, StageName.IDENTIFICATION)
