"""An export of Enhanced CT becomes the cohort that the same slices in files of their own become."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid
from tests.dicom_exports import as_enhanced, write_enhanced

from lymphct.core.terms import Phase
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.series_child import _answer
from lymphct.io.images.dicom.series_worker import SeriesWorker
from lymphct.io.images.limits import DicomLimits
from lymphct.io.images.reading import read_ct
from lymphct.io.manifest import read_manifest
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.table import read_table
from lymphct.patients.exports.cohort import ImportedExport, Request, import_export
from lymphct.patients.exports.tables import SERIES_FILE


@pytest.fixture(autouse=True)
def answered_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer requests in this process, as the child would."""

    def answer(_: SeriesWorker, line: bytes) -> Any:
        return json.loads(json.dumps(_answer(json.loads(line))))

    monkeypatch.setattr(SeriesWorker, "_answer", answer)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, tools: Any) -> Path:
    """One patient, two phases, in files of one slice; never changed by a test."""
    folder = tmp_path_factory.mktemp("plain") / "export"
    tools.two_phases(folder, tools.Person(name="CANARY^JO", patient_id="CANARY-3"))
    return folder


@pytest.fixture
def by_phase(plain: Path) -> dict[str, list[Dataset]]:
    """The slices of each phase, by the words of their description, not in the order of their places."""
    found: dict[str, list[Dataset]] = {"ABD ART": [], "ABD PV": []}
    for path in sorted(plain.iterdir()):
        dataset = dcmread(path)
        found[str(dataset.SeriesDescription)].append(dataset)
    return {name: slices[1::2] + slices[::2] for name, slices in found.items()}


def imported(folder: Path, out: Path) -> ImportedExport:
    return import_export(folder, Request(out=out, key=folder.parent / f"{out.name}.key", accept=True))


def rows(out: Path) -> list[dict[str, str]]:
    return [dict(row.cells) for row in read_table(out / SERIES_FILE, ("reason",))]


def volumes(found: ImportedExport) -> list[Any]:
    assert found.manifest is not None, found.record
    (record,) = read_manifest(found.manifest).patients
    assert record.arterial is not None
    pair = (record.venous, Phase.VENOUS), (record.arterial, Phase.ARTERIAL)
    return [read_ct(path, phase=phase).volume for path, phase in pair]


def same_images(found: ImportedExport, plain: Path) -> None:
    """Compare with the slices as the reader of series finds them: number 2 is arterial, 3 venous."""
    expected = [read_ct(plain.with_name(f"{plain.name}#{n}"), phase=Phase.VENOUS).volume for n in (2, 1)]
    for left, right in zip(volumes(found), expected, strict=True):
        assert_array_equal(left.array, right.array)
        assert left.geometry.matches(right.geometry)


def test_two_enhanced_files_are_the_cohort_of_their_slices(
    tmp_path: Path, plain: Path, by_phase: dict[str, list[Dataset]]
) -> None:
    for name, slices in by_phase.items():
        write_enhanced(tmp_path / "export" / name[-2:] / "1", as_enhanced(slices), RLELossless)
    found, expected = imported(tmp_path / "export", tmp_path / "a"), imported(plain, tmp_path / "b")
    same_images(found, plain)
    measured = ("columns", "rows", "slices", "spacing_mm", "slice_spacing_mm", "minutes", "after_injection_s",
                "aorta_hu", "liver_hu", "kernel", "phase", "used_as", "reason")  # fmt: skip
    assert [[row[name] for name in measured] for row in rows(tmp_path / "a")] == [
        [row[name] for name in measured] for row in rows(tmp_path / "b")
    ]
    assert found.manifest is not None
    (record,) = read_manifest(found.manifest).patients
    assert {record.venous.name, record.arterial.name if record.arterial else ""} == {"PV", "RT"}
    assert record.cells["image_digest"] == read_manifest(expected.manifest).patients[0].cells["image_digest"]  # type: ignore[arg-type] # it is there


def one_object(by_phase: dict[str, list[Dataset]], *, agents: bool = True) -> Dataset:
    """Return both phases in one object, told apart by their temporal position, slice after slice."""
    arterial, venous = by_phase["ABD ART"], by_phase["ABD PV"]
    slices = [deepcopy(part) for pair in zip(arterial, venous, strict=True) for part in pair]
    times = ["20240206101515", "20240206101550"]
    contents: list[dict[str, object]] = [
        {"TemporalPositionIndex": n % 2 + 1, "FrameAcquisitionDateTime": times[n % 2]}
        for n in range(len(slices))
    ]

    def edit(frame: Dataset, number: int) -> None:
        if agents:
            usage = Dataset()
            usage.ContrastBolusAgentPhase = ["ARTERIAL", "PORTAL_VENOUS"][number % 2]
            frame.ContrastBolusUsageSequence = [usage]

    made = as_enhanced(slices, contents=contents, edit=edit)
    made.SeriesDescription = "ABD"
    del made.ContrastBolusStartTime
    profile, agent = Dataset(), Dataset()
    profile.ContrastBolusStartTime = "101440"
    agent.ContrastAdministrationProfileSequence = [profile]
    made.ContrastBolusAgentSequence = [agent]
    return made


