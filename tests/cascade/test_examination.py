"""Fig. 2 with networks that read their answers off the HU: what is given counts, the rest is found."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.mapping import guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade import examination
from lymphct.cascade.description import PartInfo
from lymphct.cascade.examination import (
    Findings,
    Given,
    Stopwatch,
    call_nodes,
    examine,
    find_nodes,
    find_structures,
    find_tumor,
)
from lymphct.cascade.models import Models
from lymphct.cascade.partial_examination import examine_until
from lymphct.cascade.prepared import PreparedPatient
from lymphct.core.errors import ModelError
from lymphct.core.patient import NodeMap
from lymphct.core.terms import NodeClass, Source, StageName, Structure
from lymphct.core.volume import Volume

MakePatient = Callable[..., PreparedPatient]
SETTINGS = AttentionSettings()
VOXEL = 1.9 * 2.1 * 2.9
"""mm³."""


@pytest.fixture
def patient(make_patient: MakePatient) -> PreparedPatient:
    return make_patient()


@pytest.fixture
def structures(patient: PreparedPatient) -> Volume:
    assert patient.structures is not None
    return patient.structures


@pytest.fixture
def tumor(patient: PreparedPatient) -> Volume:
    assert patient.tumor is not None
    return patient.tumor


@pytest.fixture
def nodes(patient: PreparedPatient) -> NodeMap:
    assert patient.nodes is not None
    return patient.nodes


def seen(patient: PreparedPatient, given: Given, models: Models) -> Findings:
    return examine(patient.ct, given, models, SETTINGS, Stopwatch())


def only(volume: Volume, *labels: Structure) -> Volume:
    return volume.with_array(np.where(np.isin(volume.array, labels), volume.array, 0).astype(np.uint8))


def test_networks_alone_find_structures_tumor_and_the_nodes_they_guide_to(
    patient: PreparedPatient, structures: Volume, tumor: Volume, nodes: NodeMap, answering: Models
) -> None:
    found = seen(patient, Given(), answering)
    assert_array_equal(found.structures.array, structures.array)
    assert_array_equal(found.tumor.array, tumor.array)
    expected = guiding_attention(structures, tumor, answering.bands, SETTINGS)
    assert_array_equal(found.attention.array, expected.array)
    assert found.used == (Structure.SPLEEN, Structure.AORTA, Structure.PANCREAS)
    assert found.searched
    # The third thing that looks like a node lies beyond the attention.
    assert_array_equal(found.nodes.instances.array > 0, nodes.instances.array > 0)
    assert [(node.label, node.node_class) for node in found.nodes.nodes] == [
        (1, NodeClass.POSITIVE), (2, NodeClass.NEGATIVE)
    ]  # fmt: skip
    assert [round(node.volume / VOXEL, 6) for node in found.nodes.nodes] == [27, 8]
    assert found.ct is patient.ct


def test_found_nodes_are_measured_in_hu_and_by_what_guides(
    patient: PreparedPatient, nodes: NodeMap, answering: Models
) -> None:
    large, small = seen(patient, Given(), answering).nodes.nodes
    assert (large.hu_arterial, large.hu_venous) == (200.0, 0.0)
    assert large.center == pytest.approx(nodes.nodes[0].center)
    assert large.short_axis == nodes.nodes[0].short_axis
    # The small one lies beside the tumor, which counts as pancreas: nearer than the pancreas alone.
    assert small.nearest_structure is Structure.PANCREAS
    alone = nodes.nodes[1].distance
    assert small.distance is not None
    assert alone is not None
    assert 5.0 < small.distance < alone - 1.0
    assert small.probability is not None
    assert small.probability < 0.5 < (large.probability or 0.0)


def test_the_attention_is_guided_by_the_bands_of_the_bundle_and_the_given_settings(
    patient: PreparedPatient, structures: Volume, tumor: Volume, answering: Models
) -> None:
    steep = AttentionSettings(border=0.5)
    found = examine(patient.ct, Given(), answering, steep, Stopwatch())
    expected = guiding_attention(structures, tumor, answering.bands, steep)
    assert_array_equal(found.attention.array, expected.array)
    assert np.any(expected.array != guiding_attention(structures, tumor, answering.bands).array)


def test_given_structures_are_used_alone(
    patient: PreparedPatient, structures: Volume, answering: Models
) -> None:
    pancreas = only(structures, Structure.PANCREAS)
    found = seen(patient, Given(structures=pancreas), replace(answering, structures=None))
    assert found.structures is pancreas
    assert found.used == (Structure.PANCREAS,)


def test_the_network_adds_the_structures_a_given_map_lacks_and_touches_no_drawn_voxel(
    patient: PreparedPatient, structures: Volume, answering: Models
) -> None:
    drawn = np.zeros_like(structures.array)
    drawn[8:12, 8:16, 5:9] = Structure.PANCREAS  # drawn otherwise than the network sees it
    drawn[12:14, 16:19, 0:4] = Structure.LIVER  # over a part of the aorta
    given = Given(structures=structures.with_array(drawn), fill_structures=True)
    filled = find_structures(patient.ct, given, answering).array
    assert_array_equal(filled[drawn > 0], drawn[drawn > 0])
    free = drawn == 0
    for added in (Structure.SPLEEN, Structure.AORTA):
        assert_array_equal(filled[free] == added, structures.array[free] == added)
    # Pancreas and liver were drawn: what the network sees of them elsewhere does not count.
    for kept in (Structure.PANCREAS, Structure.LIVER):
        assert not np.any(filled[free] == kept)
    assert filled.dtype == np.uint8


def test_without_a_given_map_filling_means_the_whole_of_the_networks_map(
    patient: PreparedPatient, structures: Volume, answering: Models
) -> None:
    found = find_structures(patient.ct, Given(fill_structures=True), answering)
    assert_array_equal(found.array, structures.array)


def test_a_structure_that_nobody_drew_for_the_network_is_background(
    patient: PreparedPatient, answering: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class and the background were one to the loss, so that either may win where nothing is."""
    labels = np.full(patient.ct.venous.geometry.shape, 9, np.uint8)
    labels[:4] = Structure.SPLEEN
    painted = patient.ct.venous.with_array(labels)
    monkeypatch.setattr(examination, "segment_structures", lambda *_: painted)
    assert find_structures(patient.ct, Given(), answering).array.max() == 9
    counts = {structure.label: 0 if structure == 9 else 3 for structure in Structure}
    part = PartInfo(architecture={}, patients={"train": ()}, extra={"drawn_in": counts})
    parts = {StageName.STRUCTURES: part}
    partial = replace(answering, info=answering.info.model_copy(update={"parts": parts}))
    found = find_structures(patient.ct, Given(), partial)
    assert set(np.unique(found.array)) == {0, Structure.SPLEEN}
    assert_array_equal(found.array == Structure.SPLEEN, painted.array == Structure.SPLEEN)


