"""A result is made once for a recipe, whole or not at all."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.core.errors import EnvironmentProblemError, HeldError, InputError, OutputInUseError
from lymphct.io.results.fingerprints import code_version, digest_file, fingerprint
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.store import is_current, read_done

RECIPE = Recipe(inputs={"venous": "1"}, settings={"step": 0.5}, code=("core",), bundle="b")


def writing(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "result.txt").write_text(text)

    return make


def never(_: Path) -> None:
    pytest.fail("made again")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_result_is_made_once_and_a_rerun_calls_nothing(tmp_path: Path) -> None:
    place = tmp_path / "new" / "case7"
    assert made(place, RECIPE, writing("first")) == place
    assert names(place) == ["DONE.json", "result.txt"]
    before = (place / "DONE.json").stat()
    assert made(place, RECIPE, never) == place
    assert (place / "DONE.json").stat() == before
    assert names(tmp_path / "new") == ["case7"]


def test_the_record_of_the_origin_is_the_recipe(tmp_path: Path) -> None:
    done = read_done(made(tmp_path / "case7", RECIPE, writing("first")))
    assert done is not None
    expected = fingerprint({"venous": "1"}, {"step": 0.5}, code_version("core"), "b")
    assert done["fingerprint"] == RECIPE.fingerprint() == expected


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, inputs={"venous": "2"}),
        replace(RECIPE, inputs={"arterial": "1"}),
        replace(RECIPE, settings={"step": 0.6}),
        replace(RECIPE, code=("core", "imaging")),
        replace(RECIPE, bundle=""),
    ],
)
def test_another_input_setting_code_or_bundle_makes_it_anew(
    tmp_path: Path, other: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="lymphct.io.results.made"):
        place = made(tmp_path / "case7", RECIPE, writing("first"))
        assert caplog.messages == []
        made(place, other, writing("second"))
    told = "its inputs, settings or code are others now, it is made again"
    assert caplog.messages == [f"case7 of {tmp_path.name}: {told}"]
    assert (place / "result.txt").read_text() == "second"
    assert is_current(place, other.fingerprint(), verify=True)
    assert names(tmp_path) == ["case7"]


def test_what_a_kill_left_beside_a_current_result_goes_with_the_next_run(tmp_path: Path) -> None:
    place = made(tmp_path / "case7", RECIPE, writing("first"))
    (tmp_path / ".case7.old-123").mkdir()
    (tmp_path / ".case7.staging.lock").touch()
    made(place, RECIPE, never)
    assert names(tmp_path) == ["case7"]


def test_a_kill_between_the_two_renames_costs_no_work(tmp_path: Path) -> None:
    place = made(tmp_path / "case7", RECIPE, writing("first"))
    place.rename(tmp_path / ".case7.old-123")
    (tmp_path / ".case7.staging-123").mkdir()
    made(place, RECIPE, never)
    assert (place / "result.txt").read_text() == "first"
    assert names(tmp_path) == ["case7"]


def test_a_result_that_is_not_whole_is_made_anew(tmp_path: Path) -> None:
    place = made(tmp_path / "case7", RECIPE, writing("first"))
    (place / "result.txt").write_text("cut")
    made(place, RECIPE, writing("first"))
    assert (place / "result.txt").read_text() == "first"


@pytest.mark.parametrize("replaces", [False, True])
def test_an_error_leaves_nothing_or_the_older_result(tmp_path: Path, *, replaces: bool) -> None:
    if replaces:
        made(tmp_path / "case7", replace(RECIPE, bundle="old"), writing("old"))

    def fail(folder: Path) -> None:
        (folder / "result.txt").write_text("half")
        msg = "bad"
        raise InputError(msg, code="E_BAD", cure="mend it")

    with pytest.raises(InputError, match="bad"):
        made(tmp_path / "case7", RECIPE, fail)
    assert names(tmp_path) == (["case7"] if replaces else [])
    if replaces:
        assert (tmp_path / "case7" / "result.txt").read_text() == "old"


@pytest.mark.parametrize("replaces", [False, True])
def test_an_input_that_changes_meanwhile_is_refused(tmp_path: Path, *, replaces: bool) -> None:
    venous = tmp_path / "venous.nii.gz"
    venous.write_text("one")
    if replaces:
        made(tmp_path / "case7", replace(RECIPE, bundle="old"), writing("old"))
    recipe = Recipe.of_files({"venous": venous}, {"step": 0.5}, ("core",))

    def make(folder: Path) -> None:
        writing("new")(folder)
        venous.write_text("two")

    with pytest.raises(InputError, match=r"the input venous changed during the run \[E_CHANGED\]"):
        made(tmp_path / "case7", recipe, make)
    assert names(tmp_path) == [*(["case7"] if replaces else []), "venous.nii.gz"]
    again = Recipe.of_files({"venous": venous}, {"step": 0.5}, ("core",))
    assert (made(tmp_path / "case7", again, writing("new")) / "result.txt").read_text() == "new"


def test_a_place_that_cannot_be_written_costs_no_work(tmp_path: Path) -> None:
    (tmp_path / "case7").mkdir()
    (tmp_path / "case7" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputInUseError, match="not empty"):
        made(tmp_path / "case7", RECIPE, never)
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblemError, match="a part of the path is a file"):
        made(tmp_path / "file" / "case7", RECIPE, never)


def test_a_recipe_hashes_its_files_when_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_text("one")
    (tmp_path / "tumor.nii").write_text("mask")
    files = {"venous": tmp_path / "series", "tumor": tmp_path / "tumor.nii"}
    recipe = Recipe.of_files(files, {}, ("core",), "b", {"prepared": "key"})
    assert set(recipe.inputs) == {"venous", "tumor", "prepared"}
    assert recipe.inputs["tumor"] == digest_file(tmp_path / "tumor.nii")
    assert recipe.bundle == "b"
    with pytest.raises(InputError, match=r"nowhere: file not found"):
        Recipe.of_files({"venous": tmp_path / "nowhere"}, {}, ("core",))


def test_the_key_covers_everything_and_the_variant_the_settings_alone() -> None:
    others = [
        replace(RECIPE, inputs={"venous": "2"}),
        replace(RECIPE, code=("core", "imaging")),
        replace(RECIPE, bundle=""),
    ]
    assert len({RECIPE.key, *(other.key for other in others)}) == 4
    assert {other.variant for other in others} == {RECIPE.variant}
    assert (len(RECIPE.key), len(RECIPE.variant)) == (64, 16)
    assert replace(RECIPE, settings={"step": 0.6}).variant != RECIPE.variant
    assert replace(RECIPE, settings={"step": 0.5}).variant == RECIPE.variant


def test_the_key_of_a_result_changes_with_its_recipe_and_its_content(tmp_path: Path) -> None:
    one, same, origin, content = (
        key_of(made(tmp_path / name, recipe, writing(text)))
        for name, recipe, text in (
            ("one", RECIPE, "text"),
            ("same", RECIPE, "text"),
            ("origin", replace(RECIPE, bundle=""), "text"),
            ("content", RECIPE, "other"),
        )
    )
    assert one == same
    assert len({one, origin, content}) == 3
    with pytest.raises(InputError, match=r"DONE.json: file not found"):
        key_of(tmp_path / "nowhere")


KILLED = """
import os, signal, sys
from pathlib import Path
from lymphct.io.results.made import Recipe, made
def make(folder):
    (folder / "result.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
made(Path(sys.argv[1]), Recipe(settings={}, code=("core",)), make)
"""


def test_a_kill_in_the_middle_leaves_nothing_visible_and_the_rerun_completes(tmp_path: Path) -> None:
    place = tmp_path / "case7"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(place)], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert not place.exists()
    assert all(name.startswith(".") for name in names(tmp_path))
    made(place, Recipe(settings={}, code=("core",)), writing("whole"))
    assert (place / "result.txt").read_text() == "whole"
    assert names(tmp_path) == ["case7"]


SLOW = """
import sys, time
from pathlib import Path
from lymphct.io.results.made import Recipe, made
def make(folder):
    print("begun", flush=True)
    time.sleep(1.5)
    (folder / "result.txt").write_text("theirs")
made(Path(sys.argv[1]), Recipe(settings={}, code=("core",)), make)
"""


def test_what_another_process_is_making_is_waited_for_and_not_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, recipe = tmp_path / "case7", Recipe(settings={}, code=("core",))
    command = [sys.executable, "-c", SLOW, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(HeldError, match=f"in use by pid {other.pid}"):
            made(place, recipe, never)
        with caplog.at_level(logging.INFO, logger="lymphct.io.results.made"):
            made(place, recipe, never, patience=60.0)
    assert (place / "result.txt").read_text() == "theirs"
    told = [message for message in caplog.messages if "waiting" in message]
    assert len(told) <= 1
    assert all(f"pid {other.pid}" in message for message in told)


def test_two_threads_that_want_one_result_make_it_once(tmp_path: Path) -> None:
    count = []

    def slowly(folder: Path) -> None:
        count.append(1)
        time.sleep(0.2)
        writing("once")(folder)

    with ThreadPoolExecutor(2) as pool:
        places = list(pool.map(lambda _: made(tmp_path / "a", RECIPE, slowly, patience=60.0), range(2)))
    assert (len(places), len(count)) == (2, 1)
