"""Several manifests are one cohort: no id and no CT stands in two of them."""

from pathlib import Path

import pytest

from lymphct.core.errors import InputError, LeakageError
from lymphct.io.manifest import write_manifest
from lymphct.io.manifests import read_manifests


def write(folder: Path, *rows: dict[str, object]) -> Path:
    folder.mkdir()
    path = folder / "cohort.csv"
    write_manifest(path, [{"venous": folder / "ct.nii.gz", **row} for row in rows])
    return path


def test_patients_of_both_keep_their_own_paths(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {"patient_id": "p1", "image_digest": "x"})
    other = write(tmp_path / "b", {"patient_id": "p2", "age": 50})
    merged = read_manifests([one, other])
    assert [p.venous.parent.name for p in merged.patients] == ["a", "b"]
    assert {"image_digest", "age"} <= set(merged.columns)


def test_an_id_in_two_manifests_is_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", {"patient_id": "p1"}), write(tmp_path / "b", {"patient_id": "P1"})
    with pytest.raises(InputError, match=r"'P1' stands in a/cohort.csv and b/cohort.csv"):
        read_manifests([one, other])


def test_the_same_ct_in_two_manifests_is_a_leak_unless_one_is_excluded(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {"patient_id": "p1", "image_digest": "x"})
    other = write(tmp_path / "b", {"patient_id": "p2", "image_digest": "x"})
    with pytest.raises(LeakageError, match="that of p1"):
        read_manifests([one, other])
    out = write(tmp_path / "c", {"patient_id": "p3", "image_digest": "x", "exclude_reason": "copy"})
    assert len(read_manifests([one, out]).patients) == 2
