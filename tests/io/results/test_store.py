"""A result folder appears whole or not at all."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.killed import STEPS, killed_at

from lymphct.core.errors import EnvironmentProblemError, InputError, OutputInUseError, UsageError
from lymphct.io.results.fingerprints import fingerprint
from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.io.results.store import clean_leftovers, clean_stale_staging, committed_folder, is_current

OLD = fingerprint({"venous": "1"}, {"step": 0.5}, "code")
NEW = fingerprint({"venous": "2"}, {"step": 0.5}, "code")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_result(target: Path, made_from: dict[str, JSON], text: str) -> None:
    with committed_folder(target, made_from) as staging:
        (staging / "seg").mkdir()
        (staging / "seg" / "nodes.txt").write_text(text)
        (staging / "result.json").write_text(text * 2)


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refuse_call(patch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Make the call number `at` of those that change the disk fail as on a full disk; return the calls."""
    calls: list[str] = []

    def wrap(name: str, original: Callable[..., object]) -> None:
        def call(*args: object, **kwargs: object) -> object:
            calls.append(name)
            if len(calls) == at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **kwargs)

        patch.setattr(os, name, call)

    for step in STEPS:
        wrap(step, getattr(os, step))
    return calls


def run_killed_at(at: int, target: Path, made_from: dict[str, JSON], text: str) -> bool:
    """Write a result in a child process that kills itself at call number `at`; return whether it did."""
    return killed_at(at, lambda: write_result(target, made_from, text))


def test_a_result_appears_whole_with_its_fingerprint_and_digests(tmp_path: Path) -> None:
    target = tmp_path / "made" / "for it" / "case7"
    with committed_folder(target, NEW) as staging:
        assert staging.parent == target.parent
        assert staging.name == f".case7.staging-{os.getpid()}"
        (staging / "result.json").write_bytes(b"abc")
        assert not target.exists()
    done = read_json(target / "DONE.json")
    assert isinstance(done, dict)
    assert done["fingerprint"] == NEW
    assert done["outputs"] == {"result.json": {"sha256": hashlib.sha256(b"abc").hexdigest(), "size": 3}}
    assert names(target.parent) == ["case7"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), InputError("bad")])
def test_an_error_inside_the_block_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    def fail(staging: Path) -> None:
        (staging / "seg").mkdir()
        (staging / "seg" / "half.nii.gz").touch()
        raise error

    with pytest.raises(type(error)), committed_folder(tmp_path / "a" / "b" / "case7", NEW) as staging:
        fail(staging)
    assert names(tmp_path) == []


def test_an_error_inside_the_block_keeps_the_older_result(tmp_path: Path) -> None:
    write_result(tmp_path / "case7", OLD, "old")
    before = contents(tmp_path)
    message = "bad"
    with pytest.raises(InputError, match="bad"), committed_folder(tmp_path / "case7", NEW):
        raise InputError(message)
    assert contents(tmp_path) == before


def test_writing_the_same_result_again_gives_identical_bytes(tmp_path: Path) -> None:
    write_result(tmp_path / "a", NEW, "text")
    write_result(tmp_path / "b", OLD, "other")
    write_result(tmp_path / "b", NEW, "text")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert names(tmp_path) == ["a", "b"]


def test_a_result_is_current_until_fingerprint_or_outputs_change(tmp_path: Path) -> None:
    target = tmp_path / "case7"
    assert not is_current(target)
    with_tuple: dict[str, JSON] = {"spacing": (0.68, 0.68, 0.8)}  # type: ignore[dict-item] # as settings dump it
    with committed_folder(target, with_tuple) as staging:
        (staging / "nodes.csv").write_text("12345")
    assert is_current(target)
    assert is_current(target, with_tuple, verify=True)
    assert not is_current(target, {"spacing": [0.68, 0.68, 0.9]})
    (target / "nodes.csv").write_text("54321")
    assert is_current(target, with_tuple)
    assert not is_current(target, with_tuple, verify=True)
    (target / "nodes.csv").write_text("123456")
    assert not is_current(target, with_tuple)
    (target / "nodes.csv").unlink()
    assert not is_current(target, with_tuple)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "fingerprint": {}, "outputs": []}']
)
def test_a_damaged_record_is_no_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "DONE.json").write_text(text)
    assert not is_current(tmp_path)


