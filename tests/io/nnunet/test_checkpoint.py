import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.core.errors import EnvironmentProblemError, ModelError
from lymphct.io.nnunet import checkpoint as opening
from lymphct.io.nnunet.checkpoint import read_checkpoint

Made = Callable[..., Any]


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def test_weights_come_back_as_they_were_with_numpy_numbers_beside_them(results: Made) -> None:
    folder, network = results()
    found = read_checkpoint(folder / "fold_0" / "checkpoint_final.pth")
    expected = network.state_dict()
    assert set(found.tensors) == set(expected)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.items())
    assert found.facts == {"configuration": "3d_fullres", "fold": 0, "trainer": "nnUNetTrainer", "epoch": 2}
    assert len(found.digest) == 64


@pytest.mark.parametrize("place", ["network_weights", "logging", "top"])
def test_a_checkpoint_that_would_run_code_is_refused_and_has_no_effect(tmp_path: Path, place: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "checkpoint_final.pth"
    payload = Payload(os.system, f"touch {victim}")
    content: Any = {"network_weights": {"a": torch.ones(1)}, "logging": {}}
    if place == "top":
        content = payload
    else:
        content[place] = {"x": payload}
    torch.save(content, path)  # noqa: TID251 - as an attacker does
    torch.load(path, weights_only=False)  # noqa: TID251 - the payload works where nobody guards
    assert victim.exists()
    victim.unlink()
    with pytest.raises(ModelError, match=r"posix.system, which is neither a tensor nor a number") as caught:
        read_checkpoint(path)
    assert (caught.value.code, caught.value.exit_code) == ("E_UNSAFE", 7)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00trueq\x00\x85R.", "no archive as torch writes them"),
        (b"hello", "no archive as torch writes them"),
    ],
    ids=["bare pickle", "text"],
)
def test_what_is_no_archive_of_torch_is_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=cause) as caught:
        read_checkpoint(path)
    assert caught.value.code == "E_UNSAFE"


def test_an_archive_that_unpacks_to_more_than_any_network_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"x")
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02") + 24  # the size that the directory claims
    raw[at : at + 4] = (0xFFFFFFFE).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "E_UNSAFE"


def test_a_checkpoint_without_weights_and_one_with_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    torch.save({"state_dict": {}}, path)  # noqa: TID251 - another tool's
    with pytest.raises(ModelError, match="no network_weights"):
        read_checkpoint(path)
    torch.save({"network_weights": {"a": 1.0}}, path)  # noqa: TID251 - the same
    with pytest.raises(ModelError, match="other things than tensors"):
        read_checkpoint(path)


def test_values_that_are_not_finite_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    with pytest.raises(ModelError, match="no such file"):
        read_checkpoint(path)
    torch.save({"network_weights": {"a": torch.tensor([float("nan")])}}, path)  # noqa: TID251 - as nnU-Net
    with pytest.raises(ModelError, match="not finite"):
        read_checkpoint(path)


def _in_child(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a process that has locked itself in as the child does."""
    script = Path(opening.__file__).with_name("unpickling.py")
    start = (
        f"import importlib.util, pathlib; "
        f"s = importlib.util.spec_from_file_location('u', {str(script)!r}); "
        f"u = importlib.util.module_from_spec(s); "
        f"s.loader.exec_module(u); u._lock_in(pathlib.Path({str(tmp_path / 'out')!r}))\n"
    )
    return subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.socket()",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork()",
        "open({victim!r}, 'w')",
        "import os; os.open({victim!r}, os.O_CREAT | os.O_WRONLY)",
        "import os; os.remove({kept!r})",
        "import os; os.rename({kept!r}, {victim!r})",
    ],
)
def test_the_child_can_reach_no_network_start_nothing_and_write_nowhere_else(
    tmp_path: Path, code: str
) -> None:
    victim, kept = tmp_path / "victim", tmp_path / "kept"
    kept.write_text("kept", encoding="utf-8")
    done = _in_child(tmp_path, code.format(victim=str(victim), kept=str(kept)))
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
    assert "forbidden here" in done.stderr
    assert not victim.exists()
    assert kept.read_text(encoding="utf-8") == "kept"


def test_the_child_may_write_its_one_file(tmp_path: Path) -> None:
    done = _in_child(tmp_path, f"open({str(tmp_path / 'out')!r}, 'w').write('x')")
    assert (done.returncode, (tmp_path / "out").read_text(encoding="utf-8")) == (0, "x")


def test_an_old_torch_opens_no_foreign_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(opening.__file__).with_name("unpickling.py").read_text(encoding="utf-8")
    aged = tmp_path / "unpickling.py"
    aged.write_text(script.replace("import torch  #", "import torch; torch.__version__ = '2.9.1+cpu'  #"))
    monkeypatch.setattr(opening, "_CHILD", aged)
    path = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": {"a": torch.ones(1)}}, path)  # noqa: TID251 - as nnU-Net does
    with pytest.raises(
        EnvironmentProblemError, match=r"torch 2.9.1\+cpu is too old .*CVE-2026-24747"
    ) as caught:
        read_checkpoint(path)
    assert caught.value.code == "E_TORCH"


def test_a_child_that_is_killed_is_an_error_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed.py"
    killed.write_text("import os; os._exit(9)", encoding="utf-8")
    monkeypatch.setattr(opening, "_CHILD", killed)
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(b"x")
    with pytest.raises(EnvironmentProblemError, match="ended with code 9"):
        read_checkpoint(path)
