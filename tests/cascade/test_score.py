"""A score is the status network's view of the evidence; where it is withheld, a reason says why."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.description import DEFAULT_PATIENT_THRESHOLD
from lymphct.cascade.evidence import status_patches
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.models import Models, Trained
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.score import predict_score
from lymphct.core.patient import Multiphase
from lymphct.core.terms import NodeClass, StageName
from lymphct.metastasis.prediction import predict_status

MakePatient = Callable[..., PreparedPatient]


@pytest.fixture
def ct(make_patient: MakePatient) -> Multiphase:
    return make_patient(noise=3.0).ct


@pytest.fixture
def found(ct: Multiphase, answering: Models) -> Findings:
    return examine(ct, Given(), answering, AttentionSettings(), Stopwatch())


def blank_tumor(found: Findings) -> Findings:
    return replace(found, tumor=found.tumor.with_array(np.zeros_like(found.tumor.array)))


def test_the_score_is_the_mean_over_the_patches_with_the_largest_positive_node(
    found: Findings, answering: Models
) -> None:
    score = predict_score(found, answering)
    assert answering.metastasis is not None
    patches = status_patches(
        found, answering.metastasis.settings.patches, answering.intensity(StageName.METASTASIS)
    )
    volume = found.nodes.nodes[0].volume
    assert found.nodes.nodes[0].node_class is NodeClass.POSITIVE
    assert score.probability == predict_status(answering.metastasis.network, patches, volume)
    assert score.reason is None


def test_the_volume_of_positive_nodes_counts_and_that_of_negative_ones_does_not(
    found: Findings, answering: Models
) -> None:
    def with_nodes(*changes: dict[str, object]) -> float | None:
        nodes = tuple(
            replace(node, **change)  # type: ignore[arg-type] # fields of a node
            for node, change in zip(found.nodes.nodes, changes, strict=True)
        )
        return predict_score(replace(found, nodes=replace(found.nodes, nodes=nodes)), answering).probability

    before = with_nodes({}, {})
    assert with_nodes({}, {"volume": 9000.0}) == before
    assert with_nodes({"volume": 9000.0}, {}) != before
    assert with_nodes({"node_class": NodeClass.NEGATIVE}, {}) != before


def test_which_volume_counts_is_a_setting_of_the_part(found: Findings, answering: Models) -> None:
    assert answering.metastasis is not None
    both = tuple(replace(node, node_class=NodeClass.POSITIVE) for node in found.nodes.nodes)
    two = replace(found, nodes=replace(found.nodes, nodes=both))
    network = answering.metastasis.network
    scores = {
        kind: predict_score(
            two,
            replace(
                answering,
                metastasis=Trained(
                    network, answering.metastasis.settings.model_copy(update={"volume": kind})
                ),
            ),
        ).probability
        for kind in ("largest", "mean", "total")
    }
    assert len(set(scores.values())) == 3


def test_the_threshold_is_that_of_the_bundle_or_one_half(found: Findings, answering: Models) -> None:
    assert predict_score(found, answering).threshold == 0.25
    none = replace(answering, info=answering.info.model_copy(update={"thresholds": {}}))
    assert predict_score(found, none).threshold == DEFAULT_PATIENT_THRESHOLD == 0.5


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no_status_model", "the bundle has no status network: score not computed"),
        ("no_structures", "none of the ten guiding structures was found: lymph nodes not searched"),
        ("no_tumor", "no tumor found: score not computed"),
    ],
)
def test_a_withheld_score_says_why(code: str, words: str, found: Findings, answering: Models) -> None:
    # Of several reasons the first that is true is told.
    bare = replace(answering, metastasis=None) if code == "no_status_model" else answering
    seen = blank_tumor(replace(found, searched=code == "no_tumor"))
    score = predict_score(seen, bare)
    assert (score.probability, score.threshold) == (None, None)
    assert score.reason is not None
    assert score.reason.code == code
    assert words in score.reason.text


def test_a_drawn_mask_without_tumor_is_told_as_such(found: Findings, answering: Models) -> None:
    score = predict_score(blank_tumor(found), answering, drawn=True)
    assert score.reason is not None
    assert score.reason.text == "no tumor in the mask: score not computed"
    assert predict_score(found, answering, drawn=True).reason is None


def test_a_patient_without_a_positive_node_still_has_a_score(found: Findings, answering: Models) -> None:
    none = replace(found, nodes=replace(found.nodes, nodes=()))
    assert found.nodes.nodes
    with_blank = replace(
        none,
        nodes=replace(
            none.nodes,
            instances=found.nodes.instances.with_array(np.zeros_like(found.nodes.instances.array)),
        ),
    )
    score = predict_score(with_blank, answering)
    assert score.probability is not None
    assert 0.0 < score.probability < 1.0