def test_what_is_not_ours_is_neither_overwritten_nor_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").touch()
    write_result(tmp_path / "case7", OLD, "old")
    (tmp_path / "case7" / "my notes.txt").write_text("added by hand")
    before = contents(tmp_path)
    with pytest.raises(
        OutputInUseError, match=r"thesis: the folder is not empty and holds no DONE\.json"
    ) as caught:
        write_result(tmp_path / "thesis", NEW, "new")
    assert caught.value.exit_code == 5
    with pytest.raises(OutputInUseError, match="file: a file stands where the output folder belongs"):
        write_result(tmp_path / "file", NEW, "new")
    with pytest.raises(OutputInUseError, match=r"files that are not ours, such as my notes\.txt"):
        write_result(tmp_path / "case7", NEW, "new")
    assert contents(tmp_path) == before


def test_a_file_that_appears_during_the_work_is_not_overwritten(tmp_path: Path) -> None:
    def put_a_file_there() -> None:
        (tmp_path / "case7").mkdir()
        (tmp_path / "case7" / "mine.txt").write_text("mine")

    with pytest.raises(OutputInUseError, match="not empty"), committed_folder(tmp_path / "case7", NEW):
        put_a_file_there()
    assert contents(tmp_path).keys() == {"case7/mine.txt"}


def test_an_empty_folder_and_what_a_file_browser_left_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "case7").mkdir()
    write_result(tmp_path / "case7", OLD, "old")
    (tmp_path / "case7" / ".DS_Store").touch()
    write_result(tmp_path / "case7", NEW, "new")
    assert is_current(tmp_path / "case7", NEW, verify=True)
    assert names(tmp_path) == ["case7"]


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "case7").symlink_to(tmp_path / "disk")
    write_result(tmp_path / "case7", NEW, "new")
    assert (tmp_path / "case7").is_symlink()
    assert is_current(tmp_path / "disk", NEW, verify=True)


def test_a_folder_that_cannot_be_replaced_as_a_whole_is_refused_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="name a folder inside it"):
        write_result(Path(), NEW, "new")
    assert names(tmp_path) == []


def test_a_name_with_wildcards_is_only_itself(tmp_path: Path) -> None:
    (tmp_path / ".ab.staging-1").mkdir()
    (tmp_path / ".ab.staging-1" / "work").touch()
    write_result(tmp_path / "a*", NEW, "new")
    write_result(tmp_path / "[ab]", NEW, "new")
    assert (tmp_path / ".ab.staging-1" / "work").exists()


def test_a_read_only_disk_is_exit_code_6_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    began = False
    with (
        pytest.raises(EnvironmentProblemError, match="read-only") as caught,
        committed_folder(tmp_path / "case7", NEW),
    ):
        began = True
    assert caught.value.exit_code == 6
    assert not began
    monkeypatch.undo()
    assert names(tmp_path) == []


@pytest.mark.parametrize("replaces", [False, True])
def test_a_disk_that_fails_at_any_step_leaves_the_old_or_the_new_result_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replaces: bool
) -> None:
    codes: list[str] = []
    at, reached = 0, True
    while reached:
        at += 1
        room = tmp_path / str(at)
        room.mkdir()
        if replaces:
            write_result(room / "case7", OLD, "old")
        with monkeypatch.context() as patch:
            calls = refuse_call(patch, at)
            try:
                write_result(room / "case7", NEW, "new")
            except EnvironmentProblemError as error:  # the last steps only tidy up: their failure is no error
                codes.append(error.code)
        reached = len(calls) >= at
        if replaces or (room / "case7").exists():
            whole = [is_current(room / "case7", made_from, verify=True) for made_from in (OLD, NEW)]
            assert any(whole), f"half a result is visible after call {at} ({calls[at - 1]}) failed"
        write_result(room / "case7", NEW, "new")
        assert is_current(room / "case7", NEW, verify=True)
        assert names(room) == ["case7"]
    assert set(codes) == {"E_NO_SPACE"}
    assert len(codes) >= 8


