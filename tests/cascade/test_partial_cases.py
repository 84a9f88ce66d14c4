"""What nobody looked at, or nobody drew, teaches nothing and is told to the loss."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.node_candidates import node_candidates
from lymphct.cascade.node_cases import identification_cases
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.core.terms import StageName, Structure
from lymphct.core.unjudged import BITS
from lymphct.core.volume import Volume
from lymphct.learning.settings import UNetSettings
from lymphct.learning.tensors import to_network
from lymphct.learning.windows import Box
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import NodeSegmentationSettings

MakePatient = Callable[..., PreparedPatient]
LEARNED = Learned(intensity={}, bands=PAPER_BANDS)
CORNER = np.s_[:4, :9, :6]
MASKS = {StageName.STRUCTURES: "structures", StageName.TUMOR: "tumor", StageName.NODES: "instances"}


def corner(patient: PreparedPatient, bits: int, box: Box = CORNER) -> Volume:
    array = np.zeros(patient.ct.venous.geometry.shape, np.uint8)
    array[box] = bits
    return patient.ct.venous.with_array(array)


@pytest.mark.parametrize("stage", list(MASKS))
def test_labels_are_255_where_nobody_looked_for_what_the_stage_learns(
    make_patient: MakePatient, stage: StageName
) -> None:
    patient = make_patient("a")
    unjudged = corner(patient, BITS[stage])
    partial = replace(patient, unjudged=unjudged)
    for other in MASKS:
        whole, partly = (
            segmentation_cases(Material(patients={"a": p}, learned=LEARNED, config=Config()), ["a"], other)[0]
            for p in (patient, partial)
        )
        expected = np.array(whole.labels)
        if other is stage:
            expected[to_network(unjudged.array) != 0] = 255
        assert_array_equal(np.asarray(partly.labels), expected)
        box = np.s_[2:5, 1:7, 3:9]
        assert_array_equal(partly.labels[box], expected[box])


def test_only_the_structures_stage_asks_which_classes_were_drawn(make_patient: MakePatient) -> None:
    patient = replace(make_patient("a"), labelled=(Structure.SPLEEN, Structure.AORTA))
    material = Material(patients={"a": patient}, learned=LEARNED, config=Config())
    drawn = {stage: segmentation_cases(material, ["a"], stage)[0].labelled for stage in MASKS}
    assert drawn == {StageName.STRUCTURES: (1, 4), StageName.TUMOR: None, StageName.NODES: None}


def test_intensities_bands_and_attention_do_not_see_what_nobody_looked_at(make_patient: MakePatient) -> None:
    patient = make_patient("a")
    partial = replace(patient, unjudged=corner(patient, BITS[StageName.TUMOR] + BITS[StageName.NODES]))
    config = Config.model_validate({"cascade": {"fit_bands": True}})
    assert fit_learned({"a": partial}, ["a"], config) == fit_learned({"a": patient}, ["a"], config)
    maps = [p.attention(PAPER_BANDS, config.attention) for p in (partial, patient)]
    assert maps[0] is not None
    assert maps[1] is not None
    assert_array_equal(maps[0].array, maps[1].array)


def test_nothing_found_where_nobody_looked_is_held_against_a_threshold(
    make_patient: MakePatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = make_patient("a")
    assert patient.instances is not None
    stray = np.s_[0:3, 0:3, 0:3]
    marked = (patient.instances.array > 0).astype(np.float32)
    marked[stray] = 1
    found = patient.instances.with_array(marked)
    monkeypatch.setattr("lymphct.cascade.node_candidates.predict_node_probability", lambda *_: found)

    def precision(unjudged: Volume | None) -> float:
        looked_at = {"a": replace(patient, unjudged=unjudged)}
        material = Material(patients=looked_at, learned=LEARNED, config=Config())
        settings = NodeSegmentationSettings(
            unet=UNetSettings(features=(4, 4), strides=((1, 1, 1), (2, 2, 2)))
        )
        (one,) = node_candidates(build_node_network(settings), settings, material, ["a"], [(0.5, 1.0)])
        return one.scores.precision

    assert precision(None) == pytest.approx(2 / 3)
    assert precision(corner(patient, BITS[StageName.TUMOR], stray)) == pytest.approx(2 / 3)
    assert precision(corner(patient, BITS[StageName.NODES], stray)) == 1.0


def test_bands_are_measured_where_all_guiding_structures_were_drawn_everywhere(
    make_patient: MakePatient, caplog: pytest.LogCaptureFixture
) -> None:
    patient = make_patient("a")
    config = Config.model_validate({"cascade": {"fit_bands": True}})
    whole = fit_learned({"a": patient}, ["a"], config)
    assert whole.bands != PAPER_BANDS
    partly = replace(patient, labelled=(Structure.SPLEEN, Structure.AORTA))
    unseen = replace(patient, unjudged=corner(patient, BITS[StageName.STRUCTURES]))
    for other in (partly, unseen):
        assert fit_learned({"a": patient, "b": other}, ["a", "b"], config).bands == whole.bands
        caplog.clear()
        assert fit_learned({"b": other}, ["b"], config).bands == PAPER_BANDS
        assert "Tab. II stands" in caplog.text


def test_a_lymph_node_may_have_the_number_255(make_patient: MakePatient) -> None:
    patient = make_patient("a")
    assert patient.nodes is not None
    first, *others = patient.nodes.nodes
    array = np.where(patient.nodes.instances.array == first.label, 255, patient.nodes.instances.array)
    nodes = replace(
        patient.nodes,
        instances=patient.nodes.instances.with_array(array),
        nodes=(replace(first, label=255), *others),
    )
    renamed = replace(patient, nodes=nodes)
    material = Material(patients={"a": renamed}, learned=LEARNED, config=Config())
    (case,) = identification_cases(material, ["a"])
    assert case.labels == (255, *(node.label for node in others))
    (taught,) = segmentation_cases(material, ["a"], StageName.NODES)
    assert taught.foreground is not None
    assert len(taught.foreground()[1]) == np.count_nonzero(array)
