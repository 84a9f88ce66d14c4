"""Could results be written? Nothing is made by asking."""

import os
from pathlib import Path

import pytest

from lymphct.core.errors import EnvironmentProblemError, OutputInUseError
from lymphct.io.results.locks import holder_of
from lymphct.io.results.store import committed_folder, locked
from lymphct.io.results.usable import existing_folder, free_space, require_usable, require_usable_result


def test_a_folder_that_can_be_made_is_usable_and_is_not_made(tmp_path: Path) -> None:
    require_usable(tmp_path / "a" / "b" / "out")
    require_usable_result(tmp_path / "a" / "b" / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputInUseError, match="a file stands where the output folder belongs"):
        require_usable(tmp_path / "out")


def test_a_file_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblemError, match=r"a part of the path is a file.*E_PATH"):
        require_usable(tmp_path / "file" / "out")


def test_a_place_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)
    with pytest.raises(EnvironmentProblemError, match=r"out: no permission to write to .*E_PERMISSION"):
        require_usable(tmp_path / "out")


def test_a_folder_another_process_holds_is_refused_with_its_number(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert holder_of(out) == ""
    with locked(out):
        assert holder_of(out).startswith(f"pid {os.getpid()} on host ")
        with pytest.raises(OutputInUseError, match=f"out: in use by pid {os.getpid()}"):
            require_usable(out)
    assert holder_of(out) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_nobody_holds_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".out.lock").touch()
    require_usable(tmp_path / "out")


def test_a_result_of_ours_may_be_replaced_and_anything_else_not(tmp_path: Path) -> None:
    with committed_folder(tmp_path / "ours", {"a": 1}) as staging:
        (staging / "result.json").touch()
    require_usable_result(tmp_path / "ours")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").touch()
    with pytest.raises(OutputInUseError, match=r"other: the folder is not empty and holds no DONE\.json"):
        require_usable_result(tmp_path / "other")


def test_free_space_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    assert existing_folder(tmp_path / "a" / "b") == tmp_path
    assert free_space(tmp_path / "a" / "b") > 0
