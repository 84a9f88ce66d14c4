"""Objects lie on the frames of an Enhanced CT, in any order, and on those of the chosen stack alone."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from tests.dicom_exports import (
    CANARY,
    as_enhanced,
    ct_volume,
    slices_in,
    some_nodes,
    write_enhanced,
    write_made_result,
    write_series,
)

from lymphct.core.errors import InputError
from lymphct.io.dicom_results.source import read_source
from lymphct.io.images.dicom.reading import read_dicom

Objects = Callable[[Path, Path, Path], dict[str, Path]]
Errors = Callable[[Path], list[str]]


def references(item: Dataset) -> list[tuple[str, int]]:
    return [
        (str(image.ReferencedSOPInstanceUID), int(image.ReferencedFrameNumber))
        for derivation in item.DerivationImageSequence
        for image in derivation.SourceImageSequence
    ]


@pytest.mark.parametrize("stacks", [1, 2])
def test_every_object_refers_to_the_frames_it_lies_on(
    tmp_path: Path, objects_of: Objects, errors_in: Errors, stacks: int
) -> None:
    ct = ct_volume(axes=np.diag([1.0, -1.0, -1.0]))
    write_series(tmp_path / "ct", ct)
    slices = slices_in(tmp_path / "ct")
    if stacks == 2:  # another phase between its slices: the second is meant
        slices = [deepcopy(part) for part in slices for _ in range(2)]
    contents: list[dict[str, object]] = [
        {"TemporalPositionIndex": n % stacks + 1} for n in range(len(slices))
    ]
    made = as_enhanced(slices, contents=contents)
    write_enhanced(tmp_path / "enhanced" / "a", made)
    place = tmp_path / ("enhanced" if stacks == 1 else "enhanced#2")
    nodes = some_nodes(ct.geometry, 5)
    result = write_made_result(tmp_path / "result", ct, nodes)
    files = objects_of(result, place, tmp_path / "objects")
    assert set(files) == {"seg", "sr", "structures", "tumor", "attention"}
    assert [error for path in files.values() for error in errors_in(path)] == []

    at = {tuple(float(v) for v in part.ImagePositionPatient): n + 1 for n, part in enumerate(slices)}
    for name in ("seg", "structures", "tumor", "attention"):
        found = dcmread(files[name])
        for item in found.PerFrameFunctionalGroupsSequence:
            (position,) = item.PlanePositionSequence
            number = at[tuple(float(v) for v in position.ImagePositionPatient)]
            assert references(item) == [(made.SOPInstanceUID, number)]
    seg: Any = highdicom.seg.segread(files["seg"])
    frames = [at[tuple(round(float(v), 6) for v in ct.geometry.world((0, 0, k)))] for k in range(24)]
    drawn = seg.get_pixels_by_source_frame(
        source_sop_instance_uid=made.SOPInstanceUID,
        source_frame_numbers=frames,
        segment_numbers=[2],
        assert_missing_frames_are_empty=True,
    )[..., 0]
    assert_array_equal(drawn, (nodes.array == 4).transpose(2, 1, 0))
    report = dcmread(files["sr"])
    told = [
        str(one.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert told.count(made.SOPInstanceUID) == 1


def test_the_source_copies_what_it_copies_of_slices(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", ct_volume((16, 16, 3)))
    plain = read_source(tmp_path / "ct")
    write_enhanced(tmp_path / "a", as_enhanced(slices_in(tmp_path / "ct")))
    found = read_source(tmp_path / "a")
    assert sorted(found.frames) == [1, 2, 3]
    assert found.geometry == plain.geometry
    assert found.digest == read_dicom(tmp_path / "a").digest
    assert CANARY not in repr(found)
    for one, other in zip(found.slices, plain.slices, strict=True):
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            del one[keyword], other[keyword]
        assert one == other


def test_a_series_of_several_multi_frame_files_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", ct_volume((16, 16, 4)))
    slices, whole = slices_in(tmp_path / "ct"), generate_uid()
    for number in (1, 2):
        part = as_enhanced(slices[2 * number - 2 : 2 * number])
        part.ConcatenationUID, part.InConcatenationNumber, part.InConcatenationTotalNumber = whole, number, 2
        write_enhanced(tmp_path / "parts" / str(number), part)
    assert read_dicom(tmp_path / "parts").volume.array.shape == (16, 16, 4)
    with pytest.raises(
        InputError, match=r"cut into 2 multi-frame files.*\[E_CONCATENATION\] - join its parts"
    ):
        read_source(tmp_path / "parts")
