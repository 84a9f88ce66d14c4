"""Bands of the settings, for cancers whose lymph nodes lie elsewhere."""

from pathlib import Path

import pytest

from lymphct.attention.bands import PAPER_BANDS, Band, bands_of
from lymphct.attention.settings import AttentionSettings
from lymphct.core.errors import UsageError
from lymphct.core.terms import Structure
from lymphct.io.settings import load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_settings_gives_them(tmp_path: Path) -> None:
    path = written(tmp_path, "attention: {bands: {stomach: {d_min: -2, d_max: 15}}}\n")
    assert bands_of(load_config(str(path)).attention) == {Structure.STOMACH: Band(-2.0, 15.0)}
    assert bands_of(AttentionSettings()) is PAPER_BANDS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("attention: {bands: {liver: {d_min: 0, d_max: 15}}}", "'liver' does not guide the attention"),
        ("attention: {bands: {}}", "no band is given"),
        ("attention: {bands: {spleen: {d_min: 5, d_max: 5}}}", "d_min 5 is not below d_max 5"),
        ("attention: {bands: {spleen: {d_min: 5}}}", "d_max"),
        ("attention: {prior: atlas, bands: {spleen: {d_min: 0, d_max: 5}}}", "fitted in their place"),
        (
            "{cascade: {fit_bands: true}, attention: {bands: {spleen: {d_min: 0, d_max: 5}}}}",
            "leave one out",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_config(str(written(tmp_path, text)))
