"""Receipts stand as long as what they are for does."""

from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.results.made import Recipe, made
from lymphct.study.tasks.receipts import still_stands, write_receipt


def result(place: Path, text: str) -> Path:
    recipe = Recipe(settings={"text": text}, code=("core.errors",))
    return made(place, recipe, lambda folder: [(folder / "text").write_text(text)].clear())


def test_a_receipt_stands_until_one_of_its_results_is_another(tmp_path: Path) -> None:
    places = {name: result(tmp_path / name, name) for name in ("a", "b")}
    write_receipt(tmp_path / "receipt.json", places)
    assert still_stands(tmp_path / "receipt.json", tmp_path.joinpath)
    result(tmp_path / "b", "another")
    assert not still_stands(tmp_path / "receipt.json", tmp_path.joinpath)


def test_a_receipt_of_what_is_gone_does_not_stand(tmp_path: Path) -> None:
    write_receipt(tmp_path / "receipt.json", {"a": result(tmp_path / "a", "a")})
    (tmp_path / "a" / "DONE.json").unlink()
    assert not still_stands(tmp_path / "receipt.json", tmp_path.joinpath)
    assert not still_stands(tmp_path / "nothing.json", tmp_path.joinpath)


def test_there_is_no_receipt_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_receipt(tmp_path / "receipt.json", {"a": tmp_path / "a"})
    assert not (tmp_path / "receipt.json").exists()
