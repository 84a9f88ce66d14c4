"""The pieces a bundle is read with; whole bundles are written, read and verified in test_bundles."""

import shutil
from pathlib import Path

import pytest

from lymphct.core.errors import InputError, ModelError
from lymphct.io.models.bundle_reading import (
    BUNDLE_FILE,
    CARD_FILE,
    about_file,
    file_differences,
    read_bundle,
    read_part,
    validated,
)
from lymphct.io.models.bundles import shipped_bundle_path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_bundle_path(), tmp_path / "bundle"))


def test_weights_are_read_each_time_they_are_asked_for_and_not_before(bundle: Path) -> None:
    read = read_bundle(bundle)
    name = next(iter(read.weights))
    assert len(read.weights) == len(read.info.parts)
    first, second = read.weights[name], read.weights[name]
    assert first.keys() == second.keys()
    assert all(first[key] is not second[key] for key in first)
    (bundle / f"{name}.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"{name}\.safetensors: no such file"):
        _ = read.weights[name]


def test_there_is_no_part_of_another_name(bundle: Path) -> None:
    with pytest.raises(KeyError, match="liver"):
        _ = read_bundle(bundle).weights["liver"]


def test_a_weight_file_is_what_the_description_lists(bundle: Path) -> None:
    part = next(iter(read_bundle(bundle).info.parts.values()))
    content = read_part(bundle, part)
    (bundle / part.file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"weights differ from what bundle\.json lists"):
        read_part(bundle, part)


def test_files_too_many_and_too_few_are_told_apart(bundle: Path) -> None:
    info = read_bundle(bundle).info
    assert file_differences(bundle, info) == ([], [])
    (bundle / "notes.txt").touch()
    (bundle / ".DS_Store").touch()
    (bundle / CARD_FILE).unlink()
    assert file_differences(bundle, info) == (["notes.txt"], [CARD_FILE])


def test_a_refused_file_becomes_a_refused_model_that_names_it() -> None:
    refused = InputError("too long", code="E_TOO_LARGE", cure="shorten it")
    with pytest.raises(ModelError, match=r"bundle\.json: too long") as caught, about_file(BUNDLE_FILE):
        raise refused
    assert (caught.value.code, caught.value.cure) == ("E_TOO_LARGE", "shorten it")


def test_a_model_that_names_its_file_already_keeps_that_name() -> None:
    with pytest.raises(ModelError, match=r"nodes\.safetensors: bad"), about_file(BUNDLE_FILE):
        raise ModelError("bad").at(file="nodes.safetensors")


@pytest.mark.parametrize(("value", "words"), [([], "the whole: "), ({"schema_version": "one"}, "[a-z_]+: ")])
def test_a_description_that_is_none_names_the_first_field(value: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        validated(value)
