"""`lymphct structures`, and what `predict` makes of sources."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli.structures import markdown_table
from lymphct.io.images.known_sources import known_sources
from lymphct.io.manifest import write_manifest
from lymphct.patients.one_by_one import CohortOutcome
from lymphct.patients.predicting import prediction

Program = Callable[..., Any]
RESULT: dict[str, Any] = {
    "patient_id": "p1",
    "probability": None,
    "nodes_total": None,
    "nodes_positive": None,
    "sources": {"structures": "given", "tumor": "network", "nodes": "network"},
    "structures_used": [],
    "structures_missing": [],
    "notices": [],
}


def test_the_list_says_coverage_and_licence_of_every_source(lymphct: Program) -> None:
    told = lymphct("structures", "--list")
    assert told.code == 0
    assert "guiding structures 6 of 10; tumor no" in told.out
    assert "licence: CC BY-NC-SA 4.0 (non-commercial only)" in told.out
    rows = json.loads(lymphct("structures", "--list", "--json").out)
    assert rows == [row.record() for row in known_sources().values()]
    assert lymphct("structures").code == 2


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []

    def predict_single(*arguments: object, **_: object) -> dict[str, Any]:
        found.append(arguments)
        return RESULT

    monkeypatch.setattr(prediction, "predict_single", predict_single)
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--fill-structures"], (False, [], True)),
        (["--fill-structures", "bundle"], (False, [], True)),
        (["--fill-structures=trace"], (False, ["trace"], False)),
        (["--fill-structures", "trace,bundle"], (False, ["trace"], True)),
        (["--structures", "MAP", "--fill-structures"], (True, [], True)),
        (["--structures", "MAP", "--fill-structures", "trace"], (True, ["trace"], False)),
        (["--structures", "totalsegmentator,cads:MAP"], (False, ["totalsegmentator", "cads:MAP"], False)),
    ],
)
def test_structures_and_what_fills_them(
    lymphct: Program,
    tmp_path: Path,
    asked: list[tuple[Any, ...]],
    words: list[str],
    expected: tuple[bool, list[str], bool],
) -> None:
    path, sources, filled = expected
    venous, mask = tmp_path / "v.nii.gz", tmp_path / "m.nii.gz"
    venous.touch()
    mask.touch()
    told = [word.replace("MAP", str(mask)) for word in words]
    done = lymphct("predict", "--venous", venous, "--out", tmp_path / "out", *told)
    assert done.code == 0, done.err
    ((record, request, _),) = asked
    assert (record.structures == mask) is path
    assert [s.text for s in request.sources] == [s.replace("MAP", str(mask)) for s in sources]
    assert request.fill_structures is filled


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--structures", "cads:masks.nii.gz"], "is the same for every patient of the cohort"),
        (["--structures", "x/{patient}.nii.gz", "--given", "structures"], "both say where the structures"),
        (["--structures", "totalsegmentor"], "did you mean totalsegmentator"),
        (["--structures", "totalsegmentator", "--fill-structures", "totalsegmentator"], "is given twice"),
    ],
)
def test_a_cohort_with_sources_that_make_no_sense_is_a_usage_error(
    lymphct: Program, tmp_path: Path, words: list[str], told: str
) -> None:
    manifest = tmp_path / "cohort.csv"
    write_manifest(manifest, [{"patient_id": "p1", "venous": "a"}])
    done = lymphct("predict", manifest, "--out", tmp_path / "out", *words)
    assert (done.code, told in done.err) == (2, True), done.err


def test_the_bare_option_does_not_swallow_the_manifest(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def predict_cohort(_: Any, request: Any, *__: Any, **___: object) -> CohortOutcome:
        found.append(request)
        return CohortOutcome({"p1": RESULT}, {})

    monkeypatch.setattr(prediction, "predict_cohort", predict_cohort)
    manifest = tmp_path / "cohort.csv"
    (tmp_path / "a").touch()
    write_manifest(manifest, [{"patient_id": "p1", "venous": "a"}])
    done = lymphct("predict", "--fill-structures", manifest, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert found[0].fill_structures


def test_the_page_shows_the_table_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "get-structures.md").read_text("utf-8")
    shown = page.partition("<!-- sources:begin -->\n")[2].partition("\n<!-- sources:end -->")[0]
    assert shown == markdown_table()
