from importlib.metadata import version
from pathlib import Path

import pytest

from lymphct.cli import installation
from lymphct.cli.installation import Finding, inspect_installation, verified_bundle
from lymphct.core.errors import ModelError
from lymphct.io.models import bundles as bundle_module


def only(findings: list[Finding], group: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.group == group}


def test_versions_and_optional_parts_are_listed_and_an_absent_bundle_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle_module, "shipped_bundle_path", lambda: tmp_path / "none")
    monkeypatch.setattr(installation, "LIBRARIES", {"numpy": "numpy", "PyYAML": "yaml"})
    monkeypatch.setattr(
        installation, "OPTIONAL", {"scipy": ("scipy", "x"), "no-such-part": ("no_such_part", "y")}
    )
    found = list(inspect_installation("cpu"))
    assert only(found, "library")["PyYAML"].text == version("PyYAML")
    assert only(found, "optional")["scipy"].state == "ok"
    missing = only(found, "optional")["no-such-part"]
    assert (missing.state, missing.text) == ("absent", "absent - pip install 'lymphct[y]'")
    assert only(found, "bundle")["none"].state == "absent"
    assert "cpu" in only(found, "device")
    assert not any(finding.exit_code for finding in found)


def test_a_library_that_does_not_load_is_a_fault_and_ends_the_examination(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('operator does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(installation, "LIBRARIES", {"broken": "broken_library"})
    found = list(inspect_installation("cpu"))
    fault = only(found, "library")["broken"]
    assert (fault.state, fault.exit_code) == ("failed", 6)
    assert "does not load: RuntimeError: operator does not exist" in fault.text
    assert only(found, "device") == only(found, "bundle") == {}


def test_a_device_that_was_asked_for_and_is_not_there_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "LIBRARIES", {})
    fault = only(list(inspect_installation("cuda:99", tmp_path / "none")), "device")["cuda:99"]
    assert (fault.state, fault.exit_code) == ("failed", 6)
    assert "device cuda:99 is not there" in fault.text


def test_a_damaged_bundle_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installation, "LIBRARIES", {})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").write_text("{}")
    fault = only(list(inspect_installation("cpu", tmp_path / "b")), "bundle")["b"]
    assert (fault.state, fault.exit_code) == ("failed", 7)


def test_a_trained_bundle_passes_with_the_names_of_its_tensors(bundle: Path) -> None:
    checked = verified_bundle(bundle)
    compared = [line for line in checked if line.endswith("names as expected")]
    assert [line.split(".")[0] for line in compared] == [
        "identification",
        "metastasis",
        "nodes",
        "structures",
        "tumor",
    ]
    assert (
        only(list(inspect_installation("cpu", bundle)), "bundle")[bundle.name].text
        == f"{len(checked)} checks passed"
    )


def test_a_bundle_whose_tensors_do_not_fit_its_networks_is_refused(bundle: Path, tmp_path: Path) -> None:
    text = (bundle / "bundle.json").read_text()
    other = tmp_path / "b"
    other.mkdir()
    for path in bundle.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert '"extra_block": true' in text
    (other / "bundle.json").write_text(text.replace('"extra_block": true', '"extra_block": false'))
    with pytest.raises(ModelError, match="does not fit its description"):
        verified_bundle(other)
