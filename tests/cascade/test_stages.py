"""The table of stages names what settings, models and bundles name, and each row does what it says."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from lymphct.cascade.cases import Material
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import CASCADE, STAGES, Stage
from lymphct.cascade.thresholds import Choice, Lesson
from lymphct.core.errors import LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn, Roles, hash_patient
from lymphct.core.patient import Clinical
from lymphct.core.terms import StageName
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.metastasis.pretrained import Pretrained
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.nodes.identification import build_identification_network
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import IdentificationSettings

SALT = "the key of a bundle"
ROWS = list(STAGES.values())


def part(stage: StageName, config: Config, **changes: Any) -> Part:
    row = STAGES[stage]
    settings = row.settings_in(config)
    known: dict[str, Any] = {
        "stage": stage,
        "settings": settings,
        "weights": row.build(settings, seed=1).state_dict(),
        "train": FittedOn.of(["a", "b"]),
        "validation": FittedOn.of(["c"]),
        "scores": {"f": 0.25},
    }
    return Part(**known | changes)


def evidence(name: str, n_status: int | None = 1) -> Evidence:
    return Evidence(
        patient=name,
        patches=np.zeros((9, 3, 32, 32), np.float32),
        tumor_volume=1.0,
        nodes=(),
        features=np.zeros((0, 7)),
        clinical=Clinical(n_status=n_status),
        fitted_on=FittedOn.of(["somebody"]),
    )


def test_the_table_holds_every_stage_in_the_order_a_patient_meets_them() -> None:
    assert list(STAGES) == list(StageName)
    assert [row.name for row in ROWS] == list(StageName)
    assert tuple(STAGES)[:-1] == CASCADE


def test_settings_models_and_bundles_use_the_same_names() -> None:
    assert set(STAGES) <= set(Config.model_fields)
    assert [field.name for field in fields(Models) if field.name in set(STAGES)] == list(STAGES)


@pytest.mark.parametrize("row", ROWS, ids=list(STAGES))
def test_what_a_stage_needs_comes_earlier(row: Stage) -> None:
    order = list(STAGES)
    assert all(order.index(needed) < order.index(row.name) for needed in row.needs)


@pytest.mark.parametrize("row", ROWS, ids=list(STAGES))
def test_the_settings_of_a_stage_are_its_group_of_the_config(row: Stage, tiny: Config) -> None:
    group = row.settings_in(tiny)
    assert group is getattr(tiny, row.name)
    assert type(group) is row.settings is Config.model_fields[row.name].annotation


@pytest.mark.parametrize("row", ROWS, ids=list(STAGES))
def test_a_network_depends_on_settings_and_seed_alone(row: Stage, tiny: Config) -> None:
    one, same, other = (row.build(row.settings_in(tiny), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_every_stage_says_what_it_learns_from_in_its_own_words() -> None:
    assert len({row.learns_from for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("stage", list(StageName))
def test_a_part_is_described_so_that_it_can_be_rebuilt_and_names_nobody(
    stage: StageName, tiny: Config
) -> None:
    described = part(stage, tiny).described(SALT)
    assert STAGES[stage].settings.model_validate(described.architecture) == STAGES[stage].settings_in(tiny)
    assert described.scores == {"f": 0.25}
    assert described.patients == {
        "train": tuple(sorted(hash_patient(name, SALT) for name in "ab")),
        "validation": (hash_patient("c", SALT),),
    }
    assert (described.file, described.sha256) == ("", "")


def test_a_part_of_another_bundle_cannot_be_described_under_a_new_key(tiny: Config) -> None:
    theirs = FittedOn(hashes=frozenset({hash_patient("a", "another key")}), salt="another key")
    taken = part(StageName.TUMOR, tiny, train=theirs)
    assert taken.described("another key").patients["train"] == (hash_patient("a", "another key"),)
    with pytest.raises(LeakageError, match="the hashed ids were made with another key"):
        taken.described(SALT)


def test_a_thresholds_chosen_on_validation_patients_are_part_of_the_description(tiny: Config) -> None:
    chosen = tiny.nodes.model_copy(update={"threshold": 0.125, "min_volume": 50.0})
    described = part(StageName.NODES, tiny, settings=chosen).described(SALT)
    assert (described.architecture["threshold"], described.architecture["min_volume"]) == (0.125, 50.0)


def test_stage_2_starts_from_the_backbone_of_stage_1(tiny: Config) -> None:
    stage1 = part(StageName.NODES, tiny, weights=build_node_network(tiny.nodes, seed=8).state_dict())
    network = build_identification_network(tiny.identification, seed=3)
    classifier = {name: x.clone() for name, x in network.classifier.state_dict().items()}
    STAGES[StageName.IDENTIFICATION].begin(network, Start(config=tiny, parts={StageName.NODES: stage1}))
    own = network.state_dict()
    backbone = [name for name in stage1.weights if name.startswith("unet.")]
    assert backbone
    assert all(torch.equal(own[name], stage1.weights[name]) for name in backbone)
    assert all(torch.equal(network.classifier.state_dict()[name], x) for name, x in classifier.items())


def test_the_status_network_starts_from_the_weights_that_are_given_or_at_random(tiny: Config) -> None:
    row = STAGES[StageName.METASTASIS]
    earlier = row.build(tiny.metastasis, seed=8).state_dict()
    network = row.build(tiny.metastasis, seed=3)
    before = {name: x.clone() for name, x in network.state_dict().items()}
    row.begin(network, Start(config=tiny))
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    given = Start(config=tiny, pretrained=Pretrained(earlier, "f37072fd"))
    row.begin(network, given)
    assert all(torch.equal(x, earlier[name]) for name, x in network.state_dict().items())
    assert row.facts(given) == {"pretrained": "f37072fd"}
    assert row.facts(Start(config=tiny)) == {"pretrained": "none"}


@pytest.mark.parametrize("stage", [StageName.STRUCTURES, StageName.TUMOR, StageName.NODES])
def test_a_segmentation_starts_from_its_own_random_weights(stage: StageName, tiny: Config) -> None:
    network = STAGES[stage].build(STAGES[stage].settings_in(tiny), seed=3)
    before = {name: x.clone() for name, x in network.state_dict().items()}
    STAGES[stage].begin(network, Start(config=tiny))
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())


def test_the_status_network_is_shown_the_evidence_of_the_patients_asked_for(tiny: Config) -> None:
    material = Material(patients={}, learned=Learned(intensity={}, bands={}), config=tiny)
    start = Start(config=tiny, evidence={name: evidence(name) for name in "abc"} | {"d": evidence("d", None)})
    cases = STAGES[StageName.METASTASIS].cases(material, ["c", "a", "nobody", "d"], start)
    assert [case.patient for case in cases] == ["c", "a"]


def test_without_a_choice_of_its_own_a_stage_keeps_its_settings(tiny: Config) -> None:
    material = Material(patients={}, learned=Learned(intensity={}, bands={}), config=tiny)
    lesson = Lesson(
        material=material, roles=Roles(train=("a",)), settings=tiny.tumor, cases=(), validation=()
    )
    for stage in (StageName.STRUCTURES, StageName.TUMOR):
        assert STAGES[stage].choose(torch.nn.Identity(), lesson) == Choice(settings=tiny.tumor)


def test_stages_are_trained_by_the_settings_of_their_kind() -> None:
    kinds = {row.name: row.settings for row in ROWS}
    segmenting = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES)
    assert all(issubclass(kinds[stage], SegmentationTrainingSettings) for stage in segmenting)
    assert kinds[StageName.IDENTIFICATION] is IdentificationSettings
    assert kinds[StageName.METASTASIS] is MetastasisSettings
