from pathlib import Path

import pytest

from lymphct.attention.bands import Band
from lymphct.config import Config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.terms import Structure
from lymphct.io.settings import LONGEST_SETTINGS, load_bands, load_config, preset_names


def test_without_a_name_the_defaults_hold() -> None:
    assert load_config(None) == Config()


def test_the_preset_of_the_paper_leaves_out_what_goes_beyond_it() -> None:
    assert Config().identification.head.node_features
    assert not load_config("paper").identification.head.node_features


def test_the_paper_and_the_shipped_recipe_register_their_phases_the_smallest_recipe_does_not() -> None:
    assert Config().registration.method == load_config("paper").registration.method == "deeds"
    assert load_config("phantom_tiny").registration.method == "deeds"
    assert load_config("phantom_nano").registration.method == "none"


def test_every_preset_is_valid_and_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert preset_names()[0] == "paper"
    assert {"phantom_tiny", "phantom_nano"} <= set(preset_names())
    for name in preset_names():
        assert isinstance(load_config(name), Config)
    assert load_config("phantom_tiny").imaging.spacing == (2.0, 2.0, 2.5)


def test_the_paper_starts_from_imagenet_and_the_small_networks_of_phantoms_do_not() -> None:
    starts = {name: load_config(name).metastasis.network.initialization for name in preset_names()}
    assert starts == {"paper": "imagenet", "phantom_nano": "random", "phantom_tiny": "random"}


def test_a_file_changes_what_it_names_and_overrides_come_last(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("nodes: {threshold: 0.3, min_volume: 12}\n")
    config = load_config(str(path), ["nodes.threshold=0.4"])
    assert (config.nodes.threshold, config.nodes.min_volume) == (0.4, 12.0)
    assert config.imaging == Config().imaging


def test_a_wrong_setting_names_the_file_it_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("nodes: {treshold: 0.3}\n")
    with pytest.raises(UsageError, match=r"^mine\.yaml: setting nodes\.treshold: no such setting; did"):
        load_config(str(path))


def test_a_wrong_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("nodes: {threshold: 0.3}\n")
    with pytest.raises(UsageError, match=r"^setting nodes\.threshold: "):
        load_config(str(path), ["nodes.threshold=high"])


def test_a_name_that_is_nothing_lists_the_presets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: neither a file nor a preset \(paper, phantom_nano, "):
        load_config(str(tmp_path / "none.yaml"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        load_config(str(tmp_path))


def test_a_text_of_hostile_length_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text("#" * (LONGEST_SETTINGS + 1))
    with pytest.raises(UsageError, match=r"long\.yaml: 65537 characters are too many for settings"):
        load_config(str(path))


def test_bands_are_read_from_their_own_file(tmp_path: Path) -> None:
    path = tmp_path / "bands.yaml"
    path.write_text("spleen: {d_min: 0, d_max: 16}\n")
    assert load_bands(path) == {Structure.SPLEEN: Band(0.0, 16.0)}
    with pytest.raises(UsageError, match=r"none\.yaml: no such file of distance bands"):
        load_bands(tmp_path / "none.yaml")
    path.write_text("heart: {d_min: 0, d_max: 16}\n")
    with pytest.raises(InputError, match=r"bands\.yaml: distance band for 'heart'"):
        load_bands(path)
