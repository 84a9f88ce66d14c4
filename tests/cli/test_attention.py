import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import attention_map
from lymphct.attention.settings import AttentionSettings
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_volume, write_volume

Program = Callable[..., Any]

C, S = math.cos(0.3), math.sin(0.3)
GRID = Geometry(
    shape=(24, 20, 18),
    spacing=(0.68, 0.68, 0.8),
    origin=(12.0, -40.0, 7.0),
    direction=((C, -S, 0.0), (S, C, 0.0), (0.0, 0.0, 1.0)),
)


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    """A label map with an aorta, a spleen and a liver on a rotated, anisotropic grid."""
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[4:8, 5:9, :] = Structure.AORTA
    labels[15:20, 12:17, 6:12] = Structure.SPLEEN
    labels[0:2, :, :4] = Structure.LIVER
    path = tmp_path / "structures.nii.gz"
    write_volume(path, Volume(array=labels, geometry=GRID))
    return path


def test_the_map_lies_on_the_grid_of_the_mask_as_float32(
    lymphct: Program, structures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "attention.nii.gz"
    result = lymphct("attention", "--structures", structures, "--out", out, "--json")
    assert result.code == 0
    summary = json.loads(result.out)
    assert set(summary) == {"structures_used", "structures_missing", "seconds"}
    assert summary["structures_used"] == ["spleen", "aorta"]
    assert len(summary["structures_missing"]) == 8
    assert "liver" not in summary["structures_missing"]
    written, given = read_volume(out), read_volume(structures)
    assert written.array.dtype == np.float32
    assert written.geometry == given.geometry
    assert_array_equal(written.array, attention_map(given).array)


def test_without_json_nothing_stands_on_stdout_and_missing_structures_are_named(
    lymphct: Program, structures: Path, tmp_path: Path
) -> None:
    result = lymphct("attention", "--structures", structures, "--out", tmp_path / "a.nii.gz")
    assert (result.code, result.out) == (0, "")
    assert "WARNING missing structures: esophagus, stomach, pancreas" in result.err


def test_bands_of_the_user_replace_those_of_the_paper(
    lymphct: Program, structures: Path, tmp_path: Path
) -> None:
    bands = tmp_path / "bands.yaml"
    bands.write_text("aorta: {d_min: 1, d_max: 4}\n")
    out = tmp_path / "a.nii.gz"
    result = lymphct("attention", "--structures", structures, "--bands", bands, "--out", out, "--json")
    assert json.loads(result.out)["structures_used"] == ["aorta"]
    expected = attention_map(read_volume(structures), {Structure.AORTA: Band(1.0, 4.0)})
    assert_array_equal(read_volume(out).array, expected.array)


def test_settings_reach_the_map(lymphct: Program, structures: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nii.gz"
    result = lymphct("attention", "--structures", structures, "--out", out, "--set", "attention.border=1")
    assert result.code == 0
    expected = attention_map(read_volume(structures), PAPER_BANDS, AttentionSettings(border=1.0))
    assert_array_equal(read_volume(out).array, expected.array)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("liver: {d_min: 0, d_max: 4}", 3, "bands.yaml: distance band for 'liver'"),
        ("aorta: {d_min: 4, d_max: 4}", 3, "bands.yaml: the distance band of aorta is empty"),
        ("aorta: [", 2, "bands.yaml: the bands are not valid YAML"),
        (None, 2, "bands.yaml: no such file of distance bands [E_MISSING]"),
    ],
)
def test_wrong_bands_are_refused(  # noqa: PLR0917 - fixtures and the cases
    lymphct: Program, structures: Path, tmp_path: Path, text: str | None, code: int, words: str
) -> None:
    bands = tmp_path / "bands.yaml"
    if text is not None:
        bands.write_text(text)
    result = lymphct(
        "attention", "--structures", structures, "--bands", bands, "--out", tmp_path / "a.nii.gz"
    )
    assert result.code == code
    assert words in result.err
    assert not (tmp_path / "a.nii.gz").exists()


def test_a_name_that_does_not_say_what_is_written_is_refused(
    lymphct: Program, structures: Path, tmp_path: Path
) -> None:
    result = lymphct("attention", "--structures", structures, "--out", tmp_path / "map.nii")
    assert result.code == 2
    assert "map.nii: the attention map is written as .nii.gz [E_USAGE] - --out map.nii.gz" in result.err


def test_the_structures_are_never_overwritten(lymphct: Program, structures: Path) -> None:
    before = structures.read_bytes()
    result = lymphct("attention", "--structures", structures, "--out", structures)
    assert result.code == 2
    assert "--out is the file of the structures" in result.err
    assert structures.read_bytes() == before


def test_numbers_of_another_scheme_are_refused_with_the_cure(lymphct: Program, tmp_path: Path) -> None:
    path = tmp_path / "totalsegmentator.nii.gz"
    write_volume(path, Volume(array=np.full(GRID.shape, 52, dtype=np.uint8), geometry=GRID))
    out = tmp_path / "a.nii.gz"
    result = lymphct("attention", "--structures", path, "--out", out)
    assert result.code == 3
    assert "say --labels totalsegmentator" in result.err
    assert lymphct("attention", "--structures", path, "--labels", "totalsegmentator", "--out", out).code == 0


def test_a_map_that_no_abdomen_has_is_said_and_not_refused(
    lymphct: Program, structures: Path, tmp_path: Path
) -> None:
    array = read_volume(structures).array.copy()
    array[10:14, 5:9, 6:12] = Structure.PANCREAS  # 0.04 ml, within the image
    drawn = tmp_path / "small.nii.gz"
    write_volume(drawn, Volume(array=array, geometry=GRID))
    result = lymphct("attention", "--structures", drawn, "--out", tmp_path / "attention.nii.gz")
    assert result.code == 0
    assert "the label map looks wrong: the pancreas has 0.036 ml (3 to 500 expected)" in result.err