def test_a_tumor_is_looked_for_at_the_pancreas_only(
    patient: PreparedPatient, structures: Volume, tumor: Volume, answering: Models
) -> None:
    at_pancreas = find_tumor(patient.ct, structures, Given(), answering)
    assert_array_equal(at_pancreas.array, tumor.array)
    # Where the pancreas is not known, the larger of the two it is, far from it.
    anywhere = find_tumor(patient.ct, None, Given(), answering)
    assert np.count_nonzero(anywhere.array) == 150
    assert not np.any(anywhere.array[tumor.array > 0])
    other = find_tumor(patient.ct, only(structures, Structure.SPLEEN), Given(), answering)
    assert_array_equal(other.array, anywhere.array)


def test_a_given_tumor_is_taken_as_it_is_and_guides(
    patient: PreparedPatient, structures: Volume, answering: Models
) -> None:
    array = np.zeros_like(structures.array)
    array[20:24, 1:5, 1:4] = 1
    drawn = structures.with_array(array)
    found = seen(patient, Given(tumor=drawn), replace(answering, tumor=None))
    assert found.tumor is drawn
    expected = guiding_attention(structures, drawn, answering.bands, SETTINGS)
    assert_array_equal(found.attention.array, expected.array)
    # Its attention reaches what looks like a third node, and no longer the one beside the tumor.
    assert found.nodes.instances.array[23, 2, 1] > 0
    assert not found.nodes.instances.array[22:24, 9:11, 11].any()


def test_given_nodes_are_not_searched_for_and_keep_their_class(
    patient: PreparedPatient, nodes: NodeMap, answering: Models
) -> None:
    models = replace(answering, nodes=None, identification=None)
    found = seen(patient, Given(nodes=nodes), models)
    assert found.nodes.instances is nodes.instances
    assert [(node.label, node.node_class) for node in found.nodes.nodes] == [
        (3, NodeClass.POSITIVE), (7, NodeClass.NEGATIVE)
    ]  # fmt: skip
    assert [node.probability for node in found.nodes.nodes] == [None, None]
    assert found.searched


def test_a_drawn_class_is_said_to_be_drawn_however_far_the_patient_is_examined(
    patient: PreparedPatient, nodes: NodeMap, answering: Models
) -> None:
    first, second = nodes.nodes
    given = Given(nodes=replace(nodes, nodes=(first, replace(second, node_class=None))))
    masks = examine_until(patient.ct, given, answering, SETTINGS, Stopwatch(), last=StageName.NODES)
    whole = seen(patient, given, answering)
    assert [node.class_source for node in masks.nodes.nodes] == [Source.GIVEN, Source.NONE]
    assert [node.class_source for node in whole.nodes.nodes] == [Source.GIVEN, Source.NETWORK]


