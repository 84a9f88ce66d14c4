"""Enhanced CT gives what its slices give one by one, and is refused wherever its frames leave a doubt."""

import struct
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from tests.dicom_exports import FRAME_GROUPS, as_enhanced, slices_in, write_enhanced

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.terms import Phase
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.reading import read_dicom, series_geometry
from lymphct.io.images.limits import AnatomicalLimits, DicomLimits, SafetyLimits
from lymphct.io.images.reading import read_ct, read_volume
from lymphct.io.pseudonyms import Pseudonyms

Maker = Callable[..., Path]
Edit = Callable[[Dataset, int], None]
Change = Callable[[Dataset], None]


@pytest.fixture
def small() -> AnyArray:
    return np.random.default_rng(0).integers(-1024, 1000, (6, 5, 4)).astype(np.int16)


@pytest.fixture
def slices(make_series: Maker, small: AnyArray) -> list[Dataset]:
    """Four slices on oblique axes; their order says nothing about their places."""
    tilt = 0.2
    axes = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return slices_in(make_series(small, axes=axes, spacing=(0.68, 0.7, 0.8)))


def equal_to_slices(found: Path, slices: Path) -> None:
    one, other = read_dicom(found), read_dicom(slices)
    assert one.volume.geometry == other.volume.geometry
    assert one.volume.array.dtype == other.volume.array.dtype
    assert_array_equal(one.volume.array, other.volume.array)
    assert (one.patient_key, one.frame_key) == (other.patient_key, other.frame_key)
    assert series_geometry(found) == other.volume.geometry


MADE: dict[str, dict[str, Any]] = {
    "all per frame": {},
    "shared where it can be": {"shared": [name for name in FRAME_GROUPS if name != "PlanePositionSequence"]},
    "open lengths": {"open_lengths": True},
    "one stack with indices": {
        "contents": [
            {
                "StackID": "1",
                "TemporalPositionIndex": 1,
                "InStackPositionNumber": n,
                "DimensionIndexValues": [1, n],
            }
            for n in range(1, 5)
        ],
        "dimensions": [0x00209056, 0x00209057],
    },
}


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"]
)
def test_frames_are_the_slices_bit_by_bit(
    tmp_path: Path, slices: list[Dataset], case: str, syntax: UID
) -> None:
    file = write_enhanced(tmp_path / "one" / "a.dcm", as_enhanced(slices, **MADE[case]), syntax)
    equal_to_slices(file.parent, tmp_path / "series")
    equal_to_slices(file, tmp_path / "series")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_every_compression_of_slices_is_one_of_frames(
    tmp_path: Path, slices: list[Dataset], syntax: UID
) -> None:
    equal_to_slices(write_enhanced(tmp_path / "a", as_enhanced(slices), syntax), tmp_path / "series")


