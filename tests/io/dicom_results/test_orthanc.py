"""A real PACS takes the objects and gives them back as they were: Orthanc with DICOMweb, on loopback."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from tests.dicom_exports import CANARY, ct_volume, some_nodes, write_made_result, write_series

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc")
STORESCU = shutil.which("storescu")
AE_TITLE = "ORTHANC"
SECONDS = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ORTHANC is None or STORESCU is None or not PLUGIN.exists(),
        reason="orthanc, orthanc-dicomweb or dcmtk is not installed",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Yield the address of the DICOMweb service and the port of the DICOM one."""
    web, port = free_port(), free_port()
    settings = {
        "StorageDirectory": str(tmp_path / "pacs"),
        "IndexDirectory": str(tmp_path / "pacs"),
        "HttpPort": web,
        "DicomPort": port,
        "DicomAet": AE_TITLE,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([str(ORTHANC), str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{web}/system", server)
        yield f"http://127.0.0.1:{web}/dicom-web", port
    finally:
        server.terminate()
        server.wait(SECONDS)


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - loopback
            return
        time.sleep(0.2)
    pytest.fail("Orthanc does not answer")


def asked(address: str, body: bytes | None = None, **headers: str) -> tuple[bytes, str]:
    """Return the content of an answer and its type."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, data=body, headers=named)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - the same
        return answer.read(), answer.headers["Content-Type"]


def stow(service: str, files: list[Path]) -> None:
    parts = [
        b"--PART\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n" for path in files
    ]
    kind = 'multipart/related; type="application/dicom"; boundary=PART'
    content, _ = asked(
        f"{service}/studies",
        b"".join(parts) + b"--PART--",
        Content_Type=kind,
        Accept="application/dicom+json",
    )
    stored = json.loads(content)
    assert stored.get("00081198", {}).get("Value", []) == []  # FailedSOPSequence
    assert len(stored["00081199"]["Value"]) == len(files)  # ReferencedSOPSequence


def qido(service: str) -> dict[str, tuple[str, str]]:
    """Return modality and patient of each series the PACS lists, by its identifier."""
    content, _ = asked(f"{service}/series?includefield=00100020", Accept="application/dicom+json")
    return {
        found["0020000E"]["Value"][0]: (found["00080060"]["Value"][0], found["00100020"]["Value"][0])
        for found in json.loads(content)
    }


def wado(service: str, of: Dataset) -> Dataset:
    """Fetch an instance back."""
    place = (
        f"{service}/studies/{of.StudyInstanceUID}/series/{of.SeriesInstanceUID}/instances/{of.SOPInstanceUID}"
    )
    content, kind = asked(place, Accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    _, part = message.walk()
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return dcmread(BytesIO(payload))


def test_a_pacs_takes_lists_and_returns_every_object_by_both_ways(
    pacs: tuple[str, int],
    tmp_path: Path,
    objects_of: Callable[[Path, Path, Path], dict[str, Path]],
) -> None:
    service, port = pacs
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 3))
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    assert len(made) == 5

    stow(service, [*sorted((tmp_path / "ct").iterdir()), *made.values()])
    sent = {name: dcmread(path) for name, path in made.items()}
    listed = qido(service)
    assert len(listed) == 1 + len(made)
    for name, found in sent.items():
        assert listed[found.SeriesInstanceUID] == (found.Modality, f"{CANARY}-7"), name
        assert wado(service, found) == found, name

    # The second client sends what the first one sent: the PACS knows each object again and keeps it. Label
    # maps are of 2024, and dcmtk may be older.
    known = [path for name, path in made.items() if name not in {"structures", "tumor"}]
    command = [str(STORESCU), "-R", "-aec", AE_TITLE, "127.0.0.1", str(port), *map(str, known)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(qido(service)) == 1 + len(made)
    for name, found in sent.items():
        assert wado(service, found) == found, name
