"""A checkpoint and a line per epoch; an interrupted training finds its last state."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lymphct.core.errors import UsageError
from lymphct.learning.training import EpochRecord, TrainingState
from lymphct.study.keeping import Checkpoints, Sparing


def record(epoch: int, value: float, score: float | None = None) -> EpochRecord:
    tensors = {"network/weight": torch.full((2, 3), value), "optimizer/0/step": torch.tensor(epoch)}
    meta = {"best_score": score, "average_score": score}
    return EpochRecord(epoch, 0.25, score, 0.125, 1.23456, TrainingState(epoch, tensors, meta))


def test_a_new_folder_has_no_state_and_is_not_made_before_the_first_epoch(tmp_path: Path) -> None:
    for resume in (False, True):
        keep = Checkpoints.open(tmp_path / "stages" / "tumor", resume=resume)
        assert keep.last() is None
    assert not (tmp_path / "stages").exists()


def test_a_state_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    keep = Checkpoints.open(tmp_path / "tumor", resume=False)
    keep.add(record(1, 0.1), 4)
    keep.add(replace(record(2, 0.2, score=0.75), skipped=3, rejected_share=0.125), 4)
    state = Checkpoints.open(tmp_path / "tumor", resume=True).last()
    assert state is not None
    assert state.epoch == 2
    assert state.meta == {"best_score": 0.75, "average_score": 0.75}
    kept = record(2, 0.2).state.tensors
    assert set(state.tensors) == set(kept)
    for name, tensor in kept.items():
        assert torch.equal(state.tensors[name], tensor)
        assert state.tensors[name].dtype == tensor.dtype


def test_a_state_without_a_score_comes_back_without_one(tmp_path: Path) -> None:
    Checkpoints.open(tmp_path / "tumor", resume=False).add(record(1, 0.1), 1)
    state = Checkpoints.open(tmp_path / "tumor", resume=True).last()
    assert state is not None
    assert state.meta == {"best_score": None, "average_score": None}


def test_what_was_begun_is_not_begun_again_unasked(tmp_path: Path) -> None:
    Checkpoints.open(tmp_path / "tumor", resume=False).add(record(1, 0.1), 4)
    with pytest.raises(UsageError, match=r"stage tumor was begun here before \[E_BEGUN\]") as caught:
        Checkpoints.open(tmp_path / "tumor", resume=False)
    assert caught.value.cure == "add --resume, or choose another --out"
    assert Checkpoints.open(tmp_path / "nodes", resume=False).last() is None


def test_each_epoch_writes_a_line_after_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Checkpoints.open(tmp_path / "tumor", resume=False)
    keep.add(record(1, 0.1), 4)
    keep.add(replace(record(2, 0.2, score=0.75), skipped=3, rejected_share=0.125), 4)
    lines = [json.loads(line) for line in (tmp_path / "tumor" / "log.jsonl").read_text().splitlines()]
    first = {"epoch": 1, "epochs": 4, "loss": 0.25, "score": None, "learning_rate": 0.125, "seconds": 1.23}
    first |= {"skipped": 0, "rejected_share": None}
    assert lines == [first, first | {"epoch": 2, "score": 0.75, "skipped": 3, "rejected_share": 0.125}]

    def refuse(*_: object) -> None:
        msg = "no space"
        raise OSError(msg)

    # A line says that the state is safe: without the checkpoint there is none.
    monkeypatch.setattr("lymphct.study.keeping.save_checkpoint", refuse)
    with pytest.raises(OSError, match="no space"):
        keep.add(record(3, 0.3), 4)
    assert len((tmp_path / "tumor" / "log.jsonl").read_text().splitlines()) == 2


def test_a_state_that_was_opened_is_the_one_to_go_on_from_whatever_is_added(tmp_path: Path) -> None:
    Checkpoints.open(tmp_path / "tumor", resume=False).add(record(1, 0.1), 4)
    keep = Checkpoints.open(tmp_path / "tumor", resume=True)
    keep.add(record(2, 0.2), 4)
    state = keep.last()
    assert state is not None
    assert state.epoch == 1
    again = Checkpoints.open(tmp_path / "tumor", resume=True).last()
    assert again is not None
    assert again.epoch == 2


def test_a_state_is_kept_once_the_last_one_is_old_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("lymphct.study.keeping.time.monotonic", lambda: now[0])
    keep = Sparing(Checkpoints(tmp_path / "judge"), every=30.0, began=100.0)
    for epoch, seconds in ((1, 110.0), (2, 130.0), (3, 159.0)):
        now[0] = seconds
        keep.add(record(epoch, 0.1 * epoch), 4)
    state = Checkpoints.open(tmp_path / "judge", resume=True).last()
    assert state is not None
    assert state.epoch == 2  # 29 s later the third one is not worth it
    now[0] = 160.0
    keep.add(record(4, 0.4), 4)
    state = Checkpoints.open(tmp_path / "judge", resume=True).last()
    assert state is not None
    assert state.epoch == 4
