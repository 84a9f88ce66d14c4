import os
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.regular_file import combined_digest, open_regular


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(InputError, match=r"pipe: is a pipe or device.*E_NOT_A_FILE"),
        _open(tmp_path / "pipe"),
    ):
        pass


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"), _open(tmp_path):
        pass


def test_a_missing_file_is_named_without_its_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, _open(tmp_path / "venous.nii.gz"):
        pass
    assert str(caught.value) == "venous.nii.gz: no such file [E_MISSING] - check the path"


def test_an_empty_file_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (
        pytest.raises(InputError, match="incomplete or damaged file: it is empty"),
        _open(tmp_path / "empty"),
    ):
        pass


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    with (
        pytest.raises(InputError, match=r"too large \(11 bytes, limit 10\)"),
        open_regular(tmp_path / "big", limit=10),
    ):
        pass


def test_an_impossible_path_is_refused(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(InputError, match="cannot be opened"), _open(tmp_path / name):
            pass


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="may not be read"), _open(tmp_path / "secret"):
        pass


def test_the_digest_of_a_set_of_files_does_not_depend_on_their_order() -> None:
    assert combined_digest(["a", "b"]) == combined_digest(["b", "a"]) != combined_digest(["a", "c"])


def _open(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the context manager under test
    return open_regular(path, limit=1000)
