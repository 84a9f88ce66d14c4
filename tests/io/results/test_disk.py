"""Bounded reading, synced writing, refusals of the machine."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from lymphct.core.errors import EnvironmentProblemError, InputError, OutputInUseError
from lymphct.io.results.disk import check_writable_file, environment_errors, read_bounded, replace_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EDQUOT, "no space left in the quota"),
        (errno.EFBIG, "no space: the file is larger than allowed"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "the disk is read-only"),
        (errno.ENOMEM, "out of memory"),
        (errno.EMFILE, "too many open files"),
        (errno.ENOLCK, "offers no locks"),
        (errno.ENOTDIR, "is a file, not a folder"),
        (errno.ENAMETOOLONG, "the path is too long"),
    ],
)
def test_a_refusal_of_the_machine_becomes_one_line_with_exit_code_6(number: int, words: str) -> None:
    with pytest.raises(EnvironmentProblemError, match=words) as caught, environment_errors():
        raise OSError(number, os.strerror(number), "/somewhere/private/out.nii.gz")
    assert caught.value.exit_code == 6
    assert caught.value.file == "out.nii.gz"
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
    ],
)
def test_lack_of_memory_is_recognised_in_each_of_its_forms(error: Exception) -> None:
    with pytest.raises(EnvironmentProblemError, match="out of memory"), environment_errors():
        raise error


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no"), RuntimeError("a bug"), KeyError("a")]
)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, environment_errors():
        raise error
    assert caught.value is error


def test_a_full_device_is_exit_code_6() -> None:
    with (
        pytest.raises(EnvironmentProblemError, match="no space left on the disk"),
        environment_errors(),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe"):
        read_bounded(tmp_path / "pipe", 10)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="limit 10"):
        read_bounded(tmp_path / "large", 10)
    assert read_bounded(tmp_path / "large", 11) == b"x" * 11


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "summary.json"
    replace_file(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        with pytest.raises(EnvironmentProblemError, match="no space"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["summary.json"]
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_an_output_file_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable_file(tmp_path / "new" / "folder" / "a.nii.gz")
    assert names(tmp_path) == []
    with pytest.raises(OutputInUseError, match="not a file"):
        check_writable_file(tmp_path)
    (tmp_path / "file").touch()
    check_writable_file(tmp_path / "file")
    with pytest.raises(EnvironmentProblemError, match="is a file, not a folder"):
        check_writable_file(tmp_path / "file" / "a.nii.gz")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(EnvironmentProblemError, match="no permission"):
        check_writable_file(tmp_path / "a.nii.gz")


def test_without_a_folder_for_temporary_files_it_is_exit_code_6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])
    with pytest.raises(EnvironmentProblemError, match=r"\[E_TEMPORARY\] - set TMPDIR"), environment_errors():
        tempfile.mkdtemp()
