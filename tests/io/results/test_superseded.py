"""No older result looks current after a failure, and none is lost."""

import logging
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.results.made import Recipe, made, made_to_be_seen
from lymphct.io.results.superseded import brought_back, forget_superseded, hidden_place, set_aside

TORN = InputError("gzip stream ends early", code="E_TRUNCATED")


def recipe(setting: int) -> Recipe:
    return Recipe(settings={"setting": setting}, code=("core.terms",))


def written(text: str, calls: list[str] | None = None):  # type: ignore[no-untyped-def] # noqa: ANN201 - a function of a folder
    def make(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "result.json").write_text(text)

    return make


def failing(folder: Path) -> None:
    (folder / "result.json").write_text("half")
    raise TORN


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_after_a_failure_no_older_result_stands_and_it_comes_back_without_work(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    calls: list[str] = []
    made_to_be_seen(place, recipe(1), written("first", calls))
    with pytest.raises(InputError, match="ends early"):
        made_to_be_seen(place, recipe(2), failing)
    assert names(tmp_path) == [".case7.superseded"]
    made_to_be_seen(place, recipe(1), written("never", calls))
    assert names(tmp_path) == ["case7"]
    assert (place / "result.json").read_text() == "first"
    assert calls == ["first"]


def test_a_newer_result_removes_the_older_one(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    made_to_be_seen(place, recipe(1), written("first"))
    made_to_be_seen(place, recipe(2), written("second"))
    assert names(tmp_path) == ["case7"]
    assert (place / "result.json").read_text() == "second"


def test_what_comes_back_takes_the_place_of_what_stood_there(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    made_to_be_seen(place, recipe(1), written("first"))
    assert set_aside(place)
    made(place, recipe(2), written("second"))
    assert brought_back(place, recipe(1).fingerprint())
    assert (place / "result.json").read_text() == "first"
    assert (hidden_place(place) / "result.json").read_text() == "second"
    forget_superseded(place)
    assert names(tmp_path) == ["case7"]


def test_one_older_result_is_kept_and_it_is_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "case7"
    for setting, text in ((1, "first"), (2, "second")):
        made(place, recipe(setting), written(text))
        with caplog.at_level(logging.INFO):
            assert set_aside(place)
    assert names(tmp_path) == [".case7.superseded"]
    assert (hidden_place(place) / "result.json").read_text() == "second"
    assert "case7: its older result is kept as .case7.superseded" in caplog.text


def test_what_is_not_ours_stays_where_it_is(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    assert not set_aside(place)
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    assert not set_aside(place)
    assert names(place) == ["notes.txt"]


def test_a_damaged_older_result_does_not_come_back(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    made(place, recipe(1), written("first"))
    set_aside(place)
    (hidden_place(place) / "result.json").write_text("cut")
    assert not brought_back(place, recipe(1).fingerprint())
    made_to_be_seen(place, recipe(1), written("again"))
    assert names(tmp_path) == ["case7"]
    assert (place / "result.json").read_text() == "again"
