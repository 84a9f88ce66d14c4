import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, Structure
from lymphct.io.images.label_list import read_label_names
from lymphct.io.images.labels import read_labels

Maker = Callable[..., Path]


def test_our_numbers_stay_as_they_are(make_nifti: Maker) -> None:
    array = np.arange(20, dtype=np.int16).reshape(4, 5, 1)
    labels = read_labels(make_nifti(array))
    assert_array_equal(labels.array, array)
    assert labels.array.dtype == np.uint8


def test_whole_numbers_stored_as_scaled_fractions_are_whole_again(make_nifti: Maker) -> None:
    stored = np.array([[[0], [10], [190]]], np.int16)
    assert read_labels(make_nifti(stored, scl_slope=0.1)).array.ravel().tolist() == [0, 1, 19]


def test_totalsegmentator_numbers_are_translated_and_the_others_dropped(make_nifti: Maker) -> None:
    array = np.arange(118, dtype=np.uint8).reshape(118, 1, 1)
    labels = read_labels(make_nifti(array), scheme="totalsegmentator").array.ravel()
    assert {int(n): Structure(int(labels[n])) for n in np.flatnonzero(labels)} == TOTALSEGMENTATOR_LABELS


@pytest.mark.parametrize("stored", [20, 254, 300])
def test_numbers_of_another_tool_are_refused_with_the_hint(make_nifti: Maker, stored: int) -> None:
    array = np.array([[[0, 4, stored]]], np.int16)
    with pytest.raises(InputError, match=f"label numbers {stored} are not among 0 to 19.*--labels totalsegm"):
        read_labels(make_nifti(array))


def test_numbers_beyond_totalsegmentator_are_refused(make_nifti: Maker) -> None:
    for stored in (118, 70_000):
        with pytest.raises(InputError, match=f"label numbers {stored} are not among 0 to 117"):
            read_labels(make_nifti(np.array([[[0, stored]]], np.int32)), scheme="totalsegmentator")


def test_an_unknown_scheme_is_a_usage_error(make_nifti: Maker) -> None:
    scheme: Any = "nnunet"
    with pytest.raises(UsageError, match="unknown labels 'nnunet'"):
        read_labels(make_nifti(np.zeros((2, 2, 2), np.uint8)), scheme=scheme)


def test_a_yaml_file_names_the_numbers_that_count(make_nifti: Maker, tmp_path: Path) -> None:
    names = tmp_path / "labels.yaml"
    names.write_text("aorta: 52\nspleen: 1000\n")
    labels = read_labels(make_nifti(np.array([[[0, 1, 52, 1000]]], np.int16)), scheme=names)
    assert labels.array.ravel().tolist() == [0, 0, Structure.AORTA, Structure.SPLEEN]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("aorta: 1\naorta: 2\n", "given twice"),
        ("aorta: 1\nspleen: 1\n", "given twice"),
        ("aort: 1\n", "unknown structure 'aort'"),
        ("aorta: 0\n", "needs a number from 1"),
        ("aorta: big\n", "needs a number from 1"),
        ("aorta: 99999999999\n", "needs a number from 1"),
        ("- aorta\n", "must hold lines"),
        ("# nothing\n", "must hold lines"),
        ("aorta: [1\n", "not valid YAML"),
        ("[" * 400, "not valid YAML"),
        ("aorta: 1\n" + "#" * 70_000, "too long"),
        ("!!python/object/apply:os.getcwd []\n", "must hold lines"),
    ],
)
def test_a_bad_yaml_file_is_refused(tmp_path: Path, text: str, word: str) -> None:
    names = tmp_path / "labels.yaml"
    names.write_text(text)
    with pytest.raises(InputError, match=f"labels.yaml: .*{word}"):
        read_label_names(names)


def folder_of(make_nifti: Maker, tmp_path: Path, **masks: list[int]) -> Path:
    folder = tmp_path / "structures"
    folder.mkdir()
    for name, values in masks.items():
        make_nifti(np.array([[values]], np.uint8), name=f"structures/{name}.nii.gz")
    (folder / "notes.txt").touch()
    (folder / ".hidden.nii.gz").touch()
    return folder


def test_a_folder_holds_one_mask_per_structure(
    make_nifti: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(make_nifti, tmp_path, liver=[0, 1, 1, 1], aorta=[1, 1, 0, 0])
    with caplog.at_level(logging.WARNING):
        labels = read_labels(folder)
    # The smaller structure keeps the voxel that both claim.
    assert labels.array.ravel().tolist() == [
        Structure.AORTA,
        Structure.AORTA,
        Structure.LIVER,
        Structure.LIVER,
    ]
    assert "1 voxels lie in two masks" in caplog.text


def test_totalsegmentator_folders_are_read_by_name(make_nifti: Maker, tmp_path: Path) -> None:
    folder = folder_of(
        make_nifti,
        tmp_path,
        kidney_left=[1, 0, 0],
        vertebrae_L1=[0, 1, 0],
        portal_vein_and_splenic_vein=[0, 0, 1],
    )
    labels = read_labels(folder, scheme="totalsegmentator")
    assert labels.array.ravel().tolist() == [Structure.LEFT_KIDNEY, 0, Structure.PORTAL_AND_SPLENIC_VEIN]


@pytest.mark.parametrize(
    ("masks", "word"),
    [
        ({"kidney_left": [1]}, r"unknown structure 'kidney_left' \(a name of TotalSegmentator\)"),
        ({"lever": [1]}, "unknown structure 'lever'"),
        ({}, "no mask of a known structure"),
        ({"liver": [2]}, "mask of the liver holds values from 2 to 2"),
    ],
)
def test_a_bad_folder_is_refused(
    make_nifti: Maker, tmp_path: Path, masks: dict[str, list[int]], word: str
) -> None:
    with pytest.raises(InputError, match=word):
        read_labels(folder_of(make_nifti, tmp_path, **masks))


def test_two_files_of_one_structure_are_refused(make_nifti: Maker, tmp_path: Path) -> None:
    folder = folder_of(make_nifti, tmp_path, liver=[1])
    make_nifti(np.ones((1, 1, 1), np.uint8), name="structures/liver.nii")
    with pytest.raises(InputError, match="two files for the liver"):
        read_labels(folder)


def test_masks_of_a_folder_share_one_grid(make_nifti: Maker, tmp_path: Path) -> None:
    folder = folder_of(make_nifti, tmp_path, liver=[1, 0], spleen=[1, 0, 0])
    with pytest.raises(GeometryMismatchError, match=r"spleen\.nii\.gz: the mask of the spleen has"):
        read_labels(folder)


def test_a_yaml_file_does_not_go_with_a_folder(make_nifti: Maker, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not go with a folder"):
        read_labels(folder_of(make_nifti, tmp_path, liver=[1]), scheme=tmp_path / "labels.yaml")


def test_labels_come_onto_the_grid_of_the_ct(make_nifti: Maker) -> None:
    array = np.random.default_rng(0).integers(0, 20, (4, 5, 6)).astype(np.uint8)
    flipped = np.diag([4.0, 4.5, 5.0, 1.0])  # RAS; the maker's default is LPS
    flipped[:3, 3] = -12.0, -18.0, 0.0
    grid = Geometry(shape=(4, 5, 6), spacing=(4.0, 4.5, 5.0))
    assert_array_equal(read_labels(make_nifti(array), grid=grid).array, array)
    labels = read_labels(make_nifti(array[::-1, ::-1], affine=flipped), grid=grid)
    assert_array_equal(labels.array, array)
