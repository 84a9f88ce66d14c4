"""What is installed is what is imported, each licence is listed, and the archives hold what they should."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli.installation import LIBRARIES, OPTIONAL

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lymphct"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
BROUGHT = {"llvmlite"}
"""What a dependency brings in the one version it works with: numba's compiler."""
FAMILIES = {
    "BSD": ("BSD",),
    "MIT": ("MIT",),
    "Apache": ("Apache",),
    "PSF": ("Python Software Foundation", "PSF-2.0"),
}
"""First word of a licence in the list → what the library's own metadata must say, one of it."""


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}


def imported() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"lymphct"}


def listed(heading: str) -> dict[str, str]:
    """Return library → licence of one table of THIRD_PARTY.md."""
    text = (ROOT / "THIRD_PARTY.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| ([\w.-]+) \| ([^|]+?) \|", text, re.MULTILINE)) | {}


def test_doctor_knows_every_dependency_by_the_name_it_is_imported_by() -> None:
    assert set(LIBRARIES) == names_of(PROJECT["dependencies"])
    optional = names_of([name for extra, names in EXTRAS.items() if extra != "dev" for name in names])
    assert set(OPTIONAL) <= {re.sub(r"\[.*", "", name) for name in optional}


def test_what_is_installed_is_imported_and_what_is_imported_is_installed() -> None:
    needed = set(LIBRARIES.values())
    optional = {module for module, _ in OPTIONAL.values()}
    assert needed - imported() == set()
    assert imported() - needed - optional - BROUGHT == set()


def test_every_library_is_listed_with_its_licence() -> None:
    needed, optional = listed("Needed"), listed("Optional")
    assert needed.pop("library") == optional.pop("library") == "licence"
    assert set(needed) == names_of(PROJECT["dependencies"])
    assert set(optional) == names_of([n for extra, names in EXTRAS.items() if extra != "dev" for n in names])
    for name, licence in needed.items():
        about = importlib.metadata.metadata(name)
        said = [w for key in ("License-Expression", "License", "Classifier") for w in about.get_all(key, [])]
        family = FAMILIES[re.split(r"\W", licence)[0]]
        assert any(words in str(text) for words in family for text in said), f"{name}: {licence}"


def test_the_paper_is_the_one_url_and_the_same_everywhere() -> None:
    url = PROJECT["urls"]["Paper"]
    assert url in (ROOT / "CITATION.cff").read_text("utf-8")
    assert set(PROJECT["urls"]) == {"Paper"}  # the project has no address of its own to name


def test_the_lock_has_the_versions_of_the_constraints_and_digests_of_every_release() -> None:
    sys.path.insert(0, str(ROOT))  # benchmarks are scripts, not a part of the package
    from benchmarks.lock import digests  # noqa: PLC0415

    text = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = {plain(line) for line in (ROOT / "constraints.txt").read_text("utf-8").split()}
    locked = dict(re.findall(r"^([\w.-]+==[^ ;]+)(?: ;([^\\]+))? \\$", text, re.MULTILINE))
    elsewhere = {line for line in locked if plain(line) not in pinned}
    assert all("win32" in locked[line] for line in elsewhere), elsewhere
    found = digests(text)
    assert {line.partition("==")[0] for line in locked} == set(found)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for of in found.values() for digest in of)
    assert min(map(len, found.values())) >= 1
    names = {plain(name) for name in found}
    assert {plain(name) for name in LIBRARIES} - names == {"torch"}
    assert not {name for name in names if name.startswith(("torch", "nvidia", "triton"))}
    rest = [line for line in text.splitlines() if not re.match(r"#|[\w.-]+==|    --hash=sha256:", line)]
    assert rest == []


def plain(line: str) -> str:
    return line.lower().replace("_", "-")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both archives from a copy, without a network."""
    folder = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns(
        ".*", "build", "dist", "_build", "*.egg-info", "__pycache__", "runs", "lymphct-demo"
    )
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    script = "from setuptools import build_meta as b; b.build_sdist('../out'); b.build_wheel('../out')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "out"


def below(folder: Path, pattern: str = "*") -> set[str]:
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob(pattern)
        if path.is_file() and not {"__pycache__", "_build"} & set(path.parts)
    }


def test_the_wheel_holds_the_package_its_models_and_templates_and_nothing_else(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == below(PACKAGE)
    assert {"lymphct/py.typed", "lymphct/report/templates/patient.html"} <= names
    assert "lymphct/bundles/phantom_tiny/bundle.json" in names
    licences = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/licenses/" in name}
    assert licences == {"LICENSE", "THIRD_PARTY.md"}


def test_the_source_archive_holds_tests_docs_and_benchmarks(archives: Path) -> None:
    (archive,) = archives.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {f"src/{name}" for name in below(PACKAGE)} | below(ROOT / "tests", "*.py")
    wanted |= below(ROOT / "benchmarks") | below(ROOT / "docs")
    wanted |= {path.name for path in ROOT.iterdir() if path.is_file() and path.name != ".gitignore"}
    assert {name for name in wanted - names if not Path(name).name.startswith(".")} == set()
    assert not [name for name in names if name.endswith(".pyc") or "_build" in name]
