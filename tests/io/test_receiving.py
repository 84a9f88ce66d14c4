"""What a sender is told of success lies whole in the folder, once, under names that nobody sent."""

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from tests.dicom_exports import as_enhanced, ct_volume, slices_in, write_series
from tests.serving_studies import CANARY, dataset

from lymphct.core.errors import EnvironmentProblemError, HeldError
from lymphct.io import receiving as room
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.kinds import ENHANCED
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.receiving import (
    ANOTHER,
    DONE,
    NO_RESOURCES,
    NOT_UNDERSTOOD,
    Receiver,
    ReceivingSettings,
    receiving,
)

pynetdicom: Any = pytest.importorskip("pynetdicom")
dsutils: Any = pytest.importorskip("pynetdicom.dsutils")

NAMES = Pseudonyms(b"test" + bytes(28))
SETTINGS = ReceivingSettings(port=0, free_bytes=0, seconds=20)
Associate = Callable[..., Any]


@pytest.fixture
def associate() -> Iterator[Associate]:
    """Call a receiver as a sender does; what is still open at the end is aborted."""
    opened = []

    def call(port: int, title: str = "LYMPHCT", storage: str = CTImageStorage) -> Any:
        entity = pynetdicom.AE(ae_title="SENDER")
        entity.add_requested_context(storage, [ExplicitVRLittleEndian])
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", port, ae_title=title)
        opened.append(association)
        return association

    yield call
    for association in opened:
        if association.is_established:
            association.abort()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def stored(folder: Path) -> list[str]:
    return [name for name in files(folder) if not name.startswith(".receiving")]


def sent(association: Any, *slices: Dataset) -> list[int]:
    return [int(association.send_c_store(one).Status) for one in slices]


def test_what_was_confirmed_lies_whole_in_its_place(tmp_path: Path, associate: Associate) -> None:
    slices = [dataset(7, series, number) for series in (1, 2) for number in range(3)]
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        association = associate(port)
        assert int(association.send_c_echo().Status) == DONE
        assert sent(association, *slices) == [DONE] * 6
        assert len(stored(tmp_path)) == 6
        association.release()
    names = stored(tmp_path)
    assert len({name.split("/")[0] for name in names}) == 1
    assert len({name.split("/")[1] for name in names}) == 2
    assert CANARY not in "".join(names)
    assert files(tmp_path) == names
    found = {str(dcmread(tmp_path / name).SOPInstanceUID): dcmread(tmp_path / name) for name in names}
    assert {uid: one.PixelData for uid, one in found.items()} == {
        str(one.SOPInstanceUID): one.PixelData for one in slices
    }
    head = read_head(tmp_path / names[0], NAMES, DicomLimits())
    assert head.tags is not None
    assert names[0].startswith(f"study-{head.tags.study}/series-{head.tags.series}/{head.instance}")


