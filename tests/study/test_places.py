"""Trainings side by side go to different devices."""

import re
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.study import places
from lymphct.study.places import free_device, named_devices


@pytest.fixture(autouse=True)
def _three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_names_are_split() -> None:
    assert named_devices("cuda:0,cuda:0, cuda:2") == ("cuda:0", "cuda:0", "cuda:2")
    with pytest.raises(UsageError, match="names no device between two commas"):
        named_devices("cuda:0,")


def test_trainings_side_by_side_get_different_devices(tmp_path: Path) -> None:
    names = ("cuda:0", "cuda:1")
    with free_device(tmp_path, names) as first, free_device(tmp_path, names) as second:
        assert (first, second) == names
    with free_device(tmp_path, names) as again:
        assert again == "cuda:0"
    assert list(tmp_path.iterdir()) == []


def test_a_device_named_twice_takes_two(tmp_path: Path) -> None:
    with ExitStack() as held:
        taken = [held.enter_context(free_device(tmp_path, ("cuda:0", "cuda:0"))) for _ in range(2)]
    assert taken == ["cuda:0", "cuda:0"]


def test_whoever_comes_last_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PAUSE", 0.01)
    order = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        with free_device(tmp_path, ("cuda:0", "cuda:1")) as device:
            order.append(device)

    with free_device(tmp_path, ("cuda:0", "cuda:1")):
        with free_device(tmp_path, ("cuda:0", "cuda:1")):
            late = threading.Thread(target=wait)
            late.start()
            begun.wait()
            late.join(timeout=0.2)
            assert late.is_alive()
            order.append("second is done")
        late.join(timeout=10)
    assert order == ["second is done", "cuda:1"]


def test_the_processor_has_room_for_all(tmp_path: Path) -> None:
    with free_device(tmp_path, ("cpu",)) as first, free_device(tmp_path, ("cpu",)) as second:
        assert (first, second) == ("cpu", "cpu")


def test_what_auto_stands_for_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    host = re.sub("[^A-Za-z0-9-]", "_", socket.gethostname())
    with free_device(tmp_path, ("auto",)):
        assert [place.name for place in tmp_path.iterdir()] == [f".device0-{host}-all-auto.lock"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with free_device(tmp_path, ("auto",)):
        assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="device cuda:3 is not there"):
        free_device(tmp_path, ("cuda:0", "cuda:3")).__enter__()
