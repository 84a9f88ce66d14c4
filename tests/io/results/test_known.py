"""Files whose digests are remembered: hashed again as soon as they look different."""

import os
import time
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.results import known as module
from lymphct.io.results.fingerprints import digest_input
from lymphct.io.results.known import Known, damaged

HOUR = 3600.0


def old(path: Path, hours: float = 1.0) -> Path:
    """Let a file look as if it was written some time ago."""
    moment = time.time() - hours * HOUR
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "p1" / "images-v"
    place.mkdir(parents=True)
    (place / "a.chunks").write_bytes(b"abc")
    return place


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the inputs that are hashed."""
    seen: list[str] = []

    def counted(path: Path) -> str:
        seen.append(path.name)
        return digest_input(path)

    monkeypatch.setattr(module, "digest_input", counted)
    return seen


def looked(place: Path, *, trusts: bool = True, **files: Path) -> dict[str, str]:
    known = Known.beside(place, trusts=trusts)
    digests = known.digests(files)
    known.keep(place)
    return digests


def test_an_input_that_stands_is_hashed_once(place: Path, tmp_path: Path, hashed: list[str]) -> None:
    venous = tmp_path / "venous.nii"
    venous.write_bytes(b"image")
    old(venous)
    first = looked(place, venous=venous)
    assert first == {"venous": digest_input(venous)}
    assert looked(place, venous=venous) == first
    assert hashed == ["venous.nii"]
    assert looked(place, trusts=False, venous=venous) == first
    assert len(hashed) == 2


def test_a_file_replaced_by_one_of_the_same_size_is_hashed_again(
    place: Path, tmp_path: Path, hashed: list[str]
) -> None:
    venous = tmp_path / "venous.nii"
    venous.write_bytes(b"image")
    old(venous, 3)
    first = looked(place, venous=venous)
    venous.write_bytes(b"imagE")
    old(venous, 2)
    second = looked(place, venous=venous)
    assert first != second == {"venous": digest_input(venous)}
    # The same time of change, but another file.
    other = tmp_path / "other.nii"
    other.write_bytes(b"IMAGE")
    os.utime(other, ns=(0, venous.stat().st_mtime_ns))
    other.replace(venous)
    assert looked(place, venous=venous) == {"venous": digest_input(venous)} != second
    assert len(hashed) == 3


def test_a_file_that_was_just_written_is_not_trusted(place: Path, tmp_path: Path, hashed: list[str]) -> None:
    venous = tmp_path / "venous.nii"
    venous.write_bytes(b"image")
    looked(place, venous=venous)
    looked(place, venous=venous)
    assert len(hashed) == 2


def test_a_folder_is_hashed_again_when_one_of_its_files_changes(
    place: Path, tmp_path: Path, hashed: list[str]
) -> None:
    series = tmp_path / "dicom"
    series.mkdir()
    for n in range(3):
        (series / f"{n}.dcm").write_bytes(bytes([n]))
        old(series / f"{n}.dcm")
    first = looked(place, venous=series)
    assert looked(place, venous=series) == first
    assert len(hashed) == 1
    (series / "1.dcm").unlink()
    second = looked(place, venous=series)
    assert second != first
    (series / "0.dcm").write_bytes(b"\x09")
    old(series / "0.dcm", 2)
    assert looked(place, venous=series) not in (first, second)
    assert len(hashed) == 3


def test_another_series_of_the_same_folder_is_another_input(
    place: Path, tmp_path: Path, hashed: list[str]
) -> None:
    series = tmp_path / "dicom"
    series.mkdir()
    (series / "0.dcm").write_bytes(b"0")
    old(series / "0.dcm")
    first = looked(place, venous=Path(f"{series}#1"))
    assert looked(place, venous=Path(f"{series}#2")) != first
    assert len(hashed) == 2


def test_a_missing_input_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        looked(place, venous=tmp_path / "none.nii")


def test_a_result_is_vouched_for_until_one_of_its_files_looks_different(place: Path) -> None:
    assert not Known.beside(place).vouches(place)
    Known.beside(place).keep(place)
    assert Known.beside(place).vouches(place)
    assert not Known.beside(place, trusts=False).vouches(place)
    (place / "a.chunks").write_bytes(b"abd")
    os.utime(place / "a.chunks", ns=(0, 1))
    assert not Known.beside(place).vouches(place)


def test_damage_is_remembered_until_the_result_is_looked_at(place: Path) -> None:
    Known.beside(place).keep(place)
    error = damaged(place / "a.chunks", "p1")
    assert str(error).startswith("p1: a.chunks: an intermediate image is missing or damaged [E_DAMAGED]")
    assert not Known.beside(place).vouches(place)
    damaged(place / "a.chunks", "p1")  # a second time, too


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": 3}', '{"result": 1}'])
def test_a_damaged_index_costs_time_and_nothing_else(
    text: str, place: Path, tmp_path: Path, hashed: list[str]
) -> None:
    venous = tmp_path / "venous.nii"
    venous.write_bytes(b"image")
    old(venous)
    first = looked(place, venous=venous)
    (place.parent / "index-images-v.json").write_text(text)
    assert looked(place, venous=venous) == first
    assert Known.beside(place).vouches(place)
    assert len(hashed) == 2


def test_a_store_that_may_only_be_read_is_used_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    Known.beside(place).keep(place)
    assert not (place.parent / "index-images-v.json").exists()


def test_an_index_tells_nothing_of_paths_and_is_written_only_when_something_changed(
    place: Path, tmp_path: Path
) -> None:
    venous = tmp_path / "Jane_Doe.nii"
    venous.write_bytes(b"image")
    old(venous)
    looked(place, venous=venous)
    index = place.parent / "index-images-v.json"
    assert "Jane" not in index.read_text()
    before = index.stat().st_mtime_ns, index.stat().st_ino
    looked(place, venous=venous)
    assert (index.stat().st_mtime_ns, index.stat().st_ino) == before
    assert sorted(path.name for path in place.parent.iterdir()) == ["images-v", "index-images-v.json"]