def test_each_frame_has_a_rescale_of_its_own(tmp_path: Path, make_series: Maker, small: AnyArray) -> None:
    def rescale(dataset: Dataset, k: int) -> None:
        stored = (np.frombuffer(dataset.PixelData, "<i2").astype(int) - 1024 + 100 * k) * 2
        dataset.PixelData = stored.astype("<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", f"{-100 * k}"
        dataset.PixelPaddingValue = int(stored[0])

    parts = slices_in(make_series(small, edit=rescale))
    for part in parts:
        part.PixelPaddingValue = parts[0].PixelPaddingValue
        part.save_as(tmp_path / "series" / str(part.SOPInstanceUID), enforce_file_format=True)
    for old in (tmp_path / "series").glob("IM*"):
        old.unlink()
    equal_to_slices(write_enhanced(tmp_path / "a", as_enhanced(parts)), tmp_path / "series")


def test_a_converted_series_of_another_maker_is_its_slices(tmp_path: Path, slices: list[Dataset]) -> None:
    legacy = pytest.importorskip("highdicom.legacy")
    for number, part in enumerate(slices):
        part.StudyInstanceUID, part.InstanceNumber, part.PatientBirthDate = "1.2.3", number + 1, "19500101"
        part.PatientSex, part.AccessionNumber, part.StudyID, part.StudyDate = "O", "", "", "20200101"
        part.StudyTime, part.ReferringPhysicianName, part.Manufacturer = "101010", "", "Acme"
    made = legacy.LegacyConvertedEnhancedCTImage(slices, generate_uid(), 5, generate_uid(), 1)
    made.save_as(tmp_path / "a")
    equal_to_slices(tmp_path / "a", tmp_path / "series")


def parts_of(slices: list[Dataset], sizes: tuple[int, ...]) -> list[Dataset]:
    """Cut slices into the parts of one concatenation."""
    whole, made, first = generate_uid(), [], 0
    for number, size in enumerate(sizes, start=1):
        part = as_enhanced(slices[first : first + size])
        part.ConcatenationUID, part.InConcatenationNumber = whole, number
        part.InConcatenationTotalNumber, part.ConcatenationFrameOffsetNumber = len(sizes), first
        made.append(part)
        first += size
    return made


def test_a_concatenation_is_one_volume_and_lacks_no_part(tmp_path: Path, slices: list[Dataset]) -> None:
    for number, part in enumerate(parts_of(slices, (1, 2, 1))):
        write_enhanced(tmp_path / "parts" / f"p{(2 - number) ** 2}", part)
    equal_to_slices(tmp_path / "parts", tmp_path / "series")
    (tmp_path / "parts" / "copy").write_bytes((tmp_path / "parts" / "p4").read_bytes())
    equal_to_slices(tmp_path / "parts", tmp_path / "series")
    (tmp_path / "parts" / "p0").unlink()
    with pytest.raises(InputError, match=r"of a concatenation are missing: 1 to 2 of 3 are there \[E_SLICES"):
        read_dicom(tmp_path / "parts")
    part = dcmread(tmp_path / "parts" / "p1")
    part.InConcatenationNumber = 1
    write_enhanced(tmp_path / "parts" / "p1", part)
    with pytest.raises(InputError, match="contradict each other"):
        read_dicom(tmp_path / "parts")


def phases(slices: list[Dataset], **values: tuple[Any, Any]) -> dict[str, Any]:
    """Return two phases in one object, frame by frame in turn, told apart by their frame content."""
    contents = [
        {keyword: pair[number % 2] for keyword, pair in values.items()} for number in range(2 * len(slices))
    ]
    return {"slices": [part for part in slices for _ in range(2)], "contents": contents}


TOLD_APART: dict[str, tuple[dict[str, tuple[Any, Any]], list[int], str]] = {
    "temporal position": ({"TemporalPositionIndex": (1, 2)}, [], "temporal position 1, 4 slices"),
    "stack": ({"StackID": ("1", "venous^CANARY")}, [], "stack 1, 4 slices"),
    "acquisition": ({"FrameAcquisitionNumber": (3, 4)}, [], "acquisition 3, 4 slices"),
    "other dimension": (
        {"DimensionIndexValues": ([1, 1], [1, 2])},
        [0x00209056, 0x00189344],
        "dimension 2 index 1, 4 slices",
    ),
    "index of the time": (
        {"DimensionIndexValues": ([1], [2])},
        [0x00209128],
        "temporal position 1, 4 slices",
    ),
}


@pytest.mark.parametrize("case", TOLD_APART)
def test_phases_in_one_object_are_listed_and_one_is_chosen(
    tmp_path: Path, slices: list[Dataset], case: str
) -> None:
    values, dimensions, words = TOLD_APART[case]
    given = phases(slices, **values)
    given["slices"] = [deepcopy(part) for part in given["slices"]]
    for part in given["slices"][1::2]:
        part.RescaleIntercept = "-1000"
    file = write_enhanced(tmp_path / "a.dcm", as_enhanced(**given, dimensions=dimensions))
    with pytest.raises(InputError, match="the folder holds 2 CT series: #1") as caught:
        read_dicom(file)
    assert caught.value.code == "E_SERIES"
    assert words in str(caught.value)
    assert "CANARY" not in str(caught.value)
    plain = read_dicom(tmp_path / "series").volume
    found = [read_volume(tmp_path / f"a.dcm#{number}") for number in (1, 2)]
    assert sorted(int(np.unique(one.array - plain.array.astype(int))[0]) for one in found) == [0, 24]
    assert all(one.geometry == plain.geometry for one in found)
    marks = {read_dicom(tmp_path / f"a.dcm#{number}").digest for number in (1, 2)}
    assert len(marks) == 2
    with pytest.raises(InputError, match="several stacks in that series"):
        read_dicom(tmp_path / f"a.dcm#{slices[0].SeriesInstanceUID}")


def test_phases_on_places_in_turn_are_never_one_even_volume(tmp_path: Path, slices: list[Dataset]) -> None:
    order = sorted(slices, key=lambda part: float(part.ImagePositionPatient[2]))
    contents: list[dict[str, object]] = [{"TemporalPositionIndex": n % 2 + 1} for n in range(4)]
    file = write_enhanced(tmp_path / "a", as_enhanced(order, contents=contents))
    with pytest.raises(InputError, match=r"2 CT series: .*temporal position 1, 2 slices"):
        read_dicom(file)


def test_items_without_anything_in_them_end_at_the_limit(tmp_path: Path, slices: list[Dataset]) -> None:
    content = write_enhanced(tmp_path / "a", as_enhanced(slices)).read_bytes()
    place = content.index(b"\x00\x52\x30\x92SQ")
    items = b"\xfe\xff\0\xe0\0\0\0\0" * 12_000
    bomb = content[: place + 8] + struct.pack("<L", len(items)) + items
    (tmp_path / "a").write_bytes(bomb)
    with pytest.raises(InputError, match="more than 9000 data elements and items"):
        read_dicom(tmp_path / "a", dicom_limits=DicomLimits(group_elements=9000))


def test_frames_that_nothing_tells_apart_are_refused(tmp_path: Path, slices: list[Dataset]) -> None:
    file = write_enhanced(tmp_path / "a", as_enhanced(slices + slices))
    with pytest.raises(InputError, match=r"duplicate slices: 4 .*\[E_SLICES"):
        read_dicom(file)
    # Two objects of a series are two volumes, even where one would continue the other.
    for number in (0, 2):
        write_enhanced(tmp_path / "two" / f"a{number}", as_enhanced(slices[number : number + 2]))
    with pytest.raises(InputError, match="the folder holds 2 CT series"):
        read_dicom(tmp_path / "two")


def test_a_zipped_file_and_a_folder_beside_slices_are_read(tmp_path: Path, slices: list[Dataset]) -> None:
    file = write_enhanced(tmp_path / "one" / "a", as_enhanced(slices))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(file, "deep/a")
    equal_to_slices(tmp_path / "a.zip", tmp_path / "series")
    (file.parent / "b").write_bytes(file.read_bytes())
    (file.parent / "readme.txt").write_text("x")
    (notices) = read_dicom(file.parent).notices
    assert [notice.value for notice in notices] == [1.0, 1.0]
    with pytest.raises(InputError, match=r"voxels in plane 6 .*\[E_ANATOMY"):
        read_ct(file, phase=Phase.VENOUS, anatomy=AnatomicalLimits())


def drop(group: str, keyword: str = "") -> Edit:
    """Take a group, or an element of it, from the third frame."""

    def edit(frame: Dataset, number: int) -> None:
        if number == 2:
            delattr(frame[group][0] if keyword else frame, keyword or group)

    return edit


def put(group: str, every: bool = False, **elements: Any) -> Edit:  # noqa: FBT001, FBT002 - of a table
    def edit(frame: Dataset, number: int) -> None:
        if number == 2 or every:
            if group not in frame:
                setattr(frame, group, [Dataset()])
            for keyword, value in elements.items():
                setattr(frame[group][0], keyword, value)

    return edit


BROKEN_FRAMES: dict[str, tuple[Edit, str, str]] = {
    "no position": (drop("PlanePositionSequence"), "E_POSITION", r"frame 3 of 4 has no valid position"),
    "empty position": (drop("PlanePositionSequence", "ImagePositionPatient"), "E_POSITION", "valid position"),
    "no orientation": (
        drop("PlaneOrientationSequence"),
        "E_POSITION",
        "frame 3 of 4 has no valid orientation",
    ),
    "no spacing": (drop("PixelMeasuresSequence"), "E_SPACING", "frame 3 of 4 has no valid pixel spacing"),
    "no rescale": (
        drop("PixelValueTransformationSequence"),
        "E_SCALING",
        r"no valid rescale to HU \(RescaleSlope",
    ),
    "no intercept": (
        drop("PixelValueTransformationSequence", "RescaleIntercept"),
        "E_SCALING",
        "RescaleIntercept",
    ),
    "slope zero": (put("PixelValueTransformationSequence", RescaleSlope="0"), "E_SCALING", "slope of zero"),
    "not HU": (put("PixelValueTransformationSequence", RescaleType="US"), "E_NOT_HU", "not HU"),
    "zero spacing": (put("PixelMeasuresSequence", PixelSpacing=["0", "1"]), "E_SPACING", "zero or negative"),
    "mixed spacing": (
        put("PixelMeasuresSequence", PixelSpacing=["4", "4"]),
        "E_SERIES",
        "differ in pixel spacing",
    ),
    "mixed orientation": (
        put("PlaneOrientationSequence", ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"]),
        "E_SERIES",
        "differ in orientation",
    ),
    "gap": (
        put("PlanePositionSequence", ImagePositionPatient=["-90", "11", "99"]),
        "E_SLICES|E_POSITION|E_TILT",
        "slice",
    ),
    "curved": (
        put("CTImageFrameTypeSequence", every=True, VolumeBasedCalculationTechnique="CURVED_MPR"),
        "E_POSITION",
        "along a curve",
    ),
    "distorted": (
        put("CTImageFrameTypeSequence", VolumetricProperties="DISTORTED"),
        "E_POSITION",
        "along a curve",
    ),
    "one derived": (
        put("CTImageFrameTypeSequence", FrameType=["DERIVED", "PRIMARY", "CANARY"]),
        "E_SERIES",
        "2 CT series",
    ),
    "indices of another number": (
        put("FrameContentSequence", every=True, DimensionIndexValues=[1, 2]),
        "E_DICOM",
        "dimension indices",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FRAMES)
def test_frames_that_lack_or_contradict_something_are_refused(
    tmp_path: Path, slices: list[Dataset], case: str
) -> None:
    edit, code, word = BROKEN_FRAMES[case]
    file = write_enhanced(tmp_path / "a", as_enhanced(slices, edit=edit, dimensions=[0x00209057]))
    with pytest.raises(InputError, match=word) as caught:
        read_dicom(file)
    assert caught.value.code in code.split("|")
    assert "CANARY" not in str(caught.value)


def setting(**elements: Any) -> Change:
    def change(made: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(made, keyword, value)

    return change


def twice_shared(made: Dataset) -> None:
    made.SharedFunctionalGroupsSequence = [Dataset(), Dataset()]


def contradicted(made: Dataset) -> None:
    shared = Dataset()
    shared.RescaleSlope, shared.RescaleIntercept = "1", "0"
    made.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [shared]


def doubled(made: Dataset) -> None:
    group = made.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    group.append(Dataset(group[0]))


BROKEN_OBJECTS: dict[str, tuple[Change, str, str]] = {
    "more frames": (setting(NumberOfFrames="5"), "E_DICOM", "claims 5 frames and describes 4"),
    "fewer frames": (setting(NumberOfFrames="3"), "E_DICOM", "claims 3 frames and describes 4"),
    "a bomb of frames": (setting(NumberOfFrames="2000000000"), "E_TOO_LARGE", "claims 2000000000 frames"),
    "no frames": (setting(NumberOfFrames="0"), "E_TOO_LARGE", "claims 0 frames"),
    "no groups": (setting(PerFrameFunctionalGroupsSequence=[]), "E_DICOM", "describes 0"),
    "two shared": (twice_shared, "E_DICOM", "2 items of shared functional groups"),
    "contradiction": (contradicted, "E_DICOM", "contradicts the shared one"),
    "two positions": (doubled, "E_DICOM", "frame 2 of 4 has 2 items"),
    "short pixels": (setting(PixelData=bytes(200)), "E_DICOM", "expected 240 bytes, got 200"),
    "long pixels": (setting(PixelData=bytes(300)), "E_DICOM", "expected 240 bytes, got 300"),
    "inverted": (setting(PhotometricInterpretation="MONOCHROME1"), "E_DATATYPE", "one gray value"),
    "color": (setting(SamplesPerPixel=3), "E_DATATYPE", "one gray value"),
    "huge matrix": (setting(Rows=65535, Columns=65535), "E_TOO_LARGE", "too large"),
    "no instance": (setting(SOPInstanceUID=""), "E_DICOM", "no SOPInstanceUID"),
    "a part without number": (setting(ConcatenationUID="1.2"), "E_DICOM", "InConcatenationNumber"),
    "no pixels": (lambda made: made.__delattr__("PixelData"), "E_DICOM", "no readable pixels"),
    "MR": (setting(Modality="MR"), "E_NO_SLICES", "no CT slices"),
    "localizer": (setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "E_NO_SLICES", "no CT slices"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", BROKEN_OBJECTS)
def test_a_broken_object_is_refused_with_its_cause(tmp_path: Path, slices: list[Dataset], case: str) -> None:
    change, code, word = BROKEN_OBJECTS[case]
    made = as_enhanced(slices)
    change(made)
    path = tmp_path / "a"
    made.save_as(path, enforce_file_format=False)
    content = path.read_bytes()
    if content[128:132] != b"DICM":
        made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        made.preamble = bytes(128)
        made.save_as(path, enforce_file_format=False)
    with pytest.raises(InputError, match=word) as caught:
        read_dicom(path)
    assert caught.value.code == code


def test_limits_of_frames_elements_and_bytes_hold(tmp_path: Path, slices: list[Dataset]) -> None:
    file = write_enhanced(tmp_path / "a", as_enhanced(slices))
    for limits, word in (
        (DicomLimits(frames=3), "claims 4 frames, 1 to 3 are read"),
        (DicomLimits(group_elements=9), "more than 9 data elements and items in a sequence"),
        (DicomLimits(multiframe_bytes=1000), r"too large \(\d+ bytes, limit 1000\)"),
    ):
        with pytest.raises(InputError, match=word):
            read_dicom(file, dicom_limits=limits)
    # What holds for a file of one slice does not hold for one of many.
    read_dicom(file, dicom_limits=DicomLimits(file_bytes=file.stat().st_size - 200))
    with pytest.raises(InputError, match="the header has more than 900 bytes"):
        read_dicom(file, dicom_limits=DicomLimits(file_bytes=900))
    with pytest.raises(InputError, match="too large"):
        read_dicom(file, limits=SafetyLimits(voxels=100))


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, JPEGLosslessSV1])
def test_other_syntaxes_are_named_as_such(tmp_path: Path, slices: list[Dataset], syntax: UID) -> None:
    made = as_enhanced(slices)
    if syntax == ExplicitVRBigEndian:
        made.file_meta.TransferSyntaxUID = syntax
        made.save_as(tmp_path / "a", implicit_vr=False, little_endian=False, enforce_file_format=True)
    else:
        made.PixelData = encapsulate([b"1234"] * 4)
        made.file_meta.TransferSyntaxUID = UID(syntax)
        made["PixelData"].is_undefined_length = True
        made.save_as(tmp_path / "a", enforce_file_format=True)
    with pytest.raises(InputError, match=r"\(transfer syntax\).*\[E_SYNTAX"):
        read_dicom(tmp_path / "a")


def refragmented(made: Dataset, *, table: str) -> None:
    """Cut each compressed frame of an object into two fragments, with or without a table of offsets."""
    frames = list(generate_frames(made.PixelData, number_of_frames=4))
    fragments = [part for frame in frames for part in (frame[:20], frame[20:])]
    starts = np.cumsum([0, *(8 + len(part) for part in fragments)])[:-1:2].tolist()
    basic = struct.pack("<4L", *starts) if table in {"basic", "wrong"} else b""
    if table == "wrong":
        basic = struct.pack("<4L", *(start + 2 for start in starts))
    if table == "extended":
        made.ExtendedOffsetTable = struct.pack("<4Q", *starts)
        made.ExtendedOffsetTableLengths = struct.pack("<4Q", *map(len, frames))

    def item(value: bytes) -> bytes:
        return b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value

    made.PixelData = item(basic) + b"".join(map(item, fragments))
    made["PixelData"].is_undefined_length = True


@pytest.mark.parametrize("table", ["basic", "extended", "none", "wrong"])
def test_frames_in_several_fragments_need_a_table(tmp_path: Path, slices: list[Dataset], table: str) -> None:
    made = as_enhanced(slices)
    made.compress(JPEGLSLossless)
    refragmented(made, table=table)
    made.save_as(tmp_path / "a", enforce_file_format=True)
    if table in {"basic", "extended"}:
        equal_to_slices(tmp_path / "a", tmp_path / "series")
        return
    words = {"none": "8 fragments of 4 frames, and no table", "wrong": "does not fit the fragments"}
    with pytest.raises(InputError, match=words[table]):
        read_dicom(tmp_path / "a")


def refusal(path: Path) -> str:
    try:
        read_dicom(path)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_a_cut_or_damaged_file_never_ends_in_anything_but_one_line(
    tmp_path: Path, slices: list[Dataset], syntax: UID
) -> None:
    whole = write_enhanced(tmp_path / "a", as_enhanced(slices, open_lengths=True), syntax)
    content, rng = whole.read_bytes(), np.random.default_rng(11)
    for end in rng.integers(132, len(content), 40).tolist():
        whole.write_bytes(content[:end])
        with pytest.raises(InputError) as caught:
            read_dicom(whole)
        assert len(str(caught.value).splitlines()) == 1
    refused = 0
    for _ in range(80):
        damaged = bytearray(content)
        for place in rng.integers(132, len(content), 3):
            damaged[place] = rng.integers(256)
        whole.write_bytes(damaged)
        head = read_head(whole, Pseudonyms(b"k" * 32), DicomLimits())
        assert "\n" not in head.problem
        line = refusal(whole)
        refused += bool(line)
        assert len(line.splitlines()) <= 1
        assert "CANARY" not in line
    assert refused > 20


def test_nested_sequences_without_end_are_refused(tmp_path: Path, slices: list[Dataset]) -> None:
    file = write_enhanced(tmp_path / "a", as_enhanced(slices, open_lengths=True))
    content = file.read_bytes()
    place = content.index(b"\x20\0\x13\x91SQ")
    nest = (b"\x20\0\x13\x91SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4) * 3000
    file.write_bytes(content[:place] + nest + content[place:])
    with pytest.raises(InputError, match="nested deeper than 16"):
        read_dicom(file)
