"""What a reader saved comes back voxel for voxel, with a log of what changed, or is refused in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.patients.annotation.conftest import Loop
from tests.segmentation_files import named, slicer_file

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import EnvironmentProblemError, InputError, OutputInUseError, UsageError
from lymphct.core.terms import NodeClass
from lymphct.io.images.reading import read_mask, read_nodes, read_volume
from lymphct.io.manifest import read_manifest
from lymphct.io.manifest_check import manifest_problems
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import append_json_line
from lymphct.patients.annotation.corrected_cohort import TakenBack, take_back
from lymphct.patients.annotation.taking_back import TakeBack


def handed_out(loop: Loop, name: str) -> AnyArray:
    return read_volume(loop.results / name / "seg" / "node_instances.nii.gz").array.copy()


def save(loop: Loop, name: str, array: AnyArray, segments: list[dict[str, Any]], **options: Any) -> Path:
    place = loop.readers / name / "nodes.seg.nrrd"
    return slicer_file(place, [array], loop.ct.geometry, segments, **options)


def back(loop: Loop, reader: str = "AB", reviewed: frozenset[str] = frozenset()) -> TakenBack:
    request = TakeBack(source=loop.readers, out=loop.corrected, reader=reader, reviewed=reviewed)
    return take_back(loop.cohort, request)


def log(loop: Loop) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (loop.corrected / "annotations.jsonl").read_text().splitlines()]


def as_exported() -> list[dict[str, Any]]:
    """Return the segments of `p0` as handed out: nodes 2, 6 positive, 4, 8 negative."""
    return [
        named("node_8", "node 8 negative 16", 8),
        named("node_6", "node 6 positive 16", 6),
        named("node_4", "node 4 negative 16", 4),
        named("node_2", "node 2 positive 16", 2),
    ]


def corrected(loop: Loop) -> AnyArray:
    """Save a correction of `p0`: 2 grows, 4 is renamed, 6 goes, one is new; and return it."""
    array = handed_out(loop, "p0")
    place = np.argwhere(array == 2)[0]
    array[place[0], place[1], (place[2] + 8) % 24] = 2
    array[array == 6] = 0
    free = np.zeros_like(array)
    free[22:25, 18:21, 10:12] = 1
    array[(free == 1) & (array == 0)] = 9
    segments = as_exported()
    segments[2]["Name"] = "node 4 positive 8a"
    del segments[1]
    segments.append(named("Segment_1", "negative 14p", 9))
    save(loop, "p0", array, segments, order=(2, 0, 1), flips=(True, False, True))
    array[array == 9] = 9
    return array


def test_the_masks_are_the_readers_voxel_for_voxel_with_class_and_station(loop: Loop) -> None:
    array = corrected(loop)
    taken = back(loop)
    manifest = read_manifest(taken.manifest)
    assert manifest_problems(manifest) == []
    first = manifest.patients[0]
    assert first.nodes == loop.corrected / "p0" / "nodes.nii.gz"
    nodes = read_nodes(first.nodes, loop.ct.geometry)
    assert_array_equal(nodes.instances.array, array)
    told = {node.label: (node.node_class, node.station) for node in nodes.nodes}
    assert told == {
        2: (NodeClass.POSITIVE, "16"),
        4: (NodeClass.POSITIVE, "8a"),
        8: (NodeClass.NEGATIVE, "16"),
        9: (NodeClass.NEGATIVE, "14p"),
    }
    assert first.cells["annotated"] == "nodes"
    assert [record.cells["annotated"] for record in manifest.patients[1:]] == ["", ""]
    assert manifest.patients[1].nodes is None


def test_the_log_says_who_changed_what_and_when(loop: Loop) -> None:
    before = handed_out(loop, "p0")
    array = corrected(loop)
    back(loop)
    lines = log(loop)
    kinds = [(line["node"], line["change"]) for line in lines]
    assert kinds == [(2, "shape"), (4, "class"), (4, "station"), (6, "removed"), (9, "added")]
    assert (lines[0]["voxels_added"], lines[0]["voxels_removed"]) == (1, 0)
    assert (lines[1]["from"], lines[1]["to"]) == ("negative", "positive")
    assert (lines[2]["from"], lines[2]["to"]) == ("16", "8a")
    assert lines[3]["voxels_removed"] == int((before == 6).sum())
    assert (lines[4]["class"], lines[4]["voxels_added"]) == ("negative", int((array == 9).sum()))
    for line in lines:
        assert (line["reader"], line["patient_id"], line["mask"]) == ("AB", "p0", "nodes")
        assert line["time"].startswith("20")
        assert line["sha256"] == digest_file(loop.corrected / "p0" / "nodes.nii.gz")
        assert line["sha256_before"] == digest_file(loop.readers / "p0" / "exported" / "nodes.seg.nrrd")


def test_the_same_corrections_a_second_time_add_nothing(loop: Loop) -> None:
    corrected(loop)
    back(loop)
    before = {path: path.read_bytes() for path in loop.corrected.rglob("*") if path.is_file()}
    again = back(loop, reader="CD")
    assert again.logged == {}
    assert {path: path.read_bytes() for path in loop.corrected.rglob("*") if path.is_file()} == before


def test_a_second_reader_is_compared_with_the_first(loop: Loop) -> None:
    array = corrected(loop)
    back(loop)
    first = digest_file(loop.corrected / "p0" / "nodes.nii.gz")
    segments = [*as_exported()[2:], named("Segment_1", "node 9 positive 14p", 9)]
    segments[0]["Name"] = "node 4 positive 8a"
    array[array == 8] = 0
    save(loop, "p0", array, segments)
    back(loop, reader="CD")
    added = log(loop)[5:]
    assert [(line["reader"], line["node"], line["change"]) for line in added] == [
        ("CD", 8, "removed"),
        ("CD", 9, "class"),
    ]
    assert {line["sha256_before"] for line in added} == {first}


def test_a_change_made_twice_stands_in_the_log_twice(loop: Loop) -> None:
    array = handed_out(loop, "p0")
    for name in ("node 4 positive 16", "node 4 negative 16", "node 4 positive 16", "node 4 negative 16"):
        segments = as_exported()
        segments[2]["Name"] = name
        save(loop, "p0", array, segments)
        back(loop)
    assert [line["to"] for line in log(loop)] == ["positive", "negative", "positive", "negative"]


def test_who_saves_without_a_change_or_is_named_confirms(loop: Loop) -> None:
    save(loop, "p0", handed_out(loop, "p0"), as_exported())
    taken = back(loop, reviewed=frozenset({"p1"}))
    assert set(taken.outcome.results) == {"p0", "p1"}
    assert [(line["patient_id"], line["change"]) for line in log(loop)] == [
        ("p0", "confirmed"),
        ("p1", "confirmed"),
    ]
    nodes = read_nodes(loop.corrected / "p1" / "nodes.nii.gz", loop.ct.geometry)
    assert_array_equal(nodes.instances.array, handed_out(loop, "p1"))


def test_nothing_saved_is_told(loop: Loop) -> None:
    with pytest.raises(InputError, match=r"nothing was corrected in readers .*--reviewed"):
        back(loop)
    assert not loop.corrected.exists()


def test_nodes_drawn_where_none_were_found_and_all_taken_out(loop: Loop) -> None:
    array = np.zeros(loop.ct.geometry.shape, dtype=np.uint8)
    array[20:24, 18:22, 8:11] = 1
    save(loop, "p2", array, [named("Segment_1", "positive", 1)])
    nothing = [named("node_8", "node 8 negative 16", 8)]
    (loop.readers / "p0" / "nodes.seg.nrrd").unlink()
    save(loop, "p0", np.zeros_like(array), nothing, margin=None)
    back(loop)
    assert [node.label for node in read_nodes(loop.corrected / "p2" / "nodes.nii.gz").nodes] == [1]
    assert read_nodes(loop.corrected / "p0" / "nodes.nii.gz").nodes == ()
    assert [line["change"] for line in log(loop)] == ["removed"] * 4 + ["added"]


def test_layers_that_do_not_overlap_are_fine_and_doubtful_nodes_are_told(loop: Loop) -> None:
    array = handed_out(loop, "p0")
    other = np.zeros_like(array)
    other[24, 20, 12] = 1  # one voxel of 90 mm³; another far away
    other[24, 20, 2] = 1
    other[0, 0, 20] = 2  # in air
    segments = [
        *as_exported(),
        named("Segment_1", "positive", 1, 1, "Segmentation.Status:flagged|"),
        named("Segment_2", "negative", 2, 1),
        named("Segment_3", "Segment_3", 3, 1),
    ]
    array[other > 0] = 0
    slicer_file(loop.readers / "p0" / "nodes.seg.nrrd", [array, other], loop.ct.geometry, segments)
    notices = " | ".join(back(loop).outcome.results["p0"]["notices"])
    assert "node 9 has 2 parts that do not touch" in notices
    assert "node 9 is flagged by its reader" in notices
    assert "node 10 lies outside the body" in notices
    assert "the segment 'Segment_3' is empty" in notices


def rename(segments: list[dict[str, Any]], place: int, name: str) -> list[dict[str, Any]]:
    segments[place]["Name"] = name
    return segments


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda s: rename(s, 0, "node 8 odd"),
            r"holds 'odd', which is no class and no station \[E_SEGMENT\]",
        ),
        (lambda s: rename(s, 0, "node 8"), "does not say positive or negative"),
        (lambda s: rename(s, 0, "node 2 positive"), "was node 8 when it was exported"),
    ],
)
def test_what_cannot_be_understood_fails_one_patient_with_its_cure(
    loop: Loop, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], message: str
) -> None:
    save(loop, "p0", handed_out(loop, "p0"), edit(as_exported()))
    taken = back(loop, reviewed=frozenset({"p1"}))
    assert set(taken.outcome.results) == {"p1"}
    with pytest.raises(InputError, match=message):
        raise taken.outcome.failures["p0"]
    assert taken.outcome.failures["p0"].file == "nodes.seg.nrrd"
    assert read_manifest(taken.manifest).patients[0].nodes is None
    assert "p0" in (loop.corrected / "failures.jsonl").read_text()


def test_nodes_that_share_voxels_are_refused_and_what_was_taken_back_stays(loop: Loop) -> None:
    corrected(loop)
    back(loop)
    array = handed_out(loop, "p0")
    other = np.where(array == 2, 1, 0)
    segments = [*as_exported(), named("Segment_1", "positive", 1, 1)]
    slicer_file(loop.readers / "p0" / "nodes.seg.nrrd", [array, other], loop.ct.geometry, segments)
    before = (loop.corrected / "p0" / "nodes.nii.gz").read_bytes()
    taken = back(loop)
    shared = int((array == 2).sum())
    assert f"node 2 and node 9 share {shared} voxels" in str(taken.outcome.failures["p0"])
    assert "Overwrite all" in str(taken.outcome.failures["p0"])
    assert (loop.corrected / "p0" / "nodes.nii.gz").read_bytes() == before
    assert read_manifest(taken.manifest).patients[0].nodes is not None


def test_a_file_under_another_name_is_not_passed_over(loop: Loop) -> None:
    shutil.copy(loop.readers / "p0" / "nodes.seg.nrrd", loop.readers / "p0" / "nodes_1.seg.nrrd")
    taken = back(loop)
    assert "nodes_1.seg.nrrd is no name that was handed out" in str(taken.outcome.failures["p0"])


def test_a_tumor_is_corrected_and_taken_away(loop: Loop) -> None:
    mask = read_volume(loop.results / "p0" / "seg" / "tumor.nii.gz").array.copy()
    place = np.argwhere(mask)[0]
    mask[tuple(place)] = 0
    path = loop.readers / "p0" / "tumor.seg.nrrd"
    slicer_file(path, [mask], loop.ct.geometry, [named("tumor", "tumor", 1)])
    back(loop)
    assert_array_equal(read_mask(loop.corrected / "p0" / "tumor.nii.gz").array, mask)
    assert [(line["mask"], line["change"], line["voxels_removed"]) for line in log(loop)] == [
        ("tumor", "shape", 1)
    ]
    slicer_file(path, [0 * mask], loop.ct.geometry, [named("tumor", "tumor", 1)], margin=None)
    taken = back(loop)
    assert read_manifest(taken.manifest).patients[0].tumor is None
    assert log(loop)[1]["change"] == "removed"
    assert taken.outcome.results["p0"]["notices"] == ["no tumor is drawn: the column stays blank"]


def test_a_mask_of_an_earlier_round_stays_beside_a_new_one(loop: Loop) -> None:
    corrected(loop)
    back(loop)
    nodes = (loop.corrected / "p0" / "nodes.nii.gz").read_bytes()
    exported = loop.readers / "p0" / "exported" / "nodes.seg.nrrd"
    shutil.copy(exported, loop.readers / "p0" / "nodes.seg.nrrd")  # a fresh export of the same result
    mask = read_volume(loop.results / "p0" / "seg" / "tumor.nii.gz").array
    path = loop.readers / "p0" / "tumor.seg.nrrd"
    slicer_file(path, [mask], loop.ct.geometry, [named("tumor", "tumor", 1)])
    taken = back(loop)
    assert (loop.corrected / "p0" / "nodes.nii.gz").read_bytes() == nodes
    assert read_manifest(taken.manifest).patients[0].cells["annotated"] == "nodes;tumor"
    assert log(loop)[-1]["change"] == "confirmed"


def test_a_run_killed_before_its_log_leaves_it_to_the_next(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected(loop)
    written: list[dict[str, Any]] = []

    def full(path: Path, line: dict[str, Any]) -> None:
        if len(written) == 2:
            msg = "no space left on the disk"
            raise EnvironmentProblemError(msg)
        written.append(line)
        append_json_line(path, line)

    monkeypatch.setattr("lymphct.patients.annotation.corrected_cohort.append_json_line", full)
    with pytest.raises(EnvironmentProblemError):
        back(loop)
    monkeypatch.undo()
    back(loop, reader="CD")
    assert [(line["reader"], line["part"]) for line in log(loop)] == [("AB", part) for part in range(1, 6)]


def test_no_manifest_is_written_over(loop: Loop) -> None:
    corrected(loop)
    request = TakeBack(source=loop.readers, out=loop.cohort.path.parent, reader="AB")
    with pytest.raises(OutputInUseError, match="holds the manifest itself"):
        take_back(loop.cohort, request)
    loop.corrected.mkdir()
    (loop.corrected / "cohort.csv").write_text("mine")
    with pytest.raises(OutputInUseError, match="holds another manifest"):
        back(loop)
    assert (loop.corrected / "cohort.csv").read_text() == "mine"


def test_a_reader_without_a_name_and_an_unknown_patient_are_refused(loop: Loop) -> None:
    with pytest.raises(UsageError, match="is no name for the log"):
        back(loop, reader="A B\n")
    with pytest.raises(UsageError, match="'p9', who is not in the manifest"):
        back(loop, reviewed=frozenset({"p9"}))
    with pytest.raises(InputError, match="no such folder"):
        take_back(loop.cohort, TakeBack(source=loop.readers / "x", out=loop.corrected, reader="AB"))


def test_what_the_manifest_knew_stays(loop: Loop) -> None:
    corrected(loop)
    patients = tuple(
        replace(record, cells={**record.cells, "hospital": "north"}) for record in loop.cohort.patients
    )
    request = TakeBack(source=loop.readers, out=loop.corrected, reader="AB")
    taken = take_back(replace(loop.cohort, patients=patients), request)
    rows = read_manifest(taken.manifest).patients
    assert [row.cells["hospital"] for row in rows] == ["north"] * 3
    assert [row.n_status for row in rows] == [0, 1, 0]
    assert all(row.venous.is_absolute() and row.venous.is_file() for row in rows)
