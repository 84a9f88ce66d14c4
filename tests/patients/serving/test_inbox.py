"""Files are sorted into studies by what they are, and a study is complete when nothing changes any more."""

import os
from pathlib import Path

import pytest
from tests.serving_studies import CANARY, drop

from lymphct.core.errors import EnvironmentProblemError
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.patients.serving.inbox import Inbox

NAMES = Pseudonyms(b"test" + bytes(28))
REPORT = "1.2.840.10008.5.1.4.1.1.88.67"


def arrived(folder: Path) -> dict[str, list[str]]:
    """Return how many files of each study arrived, by name."""
    return {one.name: sorted(one.files) for one in Inbox(folder, NAMES).look()}


def test_studies_are_told_apart_by_tags_and_not_by_folders(inbox: Path) -> None:
    drop(inbox, study=1)
    drop(inbox, study=2)
    drop(inbox / "a" / "b", study=2, series=2)
    found = arrived(inbox)
    assert sorted(map(len, found.values())) == [3, 6]
    assert all(name.startswith("study-") and CANARY not in name for name in found)


def test_reports_and_what_is_hidden_make_no_study_another(inbox: Path) -> None:
    drop(inbox / "s")
    before = arrived(inbox)
    drop(inbox / "s", series=9, slices=1, Modality="SR", SOPClassUID=REPORT)
    (inbox / "s" / ".part").write_bytes(b"half")
    (inbox / "s" / "DICOMDIR").write_bytes(b"list")
    (inbox / "s" / "readme.txt").write_text("no DICOM")
    (inbox / "s" / "link").symlink_to("/etc/hostname")
    os.mkfifo(inbox / "s" / "pipe")
    assert arrived(inbox) == before


def test_a_study_of_reports_alone_is_told_of(inbox: Path) -> None:
    drop(inbox / "s", slices=2, Modality="SR", SOPClassUID=REPORT)
    assert list(map(len, arrived(inbox).values())) == [2]


def test_a_damaged_file_goes_with_the_studies_of_its_folder(inbox: Path) -> None:
    drop(inbox / "s", study=1)
    drop(inbox / "t", study=2)
    (inbox / "s" / "lost").write_bytes(b"")
    assert sorted(map(len, arrived(inbox).values())) == [3, 4]


def test_a_damaged_file_among_everybodys_is_nobodys(inbox: Path) -> None:
    drop(inbox, study=1)
    (inbox / "lost").write_bytes(b"")
    found = arrived(inbox)
    assert sorted(map(len, found.values())) == [1, 3]
    assert any(name.startswith("drop-") for name in found)


def test_what_is_no_dicom_is_told_of_once(inbox: Path) -> None:
    (inbox / "x").mkdir()
    (inbox / "x" / "study.zip").write_bytes(b"PK" + bytes(500))
    (inbox / "x" / "letter.txt").write_text("no DICOM")
    (name, files), *others = arrived(inbox).items()
    assert name.startswith("drop-")
    assert len(files) == 2
    assert not others


def test_quiet_is_counted_from_the_last_change_by_our_own_clock(inbox: Path) -> None:
    now = [100.0]
    looking = Inbox(inbox, NAMES, clock=lambda: now[0])
    drop(inbox / "s", slices=2)
    (one,) = looking.look()
    assert looking.quiet(one) == 0
    now[0] = 130.0
    drop(inbox / "s", slices=3)
    (one,) = looking.look()
    assert looking.quiet(one) == 0
    now[0] = 171.0
    (one,) = looking.look()
    assert looking.quiet(one) == 41
    looking.stir(one.name)
    assert looking.quiet(one) == 0


def test_a_file_is_read_once(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Inbox(inbox, NAMES)
    paths = drop(inbox / "s")
    looking.look()
    for path in paths:
        path.chmod(0)

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("lymphct.patients.serving.inbox.read_head", refuse)
    assert [len(one.files) for one in looking.look()] == [3]


def test_a_folder_that_is_not_there_is_told_of(inbox: Path) -> None:
    inbox.rmdir()
    with pytest.raises(EnvironmentProblemError, match=r"cannot be listed \(No such file"):
        arrived(inbox)
