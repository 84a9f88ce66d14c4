"""Which sources count for a result: what is named, and all that it imports."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lymphct.core.errors import UsageError
from lymphct.io.results import code
from lymphct.io.results.code import imported_by, modules_behind, sources
from lymphct.io.results.fingerprints import code_version

LAZY = """
from typing import TYPE_CHECKING
from lymphct.core.lazy import lazy_exports
if TYPE_CHECKING:
    from lymphct.cascade.patient import predict
__getattr__ = lazy_exports(__name__, {"predict": "lymphct.cascade.patient"})
"""
INSIDE = """
try:
    align = None
except ImportError:
    def align():
        from lymphct.core import volume
"""
PACKAGE = {
    "__init__.py": "",
    "core/__init__.py": "",
    "core/lazy.py": "def lazy_exports(): ...",
    "core/volume.py": "import numpy as np",
    "nodes/__init__.py": "",
    "nodes/network.py": "from lymphct.core.volume import Volume",
    "cascade/__init__.py": LAZY,
    "cascade/alignment.py": INSIDE,
    "cascade/patient.py": "from lymphct.nodes.network import Network",
    "patients/__init__.py": "",
    "patients/preparation.py": "from lymphct.cascade.alignment import align\nimport lymphct_of_others.x",
    "patients/typed.py": "import typing\nif typing.TYPE_CHECKING:\n    from lymphct.cascade import predict",
    "patients/whole.py": "import lymphct.cascade",
    "patients/near.py": "from . import typed\nfrom .whole import *\nfrom ..core.volume import Volume",
    "patients/circle.py": "from lymphct.patients import circle",
    "report/__init__.py": "",
    "report/page.py": "",
    "report/templates/page.html": "<p>",
}
"""Sources by name."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE_FOLDER", tmp_path)
    read_anew()
    yield tmp_path
    read_anew()


def read_anew() -> None:
    """Forget all sources, as a new process would."""
    code._imports.cache_clear()
    code_version.cache_clear()


def behind(*names: str) -> set[str]:
    """Return the modules behind names, without the packages around them."""
    return {module for module in modules_behind(*names) if "." in module}


@pytest.mark.usefixtures("package")
def test_imports_are_followed_from_module_to_module_wherever_they_stand() -> None:
    assert modules_behind("patients.preparation") == {
        "", "patients", "patients.preparation", "cascade", "cascade.alignment", "core", "core.lazy",
        "core.volume",
    }  # fmt: skip


@pytest.mark.usefixtures("package")
def test_a_lazy_name_counts_for_those_who_import_it_and_a_package_for_all_its_names() -> None:
    whole = {"cascade.patient", "core.lazy", "nodes.network", "core.volume"}
    assert behind("patients.typed") == whole | {"patients.typed"}
    assert behind("patients.whole") == whole | {"patients.whole"}
    assert behind("cascade.alignment") == {"cascade.alignment", "core.lazy", "core.volume"}


@pytest.mark.usefixtures("package")
def test_relative_imports_stars_and_circles_are_followed() -> None:
    assert {"patients.typed", "patients.whole", "core.volume"} <= behind("patients.near")
    assert behind("patients.circle") == {"patients.circle"}


@pytest.mark.usefixtures("package")
def test_a_room_is_all_its_modules_and_no_name_the_whole_package() -> None:
    assert behind("nodes", "core") == {"nodes.network", "core.lazy", "core.volume"}
    assert set(sources()) == set(PACKAGE)


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("patients/preparation.py", True),
        ("cascade/alignment.py", True),
        ("cascade/__init__.py", True),
        ("core/volume.py", True),
        ("core/lazy.py", True),
        ("cascade/patient.py", False),
        ("nodes/network.py", False),
        ("report/templates/page.html", False),
    ],
)
def test_the_version_changes_with_what_is_imported_and_with_nothing_else(
    package: Path, changed: str, *, counts: bool
) -> None:
    before = code_version("patients.preparation"), code_version()
    with (package / changed).open("a") as file:
        file.write("\n# changed\n")
    read_anew()
    after = code_version("patients.preparation"), code_version()
    assert [a == b for a, b in zip(before, after, strict=True)] == [not counts, False]


def test_the_templates_of_a_page_count_and_compiled_files_do_not(package: Path) -> None:
    (package / "report" / "__pycache__").mkdir()
    (package / "report" / "__pycache__" / "page.pyc").touch()
    assert list(sources("report.page")) == [
        "__init__.py", "report/__init__.py", "report/page.py", "report/templates/page.html",
    ]  # fmt: skip


def test_a_room_needs_no_init_and_a_name_is_a_room_or_a_module(package: Path) -> None:
    (package / "cascade" / "__init__.py").unlink()
    assert behind("cascade") == {
        "cascade.alignment", "cascade.patient", "core.volume", "nodes.network",
    }  # fmt: skip
    for name in ("kitchen", "cascade.kitchen", "cascade.patient.predict"):
        with pytest.raises(UsageError, match=f"the package has no room or module '{name}'"):
            modules_behind(name)


def test_a_script_names_what_it_imports(package: Path) -> None:
    script = package.parent / "script.py"
    script.write_text(
        "import os\nfrom lymphct.cascade import alignment, predict\nimport lymphct.core.volume\n"
    )
    assert imported_by(script) == ("cascade", "cascade.alignment", "core.volume")
    assert "nodes.network" in modules_behind(*imported_by(script))
    script.unlink()


def test_the_stages_of_this_package_reach_what_they_use_and_no_more() -> None:
    preparation = modules_behind("patients.prepared.preparation")
    assert {"cascade.alignment", "registration.deeds", "imaging.resampling_kernels"} <= preparation
    assert not {"nodes.network", "metastasis.network", "learning.unet"} & preparation
    assert "attention.mapping" in modules_behind("patients.phantoms")
    assert "registration.deeds" in modules_behind("patients.registration")
    assert {"cascade.patient", "report.page", "metastasis.network"} <= modules_behind(
        "patients.predicting.prediction"
    )


def test_the_whole_package_is_read_in_two_seconds() -> None:
    read_anew()
    began = time.process_time()
    code_version("cli")
    assert time.process_time() - began < 2.0  # 0.4 s where nothing else runs
