import os
import stat
from pathlib import Path

import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.io.pseudonyms import Pseudonyms, require_outside, write_private


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cohort.key"
    first = Pseudonyms.of_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Pseudonyms.of_file(path) == first
    assert len(first.key) == 32
    assert "key" not in repr(first)


def test_equal_texts_have_equal_hashes_under_one_key_alone() -> None:
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert one.hashed("person", "7") == one.hashed("person", "7")
    assert one.hashed("person", "7") != one.hashed("study", "7")
    assert one.hashed("person", "7", "8") != one.hashed("person", "78")
    assert one.hashed("person", "7") != other.hashed("person", "7")
    assert len(one.hashed("person", "7")) == 16


def test_a_file_that_is_no_key_or_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(InputError, match=r"notes\.txt: the file is no key"):
        Pseudonyms.of_file(path)
    key = tmp_path / "cohort.key"
    Pseudonyms.of_file(key)
    key.chmod(0o644)
    with pytest.raises(InputError, match=r"others than its owner may read the key \(mode 644\)"):
        Pseudonyms.of_file(key)


def test_the_key_never_lies_in_the_cohort(tmp_path: Path) -> None:
    require_outside(tmp_path / "cohort.key", tmp_path / "cohort", "the key")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "cohort")
    for place in ("cohort/a.key", "cohort/../cohort/a.key", "link/a.key"):
        with pytest.raises(UsageError, match="the key would lie in the folder of the cohort"):
            require_outside(tmp_path / place, tmp_path / "cohort", "the key")


def test_a_private_file_stays_private_when_it_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "who.csv"
    path.write_bytes(b"older and longer")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_private(path, b"other", new=True)
