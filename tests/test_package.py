"""`import lymphct` is instant, and every name it offers is there."""

import subprocess
import sys

import pytest

import lymphct


@pytest.mark.parametrize("name", lymphct.__all__)
def test_every_name_it_offers_is_there_and_listed(name: str) -> None:
    assert getattr(lymphct, name) is not None
    assert name in dir(lymphct)


def test_a_name_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'lymphct' has no attribute 'prediction'"):
        _ = lymphct.prediction


def test_importing_it_loads_no_library() -> None:
    script = "import sys; before = set(sys.modules); import lymphct; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.strip(" '").split(".")[0] for name in done.stdout.strip("[]\n").split(",")}
    assert "lymphct" in loaded
    assert loaded - {"lymphct"} <= set(sys.stdlib_module_names)
