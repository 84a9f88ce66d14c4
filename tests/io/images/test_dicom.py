import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.io.images.dicom.reading import read_dicom, series_geometry
from lymphct.io.images.dicom.series import stack_slices
from lymphct.io.images.limits import AnatomicalLimits, DicomLimits

Maker = Callable[..., Path]
Edit = Callable[[Dataset, int], None]


@pytest.fixture
def small() -> AnyArray:
    return np.random.default_rng(0).integers(-1024, 1000, (6, 5, 4)).astype(np.int16)


def oblique() -> DoubleArray:
    tilt, turn = 0.2, 0.3
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    axes: DoubleArray = about_z @ about_x
    return axes


@pytest.mark.parametrize("axes", [np.eye(3), np.diag([-1.0, -1.0, 1.0]), oblique()])
def test_a_shuffled_series_lies_where_simpleitk_puts_it(
    make_series: Maker, small: AnyArray, axes: DoubleArray
) -> None:
    folder = make_series(small, axes=axes, spacing=(0.68, 0.7, 0.8))
    image = read_dicom(folder)
    assert_array_equal(image.volume.array, small)
    assert_allclose(image.volume.geometry.spacing, (0.68, 0.7, 0.8), rtol=1e-5)
    assert_allclose(image.volume.geometry.direction, axes, atol=1e-6)
    itk = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    assert_array_equal(image.volume.array, SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0))
    places = image.volume.geometry.world((5, 4, 3)), itk.TransformIndexToPhysicalPoint((5, 4, 3))
    assert_allclose(*places, atol=1e-3)
    assert series_geometry(folder) == image.volume.geometry


def test_the_digest_does_not_depend_on_file_names(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    before = read_dicom(folder).digest
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"renamed{99 - number}")
    assert read_dicom(folder).digest == before


def recoded(folder: Path, syntax: UID) -> None:
    for path in folder.iterdir():
        dataset = dcmread(path)
        if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
            new = Dataset(dataset)
            new.file_meta = dataset.file_meta
            dcmwrite(
                path,
                new,
                implicit_vr=syntax == ImplicitVRLittleEndian,
                little_endian=syntax == ImplicitVRLittleEndian,
                enforce_file_format=True,
            )
            continue
        dataset.compress(syntax)
        dataset.save_as(path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless])
def test_every_supported_storage_gives_the_same_values(
    make_series: Maker, small: AnyArray, syntax: UID
) -> None:
    folder = make_series(small)
    recoded(folder, syntax)
    assert_array_equal(read_dicom(folder).volume.array, small)


