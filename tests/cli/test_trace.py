"""`lymphct trace` writes masks and a record, or one line that says why not."""

import json
from pathlib import Path

import numpy as np
import pytest

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.core.terms import Structure
from lymphct.io.images.reading import read_volume, write_volume
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    patient = generate_patient(PhantomSettings(size="nano", phase_shift=False), seed=3, index=0)
    folder = tmp_path_factory.mktemp("patient")
    labels = patient.structures.array
    free = np.where(np.isin(labels, (1, 2, 3, 4, 5, 6, 11)), labels, 0).astype(np.uint8)
    volumes = {
        "venous": patient.venous,
        "arterial": patient.arterial,
        "structures": patient.structures.with_array(free),
        "no_aorta": patient.structures.with_array(np.where(free == Structure.AORTA, 0, free)),
        "dull": patient.arterial.with_array(np.minimum(patient.arterial.array, 110).astype(np.int16)),
    }
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.nii.gz", volume)
    return {name: folder / f"{name}.nii.gz" for name in volumes}


def run(*arguments: str | Path) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, ["trace", *map(str, arguments)])


def test_it_writes_the_map_with_arteries_and_says_what_came_of_each(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--venous", files["venous"], "--arterial", files["arterial"], "--registration", "none")
    out = tmp_path / "traced"
    assert run(*given, "--structures", files["structures"], "--out", out, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((out / "trace.json").read_text())
    assert (out / "DONE.json").is_file()
    before, after = read_volume(files["structures"]).array, read_volume(out / "structures.nii.gz").array
    for name, artery in record["arteries"].items():
        number = Structure[name.upper()]
        assert artery["traced"] == bool((after == number).any())
        assert record["sources"][name] == ("trace" if artery["traced"] else "none")
    assert record["arteries"]["superior_mesenteric_artery"]["confidence"] > 0.3
    assert record["sources"]["spleen"] == "given"
    assert np.array_equal(before == Structure.AORTA, after == Structure.AORTA)


@pytest.mark.parametrize(
    "refused",
    [
        ({"structures": "no_aorta"}, 3, "holds no aorta"),
        ({"arterial": "dull"}, 3, "no arterial enhancement: the aorta has"),
        ({"arterial": None}, 2, "arteries are traced in the arterial phase, and none was given"),
    ],
)
def test_what_cannot_be_traced_is_told_in_one_line_and_leaves_nothing(
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refused: tuple[dict[str, str | None], int, str],
) -> None:
    changed, code, said = refused
    roles = {name: name for name in ("venous", "arterial", "structures")} | changed
    options = [part for role, name in roles.items() if name for part in (f"--{role}", files[name])]
    assert run(*options, "--registration", "none", "--out", tmp_path / "out") == code
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert said in error[0]
    assert not (tmp_path / "out").exists()
