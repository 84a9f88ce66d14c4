"""The lymph nodes of a patient by station: counts, highest probability, expected number."""

from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.core.patient import IMPLAUSIBLE, Multiphase, Node, NodeMap, Prediction, SearchState
from lymphct.core.terms import NodeClass
from lymphct.report.context import ReportContext
from lymphct.report.page import patient_page
from lymphct.report.stations import StationCount, count_by_station, station_records
from lymphct.report.tables import write_nodes

POSITIVE, NEGATIVE = NodeClass.POSITIVE, NodeClass.NEGATIVE


def node(station: str, node_class: NodeClass | None, probability: float | None, *flags: str) -> Node:
    return Node(
        label=1,
        volume=50.0,
        center=(0.0, 0.0, 0.0),
        node_class=node_class,
        probability=probability,
        station=station,
        flags=flags,
    )


def with_nodes(prediction: Prediction, *nodes: Node) -> Prediction:
    numbered = tuple(replace(n, label=row) for row, n in enumerate(nodes, start=1))
    return replace(prediction, nodes=NodeMap(instances=prediction.nodes.instances, nodes=numbered))


def test_the_nodes_of_a_station_are_counted_together() -> None:
    nodes = [node("13", POSITIVE, 0.75), node("8a", NEGATIVE, 0.25), node("13", NEGATIVE, 0.5)]
    assert count_by_station(nodes) == (
        StationCount(
            station="8a", nodes=1, nodes_positive=0, highest_probability=0.25, expected_positive=0.25
        ),
        StationCount(
            station="13", nodes=2, nodes_positive=1, highest_probability=0.75, expected_positive=1.25
        ),
    )


def test_a_node_that_cannot_be_one_is_counted_at_no_station() -> None:
    assert count_by_station([node("13", POSITIVE, 0.9, IMPLAUSIBLE)]) == ()


def test_before_identification_nothing_is_said_of_positive_nodes() -> None:
    count = count_by_station([node("13", None, None), node("13", None, None)])[0]
    assert (count.nodes, count.nodes_positive) == (2, None)
    assert (count.highest_probability, count.expected_positive) == (None, None)


def test_a_drawn_class_counts_without_a_probability() -> None:
    count = count_by_station([node("13", POSITIVE, None)])[0]
    assert (count.nodes_positive, count.expected_positive) == (1, None)


def test_nodes_without_a_station_stand_last_under_null(prediction: Prediction) -> None:
    records = station_records(with_nodes(prediction, node("", POSITIVE, 0.5), node("7", NEGATIVE, 0.125)))
    assert records == [
        {
            "station": "7",
            "nodes": 1,
            "nodes_positive": 0,
            "highest_probability": 0.125,
            "expected_positive": 0.125,
        },
        {
            "station": None,
            "nodes": 1,
            "nodes_positive": 1,
            "highest_probability": 0.5,
            "expected_positive": 0.5,
        },
    ]


def test_sixty_nodes_are_sixty_over_all_stations() -> None:
    stations = ["1", "2", "8a", "8p", "12", ""]
    nodes = [node(stations[row % 6], POSITIVE if row % 4 == 0 else NEGATIVE, row / 64) for row in range(60)]
    counts = count_by_station(nodes)
    assert [count.station for count in counts] == stations
    assert [count.nodes for count in counts] == [10] * 6
    assert sum(count.nodes_positive or 0 for count in counts) == 15
    assert sum(count.expected_positive or 0.0 for count in counts) == pytest.approx(sum(range(60)) / 64)


def test_no_nodes_are_no_stations_and_unsearched_ones_are_null(prediction: Prediction) -> None:
    assert station_records(with_nodes(prediction)) == []
    assert station_records(replace(with_nodes(prediction), search=SearchState.NOT_SEARCHED)) is None


def test_the_page_shows_each_station_and_how_probable_the_guess_is(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    first, *others = prediction.nodes.nodes
    guessed = replace(first, station="13", station_shares=(("17", 0.5), ("13", 0.375), ("12", 0.125)))
    nodes = replace(prediction.nodes, nodes=(guessed, *others))
    page = patient_page(replace(prediction, nodes=nodes), ct, context)
    assert "<dd>13 (0.38)</dd>" in page
    cells = "".join(f'<td class="n">{cell}</td>' for cell in ("2", "1", "0.71", "0.91"))
    assert f"<tr><td>13</td>{cells}" in page
    assert '<tr><td>not known</td><td class="n">1</td><td class="n">1</td>' in page


def test_a_page_without_nodes_has_no_table_of_stations(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    assert "By station" not in patient_page(with_nodes(prediction), ct, context)


def test_the_list_of_nodes_says_how_probable_each_station_is(tmp_path: Path, prediction: Prediction) -> None:
    guessed = replace(
        prediction.nodes.nodes[0],
        station="13",
        station_shares=(("17", 0.5), ("13", 0.375), ("12", 0.121), ("8", 0.004)),
    )
    text = write_nodes(tmp_path, with_nodes(prediction, guessed)).read_text()
    assert ",0.38,17=0.50 13=0.38 12=0.12," in text.splitlines()[1]
