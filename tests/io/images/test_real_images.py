"""Real CT and the open bad cases: what must be accepted is, what must be refused is, with its cause."""

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.patient import Notice
from lymphct.core.terms import Phase, Structure
from lymphct.io.images.enhancement import looks_unenhanced
from lymphct.io.images.reading import check_pair, phases_look_swapped, read_ct, read_labels
from lymphct.io.manifest import read_manifest
from lymphct.io.manifest_check import manifest_problems

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def data() -> Path:
    folder = Path(os.environ.get("LYMPHCT_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set LYMPHCT_DATA to the shared data")
    return folder


@pytest.fixture(scope="module")
def cases(data: Path) -> Path:
    folder = data.parent / "badcases" / "open" / "cases"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} with the open bad cases")
    return folder


def read_pair(venous: Path, arterial: Path) -> tuple[Notice, ...]:
    late, early = read_ct(venous, phase=Phase.VENOUS), read_ct(arterial, phase=Phase.ARTERIAL)
    swapped = phases_look_swapped(late.volume, early.volume)
    return late.notices + early.notices + check_pair(late, early) + (() if swapped is None else (swapped,))


def pair_of(case: Path) -> tuple[Path, Path]:
    (venous,), (arterial,) = case.glob("venous*"), case.glob("arterial*")
    return venous, arterial


@pytest.mark.parametrize("name", ["n_ok_pair", "d_html_injection"])
def test_controls_pass_without_notice(cases: Path, name: str) -> None:
    assert read_pair(*pair_of(cases / name)) == ()


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("n_truncated_gz", "incomplete or damaged file"),
        ("n_huge_dims", "too large"),
        ("n_zero_spacing", "spacing"),
        ("n_4d_two_volumes", "a 3D volume is needed"),
        ("n_nan_voxels", "not finite"),
        ("d_missing_slice", "missing slices: 1"),
        ("d_different_patients", "different patients"),
    ],
)
def test_bad_cases_are_refused_with_their_cause(cases: Path, name: str, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        read_pair(*pair_of(cases / name))
    assert "ZZOTHER" not in str(caught.value)


def test_the_swapped_pair_is_noticed(cases: Path) -> None:
    assert [notice.code for notice in read_pair(*pair_of(cases / "n_phases_swapped"))] == ["phases_swapped"]


def test_the_manifest_with_columns_of_its_own_is_readable(cases: Path) -> None:
    manifest = read_manifest(cases / "c_containment" / "manifest.csv")
    assert [patient.patient_id for patient in manifest.patients] == [f"case{n}" for n in range(6)]
    assert manifest_problems(manifest) == []


def test_real_ct_equals_nibabel(data: Path) -> None:
    path = data / "open_totalseg_example_ct" / "example_ct.nii.gz"
    ct = read_ct(path, phase=Phase.VENOUS)
    assert_array_equal(ct.volume.array, np.maximum(nib.load(path).get_fdata(), -1024))
    assert ct.volume.array.dtype == np.int16
    assert ct.notices == ()


def test_real_dicom_lies_on_the_grid_of_its_label_map(data: Path) -> None:
    folder = data / "open_totalseg_example_dicom"
    ct = read_ct(folder / "dicom", phase=Phase.VENOUS)
    labels = read_labels(
        folder / "example_seg_dicom.nii.gz", scheme="totalsegmentator", grid=ct.volume.geometry
    )
    # HU of the README: these organs lie where the label map says only if both axes and order are right.
    assert_allclose(ct.volume.array[labels.array == Structure.AORTA].mean(), 177, atol=5)
    assert_allclose(ct.volume.array[labels.array == Structure.PORTAL_AND_SPLENIC_VEIN].mean(), 130, atol=8)


@pytest.mark.parametrize("order", [lambda pair: pair, lambda pair: pair[::-1]])
def test_native_and_enhanced_ct_raise_no_alarm(data: Path, order: Callable[..., tuple[Path, Path]]) -> None:
    folder = data / "open_synth_phase_pair"
    assert read_pair(*order((folder / "fixed.nii.gz", folder / "moving.nii.gz"))) == ()
    native = data / "open_totalseg_example_ct" / "example_ct.nii.gz"
    assert read_pair(*order((folder / "fixed.nii.gz", native))) == ()


def test_a_native_ct_is_noticed_as_unenhanced_and_enhanced_ones_are_not(data: Path) -> None:
    def notice(name: str) -> Notice | None:
        return looks_unenhanced(read_ct(data / name, phase=Phase.VENOUS).volume)

    native = notice("open_totalseg_example_ct/example_ct.nii.gz")
    assert native is not None
    assert native.code == "venous_unenhanced"
    assert notice("open_totalseg_example_dicom/dicom") is None
    assert notice("open_totalseg_arterial_ct/arterial_ct.nii.gz") is None
