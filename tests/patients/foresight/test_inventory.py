"""What a cohort has is counted from the manifest and the JSON beside node masks."""

from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.images import node_masks
from lymphct.io.images.reading import read_volume, write_volume
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.patients.foresight.inventory import node_classes, status_counts, taken_inventory


def test_everything_of_a_cohort_is_counted(cohort: Manifest) -> None:
    first, second, third, *others = cohort.patients
    records = [
        replace(first, cells={"exclude_reason": "motion"}),
        replace(second, cells={"split": "Test"}, center="east", arterial=None),
        replace(third, tumor=None, n_status=None),
        *others,
    ]
    found = taken_inventory(records)
    assert (found.patients, found.excluded, found.held_out) == (11, 1, 1)
    assert sum(found.n_status.values()) == 11
    assert found.n_status["unknown"] == 1
    assert found.phases == {"venous": 11, "arterial": 10}
    assert found.masks == {"structures": 11, "tumor": 10, "nodes": 11}
    assert found.centers == {"discovery": 10, "east": 1}
    assert found.uncounted == 0


def test_nodes_are_counted_from_the_json_without_reading_a_mask(
    cohort: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = [node_masks.read_nodes(r.nodes).nodes for r in cohort.patients if r.nodes is not None]
    drawn = [node.node_class.label for nodes in maps for node in nodes if node.node_class is not None]

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a node mask was read")

    monkeypatch.setattr(node_masks, "read_whole_numbers", refuse)
    found = taken_inventory(cohort.patients)
    assert found.nodes["positive"] == drawn.count("positive")
    assert found.nodes["negative"] == drawn.count("negative")
    assert sum(found.nodes.values()) == len(drawn) > 0


@pytest.fixture
def class_map(cohort: Manifest, tmp_path: Path) -> PatientRecord:
    """A patient whose node mask is a class map of positive nodes, without a JSON file."""
    record = cohort.patients[0]
    assert record.nodes is not None
    drawn = read_volume(record.nodes)
    write_volume(tmp_path / "nodes.nii.gz", drawn.with_array((drawn.array > 0).astype("uint8")))
    return replace(record, nodes=tmp_path / "nodes.nii.gz")


def test_a_class_map_is_counted_only_where_it_may_be_read(class_map: PatientRecord) -> None:
    assert node_classes(class_map) is None
    assert taken_inventory([class_map]).uncounted == 1
    counted = node_classes(class_map, count_maps=True)
    assert counted is not None
    assert set(counted) == {"positive"}
    assert taken_inventory([class_map], count_maps=True).nodes["positive"] == counted["positive"]


def test_a_patient_without_a_mask_or_with_a_damaged_one_has_no_nodes(
    class_map: PatientRecord, tmp_path: Path
) -> None:
    assert node_classes(replace(class_map, nodes=None)) == {}
    (tmp_path / "nodes.json").write_text("{")
    assert node_classes(class_map) == {}
    with pytest.raises(InputError, match="JSON"):
        node_masks.sidecar_classes(tmp_path / "nodes.nii.gz")


def test_patients_are_told_apart_by_their_status(cohort: Manifest) -> None:
    assert status_counts([]) == {"positive": 0, "negative": 0, "unknown": 0}
    assert status_counts(cohort.patients)["unknown"] == 0