def identity(path: Path) -> tuple[int, int, int]:
    """Return which file it is and when it was written; reading it changes the time of access alone."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def test_sent_again_it_is_kept_once_and_another_content_beside(tmp_path: Path, associate: Associate) -> None:
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        association = associate(port)
        assert sent(association, dataset(7, 1, 0)) == [DONE]
        (name,) = stored(tmp_path)
        before = identity(tmp_path / name)
        assert sent(association, dataset(7, 1, 0)) == [DONE]
        assert identity(tmp_path / name) == before
        other = dataset(7, 1, 0, PixelData=bytes([9]) * 32)
        assert sent(association, other, other) == [DONE, DONE]
        assert stored(tmp_path) == [name.replace(".dcm", "-1.dcm"), name]


def test_what_cannot_be_understood_is_refused(
    tmp_path: Path, associate: Associate, caplog: pytest.LogCaptureFixture
) -> None:
    bare = dataset(7, 1, 0)
    del bare.Modality
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        assert sent(associate(port), bare) == [NOT_UNDERSTOOD]
    assert files(tmp_path) == []
    assert "the DICOM header states no modality" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("instance", "kind", "status"),
    [
        ("1.2.7.1.1", CTImageStorage, DONE),
        ("1.2.9", CTImageStorage, ANOTHER),
        ("1.2.7.1.1", MRImageStorage, ANOTHER),
    ],
)
def test_an_instance_is_what_its_sender_says_it_is(
    tmp_path: Path, instance: str, kind: str, status: int
) -> None:
    (tmp_path / ".receiving").mkdir()
    one = dataset(7, 1, 0)
    request = SimpleNamespace(
        AffectedSOPInstanceUID=instance,
        AffectedSOPClassUID=kind,
        DataSet=BytesIO(dsutils.encode(one, is_implicit_vr=False, is_little_endian=True)),
    )
    meta = dsutils.create_file_meta(
        sop_class_uid=one.SOPClassUID,
        sop_instance_uid=one.SOPInstanceUID,
        transfer_syntax=ExplicitVRLittleEndian,
    )
    event = SimpleNamespace(request=request, file_meta=meta)
    assert Receiver(tmp_path, NAMES, SETTINGS).store(event) == status
    assert len(stored(tmp_path)) == (status == DONE)


def test_only_ct_and_only_by_our_title(tmp_path: Path, associate: Associate) -> None:
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        assert associate(port, title="OTHER").is_rejected
        association = associate(port, storage=MRImageStorage)
        assert [context.abstract_syntax for context in association.accepted_contexts] == ["1.2.840.10008.1.1"]
    assert stored(tmp_path) == []


def test_a_full_disk_and_a_study_too_large_are_told_to_the_sender(
    tmp_path: Path, associate: Associate
) -> None:
    with receiving(tmp_path, NAMES, SETTINGS.model_copy(update={"free_bytes": 1 << 60})) as port:
        assert sent(associate(port), dataset(7, 1, 0)) == [NO_RESOURCES]
    assert files(tmp_path) == []
    with receiving(tmp_path, NAMES, SETTINGS.model_copy(update={"study_files": 2})) as port:
        slices = [dataset(7, 1, number) for number in range(3)]
        assert sent(associate(port), *slices, slices[0]) == [DONE, DONE, NO_RESOURCES, DONE]
        assert sent(associate(port), dataset(8, 1, 0)) == [DONE]


def test_a_write_that_fails_is_no_success(
    tmp_path: Path, associate: Associate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "move", full)
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        assert sent(associate(port), dataset(7, 1, 0)) == [NO_RESOURCES]
        monkeypatch.setattr(room, "read_head", lambda *_: 1 / 0)
        assert sent(associate(port), dataset(7, 1, 1)) == [NOT_UNDERSTOOD]
    assert files(tmp_path) == []


def test_it_is_on_the_disk_before_the_sender_is_told(
    tmp_path: Path, associate: Associate, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noted(name: str, what: Callable[[Path], str]) -> None:
        original = getattr(room, name)

        def call(path: Path, *others: object) -> None:
            original(path, *others)
            order.append(what(path))

        monkeypatch.setattr(room, name, call)

    noted("write_synced", lambda _: "written")
    noted("move", lambda _: "moved")
    noted("sync", lambda path: f"synced {path.name[:6]}")
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        assert sent(associate(port), dataset(7, 1, 0)) == [DONE]
        order.append("told")
    assert order[0] == "written"
    assert order[-3:] == ["moved", "synced series", "told"]


def test_several_senders_at_once_lose_nothing(tmp_path: Path, associate: Associate) -> None:
    statuses: list[int] = []
    with receiving(tmp_path, NAMES, SETTINGS) as port:

        def send(series: int) -> None:
            association = associate(port)
            statuses.extend(sent(association, *(dataset(7, series, number) for number in range(8))))
            association.release()

        threads = [threading.Thread(target=send, args=(series,)) for series in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [DONE] * 32
    assert len(stored(tmp_path)) == 32


def test_a_sender_that_breaks_off_leaves_what_was_confirmed(tmp_path: Path, associate: Associate) -> None:
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        association = associate(port)
        assert sent(association, dataset(7, 1, 0)) == [DONE]
        association.abort()
        assert sent(associate(port), dataset(7, 1, 1)) == [DONE]
    assert len(stored(tmp_path)) == 2


def test_an_instance_beyond_the_limit_is_broken_off(
    tmp_path: Path, associate: Associate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "DicomLimits", lambda: DicomLimits(file_bytes=100_000))
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        association = associate(port)
        large = dataset(7, 1, 0, Rows=1000, Columns=1000, PixelData=bytes(2_000_000))
        status = association.send_c_store(large)
        assert "Status" not in status or status.Status != DONE
        assert sent(associate(port), dataset(7, 1, 1)) == [DONE]  # the others go on
    assert "a sender was broken off: an instance of more than 100000 bytes" in caplog.text
    assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize("kind", sorted(ENHANCED))
def test_enhanced_ct_is_taken_whole_beyond_the_limit_of_a_slice(
    tmp_path: Path, associate: Associate, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    limits = DicomLimits(file_bytes=100_000, multiframe_bytes=1_000_000)
    monkeypatch.setattr(room, "DicomLimits", lambda: limits)
    write_series(tmp_path / "slices", ct_volume())
    one = as_enhanced(slices_in(tmp_path / "slices"))
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = UID(kind)
    one.PixelData += bytes(120_000)  # more than the frames need, which nobody looks at here
    (tmp_path / "inbox").mkdir()
    with receiving(tmp_path / "inbox", NAMES, SETTINGS) as port:
        assert sent(associate(port, storage=kind), one, one) == [DONE, DONE]
    (name,) = stored(tmp_path / "inbox")
    assert dcmread(tmp_path / "inbox" / name).PixelData == one.PixelData


def test_all_senders_together_take_bounded_memory(
    tmp_path: Path, associate: Associate, caplog: pytest.LogCaptureFixture
) -> None:
    tight = SETTINGS.model_copy(update={"memory_bytes": 300_000})
    with receiving(tmp_path, NAMES, tight) as port:
        large = dataset(7, 1, 0, Rows=500, Columns=500, PixelData=bytes(500_000))
        status = associate(port).send_c_store(large)
        assert "Status" not in status or status.Status != DONE
        association = associate(port)
        medium = [dataset(7, 1, n, Rows=250, Columns=500, PixelData=bytes(250_000)) for n in (1, 2, 3)]
        assert sent(association, *medium) == [DONE] * 3  # one after the other they fit
    assert "a sender was broken off: instances under way take more than 300000 bytes" in caplog.text
    assert len(stored(tmp_path)) == 3


def test_noise_on_the_port_disturbs_nobody(tmp_path: Path, associate: Associate) -> None:
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        with socket.create_connection(("127.0.0.1", port)) as noise:
            noise.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        assert sent(associate(port), dataset(7, 1, 0)) == [DONE]


def test_what_a_killed_receiver_left_half_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".receiving").mkdir()
    (tmp_path / ".receiving" / ".0.part").write_bytes(b"half")
    with receiving(tmp_path, NAMES, SETTINGS):
        assert not list((tmp_path / ".receiving").iterdir())
        with pytest.raises(HeldError), receiving(tmp_path, NAMES, SETTINGS):
            pass
    assert files(tmp_path) == []


def test_a_port_that_is_taken_and_a_library_that_is_missing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving(tmp_path, NAMES, SETTINGS) as port:
        (tmp_path / "other").mkdir()
        taken = ReceivingSettings(port=port)
        with (
            pytest.raises(EnvironmentProblemError, match=f"cannot listen on 127.0.0.1, port {port}"),
            receiving(tmp_path / "other", NAMES, taken),
        ):
            pass
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with (
        pytest.raises(EnvironmentProblemError, match=r"not installed .*lymphct\[serve\]"),
        receiving(tmp_path, NAMES, SETTINGS),
    ):
        pass


@pytest.mark.slow
def test_dcmtk_sends_to_it(tmp_path: Path) -> None:
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("dcmtk is not installed")
    (tmp_path / "export").mkdir()
    for number in range(20):
        dataset(7, 1, number).save_as(tmp_path / "export" / str(number), enforce_file_format=True)
    (tmp_path / "inbox").mkdir()
    with receiving(tmp_path / "inbox", NAMES, SETTINGS) as port:
        words = [program, "-aec", "LYMPHCT", "+sd", "127.0.0.1", str(port), str(tmp_path / "export")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(stored(tmp_path / "inbox")) == 20
