"""Where a node lies, as numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from lymphct.core.errors import UsageError
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.learning.channels import network_channels
from lymphct.nodes.crops import identification_case
from lymphct.nodes.features import FEATURES, feature_set_of
from lymphct.nodes.identification import fit_statistics
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.network import IdentificationNetwork
from lymphct.nodes.place_features import PLACE_FEATURES, place_features
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.settings import IdentificationHeadSettings, IdentificationSettings, NodeSamplingSettings

PLACED = feature_set_of(IdentificationHeadSettings(place_features=True))
NODE = Node(
    label=1,
    volume=100.0,
    center=(0.0, 0.0, 0.0),
    nearest_structure=Structure.AORTA,
    distance=4.5,
    tumor_distance=-2.0,
    hu_arterial=70.0,
    hu_venous=95.0,
)


def test_the_numbers_of_a_node_are_those_that_were_measured() -> None:
    (row,) = place_features([NODE])
    told = dict(zip(PLACE_FEATURES, row.tolist(), strict=True))
    assert (told["tumor_distance"], told["structure_distance"], told["arterial_to_venous"]) == (
        -2.0,
        4.5,
        25.0,
    )
    nearest = {name: value for name, value in told.items() if name.startswith("nearest_")}
    assert len(nearest) == 10
    assert [name for name, value in nearest.items() if value] == ["nearest_aorta"]


def test_what_is_not_there_is_missing() -> None:
    lonely = replace(NODE, nearest_structure=None, distance=None, tumor_distance=None, hu_arterial=None)
    assert np.isnan(place_features([lonely])).all()
    assert place_features([]).shape == (0, len(PLACE_FEATURES))


def test_a_node_that_was_not_measured_is_refused() -> None:
    with pytest.raises(UsageError, match="place of lymph node 1 was not measured"):
        place_features([replace(NODE, hu_venous=None)])


def test_they_stand_behind_the_features_of_the_node(
    image: Multiphase, nodes: NodeMap, ct: Multiphase, structures: Volume
) -> None:
    measured = measure_nodes(nodes, ct, structures)
    case = identification_case("p1", network_channels(image), measured, ct, feature_set=PLACED)
    plain = identification_case("p1", network_channels(image), nodes, ct)
    assert case.feature_set.columns == (*FEATURES, *PLACE_FEATURES)
    assert_array_equal(case.features[:, : len(FEATURES)], plain.features)
    assert_array_equal(case.features[:, len(FEATURES) :], place_features(measured.nodes))
    # Nobody drew a tumor: its distance is the mean of none, which a network sees as 0.
    statistics = fit_statistics([case]).value
    assert statistics.mean[len(FEATURES)] == 0.0
    assert_allclose(statistics.mean[-1], case.features[:, -1].mean())


def test_without_the_arterial_phase_there_is_no_enhancement(
    image: Multiphase, nodes: NodeMap, ct: Multiphase, structures: Volume
) -> None:
    sampling = NodeSamplingSettings(crop_size=(16, 12, 8), batch_size=2, phase_dropout=1.0)
    measured = measure_nodes(nodes, ct, structures)
    case = identification_case("p1", network_channels(image), measured, ct, feature_set=PLACED)
    features = NodeSampler([case], sampling, 2, seed=1).batch(0).features
    missing = [name for name, column in zip(PLACED.columns, features.T, strict=True) if column.isnan().all()]
    assert missing == [
        "arterial_mean", "arterial_sd", "arterial_minimum", "tumor_distance", "arterial_to_venous"
    ]  # fmt: skip


def test_the_network_standardises_as_many_numbers_as_it_is_given() -> None:
    head = IdentificationHeadSettings(place_features=True, feature_set="robust", logistic_start=True)
    network = IdentificationNetwork(2, IdentificationSettings().unet, head)
    count = len(feature_set_of(head).columns)
    assert network.feature_mean.shape == (count,)
    assert network.baseline is not None
    assert network.baseline.weight.shape == torch.Size([2, count])


def test_they_are_no_use_without_the_features_of_the_node() -> None:
    with pytest.raises(ValidationError, match="set node_features"):
        IdentificationHeadSettings(node_features=False, place_features=True)
