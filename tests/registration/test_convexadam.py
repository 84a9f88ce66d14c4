"""convexAdam is wrapped as it needs to be; the library itself is an extra and may be absent."""

import importlib.util
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import EnvironmentProblemError
from lymphct.phantom.patient import PhantomPatient
from lymphct.registration import convexadam, register


def image() -> FloatArray:
    return np.random.default_rng(0).normal(size=(18, 17, 16)).astype(np.float32)


def test_without_the_extra_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "convexAdam.convex_adam_MIND", None)
    with pytest.raises(EnvironmentProblemError, match="convexAdam is not installed") as caught:
        convexadam.solve(image(), image())
    assert caught.value.exit_code == 6
    assert "pip install 'lymphct[convexadam]'" in caught.value.cure


def test_it_is_asked_for_float32_and_inverse_consistency_and_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def convex_adam_pt(fixed: FloatArray, moving: FloatArray, **options: object) -> FloatArray:
        asked.update(options)
        print("a line the library prints")  # noqa: T201 - as the library does
        return np.stack([fixed, moving, fixed + moving], axis=-1).astype(np.float64)

    library = ModuleType("convexAdam.convex_adam_MIND")
    library.__dict__.update(convex_adam_pt=convex_adam_pt, torch=SimpleNamespace(float32="float32"))
    monkeypatch.setitem(sys.modules, "convexAdam", ModuleType("convexAdam"))
    monkeypatch.setitem(sys.modules, "convexAdam.convex_adam_MIND", library)
    filters = list(warnings.filters)
    found = convexadam.solve(image(), 2 * image())
    assert asked == {"ic": True, "dtype": "float32"}
    assert found.dtype == np.float32
    assert_array_equal(found, np.stack([image(), 2 * image(), 3 * image()]))
    assert capsys.readouterr().out == ""
    assert list(warnings.filters) == filters


@pytest.mark.skipif(importlib.util.find_spec("convexAdam") is None, reason="the extra convexadam is absent")
@pytest.mark.slow
def test_it_halves_the_error_in_the_organs(phantom: PhantomPatient) -> None:
    found = register(phantom.venous, phantom.arterial, method="convexadam", spacing_mm=3.0)
    organs = phantom.structures.array > 0
    off = np.linalg.norm(found.displacement(phantom.venous.geometry) - phantom.field.array, axis=-1)
    assert off[organs].mean() < 0.5 * np.linalg.norm(phantom.field.array, axis=-1)[organs].mean()