def test_jpeg_2000_without_loss_gives_the_same_values(make_series: Maker, small: AnyArray) -> None:
    image_module: Any = pytest.importorskip("PIL.Image")

    def compress(dataset: Dataset, _: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<i2").reshape(5, 6).astype(np.uint16)
        packed = BytesIO()
        image_module.fromarray(values).save(packed, "JPEG2000", no_jp2=True, irreversible=False)
        dataset.PixelRepresentation = 0
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = encapsulate([packed.getvalue()])

    assert_array_equal(read_dicom(make_series(small, edit=compress)).volume.array, small)


def test_each_slice_is_rescaled_by_its_own_numbers(make_series: Maker, small: AnyArray) -> None:
    def rescale(dataset: Dataset, k: int) -> None:
        stored = (np.frombuffer(dataset.PixelData, "<i2").astype(int) - 1024 + 100 * k) * 2
        dataset.PixelData = stored.astype("<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", f"{-100 * k}"

    volume = read_dicom(make_series(small, edit=rescale)).volume
    assert volume.array.dtype == np.float32
    assert_allclose(volume.array, small)


@pytest.mark.parametrize("is_signed", [True, False])
def test_padding_outside_the_field_of_view_becomes_air(
    make_series: Maker,
    small: AnyArray,
    is_signed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def pad(dataset: Dataset, _: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<i2").astype(np.int32)
        stored[0] = -2000 if is_signed else 63536
        dataset.PixelRepresentation = int(is_signed)
        dataset.PixelData = stored.astype("<i2" if is_signed else "<u2").tobytes()
        dataset.PixelPaddingValue = int(stored[0])

    expected = small.copy()
    expected[0, 0] = -1024
    assert_array_equal(read_dicom(make_series(small, edit=pad)).volume.array, expected)


def at(k_broken: int, **elements: Any) -> Edit:
    """Change elements of one slice (-1: of all); None removes the element."""

    def edit(dataset: Dataset, k: int) -> None:
        if k_broken in (k, -1):
            for keyword, value in elements.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)

    return edit


def moved(k_broken: int, *offset: float) -> Edit:
    def edit(dataset: Dataset, k: int) -> None:
        if k == k_broken:
            place = np.add([float(v) for v in dataset.ImagePositionPatient], offset)
            dataset.ImagePositionPatient = [f"{v:.6f}" for v in place]

    return edit


def tilted(dataset: Dataset, k: int) -> None:
    moved(k, 0.0, 0.5 * k, 0.0)(dataset, k)


def sagittal(dataset: Dataset, k: int) -> None:
    dataset.ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]
    dataset.ImagePositionPatient = [str(5 * k), "0", "0"]


BROKEN_SERIES: dict[str, tuple[Edit, str, str]] = {
    "uneven": (moved(1, 0.0, 0.0, 0.3), "E_SLICES", "uneven slice spacing: 4.7 to 5.3 mm"),
    "gap": (moved(3, 0.0, 0.0, 10.0), "E_SLICES", r"missing slices: 2 \(a gap of 15 mm"),
    "duplicate": (moved(2, 0.0, 0.0, -5.0), "E_SLICES", "duplicate slices: 1 at the same position"),
    "shifted": (moved(1, 3.0, 0.0, 0.0), "E_POSITION", "shifted sideways by 3 mm"),
    "tilt": (tilted, "E_TILT", "gantry tilt: the slices shift sideways by 5.7 degrees"),
    "sagittal": (sagittal, "E_POSITION", "not axial"),
    "no position": (at(1, ImagePositionPatient=None), "E_POSITION", "no valid position"),
    "short position": (at(1, ImagePositionPatient=["1", "2"]), "E_POSITION", "no valid position"),
    "no orientation": (at(1, ImageOrientationPatient=None), "E_POSITION", "no valid orientation"),
    "skew orientation": (
        at(-1, ImageOrientationPatient=["1", "0", "0", "0.2", "1", "0"]),
        "E_AFFINE",
        "perpendicular",
    ),
    "zero spacing": (at(1, PixelSpacing=["0", "0"]), "E_SPACING", "zero or negative"),
    "no spacing": (at(1, PixelSpacing=None), "E_SPACING", "no valid pixel spacing"),
    "huge spacing": (at(-1, PixelSpacing=["44", "44"]), "E_SPACING", "44 mm lies outside the limits"),
    "mixed spacing": (at(1, PixelSpacing=["4.0", "3.9"]), "E_SERIES", "differ in pixel spacing"),
    "mixed orientation": (
        at(1, ImageOrientationPatient=["-1", "0", "0", "0", "-1", "0"]),
        "E_SERIES",
        "differ in orientation",
    ),
    "mixed matrix": (at(1, Rows=6, Columns=5), "E_SERIES", "differ in matrix"),
    "mixed series": (at(1, SeriesInstanceUID="1.2.3"), "E_SERIES", "holds 2 CT series"),
    "mixed frames": (at(1, FrameOfReferenceUID="1.2.3"), "E_SERIES", "different frames of reference"),
    "one instance twice": (
        at(-1, SOPInstanceUID="1.2.3"),
        "E_SLICES",
        "3 files have the SOPInstanceUID of another and other content",
    ),
    "far away": (at(3, ImagePositionPatient=["-90", "11", "1e308"]), "E_POSITION", r"lies 1e\+308 mm from"),
    "mixed patients": (at(1, PatientID="CANARY-8"), "E_PATIENTS", "different patients"),
    "slope zero": (at(1, RescaleSlope="0"), "E_SCALING", "rescale slope is zero"),
    "no slope": (at(1, RescaleSlope=None), "E_SCALING", "no valid rescale"),
    "no intercept": (at(1, RescaleIntercept=None), "E_SCALING", "no valid rescale"),
    "not HU": (at(1, RescaleType="CANARY"), "E_NOT_HU", "not HU"),
    "color": (at(1, SamplesPerPixel=3), "E_DATATYPE", "one gray value"),
    "inverted": (at(1, PhotometricInterpretation="MONOCHROME1"), "E_DATATYPE", "one gray value"),
    "odd bits": (at(1, BitsAllocated=12), "E_DATATYPE", "one gray value"),
    "no matrix": (at(1, Rows=0), "E_DICOM", "no number of rows"),
    "huge matrix": (at(-1, Rows=65535, Columns=65535), "E_TOO_LARGE", "too large"),
    "wrong matrix": (at(-1, Rows=50), "E_DICOM", "expected 600 bytes, got 60"),
    "frames": (at(1, NumberOfFrames="2000000000"), "E_DICOM", "several frames in a file of single-frame CT"),
    "enhanced": (at(1, SOPClassUID=EnhancedCTImageStorage), "E_DICOM", "claims 1 frames and describes 0"),
    "MR": (at(-1, Modality="MR"), "E_NO_SLICES", r"no CT slices \(4 other files\)"),
    "localizer": (at(-1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "E_NO_SLICES", "no CT slices"),
    "no pixels": (at(1, PixelData=None), "E_DICOM", "no readable pixels"),
}


@pytest.mark.parametrize("case", BROKEN_SERIES)
def test_a_broken_series_is_refused_with_its_cause(make_series: Maker, small: AnyArray, case: str) -> None:
    edit, code, word = BROKEN_SERIES[case]
    with pytest.raises(InputError, match=word) as caught:
        read_dicom(make_series(small, edit=edit))
    assert caught.value.code == code
    message = str(caught.value)
    assert message.startswith("series: ")
    assert "CANARY" not in message
    assert "IM0" not in message
    assert len(message) <= 200


def test_one_slice_is_no_volume(make_series: Maker, small: AnyArray) -> None:
    with pytest.raises(InputError, match="the series has one slice"):
        read_dicom(make_series(small[:, :, :1]))


def rewritten(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    path = sorted(folder.iterdir())[1]
    path.write_bytes(change(path.read_bytes()))
    return folder


def with_element(tag: bytes, kind: bytes, length: int) -> Callable[[bytes], bytes]:
    """Put an element with a false length before the group of the patient."""

    def change(content: bytes) -> bytes:
        place = content.index(b"\x10\x00\x10\x00")
        return content[:place] + tag + kind + b"\0\0" + struct.pack("<I", length) + content[place:]

    return change


def nested(content: bytes) -> bytes:
    place = content.index(b"\x10\x00\x10\x00")
    opening = b"\x09\x00\x01\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return content[:place] + opening * 3000 + content[place:]


def many_elements(content: bytes) -> bytes:
    place = content.index(b"\x10\x00\x10\x00")
    elements = b"".join(struct.pack("<HH2sH", 9, 0x1000 + n, b"US", 2) + b"\0\0" for n in range(6000))
    return content[:place] + elements + content[place:]


BROKEN_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the header": (
        lambda content: content[:400],
        "file 2 by name: .*claims .* bytes where .* are left",
    ),
    "cut in the pixels": (lambda content: content[:-20], "claims 60 bytes where 40 are left"),
    "cut before the modality": (
        lambda content: content[: content.index(b"\x08\x00\x60\x00CS")],
        "states no modality",
    ),
    "cut in the meta group": (lambda content: content[:140], "no transfer syntax"),
    "4 GiB element": (with_element(b"\x09\x00\x01\x10", b"OB", 0xFFFFFFF0), "claims 4294967280 bytes"),
    "deep sequence": (nested, "cannot be parsed"),
    "many elements": (many_elements, "more than 5000 data elements"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_damaged_slice_is_refused_as_such(make_series: Maker, small: AnyArray, case: str) -> None:
    change, word = BROKEN_FILES[case]
    with pytest.raises(InputError, match=word) as caught:
        read_dicom(rewritten(make_series(small), change))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_damaged_compressed_pixels_are_refused(make_series: Maker, syntax: UID) -> None:
    folder = make_series(np.random.default_rng(0).integers(0, 99, (64, 64, 4)).astype(np.int16))
    recoded(folder, syntax)

    def halve(content: bytes) -> bytes:
        dataset = dcmread(BytesIO(content))
        frame = dataset.PixelData[20:]
        dataset.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
        written = BytesIO()
        dataset.save_as(written)
        return written.getvalue()

    with pytest.raises(InputError, match=r"incomplete or damaged file: .*truncated"):
        read_dicom(rewritten(folder, halve))


def test_pixels_that_declare_another_size_are_not_decoded(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    recoded(folder, JPEGLSLossless)

    def enlarge(content: bytes) -> bytes:
        place = content.index(b"\xff\xf7") + 5
        return content[:place] + struct.pack(">HH", 60_000, 60_000) + content[place + 4 :]

    with pytest.raises(InputError, match=r"compressed pixels are \(60000, 60000\)"):
        read_dicom(rewritten(folder, enlarge))


def rle_frame(*planes: bytes) -> bytes:
    starts = 64 + np.cumsum([0, *map(len, planes)])[:-1]
    head = struct.pack("<L", len(planes)) + b"".join(struct.pack("<L", n) for n in starts)
    return head.ljust(64, b"\0") + b"".join(planes)


LITERAL = b"\x1d" + bytes(range(30))
"""Thirty bytes as they are: a slice of 6×5 pixels has so many in each plane."""

SPLICED: dict[str, tuple[list[bytes], str]] = {
    "short plane": ([rle_frame(LITERAL, b"\x1c" + bytes(29))], "29 bytes where 30 belong"),
    "long plane": ([rle_frame(LITERAL, LITERAL + b"\x02abc")], "30 bytes where 30 belong, 4 left over"),
    "run beyond": ([rle_frame(LITERAL, b"\x1c" + bytes(29) + b"\xff\7")], "31 bytes where 30 belong"),
    "cut run": ([rle_frame(LITERAL, b"\xe3")], "0 bytes where 30 belong"),
    "one plane": ([rle_frame(LITERAL)], "1 segments where 2 belong"),
    "outside": ([rle_frame(LITERAL, LITERAL)[:90]], "segments lie outside the frame"),
    "no header": ([b"\2\0\0\0"], "truncated"),
    "two frames": ([rle_frame(LITERAL, LITERAL)] * 2, "2 fragments where one frame is one"),
}


@pytest.mark.parametrize("case", SPLICED)
def test_run_lengths_that_do_not_add_up_are_refused(make_series: Maker, small: AnyArray, case: str) -> None:
    fragments, word = SPLICED[case]

    def splice(dataset: Dataset, _: int) -> None:
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.PixelData = encapsulate(fragments)

    with pytest.raises(InputError, match=f"damaged file: the RLE pixels cannot be decoded.*{word}"):
        read_dicom(make_series(small, edit=splice))


@pytest.mark.parametrize("padding", [b"", b"\0"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_run_lengths_are_decoded_with_or_without_padding(
    make_series: Maker, small: AnyArray, padding: bytes, *, is_signed: bool
) -> None:
    runs = b"\x80" + b"\xe3\x01"  # nothing, then one value thirty times

    def compress(dataset: Dataset, _: int) -> None:
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.PixelRepresentation = int(is_signed)
        dataset.PixelData = encapsulate([rle_frame(runs + padding, LITERAL + padding)])

    values = read_dicom(make_series(small, edit=compress)).volume.array
    expected = np.arange(30, dtype=int).reshape(5, 6).T + 256 - 1024
    assert_array_equal(values[:, :, 0], expected)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_garbage_for_pixels_is_refused(make_series: Maker, small: AnyArray, syntax: UID) -> None:
    def garble(dataset: Dataset, _: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([b"garbage!" * 10])

    with pytest.raises(InputError, match=r"have no header|cannot be decoded"):
        read_dicom(make_series(small, edit=garble))


def test_unsupported_compression_is_named_as_such(make_series: Maker, small: AnyArray) -> None:
    def relabel(dataset: Dataset, _: int) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.PixelData = encapsulate([b"1234"])

    with pytest.raises(InputError, match=r"\(transfer syntax\) is not supported"):
        read_dicom(make_series(small, edit=relabel))


def test_deflated_files_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    meta = Dataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    uid = DeflatedExplicitVRLittleEndian.encode() + b"\0"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\0" * 50_000_000) + packer.flush()
    content = b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid + bomb
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match="deflated DICOM files"):
        read_dicom(tmp_path)


def test_other_objects_in_the_folder_are_skipped_with_a_notice(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    report = dcmread(next(folder.iterdir()))
    report.Modality = "SR"
    report.save_as(folder / "report.dcm")
    (folder / "readme.txt").write_text("hello")
    (folder / "DICOMDIR").write_text("../../etc/passwd")
    (folder / ".DS_Store").write_text("x")
    (folder / "empty.dcm").touch()
    (folder / "copy.dcm").write_bytes(min(folder.glob("IM*")).read_bytes())
    (folder / "film.avi").write_bytes(b"\0" * 2_000_000)
    image = read_dicom(folder, dicom_limits=DicomLimits(file_bytes=1_000_000))
    assert_array_equal(image.volume.array, small)
    notices = [notice for notice in image.notices if notice.code == "files_skipped"]
    assert [notice.value for notice in notices] == [1.0, 1.0, 2.0, 1.0]
    words = ("are copies of others", "are empty", "are not DICOM", "are no CT slices")
    assert [word in notice.text for word, notice in zip(words, notices, strict=True)] == [True] * 4


def test_an_empty_file_where_a_slice_belongs_is_a_gap(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    places = {path: float(dcmread(path).ImagePositionPatient[2]) for path in folder.iterdir()}
    sorted(places, key=lambda path: places[path])[1].write_bytes(b"")
    with pytest.raises(InputError, match="missing slices: 1"):
        read_dicom(folder)


def test_a_slice_larger_than_the_limit_is_refused(make_series: Maker, small: AnyArray) -> None:
    with pytest.raises(InputError, match=r"file 1 by name: the file is too large \(\d+ bytes, limit 500\)"):
        read_dicom(make_series(small), dicom_limits=DicomLimits(file_bytes=500))


def file_id(*parts: str) -> bytes:
    value = "\\".join(parts).encode()
    value += b" " * (len(value) % 2)
    return b"\x04\0\0\x15CS" + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize(
    ("index", "is_noticed"),
    [
        (b"\0" * 128 + b"DICM" + file_id("IMAGES", "IM1") + file_id("..", "..", "etc", "passwd"), True),
        (b"\0" * 128 + b"DICM" + file_id("", "etc", "passwd"), True),
        (b"\0" * 128 + b"DICM" + file_id("C:", "TEMP"), True),
        (b"\0" * 128 + b"DICM" + file_id("IMAGES", "IM..1") + b"../", False),
        (b"../../etc/passwd", True),
        (b"IM0001 IM0002", False),
        (b"", False),
    ],
)
def test_an_index_that_leads_outside_its_folder_is_noticed_and_not_followed(
    make_series: Maker, small: AnyArray, index: bytes, *, is_noticed: bool
) -> None:
    folder = make_series(small)
    (folder / "DICOMDIR").write_bytes(index)
    codes = [notice.code for notice in read_dicom(folder).notices]
    assert codes == (["index_leads_outside"] if is_noticed else [])


def test_an_unknown_character_set_is_noticed(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small, edit=at(1, SpecificCharacterSet=["ISO 2022 IR 100", "ISO_IR 100"]))
    assert read_dicom(folder).notices == ()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    (notice,) = read_dicom(folder).notices
    assert notice.code == "unknown_character_set"
    assert "999" not in notice.text


def test_loss_and_text_in_the_pixels_are_noticed(make_series: Maker, small: AnyArray) -> None:
    edit = at(-1, LossyImageCompression="01", BurnedInAnnotation="YES")
    codes = [notice.code for notice in read_dicom(make_series(small, edit=edit)).notices]
    assert codes == ["lossy_compression", "burned_in_text"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder is empty"):
        read_dicom(tmp_path)
    with pytest.raises(InputError, match="the folder is empty"):
        series_geometry(tmp_path)


def test_too_many_files_are_refused(make_series: Maker, small: AnyArray) -> None:
    with pytest.raises(InputError, match="more than 3 files"):
        read_dicom(make_series(small), dicom_limits=DicomLimits(files=3))


def test_a_pipe_among_the_slices_never_hangs(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError, match="is a pipe or device"):
        read_dicom(folder)


def test_a_folder_that_may_not_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\)"):
        read_dicom(tmp_path)


def test_anatomical_limits_come_before_the_pixels(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small, edit=at(1, PixelData=None))
    with pytest.raises(InputError, match=r"voxels in plane 6"):
        read_dicom(folder, anatomy=AnatomicalLimits())


def test_keys_tell_patients_apart_and_hold_no_id(make_series: Maker, small: AnyArray) -> None:
    one = read_dicom(make_series(small, name="one"))
    other = read_dicom(make_series(small, name="other", edit=at(-1, PatientID="CANARY-8")))
    same = read_dicom(make_series(small, name="same"))
    blank = read_dicom(make_series(small, name="blank", edit=at(-1, PatientID="")))
    assert one.patient_key == same.patient_key != other.patient_key
    assert one.frame_key != same.frame_key
    assert blank.patient_key == ""
    assert "CANARY" not in repr(one)


def test_a_slice_that_changes_during_the_reading_is_refused(
    make_series: Maker, small: AnyArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_series(small)

    def stack_then_change(*arguments: Any) -> Any:
        rewritten(folder, lambda content: content[:-1] + b"\7")
        return stack_slices(*arguments)

    monkeypatch.setattr("lymphct.io.images.dicom.reading.stack_slices", stack_then_change)
    with pytest.raises(InputError, match="changed while it was being read"):
        read_dicom(folder)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_numbers_that_are_none_are_damage(make_series: Maker, small: AnyArray, keyword: str) -> None:
    folder = make_series(small, edit=at(1, **{keyword: [1, 2]}))
    with pytest.raises(InputError, match=f"the DICOM element {keyword} is no whole number"):
        read_dicom(folder)


def test_text_where_a_number_belongs_is_refused_and_never_quoted(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small, edit=at(1, RescaleSlope="123456"))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"123456", b"CANARY"))
    with pytest.raises(InputError, match=r"no valid rescale to HU \(RescaleSlope\)") as caught:
        read_dicom(folder)
    assert "CANARY" not in str(caught.value)


def test_an_element_of_impossible_length_is_damage(make_series: Maker, small: AnyArray) -> None:
    def odd_rows(content: bytes) -> bytes:
        return content.replace(b"\x28\0\x10\0US\2\0\5\0", b"\x28\0\x10\0US\3\0\5\0\0")

    with pytest.raises(InputError, match="the DICOM element Rows cannot be read") as caught:
        read_dicom(rewritten(make_series(small), odd_rows))
    # What pydicom said may quote tags: not even a traceback shows it.
    assert caught.value.__suppress_context__


def line_of_refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def test_random_damage_never_ends_in_anything_but_one_line(make_series: Maker, small: AnyArray) -> None:
    folder = make_series(small)
    path = sorted(folder.iterdir())[2]
    content = path.read_bytes()
    rng = np.random.default_rng(11)
    lines = []
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(132, len(content), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(200, 2 * len(content))])
        lines.append(line_of_refusal(lambda: read_dicom(folder)))
    assert sum(bool(line) for line in lines) > 20
    assert all(len(line.splitlines()) <= 1 and "CANARY" not in line for line in lines)
