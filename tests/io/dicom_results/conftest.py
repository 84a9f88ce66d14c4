"""Results as DICOM objects, and what DICOM's own checker says of each."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lymphct.report.colors import STRUCTURE_COLORS, TUMOR_COLOR, node_color

KEY = "5" * 64


@pytest.fixture
def objects_of() -> Callable[[Path, Path, Path], dict[str, Path]]:
    """Write the objects of a result into a new folder: `objects_of(result, series, folder)`."""
    from lymphct.io.dicom_results.segmentations import Palette  # noqa: PLC0415 - seconds, once per process
    from lymphct.io.dicom_results.source import read_source  # noqa: PLC0415
    from lymphct.io.dicom_results.stored import read_stored  # noqa: PLC0415
    from lymphct.io.dicom_results.writing import write_objects  # noqa: PLC0415

    def write(result: Path, series: Path, folder: Path) -> dict[str, Path]:
        folder.mkdir()
        palette = Palette(structures=STRUCTURE_COLORS, tumor=TUMOR_COLOR, node=node_color)
        names = write_objects(folder, read_stored(result), read_source(series), KEY, palette)
        assert sorted(path.name for path in folder.iterdir()) == names
        return {name.removesuffix(".dcm"): folder / name for name in names}

    return write


@pytest.fixture(scope="session")
def errors_in() -> Callable[[Path], list[str]]:
    """Return the errors that dciodvfy finds in a file."""
    beside = Path(sys.executable).parent / "dciodvfy"
    program = str(beside) if beside.exists() else shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")

    def check(path: Path) -> list[str]:
        done = subprocess.run([program, str(path)], capture_output=True, check=False)
        lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
        assert any(not line.startswith(("Error", "Warning")) for line in lines), "it names no IOD"
        return [line for line in lines if line.startswith("Error")] + [""] * bool(done.returncode)

    return check