@pytest.mark.parametrize("replaces", [False, True])
def test_a_kill_at_any_step_loses_nothing_and_the_rerun_is_identical(
    tmp_path: Path, *, replaces: bool
) -> None:
    write_result(tmp_path / "wanted", NEW, "new")
    wanted = contents(tmp_path / "wanted")
    killed, at = True, 0
    while killed:
        at += 1
        room = tmp_path / str(at)
        room.mkdir()
        if replaces:
            write_result(room / "case7", OLD, "old")
        killed = run_killed_at(at, room / "case7", NEW, "new")
        if (room / "case7").exists():
            assert is_current(room / "case7", verify=True), (
                f"half a result is visible after a kill at call {at}"
            )
        cleaned = clean_stale_staging(room)
        assert [name for name in names(room) if name != "case7"] == []
        assert cleaned <= 1
        if replaces:
            assert is_current(room / "case7", OLD, verify=True) or is_current(
                room / "case7", NEW, verify=True
            )
        if not is_current(room / "case7", NEW):
            killed_again = run_killed_at(at, room / "case7", NEW, "new")
            assert killed_again
            write_result(room / "case7", NEW, "new")
        assert contents(room) == {f"case7/{name}": digest for name, digest in wanted.items()}
    assert at > 10


def test_files_reach_the_disk_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, os.rename

    def record_sync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def record_rename(source: Path, destination: Path) -> None:
        events.append(f"{source.name} -> {destination.name}")
        rename(source, destination)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "rename", record_rename)
    write_result(tmp_path / "case7", NEW, "new")
    staging = f".case7.staging-{os.getpid()}"
    commit = events.index(f"{staging} -> case7")
    assert {"nodes.txt", "seg", "result.json", "DONE.json", staging} <= set(events[:commit])
    assert events[commit + 1 :] == [tmp_path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
from lymphct.io.results.store import committed_folder
with committed_folder(Path(sys.argv[1]), {}) as staging:
    (staging / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_left_is_removed_but_not_what_a_running_one_writes(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "case7")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(tmp_path.glob(".case7.staging-*/half.txt"))
    with committed_folder(tmp_path / "case8", NEW) as staging:
        assert clean_stale_staging(tmp_path) == 1
        assert not any(tmp_path.glob(".case7*"))
        assert staging.exists()
        with pytest.raises(OutputInUseError, match="case8: in use by pid"):
            write_result(tmp_path / "case8", NEW, "new")
    assert clean_stale_staging(tmp_path) == 0
    assert clean_stale_staging(tmp_path / "nowhere") == 0


def test_one_result_is_cleaned_and_its_neighbours_are_left_alone(tmp_path: Path) -> None:
    write_result(tmp_path / "case7", NEW, "new")
    for name in ("case7", "case71", "case8"):
        (tmp_path / f".{name}.old-1").mkdir()
        (tmp_path / f".{name}.staging.lock").touch()
    assert clean_leftovers(tmp_path / "case7")
    assert not any(tmp_path.glob(".case7.*"))
    assert len(list(tmp_path.glob(".case*"))) == 4
    assert (tmp_path / "case7" / "DONE.json").exists()
    assert not clean_leftovers(tmp_path / "case7")
    assert not clean_leftovers(tmp_path / "nowhere" / "case7")
    with committed_folder(tmp_path / "case9", NEW):
        assert not clean_leftovers(tmp_path / "case9")


def test_leftovers_that_cannot_be_removed_are_exit_code_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".case7.staging-1").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(EnvironmentProblemError, match="case7: no permission"):
        clean_stale_staging(tmp_path)
