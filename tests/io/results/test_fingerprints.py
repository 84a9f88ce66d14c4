"""Digests of inputs, code and settings."""

import hashlib
import os
import re
from pathlib import Path

import pytest

import lymphct
from lymphct.core.errors import InputError, UsageError
from lymphct.io.results.fingerprints import (
    code_version,
    digest_file,
    digest_input,
    fingerprint,
    fingerprint_key,
    require_unchanged,
)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert digest_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_what_is_no_readable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="a: file not found"):
        digest_file(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: not a regular file"):
        digest_file(tmp_path / "pipe")
    (tmp_path / "b").touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="b: cannot be read: Permission denied"):
        digest_file(tmp_path / "b")


def test_the_digest_of_a_folder_notices_contents_names_and_additions(tmp_path: Path) -> None:
    series = tmp_path / "series"
    (series / "inner").mkdir(parents=True)
    (series / "1.dcm").write_bytes(b"one")
    (series / "inner" / "2.dcm").write_bytes(b"two")
    seen = {digest_input(series)}
    assert digest_input(series) in seen
    (series / "inner" / "2.dcm").write_bytes(b"TWO")
    seen.add(digest_input(series))
    (series / "1.dcm").rename(series / "0.dcm")
    seen.add(digest_input(series))
    (series / "3.dcm").touch()
    seen.add(digest_input(series))
    assert len(seen) == 4
    assert digest_input(series / "0.dcm") == digest_file(series / "0.dcm")


def test_an_input_that_changes_during_the_run_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "venous.nii.gz"
    path.write_bytes(b"before")
    digests = {"venous": digest_input(path)}
    require_unchanged({"venous": path}, digests)
    path.write_bytes(b"after!")
    with pytest.raises(InputError, match="the input venous changed during the run"):
        require_unchanged({"venous": path}, digests)


def test_a_code_version_is_that_of_the_package_and_of_the_sources_in_any_order() -> None:
    version, digest = code_version("core", "nodes").split("+")
    assert version == lymphct.__version__
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert code_version("core", "nodes") == code_version("nodes", "core", "core")
    assert len({code_version("core"), code_version("nodes"), code_version()}) == 3


def test_a_room_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="the package has no room or module 'kitchen'"):
        code_version("kitchen")


def test_a_fingerprint_has_one_key_and_every_part_of_it_counts() -> None:
    first = fingerprint({"venous": "a", "tumor": "b"}, {"x": 1, "y": [1, 2]}, "code", "bundle")
    same = fingerprint({"tumor": "b", "venous": "a"}, {"y": [1, 2], "x": 1}, "code", "bundle")
    assert fingerprint_key(first) == fingerprint_key(same)
    others = [
        fingerprint({"venous": "A", "tumor": "b"}, {"x": 1, "y": [1, 2]}, "code", "bundle"),
        fingerprint({"venous": "a", "tumor": "b"}, {"x": 1, "y": [2, 1]}, "code", "bundle"),
        fingerprint({"venous": "a", "tumor": "b"}, {"x": 1, "y": [1, 2]}, "edoc", "bundle"),
        fingerprint({"venous": "a", "tumor": "b"}, {"x": 1, "y": [1, 2]}, "code"),
    ]
    assert len({fingerprint_key(first), *map(fingerprint_key, others)}) == 5
