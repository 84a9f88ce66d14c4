"""Who comes first on the worklist: those of whom the models are least sure."""

from pathlib import Path

import pytest

from lymphct.core.patient import Node
from lymphct.io.dicom_results.stored import StoredResult
from lymphct.io.table import read_table
from lymphct.patients.annotation.worklist import Doubt, doubt_of, ranked, threshold_entropy, write_worklist


def result(
    probability: float | None, nodes: list[float], *, missing: int = 0, searched: bool = True
) -> StoredResult:
    record = {
        "probability": probability,
        "threshold": 0.8,
        "structures_used": ["x"] * (10 - missing),
        "structures_missing": ["y"] * missing,
        "nodes_search": "searched" if searched else "not searched",
    }
    found = tuple(
        Node(label=n, volume=1.0, center=(0.0, 0.0, 0.0), probability=p) for n, p in enumerate(nodes, start=1)
    )
    return StoredResult(folder=Path("x"), record=record, nodes=found, inputs={})


def test_each_part_is_what_the_page_says() -> None:
    # Entropies of 0.5, 0.9, 0.99 by hand: 1, 0.46900, 0.08079; the fourth node does not count.
    doubt = doubt_of("a", result(0.8, [0.9, 0.99, 0.5, 1.0], missing=3))
    assert doubt.score == pytest.approx(1.0)
    assert doubt.nodes == pytest.approx((1 + 0.46900 + 0.08079) / 3, abs=1e-4)
    assert doubt.structures == pytest.approx(0.3)
    assert doubt.total == pytest.approx(doubt.score + doubt.nodes + doubt.structures)
    assert list(doubt.by_node) == [3, 1, 2, 4]


def test_the_score_is_least_sure_at_the_threshold_wherever_it_lies() -> None:
    assert threshold_entropy(0.2, 0.2) == pytest.approx(1.0)
    # Odds 4 at 0.8, 1 at 0.5: a quarter of the odds is a probability of 1/5, entropy 0.72193.
    assert threshold_entropy(0.5, 0.8) == pytest.approx(0.72193, abs=1e-5)
    assert 0 <= threshold_entropy(1.0, 0.2) < 0.001


def test_nothing_known_is_wholly_uncertain() -> None:
    withheld = doubt_of("a", result(None, [], missing=10, searched=False))
    assert (withheld.score, withheld.nodes, withheld.structures) == (1.0, 1.0, 1.0)
    assert doubt_of("a", result(0.1, [])).nodes == 0.0


def test_the_most_uncertain_comes_first_and_equals_by_id(tmp_path: Path) -> None:
    results = {"b": result(0.1, [0.4]), "a": result(0.1, [0.4]), "c": result(0.8, [0.5, 0.01])}
    order = ranked([doubt_of(name, told) for name, told in results.items()])
    assert [doubt.patient_id for doubt in order] == ["c", "a", "b"]
    assert all(isinstance(doubt, Doubt) for doubt in order)
    write_worklist(tmp_path, order, results)
    patients = [row.cells for row in read_table(tmp_path / "worklist.csv", ("rank", "patient_id"))]
    assert [row["patient_id"] for row in patients] == ["c", "a", "b"]
    assert patients[0]["most_uncertain_nodes"] == "1 2"
    nodes = [row.cells for row in read_table(tmp_path / "worklist_nodes.csv", ("rank", "patient_id", "node"))]
    assert [(row["patient_id"], row["node"]) for row in nodes] == [
        ("c", "1"),
        ("a", "1"),
        ("b", "1"),
        ("c", "2"),
    ]
