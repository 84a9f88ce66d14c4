"""`lymphct predict` up to the door of the prediction, which has tests of its own, and what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli.predicted import summary_line
from lymphct.core.errors import InputError
from lymphct.io.manifest import write_manifest
from lymphct.patients.one_by_one import CohortOutcome
from lymphct.patients.predicting import prediction

Program = Callable[..., Any]

RESULT: dict[str, Any] = {
    "patient_id": "p1",
    "probability": 0.25,
    "threshold": 0.5,
    "nodes_total": 3,
    "nodes_positive": 1,
    "sources": {"structures": "network", "tumor": "network", "nodes": "network"},
    "structures_used": ["aorta", "pancreas"],
    "structures_missing": ["spleen"],
    "notices": [],
}


def test_a_line_says_score_nodes_structures_and_what_a_reader_must_know() -> None:
    assert summary_line(RESULT) == (
        "p1: probability of LN metastasis 0.250 (threshold 0.500); 3 nodes, 1 predicted positive; "
        "2 of 3 guiding structures"
    )
    drawn = {"sources": {"structures": "given", "tumor": "network", "nodes": "given"}}
    assert summary_line({**RESULT, **drawn}) == (
        "p1: probability of LN metastasis 0.250 (threshold 0.500); 3 nodes drawn, 1 called positive; "
        "2 of 3 guiding structures; drawn: structures, nodes"
    )
    withheld = {"probability": None, "nodes_total": None, "notices": [{"text": "no structures"}]}
    assert summary_line({**RESULT, **withheld}).splitlines() == [
        "p1: score withheld; nodes not searched; 2 of 3 guiding structures",
        "  notice: no structures",
    ]


def test_nodes_that_nobody_called_are_not_said_to_be_negative() -> None:
    masks = {"probability": None, "nodes_positive": None}
    assert summary_line({**RESULT, **masks}) == (
        "p1: score withheld; 3 nodes, not called; 2 of 3 guiding structures"
    )


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (["node_voxel=2"], "node_voxel is '2', no number from 0 to 1"),
        (["node_voxel=0.2", "node_voxel=0.3"], "the operating point node_voxel is given twice"),
        (["patient=0.2"], "the operating point patient has no effect on --only nodes"),
    ],
)
def test_an_operating_point_that_makes_no_sense_is_a_usage_error(
    lymphct: Program, points: list[str], words: str
) -> None:
    options = [word for point in points for word in ("--operating-point", point)]
    result = lymphct("predict", "--venous", "v.nii.gz", "--out", "results", "--only", "nodes", *options)
    assert result.code == 2
    assert words in result.err


@pytest.mark.parametrize("stage", ["identification", "metastasis"])
def test_a_stage_that_draws_no_mask_cannot_be_asked_for_alone(lymphct: Program, stage: str) -> None:
    result = lymphct("predict", "--venous", "v.nii.gz", "--out", "results", "--only", stage)
    assert result.code == 2
    assert f"{stage} draws no mask; one of structures, tumor, nodes" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cohort.csv"], "--out is needed"),
        (["--out", "results"], "give either a manifest or --venous"),
        (["cohort.csv", "--venous", "v.nii.gz", "--out", "results"], "give either a manifest or --venous"),
        (
            ["cohort.csv", "--given", "organs", "--out", "results"],
            "--given takes structures, tumor and nodes",
        ),
        (["--venous", "v.nii.gz", "--given", "nodes", "--out", "results"], "--given goes with a manifest"),
    ],
)
def test_one_patient_or_one_manifest_and_a_place_for_results_are_needed(
    lymphct: Program, arguments: list[str], words: str
) -> None:
    result = lymphct("predict", *arguments)
    assert result.code == 2
    assert words in result.err


def test_the_options_of_one_patient_become_a_record_without_a_file(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def predict_single(*arguments: object, **_: object) -> dict[str, Any]:
        asked.append(arguments)
        return RESULT

    monkeypatch.setattr(prediction, "predict_single", predict_single)
    venous, tumor, folder = tmp_path / "v.nii.gz", tmp_path / "t.nii.gz", tmp_path / "out"
    for file in (venous, tumor):
        file.touch()
    given = ("--venous", venous, "--tumor", tumor, "--patient-id", "p1", "--out", folder)
    options = ("--registration", "none", "--fill-structures", "--threads", "3", "--only", "nodes")
    result = lymphct("predict", *given, *options, "--operating-point", "node_voxel=0.2")
    assert (result.code, result.out) == (0, f"{summary_line(RESULT)}\n")
    ((record, request, out),) = asked
    assert (record.patient_id, out) == ("p1", folder)
    assert record.paths == {"venous": venous, "tumor": tumor}
    assert (request.registration, request.fill_structures, request.threads) == ("none", True, 3)
    assert (request.only, request.operating_points) == ("nodes", {"node_voxel": 0.2})
    assert json.loads(lymphct("predict", *given, "--json").out) == RESULT
    assert (asked[-1][1].registration, asked[-1][1].only) == (None, None)


def test_what_is_to_be_known_of_all_patients_is_said_once(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices = {"p1": ["phantoms", "no arterial phase"], "p2": ["phantoms"]}
    results = {
        name: {**RESULT, "patient_id": name, "notices": [{"text": text} for text in texts]}
        for name, texts in notices.items()
    }
    monkeypatch.setattr(prediction, "predict_cohort", lambda *_, **__: CohortOutcome(results, {}))
    manifest = tmp_path / "cohort.csv"
    write_manifest(manifest, [{"patient_id": name, "venous": name} for name in results])
    first, second, *others = lymphct("predict", manifest, "--out", tmp_path / "results").out.splitlines()
    assert first == "notice for all 2 patients: phantoms"
    assert second.startswith("p1: ")
    assert [others[0], others[1][:4], len(others)] == ["  notice: no arterial phase", "p2: ", 2]


def test_a_manifest_is_predicted_side_by_side_and_failures_end_with_code_4(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def predict_cohort(manifest: Any, request: Any, out: Path, **options: object) -> CohortOutcome:
        asked.append(
            {"ids": [p.patient_id for p in manifest.patients], "threads": request.threads, **options}
        )
        assert out == tmp_path / "results"
        return CohortOutcome({"p1": RESULT}, {"p2": InputError("it is damaged", code="E_GZIP")})

    monkeypatch.setattr(prediction, "predict_cohort", predict_cohort)
    manifest = tmp_path / "cohort.csv"
    write_manifest(manifest, [{"patient_id": "p1", "venous": "a"}, {"patient_id": "p2", "venous": "b"}])
    result = lymphct("predict", manifest, "--out", tmp_path / "results", "--jobs", "2")
    assert result.code == 4
    assert result.out.splitlines() == [summary_line(RESULT), "p2: failed: it is damaged [E_GZIP]"]
    assert "1 of 2 patients failed: p2 [E_PARTLY] - see failures.jsonl" in result.err
    assert (asked[0]["ids"], asked[0]["threads"], asked[0]["jobs"]) == (["p1", "p2"], 1, 2)
