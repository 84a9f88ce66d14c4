"""Classes somebody drew stay, whatever the networks say of the patient's other nodes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.evidence import evidence_of
from lymphct.cascade.examination import Given, Stopwatch, call_nodes, examine, find_nodes
from lymphct.cascade.models import Models
from lymphct.core.patient import IMPLAUSIBLE
from lymphct.core.terms import NodeClass, Source
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.metastasis.settings import PatchSettings
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.study.plan import Run


@pytest.fixture(scope="module")
def models(bundle: Path) -> Models:
    return load_models(read_bundle(bundle), torch.device("cpu"))


@pytest.fixture(scope="module")
def patient(bundle: Path) -> StoredPatient:
    """The first patient with two nodes or more."""
    patients = Run.open(bundle.parent).patients
    for name in patients:
        nodes = patients[name].nodes
        if nodes is not None and len(nodes.nodes) > 1:
            return patients[name]
    pytest.fail("no patient has two nodes")


@pytest.mark.parametrize("drawn", [NodeClass.POSITIVE, NodeClass.NEGATIVE])
def test_a_drawn_class_stays_beside_nodes_without_one(
    models: Models, patient: StoredPatient, drawn: NodeClass
) -> None:
    assert patient.nodes is not None
    first, *others = patient.nodes.nodes
    mixed = replace(
        patient.nodes,
        nodes=(replace(first, node_class=drawn), *(replace(node, node_class=None) for node in others)),
    )
    attention = patient.ct.venous  # nobody looks at it
    entered = find_nodes(patient.ct, attention, Given(nodes=mixed), models)
    called = call_nodes(patient.ct, entered, models)
    assert [node.label for node in called.nodes] == [node.label for node in mixed.nodes]
    kept, *found = called.nodes
    assert (kept.node_class, kept.class_source, kept.probability) == (drawn, Source.GIVEN, None)
    assert all(node.class_source is Source.NETWORK and node.probability is not None for node in found)


def test_evidence_leaves_out_nodes_that_cannot_be_lymph_nodes(models: Models, patient: StoredPatient) -> None:
    given = Given(structures=patient.structures, tumor=patient.tumor, nodes=patient.nodes)
    found = examine(patient.ct, given, models, AttentionSettings(), Stopwatch())
    whole = evidence_of(found, models, PatchSettings(crop_size=32))
    first, *others = found.nodes.nodes
    odd = replace(found.nodes, nodes=(replace(first, flags=(IMPLAUSIBLE,)), *others))
    fewer = evidence_of(replace(found, nodes=odd), models, PatchSettings(crop_size=32))
    assert [node.label for node in fewer.nodes] == [node.label for node in whole.nodes if node != first]
    assert len(fewer.features) == len(whole.features) - 1
