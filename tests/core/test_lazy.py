import sys

import pytest

from lymphct.core.lazy import lazy_exports


def test_a_public_name_is_found_in_its_home() -> None:
    load = lazy_exports("lymphct.core", {"Volume": "lymphct.core.volume"})
    assert load("Volume") is sys.modules["lymphct.core.volume"].Volume


def test_the_home_of_a_name_is_imported_on_first_use_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    load = lazy_exports("package", {"hls_to_rgb": "colorsys"})
    assert "colorsys" not in sys.modules
    assert load("hls_to_rgb")(0.0, 1.0, 0.0) == (1.0, 1.0, 1.0)
    assert "colorsys" in sys.modules


def test_an_unknown_name_is_an_attribute_error_of_the_package() -> None:
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'missing'"):
        lazy_exports("package", {"known": "colorsys"})("missing")
