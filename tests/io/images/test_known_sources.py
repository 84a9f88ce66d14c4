"""The table of sources agrees with what the code knows, and reads label maps by its numbers and names."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, TOTALSEGMENTATOR_LARGEST, Structure
from lymphct.io.images.known_sources import known_sources
from lymphct.io.images.labels import FOREIGN, Foreign, label_scheme, read_labels

Maker = Callable[..., Path]


def test_the_numbers_of_totalsegmentator_stand_once() -> None:
    row = known_sources()["totalsegmentator"]
    assert row.numbers == TOTALSEGMENTATOR_LABELS
    assert row.largest == TOTALSEGMENTATOR_LARGEST


def test_every_numbering_has_a_row_and_a_scheme() -> None:
    assert [name for name, row in known_sources().items() if row.numbers] == list(get_args(Foreign))
    assert all(label_scheme(name) == name for name in FOREIGN)
    for row in known_sources().values():
        assert max(row.numbers, default=0) <= row.largest
        assert row.what
        assert row.licence
        assert row.phases
        assert row.obtained
        assert row.citation


def test_coverage_of_the_ten_is_counted_from_the_numbers() -> None:
    counts = {name: row.guiding for name, row in known_sources().items()}
    assert counts == {
        "totalsegmentator": 6,
        "pants": 7,
        "cads": 6,
        "vista3d": 6,
        "panorama": 1,
        "nnunet": None,
        "bundle": None,
        "files": None,
        "trace": 3,
    }
    restricted = [name for name, row in known_sources().items() if row.non_commercial]
    assert restricted == ["pants", "vista3d", "panorama"]
    assert Structure.ESOPHAGUS not in (known_sources()["pants"].covers or ())


def test_parts_of_the_pancreas_are_the_pancreas(make_nifti: Maker) -> None:
    array = np.array([[[0, 17, 18, 22, 27, 4]]], np.uint8)
    labels = read_labels(make_nifti(array), scheme="pants")
    assert labels.array.ravel().tolist() == [0, 5, 5, 5, 7, 0]


def test_a_folder_is_read_by_their_names_and_others_are_passed_over(
    make_nifti: Maker, tmp_path: Path
) -> None:
    folder = tmp_path / "segmentations"
    folder.mkdir()
    for place, name in enumerate(["gall_bladder", "celiac_artery", "femur_left"]):
        array = np.zeros((3, 1, 1), np.uint8)
        array[place] = 1
        made = make_nifti(array)
        made.rename(folder / f"{name}.nii.gz")
    labels = read_labels(folder, scheme="pants")
    assert labels.array.ravel().tolist() == [14, 8, 0]


@pytest.mark.parametrize(("scheme", "number"), [("pants", 29), ("cads", 168), ("panorama", 7)])
def test_a_number_beyond_the_tools_is_refused(make_nifti: Maker, scheme: Foreign, number: int) -> None:
    with pytest.raises(InputError, match=f"label numbers {number} are not among 0 to .* of {scheme}"):
        read_labels(make_nifti(np.array([[[1, number]]], np.int16)), scheme=scheme)
