"""Settings load no network: a mistake in them is told in a fraction of a second."""

import subprocess
import sys
from pathlib import Path

import pytest

import lymphct

SOURCES = Path(lymphct.__file__).parents[1]
DECLARING = list((SOURCES / "lymphct").glob("*/*settings.py"))
HEAVY = ("torch", "monai", "numba", "scipy", "SimpleITK", "sklearn", "nibabel", "pydicom")


def loaded_by(script: str, folder: Path) -> tuple[list[str], str]:
    """Run a script in a process of its own; return the heavy libraries it loaded and what it said."""
    told = f"{script}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    *said, heavy = done.stdout.splitlines()
    return [name for name in HEAVY if repr(name) in heavy], "\n".join(said) + done.stderr


def loaded_by_command(arguments: list[str], folder: Path) -> tuple[list[str], str]:
    """Run `lymphct` with arguments; return the heavy libraries it loaded and what it said, exit code last."""
    script = (
        "from lymphct.cli.main import run\n"
        f"try: run({arguments!r})\n"
        "except SystemExit as stop: print('exit code', stop.code)"
    )
    return loaded_by(script, folder)


@pytest.mark.parametrize(
    "script",
    [
        "from lymphct.config import Config, parse_config, parse_bands\nimport lymphct.config\nConfig()",
        "from lymphct.config import parse_config\nparse_config('nodes: {threshold: 0.4}')",
        "from lymphct.config import parse_bands\nparse_bands('spleen: {d_min: 0, d_max: 16}')",
        "from lymphct.io.settings import load_config\nload_config('phantom_tiny')",
    ],
)
def test_settings_load_no_heavy_library(script: str, tmp_path: Path) -> None:
    assert loaded_by(script, tmp_path) == ([], "")


def test_no_room_declares_its_settings_beside_a_heavy_library(tmp_path: Path) -> None:
    modules = sorted(".".join(path.relative_to(SOURCES).with_suffix("").parts) for path in DECLARING)
    assert len(modules) > 8
    assert loaded_by("\n".join(f"import {module}" for module in modules), tmp_path) == ([], "")


@pytest.mark.parametrize(
    "command",
    [
        ["train", "nodes", "--cohort", "x.csv", "--out", "y"],
        ["predict", "x.csv", "--out", "y"],
        ["predict", "--venous", "v.nii.gz", "--out", "y"],
        ["prepare", "x.csv", "--out", "y"],
        ["register", "--fixed", "v.nii.gz", "--moving", "a.nii.gz", "--out", "y"],
        ["attention", "--structures", "s.nii.gz", "--out", "a.nii.gz"],
        ["demo", "--out", "y"],
        ["config", "show"],
    ],
)
@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (["--config", "nonsense"], "nonsense: neither a file nor a preset"),
        (["--set", "nodes.threshold=high"], "setting nodes.threshold"),
    ],
)
def test_a_mistake_in_the_settings_is_told_before_anything_heavy_loads(
    command: list[str], mistake: list[str], words: str, tmp_path: Path
) -> None:
    heavy, said = loaded_by_command([*command, *mistake], tmp_path)
    assert heavy == []
    assert words in said
    assert "exit code 2" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [[], ["--json"], ["--schema"]])
def test_showing_the_settings_loads_no_heavy_library(option: list[str], tmp_path: Path) -> None:
    heavy, said = loaded_by_command(["config", "show", *option], tmp_path)
    assert heavy == []
    assert "codewords" in said
    assert "exit code 0" in said


@pytest.mark.parametrize(
    "command",
    [
        ["train", "nodes", "--cohort", "x.csv", "--out", "y"],
        ["prepare", "x.csv", "--out", "y"],
        ["check", "x.csv"],
    ],
)
def test_a_missing_manifest_is_told_before_networks_load(command: list[str], tmp_path: Path) -> None:
    heavy, said = loaded_by_command(command, tmp_path)
    assert "torch" not in heavy
    assert "x.csv: no such file" in said


def test_a_prediction_loads_no_library_of_developers(tmp_path: Path) -> None:
    heavy, said = loaded_by("import lymphct.patients.predicting.prediction", tmp_path)
    assert "torch" in heavy
    assert "monai" not in heavy
    assert said == ""


def test_a_prediction_waits_for_no_library_it_does_not_need(tmp_path: Path) -> None:
    unneeded = ("scipy.stats", "sklearn", "statsmodels", "pandas", "highdicom")
    imported = "lymphct.patients.predicting.prediction"
    script = f"import sys, {imported}\nprint([n for n in {unneeded!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
