"""Nothing reaches the network: not a test, not `predict`, not the processes it starts."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests import offline
from tests.offline import ATTEMPTS, LOG_VARIABLE, NetworkUsedError, without_network

from lymphct.io.manifest import Manifest

FAR = ("192.0.2.1", 9)  # kept for documentation, RFC 5737: nobody has it


def connect(to: tuple[str, int], family: socket.AddressFamily = socket.AF_INET) -> None:
    with socket.socket(family) as one:
        one.connect_ex(to)


def datagram(to: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"", to)


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (lambda: socket.create_connection(FAR, timeout=1), "getaddrinfo '192.0.2.1'"),
        (lambda: connect(FAR), "connect ('192.0.2.1', 9)"),
        (lambda: connect(("2001:db8::1", 9), socket.AF_INET6), "connect ('2001:db8::1', 9)"),
        (lambda: datagram(FAR), "sendto ('192.0.2.1', 9)"),
        (lambda: socket.getaddrinfo("a.example", 80), "getaddrinfo 'a.example'"),
        (lambda: socket.gethostbyname("a.example"), "gethostbyname 'a.example'"),
    ],
)
def test_what_would_leave_the_machine_is_refused(attempt: Callable[[], object], told: str) -> None:
    with pytest.raises(NetworkUsedError, match="the network was used: ") as refused:
        attempt()
    assert told in str(refused.value)
    assert [told] == ATTEMPTS
    ATTEMPTS.clear()  # or this very test would fail


def test_a_swallowed_refusal_fails_the_test_all_the_same() -> None:
    with pytest.raises(NetworkUsedError, match=r"connect \('192.0.2.1', 9\); tests run offline"):
        swallowing()


@without_network()
def swallowing() -> None:
    with suppress(Exception):
        connect(FAR)


def test_this_machine_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("127.0.0.1", "localhost"):
            socket.create_connection((name, server.getsockname()[1]), timeout=5).close()
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"a")
        assert other.recv(1) == b"a"


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which every Python process refuses the network and writes down who tried."""
    hook = tmp_path / "hook"
    hook.mkdir()
    text = Path(offline.__file__).read_text("utf-8")
    (hook / "sitecustomize.py").write_text(f"{text}\n\nforbid_network()\n", encoding="utf-8")
    paths = os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": paths,
        LOG_VARIABLE: str(tmp_path / "attempts"),
        "OMP_NUM_THREADS": "1",
    }


def test_the_hook_is_there_in_a_process_of_its_own(tmp_path: Path, watched: dict[str, str]) -> None:
    script = "import socket\ntry: socket.create_connection(('a.example', 80))\nexcept Exception: print('no')"
    done = subprocess.run(
        [sys.executable, "-c", script], env=watched, capture_output=True, text=True, check=True
    )
    assert done.stdout == "no\n"
    assert (tmp_path / "attempts").read_text() == "getaddrinfo 'a.example'\n"


def test_openvino_reports_nothing(tmp_path: Path, watched: dict[str, str]) -> None:
    if find_spec("openvino") is None:  # imported here, it would keep the reporter out already
        pytest.skip("openvino is not installed")
    script = "from lymphct.learning import openvino_backend as o; print(o._library('openvino').__name__)"
    environment = {**watched, "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "openvino\n"
    assert not (tmp_path / "attempts").exists()
    assert not (tmp_path / "home").exists()  # where it keeps the id of the client


def test_predict_asks_nobody_for_anything(tmp_path: Path, watched: dict[str, str], cohort: Manifest) -> None:
    venous = str(cohort.patients[0].venous)
    words = ["predict", "--venous", venous, "--out", str(tmp_path / "r")]
    script = "from lymphct.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=watched, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "report.html").exists()
    assert not (tmp_path / "attempts").exists(), (tmp_path / "attempts").read_text()
