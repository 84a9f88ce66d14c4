"""Which series of a folder or an archive is read; archives are unpacked within limits and by no name."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.io.images.dicom.reading import read_dicom, series_geometry
from lymphct.io.images.limits import DicomLimits
from lymphct.io.images.reading import read_volume
from lymphct.io.images.sources import holds_series, is_there, same_source, source_of
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import manifest_problems
from lymphct.io.results.fingerprints import digest_input

Maker = Callable[..., Path]


@pytest.fixture
def small() -> AnyArray:
    return np.random.default_rng(0).integers(-1024, 1000, (6, 5, 4)).astype(np.int16)


@pytest.fixture
def two(make_series: Maker, small: AnyArray) -> Path:
    """A folder with an arterial series (number 7) and a venous one (number 3), of one study."""
    uid = generate_uid()

    def edit(number: int, description: str) -> Callable[[Dataset, int], None]:
        def change(dataset: Dataset, _: int) -> None:
            dataset.SeriesNumber, dataset.SeriesDescription = number, description
            dataset.FrameOfReferenceUID = uid

        return change

    folder = make_series(small, name="study", edit=edit(7, "ABD ARTERIAL 1.0"))
    later = make_series(small + 1, name="later", edit=edit(3, "Portal venous, " + "x" * 40 + "\x1b[31m"))
    for path in later.iterdir():
        path.rename(folder / f"v{path.name}")
    later.rmdir()
    return folder


def test_several_series_are_listed_and_one_is_chosen_by_its_number(two: Path, small: AnyArray) -> None:
    with pytest.raises(
        InputError, match=r"^study: the folder holds 2 CT series: #1 'Portal venous, xxxxxxxxx'… \(venous\?, "
        r"4 slices\), #2 'ABD ARTERIAL 1\.0' \(arterial\?, 4 slices\) \(mixed\) \[E_SERIES\] - choose one",
    ):  # fmt: skip
        read_dicom(two)
    assert_array_equal(read_volume(two.with_name("study#1")).array, small + 1)
    assert_array_equal(read_volume(two.with_name("study#2")).array, small)
    assert series_geometry(two.with_name("study#2")).shape == small.shape


def test_a_series_is_chosen_by_its_uid(two: Path, small: AnyArray) -> None:
    uid = dcmread(two / "vIM0000").SeriesInstanceUID
    assert_array_equal(read_dicom(two.with_name(f"study#{uid}")).volume.array, small + 1)


@pytest.mark.parametrize("wanted", ["3", "0", "1.2.3", "x", "99999"])
def test_a_series_that_is_not_there_is_refused_with_the_list(two: Path, wanted: str) -> None:
    with pytest.raises(InputError, match=r"no such series; the folder holds 2 CT series: #1 'Portal"):
        read_dicom(two.with_name(f"study#{wanted}"))


def test_the_only_series_may_be_chosen_too(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    assert_array_equal(read_volume(folder.with_name("series#1")).array, small)


def test_many_series_are_cut_off_in_the_list(make_series: Maker, small: AnyArray) -> None:
    def edit(dataset: Dataset, _: int) -> None:
        dataset.SeriesInstanceUID = generate_uid()

    with pytest.raises(InputError, match=r"12 CT series: #1 no name \(1 slices\), .*#8 no name .*, … "):
        read_dicom(make_series(np.concatenate([small] * 3, axis=2), edit=edit))


def test_a_name_that_holds_the_mark_is_what_it_is(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small, name="study#2")
    assert source_of(folder) == (folder, "")
    assert_array_equal(read_volume(folder).array, small)
    assert source_of(folder.with_name("study#2#1")) == (folder, "1")


def test_paths_without_a_choice_are_left_alone(tmp_path: Path) -> None:
    for name in ("a", "#1", "a#"):
        assert source_of(tmp_path / name) == (tmp_path / name, "")
    assert source_of(Path("x" * 5000 + "#1")) == (Path("x" * 5000), "1")


def test_two_series_of_a_folder_are_two_sources(two: Path) -> None:
    one, other = two.with_name("study#1"), two.with_name("study#2")
    assert is_there(one)
    assert holds_series(one)
    assert not is_there(two.with_name("nobody#1"))
    assert same_source(one, two.with_name("study#1"))
    assert not same_source(one, other)
    assert len({digest_input(path) for path in (one, other, two)}) == 3


def test_both_phases_may_lie_in_one_folder(two: Path) -> None:
    one, other = two.with_name("study#1"), two.with_name("study#2")
    cells = {"venous": str(one)}
    record = PatientRecord(patient_id="p1", venous=one, arterial=other, cells=cells)
    assert manifest_problems(Manifest(path=Path("m"), columns=(), patients=(record,))) == []
    same = PatientRecord(patient_id="p1", venous=one, arterial=one, cells=cells)
    (problem,) = manifest_problems(Manifest(path=Path("m"), columns=(), patients=(same,)))
    assert problem.error.code == "E_SAME_FILE"
    absent = PatientRecord(patient_id="p1", venous=two.with_name("nobody#1"), cells=cells)
    (problem,) = manifest_problems(Manifest(path=Path("m"), columns=(), patients=(absent,)))
    assert problem.error.code == "E_MISSING"


def zipped(folder: Path, *, packing: int = zipfile.ZIP_DEFLATED, prefix: str = "study/") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", packing) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return path


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zipped_series_is_the_series(make_series: Maker, small: AnyArray, packing: int) -> None:
    folder = make_series(small)
    image, plain = read_dicom(zipped(folder, packing=packing)), read_dicom(folder)
    assert_array_equal(image.volume.array, plain.volume.array)
    assert image.digest == plain.digest
    assert read_volume(folder.with_suffix(".zip")).geometry == plain.volume.geometry
    assert series_geometry(folder.with_suffix(".zip")) == plain.volume.geometry


def test_of_a_zipped_study_a_series_is_chosen(two: Path, small: AnyArray) -> None:
    path = zipped(two)
    with pytest.raises(InputError, match=r"^study\.zip: the folder holds 2 CT series"):
        read_dicom(path)
    assert_array_equal(read_volume(path.with_name("study.zip#2")).array, small)


def test_no_name_in_an_archive_is_ever_used(make_series: Maker, small: AnyArray, tmp_path: Path) -> None:
    folder = make_series(small)
    inside = tmp_path / "deep" / "deeper"
    inside.mkdir(parents=True)
    path = inside / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for prefix, file in zip(("../", "../../", "/tmp/", "C:\\"), sorted(folder.iterdir()), strict=True):  # noqa: S108
            archive.writestr(f"{prefix}badcase_escape_{file.name}", file.read_bytes())
        archive.writestr("__MACOSX/._x", b"x")
        archive.writestr("study/DICOMDIR", b"../../etc/passwd")
    image = read_dicom(path)
    assert_array_equal(image.volume.array, small)
    assert image.notices == ()
    assert not list(tmp_path.rglob("badcase*"))


def test_nothing_of_an_archive_stays(
    make_series: Maker, small: AnyArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    read_dicom(zipped(make_series(small)))
    assert list(place.iterdir()) == []


def damaged(path: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def flip_payload(content: bytearray) -> None:
    content[len(content) // 4] ^= 0xFF


def set_encrypted(content: bytearray) -> None:
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1


def set_packing(content: bytearray) -> None:
    place = content.index(b"PK\x01\x02")
    content[place + 10 : place + 12] = (14).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (flip_payload, "cannot be unpacked"),
        (lambda content: content.__delitem__(slice(len(content) // 2, None)), "no readable zip archive"),
        (set_encrypted, "the archive is encrypted"),
        (set_packing, "packed in a way that is not supported"),
    ],
)
def test_a_damaged_archive_is_refused(
    make_series: Maker, small: AnyArray, change: Callable[[bytearray], None], word: str
) -> None:
    path = damaged(zipped(make_series(small)), change)
    with pytest.raises(InputError, match=rf"^series\.zip: .*{word}.*\[E_ZIP\]"):
        read_dicom(path)


def test_what_an_archive_claims_is_checked_before_it_is_unpacked(make_series: Maker, small: AnyArray) -> None:
    path = zipped(make_series(small))
    with pytest.raises(InputError, match="the archive holds 4 files, limit 3"):
        read_dicom(path, dicom_limits=DicomLimits(files=3))
    with pytest.raises(InputError, match=r"the archive unpacks to \d+ bytes, limit 100"):
        read_dicom(path, dicom_limits=DicomLimits(archive_bytes=100))


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(5_000_000))

    def shrink(content: bytearray) -> None:
        place = content.index(b"PK\x01\x02")
        content[place + 24 : place + 28] = (10).to_bytes(4, "little")

    with pytest.raises(InputError, match="a part of the archive"):
        read_dicom(damaged(path, shrink))


def test_a_pipe_named_like_an_archive_never_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(InputError, match="is a pipe or device"):
        read_dicom(tmp_path / "a.zip")


def test_a_missing_archive_or_folder_is_missing(tmp_path: Path) -> None:
    for name in ("a.zip", "a#1"):
        with pytest.raises(InputError, match="no such file"):
            read_volume(tmp_path / name)


def test_random_damage_of_an_archive_ends_in_one_line(make_series: Maker, small: AnyArray) -> None:
    path = zipped(make_series(small))
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        message: Any = ""
        try:
            read_dicom(path)
        except InputError as error:
            message = str(error)
        assert "\n" not in message
