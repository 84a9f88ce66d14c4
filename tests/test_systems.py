"""The branch for Windows: everything imports, and a patient is predicted, without what POSIX alone has.

No Windows runs here. A process on Linux is made to lack the modules and functions that Windows lacks, and to
refuse what Windows refuses; `msvcrt` is stood in for. So this shows that nothing of POSIX is needed, not that
Windows works.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lymphct.config import Config
from lymphct.io.manifest import read_manifest
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.predicting.prediction import PredictionRequest, predict_single
from lymphct.phantom.settings import PhantomSettings

AS_WINDOWS = """
import errno, fcntl, os, sys, types

for name in ("fcntl", "resource", "termios", "tty", "pty", "grp", "pwd", "syslog", "posixshmem"):
    sys.modules[name] = None
for name in ("pread", "pwrite", "getuid", "geteuid", "mkfifo"):
    delattr(os, name)
for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY"):
    delattr(os, name)

plain = {name: getattr(os, name) for name in ("open", "close", "fsync", "rename")}
locks = {}

def open_(path, flag, mode=0o777, *, dir_fd=None):
    if os.path.isdir(path) and dir_fd is None and not os.fspath(path).startswith("/proc"):
        raise PermissionError(errno.EACCES, "Windows opens no folder", os.fspath(path))
    return plain["open"](path, flag, mode, dir_fd=dir_fd)

def close(descriptor):
    locks.pop(descriptor, None)
    plain["close"](descriptor)

def fsync(descriptor):
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Windows syncs no file that is only read")
    plain["fsync"](descriptor)

def rename(source, target):
    if os.path.exists(target):
        raise FileExistsError(errno.EEXIST, "Windows renames over nothing", os.fspath(target))
    plain["rename"](source, target)

def replace(source, target):
    if os.path.isdir(target):
        raise PermissionError(errno.EACCES, "Windows replaces no folder", os.fspath(target))
    plain["rename"](source, target)

def locking(descriptor, mode, size):
    here = os.fstat(descriptor)
    place = (here.st_dev, here.st_ino, os.lseek(descriptor, 0, os.SEEK_CUR), size)
    assert mode == msvcrt.LK_NBLCK
    if place in locks.values():
        raise PermissionError(errno.EACCES, "locked")
    locks[descriptor] = place

msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, locking
sys.modules["msvcrt"] = msvcrt
import lymphct.core.system
del sys.modules["msvcrt"]  # the standard library takes its presence for Windows
os.open, os.close, os.fsync, os.rename, os.replace = open_, close, fsync, rename, replace
"""

IMPORT_ALL = """
import importlib, pkgutil, lymphct
modules = [found.name for found in pkgutil.walk_packages(lymphct.__path__, "lymphct.")]
for name in modules:
    importlib.import_module(name)
print(len(modules))
"""

PREDICT = """
import pathlib, sys
import lymphct
from lymphct.core.errors import OutputInUseError
from lymphct.core.system import peak_memory
from lymphct.io.results.jsonfile import append_json_line, read_json_lines
from lymphct.io.results.locks import exclusive_lock, locked

folder = pathlib.Path(sys.argv[1])
patient = folder / "phantom-7-0000"
prediction = lymphct.predict(patient / "venous.nii.gz", patient / "arterial.nii.gz")
prediction.save(folder / "out")
(folder / "again").mkdir()
prediction.save(folder / "again")  # over an empty folder
prediction.save(folder / "again")  # over an older result
with locked(folder / "out"):
    try:
        prediction.save(folder / "out")
    finally:
        try:
            with exclusive_lock(folder / ".out.lock", wait=0.0):
                raise SystemExit("held twice")
        except OutputInUseError as error:
            print(error)
for number in (1, 2):
    append_json_line(folder / "lines.jsonl", {"number": number})
assert read_json_lines(folder / "lines.jsonl") == [{"number": 1}, {"number": 2}]
assert peak_memory() is None
print(sorted(path.name for path in folder.iterdir() if path.name.startswith(".")))
"""


def run(*scripts: str, folder: Path) -> list[str]:
    command = [sys.executable, "-c", "\n".join(scripts), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one phantom, `phantom-7-0000`."""
    folder = tmp_path_factory.mktemp("windows")
    write_phantoms(PhantomCohort(folder=folder, settings=PhantomSettings(size="nano"), seed=7, patients=1))
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> list[str]:
    """What a process says that predicts the phantom."""
    return run(AS_WINDOWS, PREDICT, folder=folder)


@pytest.mark.slow
def test_every_module_imports_without_what_windows_lacks(tmp_path: Path) -> None:
    (number,) = run(AS_WINDOWS, IMPORT_ALL, folder=tmp_path)
    assert int(number) > 200


@pytest.mark.slow
def test_a_patient_is_predicted_the_same_without_what_windows_lacks(folder: Path, told: list[str]) -> None:
    (record,) = read_manifest(folder / "cohort.csv").patients
    cells = {name: record.cells[name] for name in ("patient_id", "venous", "arterial")}
    images = type(record)(patient_id="patient", venous=record.venous, arterial=record.arterial, cells=cells)
    request = PredictionRequest(bundle=shipped_bundle_path(), config=Config(), device="cpu")
    known = predict_single(images, request, folder / "known")
    held, left = told
    assert held.startswith("out: in use by pid ")
    assert left == "[]"
    for name in ("out", "again"):
        found = json.loads((folder / name / "result.json").read_text("utf-8"))
        assert found["probability"] == pytest.approx(known["probability"], abs=1e-6)
        for file in ("nodes.csv", "seg/nodes.nii.gz", "seg/structures.nii.gz"):
            assert (folder / name / file).read_bytes() == (folder / "known" / file).read_bytes()
