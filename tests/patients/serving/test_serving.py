"""Every study is examined exactly once, again when it changes, and nothing of it is lost or guessed."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.serving_studies import CANARY, contents, drop, examine

from lymphct.core.errors import EnvironmentProblemError, HeldError, InputError, UsageError
from lymphct.io.results.jsonfile import read_json, read_json_lines
from lymphct.patients.serving.examining import Answer
from lymphct.patients.serving.serving import Places, require_places
from lymphct.patients.serving.settings import ServingSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lymphct.patients.serving.serving import Service

    Serving = Callable[..., AbstractContextManager[Service]]


def log(outbox: Path) -> list[Any]:
    return list(read_json_lines(outbox / "serve.jsonl"))


def results(outbox: Path) -> list[str]:
    return sorted(path.name for path in outbox.glob("study-*"))


def once(serving: "Serving", **options: Any) -> list[Any]:
    with serving(**options) as running:
        return running.run_once(lambda _: None)


def test_each_study_is_done_once_and_stays_where_it_was(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    drop(inbox / f"{CANARY}1", study=1)
    drop(inbox / f"{CANARY}1", study=1, series=2)
    drop(inbox, study=2)
    before = contents(inbox)
    lines = once(serving)
    assert [(line["state"], line["version"]) for line in lines] == [("done", 1)] * 2
    assert sorted(line["files"] for line in lines) == [3, 6]
    assert sorted(line["study"] for line in lines) == results(outbox)
    assert log(outbox) == lines
    assert contents(inbox) == before
    assert once(serving) == []
    assert log(outbox) == lines
    assert (outbox / ".serve").stat().st_mode & 0o777 == 0o700
    assert len(list((outbox / ".serve" / "studies").iterdir())) == 2
    assert not list((outbox / ".serve" / "work").iterdir())
    assert not list((outbox / ".serve" / "queue").iterdir())


def test_nothing_that_names_a_patient_is_written(serving: "Serving", inbox: Path, outbox: Path) -> None:
    for study in (1, 13, 14):
        drop(inbox / f"{CANARY}{study}", study=study)
    (inbox / f"{CANARY}.zip").write_bytes(b"PK" + bytes(200))
    once(serving)
    everything = [str(path) for path in outbox.rglob("*")]
    assert CANARY not in "".join(everything)
    assert all(CANARY.encode() not in Path(p).read_bytes() for p in everything if Path(p).is_file())


def test_a_series_that_arrives_later_makes_a_new_version(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    drop(inbox / "s")
    (first,) = once(serving)
    before = contents(outbox / first["study"])
    drop(inbox / "s", series=2)
    (second,) = once(serving)
    assert (second["study"], second["version"], second["files"]) == (first["study"], 2, 6)
    assert results(outbox) == [first["study"], f"{first['study']}-2"]
    assert contents(outbox / first["study"]) == before
    for path in (inbox / "s").glob(f"{CANARY}7-2-*"):
        path.unlink()
    assert once(serving) == []  # what it was before is known


def test_the_same_files_elsewhere_or_touched_are_no_news(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    paths = drop(inbox / "s")
    once(serving)
    before = contents(outbox)
    (inbox / "s").rename(inbox / "t")
    os.utime(inbox / "t" / paths[0].name, ns=(5, 5))
    shutil.copytree(inbox / "t", inbox / "again")
    assert once(serving) == []
    after = contents(outbox)
    assert {name for name in before if not name.startswith(".serve")} == {
        name for name in after if not name.startswith(".serve")
    }
    assert after["serve.jsonl"] == before["serve.jsonl"]


def test_a_study_that_is_still_written_is_left_alone(serving: "Serving", inbox: Path) -> None:
    drop(inbox / "s")
    with serving(ServingSettings(settle=1000)) as running:
        step = running.step()
        assert (step.is_taken, step.waiting) == (False, 1)
        assert step.ready_in > 900
        assert running.ledger.queue() == {running.inbox.look()[0].name}


def test_once_gives_up_on_what_never_settles(
    serving: "Serving", inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drop(inbox / "s")
    with serving(ServingSettings(settle=50, patience=0.001, every=0.05)) as running:
        assert running.run_once(lambda _: None) == []
    assert "1 study still being written" in caplog.text


def test_a_study_that_changes_while_it_is_copied_is_put_back(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    paths = drop(inbox / "s")
    with serving() as running:
        looked = running.inbox.look

        def look() -> Any:
            found = looked()
            paths[1].write_bytes(paths[1].read_bytes() + b"\0\0")
            return found

        running.inbox.look = look  # type: ignore[method-assign] # the moment between look and copy
        assert running.step().is_taken is False
        del running.inbox.look
        assert running.step().is_taken
    assert [line["state"] for line in log(outbox)] == ["done"]


def test_a_refused_study_says_why_and_is_taken_with_choices(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    drop(inbox / "s", study=13)
    (line,) = once(serving)
    assert (line["state"], line["code"], line["reason"]) == ("refused", "E_DOUBT", "which series?")
    place = outbox / "refused" / line["study"]
    assert read_json(place / "refusal.json") == {
        "schema": 1,
        "patient_id": "p13",
        "code": "E_DOUBT",
        "reason": "which series?",
    }
    assert once(serving) == []
    (place / "choices.csv").write_text("patient_id,venous,arterial\n")
    (line,) = once(serving)
    assert (line["state"], line["version"]) == ("done", 2)
    assert (outbox / f"{line['study']}-2" / "DONE.json").is_file()
    assert once(serving) == []


def test_a_failure_stops_nobody_and_is_tried_again_on_demand(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    drop(inbox / "s", study=14)
    drop(inbox / "t", study=1)
    assert sorted(line["state"] for line in once(serving)) == ["done", "failed"]
    assert once(serving) == []
    (outbox.parent / "mended").touch()
    assert once(serving) == []
    (line,) = once(serving, retry_failed=True)
    assert (line["state"], line["version"], line["attempt"]) == ("done", 1, 2)
    assert once(serving, retry_failed=True) == []


def test_too_large_a_study_is_refused_before_it_is_copied(serving: "Serving", inbox: Path) -> None:
    drop(inbox / "s", slices=5)
    (line,) = once(serving, settings=ServingSettings(settle=0, study_files=4))
    assert (line["state"], line["code"]) == ("refused", "E_TOO_LARGE")
    assert "5 files of" in line["reason"]


def test_who_leaves_the_folder_before_his_turn_is_told_of(
    serving: "Serving", inbox: Path, outbox: Path
) -> None:
    drop(inbox / "s")
    with serving(ServingSettings(settle=1000)) as running:
        running.step()
        shutil.rmtree(inbox / "s")
        running.step()
        assert running.ledger.queue() == set()
    assert [line["state"] for line in log(outbox)] == ["gone"]


def test_the_first_to_arrive_is_the_first_to_be_done(serving: "Serving", inbox: Path) -> None:
    drop(inbox / "s", study=1)
    drop(inbox / "t", study=2)
    with serving(ServingSettings(settle=1000)) as running:
        late, early = (one.name for one in running.inbox.look())
        waiting = running.ledger._waiting
        for name, when in ((late, "2026-01-02"), (early, "2026-01-01")):
            waiting(name).write_text(f'{{"received": "{when}"}}')
    with serving() as running:
        steps = [running.step().line, running.step().line]
    assert [step and step["study"] for step in steps] == [early, late]


def test_a_disk_that_is_away_for_a_while_ends_no_service(
    serving: "Serving", inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drop(inbox / "s")
    inbox.rename(inbox.with_name("away"))
    inbox.mkdir()

    class OverError(Exception):
        pass

    def told(_: Any) -> None:
        raise OverError

    with serving() as running:
        inbox.rmdir()
        with pytest.raises(EnvironmentProblemError, match="cannot be listed"):
            running.run_once(told)
        slept = []

        def back(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 2:
                inbox.with_name("away").rename(inbox)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.sleep", back)
            with pytest.raises(OverError):
                running.run(told)
    assert caplog.text.count("cannot be listed") == 1


def test_another_service_is_refused_at_once(serving: "Serving") -> None:
    with serving(), pytest.raises(HeldError, match=f"in use by pid {os.getpid()}"), serving():
        pass


def test_results_of_a_lost_ledger_are_not_overwritten(serving: "Serving", inbox: Path, outbox: Path) -> None:
    drop(inbox / "s")
    (line,) = once(serving)
    before = contents(outbox / line["study"])
    shutil.rmtree(outbox / ".serve")
    (line,) = once(serving)
    assert line["version"] == 2
    assert contents(outbox / line["study"]) == before


def test_places_lie_apart(tmp_path: Path) -> None:
    inbox, outbox, key = tmp_path / "in", tmp_path / "out", tmp_path / "key"
    with pytest.raises(InputError, match="no such folder to watch"):
        require_places(Places(inbox=inbox, outbox=outbox, key=key))
    inbox.mkdir()
    for wrong in (inbox / "out", tmp_path):
        with pytest.raises(UsageError, match="lie in one another"):
            require_places(Places(inbox=inbox, outbox=wrong, key=tmp_path.parent / "key"))
    with pytest.raises(UsageError, match="the key would lie in"):
        require_places(Places(inbox=inbox, outbox=outbox, key=outbox / "key"))
    require_places(Places(inbox=inbox, outbox=outbox, key=key))


def test_what_the_examination_sees_has_neither_names_nor_links(serving: "Serving", inbox: Path) -> None:
    drop(inbox / f"{CANARY}x", series=1)
    drop(inbox / f"{CANARY}x", series=2)
    (inbox / f"{CANARY}x" / "lost").write_bytes(b"")
    seen: list[str] = []

    def look(place: Path, choices: Path | None) -> Answer:
        seen.extend(path.relative_to(place / "export").as_posix() for path in place.rglob("*.dcm"))
        return examine(place, choices)

    once(serving, by=look)
    folders = {name.partition("/")[0] for name in seen}
    assert len(folders) == 2  # a folder per series, the lost file in both
    assert len(seen) == 3 + 1 + 3 + 1
    assert not any(CANARY in name for name in seen)
