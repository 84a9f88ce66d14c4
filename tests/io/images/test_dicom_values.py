"""Values of DICOM elements; what they say never stands in a message."""

import logging
import warnings

import pytest
from pydicom.dataset import Dataset

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.values import (
    element_numbers,
    element_text,
    element_value,
    element_whole_number,
    keyed_hash,
    quiet_pydicom,
    refuse_damaged,
)


def header() -> Dataset:
    dataset = Dataset()
    dataset.PatientID = " secret "
    dataset.Rows = 12
    dataset.PixelSpacing = [0.68, 0.7]
    dataset.RescaleSlope = 1
    return dataset


def test_elements_are_taken_as_text_and_as_numbers() -> None:
    assert element_text(header(), "PatientID") == "secret"
    assert element_whole_number(header(), "Rows", 0) == 12
    assert element_numbers(header(), "PixelSpacing", 2, "E_SPACING") == (0.68, 0.7)
    assert element_numbers(header(), "RescaleSlope", 1, "E_SCALING") == (1.0,)


def test_an_absent_element_is_none_empty_or_the_default() -> None:
    assert element_value(Dataset(), "Rows") is None
    assert element_text(Dataset(), "PatientID") == ""
    assert element_whole_number(Dataset(), "Rows", 7) == 7


@pytest.mark.parametrize("count", [1, 3])
def test_numbers_that_are_not_as_many_as_wanted_are_refused_in_our_words(count: int) -> None:
    with pytest.raises(InputError, match=r"no valid pixel spacing \(PixelSpacing\)") as caught:
        element_numbers(header(), "PixelSpacing", count, "E_SPACING")
    assert caught.value.code == "E_SPACING"
    assert "0.68" not in str(caught.value)


def test_an_absent_number_is_refused() -> None:
    with pytest.raises(InputError, match="no valid position"):
        element_numbers(Dataset(), "ImagePositionPatient", 3, "E_POSITION")


def test_text_for_a_whole_number_is_damage_and_not_quoted() -> None:
    dataset = Dataset()
    dataset.PatientID = "secret"
    with pytest.raises(InputError, match="PatientID is no whole number") as caught:
        element_whole_number(dataset, "PatientID", 0)
    assert "secret" not in str(caught.value)


def test_a_keyed_hash_tells_texts_apart_and_says_nothing_of_them() -> None:
    assert keyed_hash("a") == keyed_hash("a") != keyed_hash("b")
    assert "secret" not in keyed_hash("secret")
    assert keyed_hash("") == ""


def test_a_damaged_file_is_refused_without_what_led_to_it() -> None:
    try:
        raise ValueError("secret")  # noqa: EM101, TRY301 - what pydicom would quote
    except ValueError:
        with pytest.raises(InputError, match="incomplete or damaged file: cut off") as caught:
            refuse_damaged("cut off")
    assert caught.value.__suppress_context__


def test_pydicom_neither_warns_nor_logs_until_it_may_again() -> None:
    log = logging.getLogger("pydicom")
    before = log.level
    with quiet_pydicom():
        warnings.warn("secret", UserWarning, stacklevel=1)
        assert not log.isEnabledFor(logging.CRITICAL)
    assert log.level == before
    with pytest.warns(UserWarning, match="aloud"):
        warnings.warn("aloud", UserWarning, stacklevel=1)
