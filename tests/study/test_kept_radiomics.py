"""Radiomics that remember: the same numbers, measured once for a mask however many cascades ask."""

import math
from pathlib import Path

import numpy as np
import pytest

from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.study import kept_radiomics
from lymphct.study.kept_radiomics import KeptRadiomics

GRID = Geometry(shape=(6, 5, 4), spacing=(1.0, 1.0, 2.0))


def volume(seed: int, *, mask: bool = False) -> Volume:
    values = np.random.default_rng(seed).normal(60, 20, GRID.shape).astype(np.float32)
    return Volume(array=(values > 60).astype(np.uint8) if mask else values, geometry=GRID)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often features are measured; pyradiomics itself has tests of its own."""
    calls: list[int] = []

    def measure(ct: Multiphase, tumor: Volume, _settings: RadiomicsSettings) -> dict[str, float]:
        calls.append(1)
        if not tumor.array.any():
            msg = "too small"
            raise InputError(msg)
        return {"venous_mean": float(ct.venous.array.mean()), "venous_flat": math.nan}

    monkeypatch.setattr(kept_radiomics, "radiomics_features", measure)
    return calls


def test_a_mask_is_measured_once(tmp_path: Path, asked: list[int]) -> None:
    ct, tumor = Multiphase(venous=volume(1), arterial=volume(2)), volume(3, mask=True)
    first = KeptRadiomics(tmp_path)(ct, tumor, RadiomicsSettings())
    again = KeptRadiomics(tmp_path)(ct, tumor, RadiomicsSettings())
    assert first["venous_mean"] == again["venous_mean"] == float(ct.venous.array.mean())
    assert math.isnan(again["venous_flat"])
    assert len(asked) == 1


def test_another_image_mask_or_setting_is_measured(tmp_path: Path, asked: list[int]) -> None:
    kept, settings = KeptRadiomics(tmp_path), RadiomicsSettings()
    ct, tumor = Multiphase(venous=volume(1), arterial=volume(2)), volume(3, mask=True)
    kept(ct, tumor, settings)
    kept(Multiphase(venous=volume(1), arterial=volume(4)), tumor, settings)
    kept(Multiphase(venous=volume(1)), tumor, settings)
    kept(ct, volume(5, mask=True), settings)
    kept(ct, tumor, RadiomicsSettings(bin_width=settings.bin_width + 1))
    assert len(asked) == 5


def test_what_cannot_be_measured_is_asked_again(tmp_path: Path, asked: list[int]) -> None:
    nothing = Volume(array=np.zeros(GRID.shape, np.uint8), geometry=GRID)
    for _ in range(2):
        with pytest.raises(InputError):
            KeptRadiomics(tmp_path)(Multiphase(venous=volume(1)), nothing, RadiomicsSettings())
    assert len(asked) == 2
