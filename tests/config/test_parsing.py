"""Settings and bands from text alone; files and presets are read in tests/io/test_settings."""

import pytest

from lymphct.attention.bands import Band
from lymphct.cascade.settings import Config
from lymphct.config.parsing import parse_bands, parse_config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.terms import Structure


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}"])
def test_text_without_a_setting_gives_the_defaults(text: str) -> None:
    assert parse_config(text) == Config()


def test_a_group_given_in_part_keeps_the_rest_of_its_room() -> None:
    config = parse_config("nodes: {threshold: 0.3, training: {epochs: 7}}")
    default = Config().nodes
    assert (config.nodes.threshold, config.nodes.training.epochs) == (0.3, 7)
    assert config.nodes.training.learning_rate == default.training.learning_rate
    assert config.nodes.min_volume == default.min_volume


def test_overrides_come_after_the_text_and_the_last_one_holds() -> None:
    config = parse_config("nodes: {threshold: 0.3}", ["nodes.threshold=0.4", "nodes.threshold=0.6"])
    assert config.nodes.threshold == 0.6


def test_an_override_may_be_any_yaml_value() -> None:
    config = parse_config("", ["imaging.spacing=[2, 2, 2.5]", "nodes.heads.use_attention=false"])
    assert config.imaging.spacing == (2.0, 2.0, 2.5)
    assert not config.nodes.heads.use_attention


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("nodes: {threshold: [", [], r"not valid YAML \(line 1\)"),
        ("[" * 3000, [], "not valid YAML"),
        ("- nodes", [], "not a YAML mapping"),
        ("1: 2", [], "not a YAML mapping of names"),
        (
            "nodes: {treshold: 0.3}",
            [],
            r"setting nodes\.treshold: no such setting; did you mean nodes\.threshold\?",
        ),
        ("nodes: {threshold: 3}", [], r"setting nodes\.threshold: .* less than .*, got '3'"),
        ("thresold: 3", [], r"setting thresold: no such setting \[E_SETTING\]"),
        ("border: 3", [], r"setting border: no such setting; did you mean attention\.border\?"),
        ("node: {threshold: 0.3}", [], r"setting node: no such setting; did you mean nodes\?"),
        ("nodes: 3", [], "setting nodes: "),
        ("", ["nodes.threshold"], r"--set takes key=value, got 'nodes\.threshold'"),
        ("", ["nodes.threshold=["], r"the value '\[' is not valid YAML"),
        ("", ["nodes.threshold.high=1"], "threshold is a single setting, not a group"),
        ("", ["stomach=1"], "setting stomach: no such setting "),
    ],
)
def test_whatever_is_wrong_is_told_in_one_line(text: str, overrides: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_config(text, overrides)
    assert "\n" not in str(caught.value)


def test_everything_wrong_is_told_at_once_each_where_it_stands() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(
            "nodes: {treshold: 0.3, min_volume: big}", ["atention.border=3", "nonsense"], file="run.yaml"
        )
    told = str(caught.value)
    assert told.startswith("4 settings are wrong: run.yaml: setting nodes.min_volume: ")
    assert "; run.yaml: setting nodes.treshold: no such setting; did you mean nodes.threshold?" in told
    assert "; --set takes key=value, got 'nonsense'" in told
    assert "; setting atention: no such setting; did you mean attention?" in told
    assert told.count("nodes.treshold") == 1
    assert told.endswith("[E_SETTING] - `lymphct config show` lists all settings")


def test_a_wrong_override_is_no_fault_of_the_file() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config("nodes: {threshold: 0.3}", ["nodes.threshold=3"], file="run.yaml")
    assert str(caught.value).startswith("setting nodes.threshold: ")


def test_what_is_assigned_does_not_reach_the_defaults() -> None:
    parse_config("", ["nodes.training.epochs=7"])
    assert parse_config("") == Config()


def test_yaml_that_would_build_an_object_is_refused() -> None:
    with pytest.raises(UsageError, match="not valid YAML"):
        parse_config("nodes: !!python/object/apply:os.getcwd []")


def test_aliases_that_multiply_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb = "\n".join([*lines, "nodes: *a11"])
    for text in (bomb, "nodes: &a [*a]"):
        for parse in (parse_config, parse_bands):
            with pytest.raises(UsageError, match=r"not valid YAML \(line 1\)") as refused:
                parse(text)
            assert len(str(refused.value)) < 200


def test_an_alias_that_says_a_thing_twice_is_read() -> None:
    config = parse_config(
        "nodes: {unet: &unet {features: [4, 8, 16, 16, 16, 16]}}\nstructures: {unet: *unet}"
    )
    assert config.structures.unet.features == config.nodes.unet.features == (4, 8, 16, 16, 16, 16)


def test_bands_are_one_line_a_structure() -> None:
    bands = parse_bands("spleen: {d_min: 0, d_max: 16}\naorta: {d_min: -1, d_max: 4}\n")
    assert bands == {Structure.SPLEEN: Band(0.0, 16.0), Structure.AORTA: Band(-1.0, 4.0)}
    with pytest.raises(InputError, match="'heart'"):
        parse_bands("heart: {d_min: 0, d_max: 16}")
    with pytest.raises(UsageError, match="the bands are not a YAML mapping"):
        parse_bands("spleen")
