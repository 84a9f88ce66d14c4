"""The fast walk through headers finds what pydicom finds, and ends in one sentence whatever it is given."""

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from lymphct.io.images.dicom.file_head import FileHead, SeriesTags
from lymphct.io.images.dicom.heads import person_of_file, read_head
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms

Maker = Callable[..., Path]
NAMES = Pseudonyms(b"k" * 32)


def head(path: Path) -> FileHead:
    return read_head(path, NAMES, DicomLimits())


def tags(path: Path) -> SeriesTags:
    found = head(path).tags
    assert found is not None
    return found


@pytest.fixture
def file(make_series: Maker) -> Path:
    """One slice with everything in its header."""

    def edit(dataset: Dataset, _: int) -> None:
        dataset.SeriesDescription, dataset.SeriesNumber = "ABD canary^name ART", 7
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20240206", "101530.5"
        dataset.ContrastBolusStartTime, dataset.ConvolutionKernel = "101500", ["Br38f", "3"]
        dataset.PatientBirthDate, dataset.AcquisitionNumber = "19521103", 3
        inner = Dataset()
        inner.CodeMeaning = "x" * 60
        outer = Dataset()
        outer.ConceptCodeSequence = Sequence([inner])
        dataset.RequestAttributesSequence = Sequence([outer, inner])
        dataset["RequestAttributesSequence"].is_undefined_length = True

    folder = make_series(np.zeros((6, 5, 1), dtype=np.int16), edit=edit)
    return next(folder.iterdir())


def test_a_head_says_what_the_file_says(file: Path) -> None:
    found, dataset = head(file), dcmread(file)
    assert found.problem == ""
    assert found.position == tuple(dataset.ImagePositionPatient)
    assert found.acquisition == 3
    shared = tags(file)
    assert shared.shape == (dataset.Columns, dataset.Rows)
    assert shared.spacing == tuple(dataset.PixelSpacing[::-1])
    assert shared.orientation == tuple(dataset.ImageOrientationPatient)
    assert (shared.modality, shared.number, shared.kernel) == ("CT", 7, "Br38f")
    assert shared.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert found.time % 86_400 - shared.bolus == pytest.approx(30.5)
    assert person_of_file(file) == ("CANARY-7", "", "CANARY^NAME", "19521103")


def test_nothing_that_names_the_patient_is_in_a_head(file: Path) -> None:
    assert "canary" not in repr(head(file)).casefold().replace(str(file).casefold(), "")
    assert tags(file).description == "ABD ...^... ART"


@pytest.mark.parametrize("name", ["Canary_X", "canary-7", "1952-11-03", "03111952"], ids=list("abcd"))
def test_a_folder_that_tells_who_lies_there_is_known(file: Path, name: str) -> None:
    assert not head(file).is_named
    folder = file.parent / name
    folder.mkdir()
    moved = file.rename(folder / "a")
    assert head(moved).is_named


def test_the_same_slice_has_the_same_head_however_it_is_stored(file: Path) -> None:
    before = head(file)
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    new = Dataset(dataset)
    new.file_meta = dataset.file_meta
    dcmwrite(file, new, implicit_vr=True, little_endian=True, enforce_file_format=True)
    implicit = head(file)
    assert (implicit.instance, implicit.position, implicit.time) == (
        before.instance,
        before.position,
        before.time,
    )
    assert tags(file).description == "ABD ...^... ART"
    assert implicit.problem == ""


def test_compressed_pixels_need_no_length(file: Path) -> None:
    dataset = dcmread(file)
    dataset.compress(RLELossless)
    dataset.save_as(file)
    assert head(file).problem == ""
    assert tags(file).syntax == RLELossless


def test_patients_without_an_id_are_told_by_name_then_by_study(file: Path) -> None:
    def without(*keywords: str) -> SeriesTags:
        dataset = dcmread(file)
        for keyword in keywords:
            delattr(dataset, keyword)
        path = file.with_name("-".join(keywords) or "all")
        dataset.save_as(path)
        return tags(path)

    found = without(), without("PatientID"), without("PatientID", "PatientName")
    assert [one.person_by for one in found] == ["id", "name", "study"]
    assert len({one.person for one in found}) == 3


def test_a_truncated_slice_is_told_of_with_its_series(file: Path) -> None:
    whole = tags(file)
    file.write_bytes(file.read_bytes()[:-10])
    cut = head(file)
    assert cut.tags == whole
    assert cut.problem == "incomplete or damaged file: the pixels claim 60 bytes where 50 are left"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"<html>", "no DICOM"),
        (bytes(128) + b"DICM", "names no transfer syntax"),
        (bytes(128) + b"DICM" + b"\2\0\x10\0UI\x04\0" + b"1.2\0", "states no modality"),
        (bytes(128) + b"DICM" + b"\2\0\x10\0UI\xff\xff" + b"1.2\0", "claims 65535 bytes where 4 are left"),
        (bytes(128) + b"DICM" + b"\2\0\x10\0\0\0\0\0" + b"1.2\0", "header cannot be parsed"),
        (
            bytes(128) + b"DICM" + b"\x08\0\x05\0SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0",
            "within an element",
        ),
    ],
)
def test_what_is_no_readable_file_is_told_in_our_words(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    found = head(path)
    assert found.tags is None
    assert problem in found.problem


def test_sequences_without_an_end_and_too_many_elements_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    item = b"\xfe\xff\0\xe0" + b"\xff" * 4
    inner = b"\x08\0\x05\0SQ\0\0\xff\xff\xff\xff" + item
    path.write_bytes(bytes(128) + b"DICM" + inner * 3000)
    assert "nested deeper than 16" in head(path).problem
    path.write_bytes(bytes(128) + b"DICM" + b"\x08\0\x05\0CS\0\0" * 6000)
    assert "more than 5000 data elements" in head(path).problem


def test_big_endian_files_and_pipes_are_not_looked_at(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    meta = content.replace(b"1.2.840.10008.1.2.1\0", ExplicitVRBigEndian.encode() + b"\0", 1)
    file.write_bytes(meta)
    assert "big-endian and deflated DICOM files" in head(file).problem
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in head(tmp_path / "pipe").problem
    assert "may not be read" in head(tmp_path / "nobody").problem


def test_random_damage_never_raises(file: Path) -> None:
    content, rng = file.read_bytes(), np.random.default_rng(3)
    for _ in range(400):
        broken = bytearray(content[: rng.integers(1, len(content) + 1)])
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(256)
        file.write_bytes(broken)
        found = head(file)
        assert "\n" not in found.problem
        assert math.isnan(found.time) or found.time >= 0


def test_a_length_of_four_gigabytes_reads_no_more_than_the_file(file: Path) -> None:
    content = file.read_bytes()
    place = content.index(b"\xe0\x7f\x10\0OW")
    huge: Any = struct.pack("<L", 0xFFFFFFF0)
    file.write_bytes(content[: place + 8] + huge + content[place + 12 :])
    assert "the pixels claim 4294967280 bytes" in head(file).problem
