"""What surrounds a run leaves no trace: hash seed, language, time zone, umask, the names of folders."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lymphct.io.manifest import Manifest
from lymphct.io.results.store import TIMINGS_FILE

PROGRAM = "import os, sys; os.umask(int(sys.argv.pop(1), 8)); from lymphct.cli.main import run; run()"
STRANGE = {"PYTHONHASHSEED": "2", "LC_ALL": "C", "LANG": "C", "TZ": "Pacific/Chatham"}
FOLDER = f"zwei Wörter, λεμφαδένες 淋巴 {'and a long name ' * 8}".strip()


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file, but for seconds and the index of inodes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != TIMINGS_FILE and not path.name.startswith("index-")
    }


def run(umask: str, words: list[str], surroundings: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM, umask, *words, "--registration", "none", "--device", "cpu"]
    subprocess.run(command, check=True, env=os.environ | surroundings, capture_output=True)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["prepare", "--config", "phantom_nano", "--set", "imaging.spacing=[6,6,6]"], id="prepare"
        ),
        pytest.param(["predict", "--given", "structures,tumor,nodes"], id="predict", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_run_gives_the_same_bytes_wherever_and_however_it_is_called(
    words: list[str], cohort: Manifest, tmp_path: Path
) -> None:
    first, *_ = cohort.patients
    plain, strange = tmp_path / "plain", tmp_path / FOLDER
    for place in (plain, strange):
        shutil.copytree(first.venous.parent, place / first.patient_id)
        lines = cohort.path.read_text().splitlines()[:2]
        (place / "cohort.csv").write_text("\n".join(lines) + "\n")
    command, *options = words
    run(
        "022",
        [command, str(plain / "cohort.csv"), *options, "--out", str(plain / "out")],
        {"PYTHONHASHSEED": "0"},
    )
    run("077", [command, str(strange / "cohort.csv"), *options, "--out", str(strange / "out")], STRANGE)
    expected = digests(plain / "out")
    assert len(expected) > 10
    assert digests(strange / "out") == expected
    private = [path for path in (strange / "out").rglob("*") if path.stat().st_mode & 0o077]
    assert private == []