def test_given_nodes_without_a_class_are_called(
    patient: PreparedPatient, nodes: NodeMap, answering: Models
) -> None:
    unknown = replace(nodes, nodes=tuple(replace(node, node_class=None, volume=0.0) for node in nodes.nodes))
    found = seen(patient, Given(nodes=unknown), replace(answering, nodes=None))
    assert [(node.label, node.node_class) for node in found.nodes.nodes] == [
        (3, NodeClass.POSITIVE), (7, NodeClass.NEGATIVE)
    ]  # fmt: skip
    assert [round(node.volume / VOXEL, 6) for node in found.nodes.nodes] == [27, 8]


def test_without_a_guiding_structure_nodes_are_not_searched(
    patient: PreparedPatient, structures: Volume, answering: Models
) -> None:
    liver = only(structures, Structure.LIVER)
    blank = structures.with_array(np.zeros_like(structures.array))
    models = replace(answering, nodes=None, identification=None)  # needed by nobody
    found = seen(patient, Given(structures=liver, tumor=blank), models)
    assert found.used == ()
    assert not found.searched
    assert found.nodes.nodes == ()
    assert not found.nodes.instances.array.any()
    assert found.nodes.instances.geometry == structures.geometry
    assert not found.attention.array.any()


def test_a_tumor_alone_guides_as_pancreas(
    patient: PreparedPatient, structures: Volume, tumor: Volume, answering: Models
) -> None:
    found = seen(patient, Given(structures=only(structures, Structure.LIVER), tumor=tumor), answering)
    assert found.used == (Structure.PANCREAS,)
    assert found.searched
    assert found.nodes.nodes


def test_drawn_nodes_count_as_searched_for_where_nothing_guides(
    patient: PreparedPatient, structures: Volume, nodes: NodeMap, answering: Models
) -> None:
    liver = only(structures, Structure.LIVER)
    blank = structures.with_array(np.zeros_like(structures.array))
    found = seen(patient, Given(structures=liver, tumor=blank, nodes=nodes), answering)
    assert found.used == ()
    assert found.searched
    assert len(found.nodes.nodes) == 2
    assert [node.nearest_structure for node in found.nodes.nodes] == [None, None]


def test_a_network_that_is_needed_and_not_there_is_named_with_the_cure(
    patient: PreparedPatient, structures: Volume, nodes: NodeMap, answering: Models
) -> None:
    bare = replace(answering, structures=None, tumor=None, nodes=None, identification=None)
    partly = Given(structures=structures, fill_structures=True)
    unknown = replace(nodes, nodes=(replace(nodes.nodes[0], node_class=None), nodes.nodes[1]))
    refusals: list[tuple[str, str, Callable[[], object]]] = [
        ("structures", "give --structures", lambda: find_structures(patient.ct, Given(), bare)),
        ("structures", "give --structures", lambda: find_structures(patient.ct, partly, bare)),
        ("tumor", "give --tumor", lambda: find_tumor(patient.ct, structures, Given(), bare)),
        ("nodes", "give --nodes", lambda: find_nodes(patient.ct, structures, Given(), bare)),
        (
            "identification",
            "use a bundle with all stages",
            lambda: call_nodes(patient.ct, unknown, bare),
        ),
    ]
    for lacking, cure, ask in refusals:
        with pytest.raises(ModelError, match=f"the bundle has no {lacking} network") as caught:
            ask()
        assert (caught.value.code, caught.value.cure) == ("E_PART", cure)


def test_a_missing_arterial_phase_is_the_mean_to_every_network(
    make_patient: MakePatient, structures: Volume, answering: Models
) -> None:
    found = seen(make_patient(without=("arterial",)), Given(), answering)
    assert_array_equal(found.structures.array, structures.array)
    assert not found.tumor.array.any()  # its tumor and nodes shine in the arterial phase only
    assert found.nodes.nodes == ()
    assert found.ct.arterial is None


def test_every_stage_is_timed_and_times_of_one_name_add_up(
    patient: PreparedPatient, answering: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Stopwatch()
    examine(patient.ct, Given(), answering, SETTINGS, watch)
    assert list(watch.seconds) == ["structures", "tumor", "attention", "nodes", "identification"]
    ticks = iter([10.0, 11.5, 20.0, 22.25])
    monkeypatch.setattr("lymphct.cascade.examination.perf_counter", lambda: next(ticks))
    with watch.stage("status"):
        pass
    with watch.stage("status"):
        pass
    assert watch.seconds["status"] == 3.75
