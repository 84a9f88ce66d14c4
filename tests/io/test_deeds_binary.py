"""The authors' program, played by a script that checks what it is given and writes known displacements."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import EnvironmentProblemError
from lymphct.io import deeds_binary
from lymphct.io.deeds_binary import DeedsBinary
from lymphct.registration.deeds_settings import DeedsSettings

SETTINGS = DeedsSettings(grid_spacing=(6, 5), search_radius=(4, 3), step=(2, 1), alpha=2.5)
SHAPE = (21, 16, 18)
NODES = (4, 3, 3)

HONEST = f"""
import gzip, json, os, pathlib, sys
import numpy as np
words = sys.argv[1:]
options = dict(zip(words[::2], words[1::2]))
headers = dict()
for role, option in (("fixed", "-F"), ("moving", "-M")):
    raw = gzip.open(options[option]).read()
    header = np.frombuffer(raw[40:56], dtype="<i2")
    values = np.frombuffer(raw[352:], dtype="<i2").reshape(header[1:4], order="F")
    headers[role] = dict(dim=header.tolist(), first=int(values[1, 0, 0]), low=int(values.min()))
pathlib.Path(os.environ["TOLD"]).write_text(
    json.dumps(dict(options=options, threads=os.environ["OMP_NUM_THREADS"], **headers))
)
print("noise on stdout")
n = np.array({NODES})
i, j, k = np.indices(n)
parts = [100 * c + i + 10 * j + 0.5 * k for c in (1, 0, 2)]
content = b"".join(part.astype("<f4").tobytes(order="F") for part in parts)
open(options["-O"] + "_displacements.dat", "wb").write(content)
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "deedsBCV"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def images() -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    fixed = rng.uniform(-1000.0, 1500.0, SHAPE).astype(np.float32)
    return fixed, np.where(fixed > 1400, 1e6, fixed - 40000).astype(np.float32)


def test_images_settings_and_displacements_pass_through_files_as_the_program_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLD", str(tmp_path / "told.json"))
    environment = {"DEEDS_BIN": str(program(tmp_path, HONEST))}
    fixed, moving = images()
    found = DeedsBinary.from_environment(environment, threads=2)(fixed, moving, SETTINGS)
    i, j, k = np.indices(NODES)
    wanted = [100 * component + i + 10 * j + 0.5 * k for component in range(3)]
    assert_allclose(found, wanted)
    assert found.dtype == np.float32
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["threads"] == "2"
    assert told["options"] == {
        "-F": "fixed.nii.gz",
        "-M": "moving.nii.gz",
        "-O": "out",
        "-a": "2.5",
        "-l": "2",
        "-G": "6x5",
        "-L": "4x3",
        "-Q": "2x1",
    }
    assert told["fixed"]["dim"][:4] == [3, *SHAPE]
    assert told["fixed"]["first"] == round(float(fixed[1, 0, 0]))
    assert told["moving"]["low"] == -32768  # beyond what the file can hold
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit(3)", "deedsBCV: the program ended with code 3"),
        ("pass", "the program wrote 0 bytes of displacements, 432"),
        (
            "open('out_displacements.dat', 'wb').write(b'1234')",
            "wrote 4 bytes of displacements, 432 were expected",
        ),
        ("open('out_displacements.dat', 'wb').write(bytes(500))", "wrote 500 bytes of displacements, 432"),
        (
            "open('out_displacements.dat', 'wb').write(bytes.fromhex('0000c07f') * 108)",
            "displacements that are not finite",
        ),
        ("import time; time.sleep(60)", "was stopped after 2.77778e-05 hours"),
    ],
)
def test_a_program_that_fails_is_an_environment_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    if "sleep" in text:
        monkeypatch.setattr(deeds_binary, "LONGEST_RUN", 0.1)
    solver = DeedsBinary(program(tmp_path, text))
    with pytest.raises(EnvironmentProblemError) as caught:
        solver(*images(), SETTINGS)
    assert words in str(caught.value)
    assert caught.value.exit_code == 6


def test_a_file_that_cannot_start_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deedsBCV"
    path.write_bytes(b"\x7fELF not a program")
    path.chmod(0o755)
    with pytest.raises(EnvironmentProblemError, match="the program does not start"):
        DeedsBinary(path)(*images(), SETTINGS)


def test_an_unset_variable_or_a_wrong_path_has_a_cure(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="DEEDS_BIN is not set") as unset:
        DeedsBinary.from_environment({})
    assert "set DEEDS_BIN to the path of deedsBCV" in unset.value.cure
    for wrong in (tmp_path / "absent", tmp_path):
        with pytest.raises(EnvironmentProblemError, match="names no program that can be run"):
            DeedsBinary.from_environment({"DEEDS_BIN": str(wrong)})
