"""Checkpoints that survive damage."""

import errno
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.io.models.checkpoints import load_checkpoint, save_checkpoint
from lymphct.io.results.jsonfile import JSON

torch.set_num_threads(1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(folder: Path, epoch: int) -> None:
    tensors = {"network/weight": torch.full((2, 3), float(epoch)), "rng/torch": torch.get_rng_state()}
    save_checkpoint(folder, tensors, {"epoch": epoch, "best": 0.5, "rng": {"state": 2**100}})


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    values = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    meta: dict[str, JSON] = {"epoch": 3, "rng": {"state": 2**100}, "learning_rate": 0.1 + 0.2, "best": None}
    save_checkpoint(tmp_path / "run", {"a": values, "rng": state, "best/a": values}, meta)
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded is not None
    tensors, read = loaded
    assert read == meta
    assert torch.equal(tensors["a"], values)
    assert torch.equal(tensors["best/a"], values)
    assert torch.equal(tensors["rng"], state)
    assert names(tmp_path / "run" / "epoch-000003") == ["DONE.json", "state.json", "tensors.safetensors"]


def test_a_checkpoint_written_twice_has_the_same_bytes(tmp_path: Path) -> None:
    tensors = {f"network/{n}": torch.full((2, 3), float(n)) for n in range(40)}
    tensors |= {
        "optimizer/0/step": torch.tensor(3.0),
        "half": torch.ones(3).half(),
        "flag": torch.tensor([True]),
    }
    meta: dict[str, JSON] = {"epoch": 3, "best": 0.1 + 0.2, "average": None}
    save_checkpoint(tmp_path / "once", tensors, meta)
    # In another order, with views of other memory, and once more over itself.
    backwards = {
        name: tensors[name].t().contiguous().t() for name in reversed(tensors) if tensors[name].ndim < 3
    }
    for _ in range(2):
        save_checkpoint(tmp_path / "twice", backwards, dict(reversed(meta.items())))
    loaded = load_checkpoint(tmp_path / "once")
    assert loaded is not None
    save_checkpoint(tmp_path / "resumed", *loaded)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / run / "epoch-000003").iterdir()}
        for run in ("once", "twice", "resumed")
    ]
    assert contents[0] == contents[1] == contents[2]
    assert names(tmp_path / "twice") == ["epoch-000003"]


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for epoch in range(4):
        save(tmp_path, epoch)
    assert names(tmp_path) == ["epoch-000002", "epoch-000003"]


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "nowhere") is None
    (tmp_path / "epoch-old").mkdir()
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "DONE.json").unlink(),
        lambda folder: (folder / "tensors.safetensors").write_bytes(b""),
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: _flip_last_byte(folder / "tensors.safetensors"),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_can_be_saved_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    save(tmp_path, 6)
    save(tmp_path, 7)
    assert callable(damage)
    damage(tmp_path / "epoch-000007")
    with caplog.at_level(logging.WARNING):
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1]["epoch"] == 6
    assert "checkpoint epoch-000007 is passed over" in caplog.text
    save(tmp_path, 7)
    again = load_checkpoint(tmp_path)
    assert again is not None
    assert float(again[0]["network/weight"][0, 0]) == 7.0


def _flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "content"), [("state.json", "[1]"), ("tensors.safetensors", "no tensors"), ("state.json", "{")]
)
def test_a_whole_folder_with_foreign_content_is_passed_over(tmp_path: Path, name: str, content: str) -> None:
    from lymphct.io.results.store import committed_folder  # noqa: PLC0415 - only this test forges a checkpoint

    save(tmp_path, 1)
    with committed_folder(tmp_path / "epoch-000002", {"epoch": 2}) as staging:
        for file in ("state.json", "tensors.safetensors"):
            shutil.copyfile(tmp_path / "epoch-000001" / file, staging / file)
        (staging / name).write_text(content)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1]["epoch"] == 1


def test_all_damaged_is_none_with_a_line_for_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    for folder in tmp_path.iterdir():
        (folder / "tensors.safetensors").unlink()
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(tmp_path) is None
    assert caplog.text.count("is passed over") == 2


def test_resuming_from_an_older_epoch_drops_the_later_ones(tmp_path: Path) -> None:
    save(tmp_path, 6)
    save(tmp_path, 7)
    (tmp_path / "epoch-000007" / "DONE.json").unlink()
    shutil.copytree(tmp_path / "epoch-000007", tmp_path / "epoch-000009")
    save(tmp_path, 7)
    assert names(tmp_path) == ["epoch-000006", "epoch-000007"]


def test_a_full_disk_keeps_the_checkpoints_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(EnvironmentProblemError, match="no space"):
            save(tmp_path, 2)
    assert names(tmp_path) == ["epoch-000001"]
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1]["epoch"] == 1


@pytest.mark.parametrize("epoch", [None, -1, True, 1.0])
def test_a_checkpoint_without_its_epoch_is_refused(tmp_path: Path, epoch: JSON) -> None:
    with pytest.raises(UsageError, match="needs the number of its epoch"):
        save_checkpoint(tmp_path, {}, {"epoch": epoch})


def test_a_number_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(tmp_path, {}, {"epoch": 1, "loss": float("nan")})
    assert names(tmp_path) == []
