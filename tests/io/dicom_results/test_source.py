"""What DICOM objects need of a series is there, or is refused without quoting a tag."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from tests.dicom_exports import CANARY, ct_volume, some_nodes, write_made_result, write_series

from lymphct.core.errors import InputError
from lymphct.io.dicom_results.source import read_source, require_series
from lymphct.io.dicom_results.stored import read_stored
from lymphct.io.images.dicom.reading import read_dicom


def test_the_slices_come_in_the_order_of_the_grid_with_text_in_unicode(tmp_path: Path) -> None:
    ct = ct_volume(axes=np.diag([1.0, -1.0, -1.0]))
    instances = write_series(tmp_path / "ct", ct)
    source = read_source(tmp_path / "ct")
    assert [part.SOPInstanceUID for part in source.slices] == instances
    assert source.geometry.matches(ct.geometry)
    assert source.digest == read_dicom(tmp_path / "ct").digest
    assert str(source.slices[0].PatientName) == f"{CANARY}^Jörg"
    assert source.slices[0].SpecificCharacterSet == "ISO_IR 192"
    assert CANARY not in repr(source)
    assert "PixelData" not in source.slices[0]


def drop(keyword: str) -> Callable[[Dataset, int], None]:
    def edit(made: Dataset, _: int) -> None:
        del made[keyword]

    return edit


def long_id(made: Dataset, _: int) -> None:
    made.PatientID = CANARY * 20


def other_study(made: Dataset, k: int) -> None:
    made.StudyInstanceUID = f"1.2.3.{k % 2 + 1}"


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (drop("StudyInstanceUID"), "no valid StudyInstanceUID"),
        (drop("FrameOfReferenceUID"), "no valid FrameOfReferenceUID"),
        (long_id, "no valid PatientID"),
        (other_study, "belong to different studies"),
    ],
)
def test_a_series_that_does_not_say_whose_it_is_is_refused(
    tmp_path: Path, edit: Callable[[Dataset, int], None], words: str
) -> None:
    write_series(tmp_path / "ct", ct_volume((16, 16, 3)), edit=edit)
    with pytest.raises(InputError, match=words) as refused:
        read_source(tmp_path / "ct")
    assert CANARY not in str(refused.value)
    assert refused.value.code in {"E_DICOM", "E_SERIES"}


def test_a_series_without_any_date_has_one_that_nobody_takes_for_real(tmp_path: Path) -> None:
    def undated(made: Dataset, _: int) -> None:
        for keyword in ("StudyDate", "StudyTime", "AcquisitionDate", "AcquisitionTime"):
            del made[keyword]

    write_series(tmp_path / "ct", ct_volume((16, 16, 3)), edit=undated)
    assert read_source(tmp_path / "ct").moment == ("19000101", "000000")
    assert dcmread(next((tmp_path / "ct").iterdir())).get("StudyDate") is None


def test_a_file_that_is_no_series_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "venous.nii.gz").write_bytes(b"anything")
    with pytest.raises(
        InputError, match=r"venous\.nii\.gz: .* no DICOM series.*\[E_NO_DICOM\] - .* lymphct dicom"
    ):
        require_series(tmp_path / "venous.nii.gz")


def test_what_is_no_whole_result_is_refused(tmp_path: Path) -> None:
    ct = ct_volume((28, 28, 14))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no result of lymphct predict .*\[E_RESULT\]"):
        read_stored(tmp_path / "empty")
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 2))
    assert [node.label for node in read_stored(result).nodes] == [2, 4]
    with (result / "nodes.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="the result is damaged"):
        read_stored(result)
