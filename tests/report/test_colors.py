from itertools import combinations
from pathlib import Path

import numpy as np

from lymphct.core.patient import NodeMap
from lymphct.core.terms import Structure
from lymphct.report.colors import (
    CLASS_COLORS,
    STRUCTURE_COLORS,
    TUMOR_COLOR,
    UNCALLED_COLOR,
    instance_color,
    node_color,
    write_color_tables,
)

Row = tuple[str, tuple[int, ...]]


def parse(path: Path) -> dict[int, Row]:
    """Read a colour table as 3D Slicer does: number, name without blanks, red, green, blue, opacity."""
    rows = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            number, name, *color = line.split(" ")
            assert len(color) == 4
            rows[int(number)] = (name, tuple(int(part) for part in color))
    return rows


def test_every_structure_has_its_number_name_and_color(tmp_path: Path) -> None:
    write_color_tables(tmp_path)
    rows = parse(tmp_path / "structures.ctbl")
    assert rows.pop(0) == ("background", (0, 0, 0, 0))
    assert {number: name for number, (name, _) in rows.items()} == {int(s): s.label for s in Structure}
    assert rows[5][1] == (*STRUCTURE_COLORS[Structure.PANCREAS], 255)


def test_nodes_are_predicted_positive_and_negative(tmp_path: Path) -> None:
    write_color_tables(tmp_path)
    rows = parse(tmp_path / "nodes.ctbl")
    assert {number: row[0] for number, row in rows.items() if number} == {
        1: "predicted_positive",
        2: "predicted_negative",
    }
    assert parse(tmp_path / "tumor.ctbl")[1] == ("tumor", (*TUMOR_COLOR, 255))


def test_instances_are_listed_when_they_are_known(tmp_path: Path, nodes: NodeMap) -> None:
    assert [path.name for path in write_color_tables(tmp_path, nodes)] == [
        "structures.ctbl",
        "tumor.ctbl",
        "nodes.ctbl",
        "node_instances.ctbl",
    ]
    rows = parse(tmp_path / "node_instances.ctbl")
    assert [rows[label][0] for label in (1, 2, 3)] == [
        "node_1_predicted_negative",
        "node_2_predicted_positive",
        "node_3_predicted_positive",
    ]
    assert set(rows) == {0, 1, 2, 3}


def test_without_nodes_there_is_no_table_of_instances(tmp_path: Path) -> None:
    write_color_tables(tmp_path)
    assert not (tmp_path / "node_instances.ctbl").exists()


def test_colors_can_be_told_apart() -> None:
    colors = [*STRUCTURE_COLORS.values(), TUMOR_COLOR, *CLASS_COLORS.values(), UNCALLED_COLOR]
    apart = [np.linalg.norm(np.subtract(a, b)) for a, b in combinations(colors, 2)]
    assert min(apart) > 30
    neighbours = [np.linalg.norm(np.subtract(instance_color(n), instance_color(n + 1))) for n in range(1, 60)]
    assert min(neighbours) > 60
    assert len({instance_color(n) for n in range(1, 200)}) == 199


def test_a_node_without_a_class_has_its_own_color() -> None:
    assert node_color(None) not in CLASS_COLORS.values()