def test_two_phases_in_one_object_are_two_series(
    tmp_path: Path, plain: Path, by_phase: dict[str, list[Dataset]]
) -> None:
    write_enhanced(tmp_path / "export" / "a", one_object(by_phase))
    found = imported(tmp_path / "export", tmp_path / "a")
    same_images(found, plain)
    told = {row["used_as"]: row for row in rows(tmp_path / "a")}
    assert set(told) == {"arterial", "venous"}
    assert [told[name]["by_tags"] for name in ("arterial", "venous")] == ["arterial", "venous"]
    assert [told[name]["after_injection_s"] for name in ("arterial", "venous")] == ["35.0", "70.0"]
    # Neither has the folder for itself: both are written.
    (record,) = read_manifest(tmp_path / "a" / "cohort.csv").patients
    assert record.venous.name == "ct.nii.gz"


def test_a_concatenation_is_one_series_and_incomplete_none(
    tmp_path: Path, plain: Path, by_phase: dict[str, list[Dataset]]
) -> None:
    for name, slices in by_phase.items():
        whole = generate_uid()
        for number, part in enumerate((slices[:9], slices[9:]), start=1):
            made = as_enhanced(part)
            made.ConcatenationUID, made.InConcatenationNumber = whole, number
            made.InConcatenationTotalNumber = 2
            write_enhanced(tmp_path / "export" / f"{name[-2:]}{number}", made)
    shutil.copy(tmp_path / "export" / "PV1", tmp_path / "export" / "copy")
    same_images(imported(tmp_path / "export", tmp_path / "a"), plain)
    assert [row["files"] for row in rows(tmp_path / "a")] == ["2", "2"]
    (tmp_path / "export" / "PV2").unlink()
    found = imported(tmp_path / "export", tmp_path / "c")
    assert found.manifest is None
    reason = next(row["reason"] for row in rows(tmp_path / "c") if "PV" in row["description"])
    assert "parts of a concatenation are missing: 1 to 1 of 2 are there" in reason
    (proposal,) = found.proposals
    assert any("may be the venous phase and is left out" in doubt for doubt in proposal.doubts)


def test_a_word_of_the_frames_against_the_description_is_a_doubt(
    tmp_path: Path, by_phase: dict[str, list[Dataset]]
) -> None:
    made = as_enhanced(by_phase["ABD PV"])
    usage = Dataset()
    usage.ContrastBolusAgentPhase = "ARTERIAL"
    made.SharedFunctionalGroupsSequence[0].ContrastBolusUsageSequence = [usage]
    write_enhanced(tmp_path / "export" / "a", made)
    found = imported(tmp_path / "export", tmp_path / "a")
    assert found.manifest is None
    assert any("its description says venous, its frames arterial" in x for x in found.proposals[0].doubts)


def without_rescale(made: Dataset) -> None:
    del made.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence


def curved(made: Dataset) -> None:
    kind = Dataset()
    kind.FrameType, kind.VolumeBasedCalculationTechnique = ["DERIVED", "SECONDARY", "VOLUME"], "MAX_IP"
    made.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [kind]


def cut(made: Dataset) -> None:
    made.PixelData = made.PixelData[:-5000]


def duplicated(made: Dataset) -> None:
    groups = made.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence


def few(made: Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence = list(made.PerFrameFunctionalGroupsSequence)[:5]
    made.NumberOfFrames = 5


BROKEN: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "no rescale": (without_rescale, "frame 4 of 24 has no valid rescale to HU (RescaleSlope)"),
    "projection": (curved, "a projection"),
    "short pixels": (cut, "the pixels are truncated"),
    "duplicates": (duplicated, "duplicate slices: 1"),
    "few": (few, "5 slices, 20 are needed"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_object_that_cannot_be_used_is_listed_with_the_reason(
    tmp_path: Path, by_phase: dict[str, list[Dataset]], case: str
) -> None:
    change, words = BROKEN[case]
    made = as_enhanced(by_phase["ABD PV"])
    change(made)
    write_enhanced(tmp_path / "export" / "a", made)
    assert imported(tmp_path / "export", tmp_path / "a").manifest is None
    (row,) = rows(tmp_path / "a")
    assert words in row["reason"]
    assert "CANARY" not in str(row)


def test_a_head_of_many_frames_is_read_without_its_pixels(
    tmp_path: Path, by_phase: dict[str, list[Dataset]]
) -> None:
    path = write_enhanced(tmp_path / "a", as_enhanced(by_phase["ABD PV"]))
    whole = read_head(path, Pseudonyms(b"k" * 32), DicomLimits())
    assert [(stack.slices, stack.tags.orientation) for stack in whole.stacks] == [(24, (1, 0, 0, 0, 1, 0))]
    path.write_bytes(path.read_bytes()[: -len(by_phase["ABD PV"][0].PixelData)])
    cut_off = read_head(path, Pseudonyms(b"k" * 32), DicomLimits())
    assert cut_off.stacks == whole.stacks
    assert "the pixels claim" in cut_off.problem
