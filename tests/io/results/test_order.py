"""Every file of a whole command is on the disk before it gets its name, and the name before the next step."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.io.manifest import Manifest
from lymphct.io.results.jsonfile import write_json
from lymphct.io.settings import load_config
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort


class Witness:
    """Sees what is synced and renamed, in order, and complains."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the package and the system."""
        self.synced: set[tuple[int, int]] = set()
        self.waiting: dict[tuple[int, int], str] = {}
        self.commits = 0
        self.complaints: list[str] = []
        monkeypatch.setattr(os, "fsync", self._seen(os.fsync))
        monkeypatch.setattr(os, "rename", self._renamed(os.rename))

    def _seen(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            fsync(descriptor)
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                self.waiting.pop((found.st_dev, found.st_ino), None)
            self.synced.add((found.st_dev, found.st_ino))

        return synced

    def _renamed(self, rename: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def renamed(source: str, target: str) -> None:
            rename(source, target)
            place = Path(target)
            # What is hidden is nobody's result; an index that is lost costs a hash.
            if place.name.startswith((".", "index-")):
                return
            self.commits += 1
            self.complaints += [f"{name} was open" for name in self.waiting.values()]
            files = [place, *place.rglob("*")] if place.is_dir() else [place]
            self.complaints += [
                f"{file} was not synced" for file in files if identity(file) not in self.synced
            ]
            self.waiting = {identity(place.parent): str(place)}

        return renamed


def identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def test_a_prepared_cohort_is_synced_before_each_rename_and_after_it(
    cohort: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("phantom_nano", ["imaging.spacing=[6,6,6]"])
    witness = Witness(monkeypatch)
    request = PreparationRequest(out=tmp_path / "work", config=config, registration="none", device="cpu")
    outcome = prepare_cohort(replace(cohort, patients=cohort.patients[:1]), request)
    assert not outcome.failures
    assert witness.complaints == []
    assert witness.waiting == {}
    assert witness.commits > 4  # images, attention and the files of the cohort


def test_a_rename_too_early_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness(monkeypatch)
    (tmp_path / "a").write_text("not synced")
    os.rename(tmp_path / "a", tmp_path / "b")  # noqa: PTH104 - as the store's renames
    write_json(tmp_path / "c", {})
    assert witness.complaints == [
        f"{tmp_path / 'b'} was not synced",
        f"{tmp_path / 'b'} was open",
    ]
