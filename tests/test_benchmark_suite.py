"""The suite runs what it is asked to, keeps what it is not, and its page says what was reached."""

import json
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import patient_profile, registration_pictures, scaling, suite, suite_page, suite_sections
from benchmarks.suite_figures import Goal
from benchmarks.suite_goals import GOALS
from benchmarks.suite_kept import kept
from benchmarks.suite_sections import HEADINGS

ENVIRONMENT = {
    "machine": "x86_64",
    "system": "Linux",
    "cores": 2,
    "python": "3.11",
    "load": 1.0,
    "libraries": {"numpy": "2.0"},
}


def record(rows: list[tuple[str, float]], title: str = "work", load: float = 1.0) -> dict[str, Any]:
    """Return what a script writes: rows of method and CPU seconds."""
    found = [
        {"method": name, "cpu": cpu, "wall": cpu, "extra_mib": 8.0, "error": 0.0 if n else None}
        for n, (name, cpu) in enumerate(rows)
    ]
    tables = [{"title": title, "rows": found, "facts": {"runs": 5}}]
    return {"environment": {**ENVIRONMENT, "load": load}, "tables": tables}


def goal(name: str) -> Goal:
    return next(goal for goal in GOALS if goal.name.startswith(name))


def started(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    """Start the suite on a page and a folder of the test."""
    page = folder / "page.md"
    if not page.exists():
        page.write_text("above\n<!-- quality:begin -->\n<!-- quality:end -->\nbelow\n", encoding="utf-8")
    paths = ["--folder", str(folder / "records"), "--docs", str(page)]
    monkeypatch.setattr(sys, "argv", ["suite.py", *paths, *words])
    for name in ("LYMPHCT_PAIR_SCRIPT", "LYMPHCT_CT", "LYMPHCT_CT_LABELS"):
        monkeypatch.delenv(name, raising=False)
    return suite.main()


def test_goals_are_compared_with_ratios_of_cpu_seconds() -> None:
    found = record([("lymphct", 0.5), ("MONAI, a mask per class", 9.0)])
    assert goal("Dice, HD, ASD: times").row({"metrics": found})[1:] == ("≥ 20", "18", "**no**")
    found = record([("lymphct", 0.25), ("panoptica, matching alone", 2.5), ("panoptica, evaluate", 1.0)])
    assert goal("matching").row({"matching": found})[1:] == ("≥ 10", "10", "yes")


def test_the_quickest_library_on_boxes_counts_and_the_floor_bounds_from_below() -> None:
    rows = [("lymphct", 1.0), ("edt, cropped", 4.0), ("SimpleITK, cropped", 2.5), ("floor: labels", 0.1)]
    records = {"attention": record(rows)}
    assert goal("attention map: times as fast as the best").row(records)[2:] == ("2.5", "**no**")
    assert goal("attention map: times the floor").row(records)[1:] == ("≤ 8", "10", "**no**")
    assert goal("attention map: MiB").row(records)[2:] == ("8", "yes")


def test_the_least_gain_of_all_maps_counts() -> None:
    found = record([("skipped without attention: 3 windows", 2.0), ("complete grid: 9 windows", 6.0)])
    found["tables"][0]["title"] = "sliding windows, tall"
    slower = record([("skipped without attention: 5 windows", 4.0), ("complete grid: 9 windows", 6.0)])
    slower["tables"][0]["title"] = "sliding windows, paper"
    found["tables"] += slower["tables"]
    assert goal("windows without").row({"inference": found})[2:] == ("1.5", "yes")


def test_the_network_of_the_paper_tells_what_openvino_gains() -> None:
    rows = [("torch, float32, logits", 3.0), ("openvino, float32, logits", 2.5)]
    found = record(rows, "sliding over 96×96×64 voxels, shipped nodes")
    assert goal("OpenVINO").row({"inference": found})[2:] == ("–", "not measured")
    rows = [("torch, float32, logits", 10.0), ("openvino, float32, logits", 5.0)]
    found["tables"] += record(rows, "one window, stage 1 as in the paper")["tables"]
    assert goal("OpenVINO").row({"inference": found})[2:] == ("2", "yes")


def test_libraries_are_timed_with_the_network_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def ran(script: str, words: tuple[str, ...]) -> dict[str, Any]:
        called.append((script, *words))
        return record([("lymphct", 1.0)], words[0])

    monkeypatch.setattr(suite, "script_record", ran)
    found = suite.inference_record(suite.Order(folder=Path()))
    assert called[0] == ("inference.py", "windows", "memory", "--shape", "512", "512", "300")
    assert called[1] == ("inference.py", "backends", "--unet", "paper")
    assert [table["title"] for table in found["tables"]] == ["windows", "backends"]
    small = suite.Order(folder=Path(), shape=("8", "8", "8"), runs=2)
    suite.inference_record(small)
    assert called[3] == ("inference.py", "backends", "--runs", "2")


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_what_was_not_measured_is_neither_met_nor_missed(goal: Goal) -> None:
    assert goal.row({})[2:] == ("–", "not measured")
    empty: dict[str, Any] = {"tables": [], "medians": {}, "profile": {}}
    if goal.section not in {"metrics", "scaling"}:
        assert goal.row({goal.section: empty})[2:] == ("–", "not measured")


def test_the_page_names_missing_peers_and_a_busy_machine() -> None:
    found = record([("lymphct", 0.5), ("cc3d + statistics", 2.0)], "components", load=3.4)
    text = suite_page.page(HEADINGS, {"components": found}, {"registration": "Bring a CT."})
    assert "| cc3d + statistics | 2 | 2 | 4.0 | 8 | 0.0e+00 |" in text
    assert "Not installed when this was measured: scipy." in text
    assert "3.4 to 3.4 running processes" in text
    assert "Not measured yet. Bring a CT." in text
    assert "Not measured yet. `make bench ONLY=metrics` does it." in text


def test_sections_of_different_machines_are_told_apart() -> None:
    one, other = record([("lymphct", 1.0)]), record([("lymphct", 1.0)])
    other["environment"] = {**ENVIRONMENT, "cores": 16}
    text = suite_page.machine_text({"metrics": one, "matching": other})
    assert "- metrics: x86_64, 2 cores" in text
    assert "- matching: x86_64, 16 cores" in text
    assert "running" not in text


def test_every_kind_of_record_has_its_table() -> None:
    step = {"step": "register", "cpu": 3.0, "wall": 4.0, "peak_mib": 100.0}
    patient = {"cpu_seconds": 2.0, "before": {"body": {"mean": 4.0}}, "after": {"body": {"mean": 1.0}}}
    numbers = {"cpu": 10.0, "wall": 11.0, "peak_mib": 600.0}
    errors = {"body_mean": 0.9, "body_p95": 1.9, "dice": 0.91, "folded_percent": 0.0}
    kinds: dict[str, dict[str, Any]] = {
        "registration": {
            "medians": {
                "lymphct": {**numbers, **errors},
                "convexAdam": {**numbers, **errors, "cpu": 80.0},
            },
            "seeds": [1, 2],
            "spacing": 2.0,
        },
        "phantoms": {"methods": {"lymphct": {"patients": [patient, {**patient, "cpu_seconds": 4.0}]}}},
        "profile": {
            "profile": {
                "start": {"steps": [{**step, "peak_mib": None}]},
                "whole": {"size": "tiny", "steps": [step, {**step, "cpu": 1.0}], "cpu": 5.0, "wall": 6.0},
                "classical": {"size": "paper", "shape": [3, 4, 5], "steps": [step]},
            }
        },
        "scaling": {"voxels": [1e6, 2e6], "rows": [{"task": "metrics", "cpu": [1, 2], "exponent": 1.0}]},
        "regions": {"patients": 12, "means": {"body only": [0.9, 1.5]}},
    }
    found = {name: "\n".join(suite_page.section(name, kind)) for name, kind in kinds.items()}
    assert "| convexAdam | 80 | 11 | 8.00 | 600 | 0.900 | 1.900 | 0.910 | 0.000 |" in found["registration"]
    assert "Not installed when this was measured: DEEDS, original." in found["registration"]
    assert "| lymphct | 2 | 3.00 | 4.00 | 1.00 |" in found["phantoms"]
    assert "| register | 3 | 4 | 75 | 100 |" in found["profile"]
    assert "| the whole process | 5 | 6 |" in found["profile"]
    assert "3×4×5 voxels" in found["profile"]
    assert "| metrics | 1 | 2 | 1.00 |" in found["scaling"]
    assert "| body only | 0.900 | 1.5 |" in found["regions"]
    text = goal("registration: share of the CPU time of convexAdam").row(kinds)
    assert text[1:] == ("≤ 0.22", "0.125", "yes")
    assert goal("whole `tiny`").row(kinds)[2:] == ("6", "yes")


def test_one_section_is_measured_anew_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_named: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        target = Path(command[command.index("--json") + 1])
        target.write_text(json.dumps(record([("lymphct", 0.5), ("cc3d", 1.5)])), encoding="utf-8")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "records").mkdir()
    kept = json.dumps(record([("lymphct", 2.0), ("MONAI", 50.0)]))
    (tmp_path / "records" / "metrics.json").write_text(kept, encoding="utf-8")
    words = ("--only", "components", "--shape", "8", "9", "7", "--runs", "2")
    assert started(monkeypatch, tmp_path, *words) == 0
    assert len(calls) == 1
    assert Path(calls[0][1]).name == "components.py"
    assert calls[0][2:8] == ["--shape", "8", "9", "7", "--runs", "2"]
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| cc3d | 1.5 | 1.5 | 3.0 |" in text
    assert "| MONAI | 50 | 50 | 25.0 |" in text
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")


def test_a_script_that_fails_leaves_its_section_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_named: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.CalledProcessError(7, command)

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "records").mkdir()
    kept = json.dumps(record([("lymphct", 2.0), ("MONAI", 50.0)]))
    (tmp_path / "records" / "metrics.json").write_text(kept, encoding="utf-8")
    assert started(monkeypatch, tmp_path, "--only", "metrics") == 1
    assert "metrics failed with exit code 7" in capsys.readouterr().err
    assert "| MONAI | 50 |" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_without_a_ct_the_pairs_are_left_out_and_the_page_says_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(monkeypatch, tmp_path, "--only", "registration") == 0
    assert "LYMPHCT_PAIR_SCRIPT" in capsys.readouterr().out
    assert "set `LYMPHCT_PAIR_SCRIPT`" in (tmp_path / "page.md").read_text(encoding="utf-8")
    named = {"LYMPHCT_PAIR_SCRIPT": "pair.py", "LYMPHCT_CT": "ct.nii.gz", "LYMPHCT_CT_LABELS": "seg.nii.gz"}
    assert suite.registration_words(named) == [
        *("--pair-script", "pair.py", "--ct", "ct.nii.gz"),
        *("--seg", "seg.nii.gz"),
    ]


def test_unknown_sections_and_pages_without_marks_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        started(monkeypatch, tmp_path, "--only", "speed")
    assert "unknown section speed" in capsys.readouterr().err
    (tmp_path / "page.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no place for the tables"):
        started(monkeypatch, tmp_path, "--no-run")


def test_a_page_without_its_records_keeps_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "records").mkdir()
    record_file = tmp_path / "records" / "metrics.json"
    found = record([("lymphct", 2.0), ("MONAI", 50.0)], load=1.9)
    record_file.write_text(json.dumps(found), encoding="utf-8")
    assert started(monkeypatch, tmp_path, "--no-run") == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| Dice, HD, ASD: times as fast as MONAI | ≥ 20 | 25 | yes |" in page
    record_file.unlink()
    assert started(monkeypatch, tmp_path, "--no-run") == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page
    other = record([("lymphct", 0.5), ("cc3d", 1.5)], load=1.0)
    other["environment"]["cores"] = 16
    (tmp_path / "records" / "components.json").write_text(json.dumps(other), encoding="utf-8")
    assert started(monkeypatch, tmp_path, "--no-run") == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| MONAI | 50 | 50 | 25.0 |" in page
    assert "| cc3d | 1.5 | 1.5 | 3.0 |" in page
    assert "- metrics: x86_64, 2 cores" in page
    assert "- components: x86_64, 16 cores" in page
    assert "(1.0 to 1.9 running processes" in page


def test_a_figure_that_was_kept_is_judged_by_the_goal_of_today() -> None:
    text = (
        "## Goals\n\n| goal | wanted | reached | met |\n| --- | ---: | ---: | ---: |\n| a | ≥ 1 | 2.5 | yes |"
    )
    harder = Goal(name="a", section="s", wanted=3, reached=lambda _: 0.0)
    assert harder.judged(kept(text).reached.get("a")) == ("a", "≥ 3", "2.5", "**no**")
    assert harder.judged(None)[2:] == ("–", "not measured")


SCALE = {"network": 1.0, "more": 0.2, "first": 3.0, "cpu_per_patch": 0.05}
TRAININGS: dict[str, dict[str, Any]] = {
    "augmentation": {
        **record([("lymphct", 0.02), ("batchgeneratorsv2", 0.2)]),
        "changes": [{"change": "gamma", "lymphct": 0.001, "batchgeneratorsv2": 0.004}],
        "machine": {"compiled_for": "AVX2", "torch": "AVX2"},
        "source_voxels": 1.6,
    },
    "prepared_store": {
        "images": [
            {
                "shape": [5, 6, 7],
                "kept": 0.7,
                "bytes_per_voxel": 1.5,
                "share_of_plain": 0.15,
                "patch": 0.012,
                "read": {"attention": 0.001},
                "mapped": 0.13,
                "other_ways": [{"way": "memory map", "bytes_per_voxel": 2.0, "seconds": 0.005}],
            }
        ]
    },
    "training_pipeline": {
        "rows": {
            "cpu": {"share": 0.005, "iteration": 0.151, "cpu": 0.1},
            "device": {"share": 0.06, "iteration": 0.16, "cpu": 0.05},
        },
        "threads": 2,
        "wait": 0.15,
        "patches": 2,
    },
    "training_scale": {
        "rows": [
            {"stage": "nodes", "patients": 8, **SCALE, "whole": 1.15, "validation_share": 0.033},
            {"stage": "metastasis", "patients": 64, **SCALE, "first": 12.0},
        ],
        "store": {"bytes_per_voxel": 1.45},
    },
    "threads": {
        "rows": [
            {"method": "ours", "alone": 0.010, "beside": 0.024},
            {"method": "one thread", "alone": 0.015, "beside": 0.020},
        ],
        "facts": {"rounds": 3, "processors": 2},
    },
    "partial_labels": {
        "rows": [
            {"group": "all", "arm": "whole", "dice": 0.7, "difference": 0.0, "low": 0.0, "high": 0.0},
            {"group": "all", "arm": "both", "dice": 0.72, "difference": 0.02, "low": 0.01, "high": 0.03},
        ]
    },
    "paper_plan": {
        "costs": {"iteration": 0.2, "registration": 30.0, "processors": 2},
        "how": "given",
        "plans": {
            "train all": [
                {"name": "registration", "amount": 9, "unit": "patients", "hours": 3.0},
                {"name": "nodes", "amount": 1000, "unit": "iterations", "hours": 2.0},
                {"name": "tumor", "amount": 1000, "unit": "iterations", "hours": 1.5},
            ]
        },
        "room": {"disk": [{"name": "store", "gigabytes": 207.7, "how": "bound"}]},
    },
    "nnunet_inference": record([("lymphct, torch", 4.0), ("lymphct, openvino", 2.0), ("nnU-Net", 6.0)]),
}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("augmentation", "| gamma | 1.00 | 4.00 | 4.0 |"),
        ("prepared_store", "| 5×6×7 | 70 | 1.50 | 15 | 12.0 | 1.0 | 130 |"),
        ("prepared_store", "| memory map | 2.00 | 5.0 |"),
        ("training_pipeline", "| device | 6.0 | 0.16 | 0.05 |"),
        ("training_scale", "| nodes, 8 patients | 1.00 | 0.20 | 1.15 | 3.00 | 0.050 | 3.3 |"),
        ("training_scale", "| metastasis, 64 patients | 1.00 | 0.20 | – | 12.00 | 0.050 | – |"),
        ("threads", "| ours | 10.0 | 1.00 | 24.0 | 1.20 |"),
        ("partial_labels", "| all: whole | 0.700 | – |"),
        ("partial_labels", "| all: both | 0.720 | +0.020 (+0.010 to +0.030) |"),
        ("paper_plan", "| GPU hours together |  | 3.5 |"),
        ("paper_plan", "| store | bound | 208 |"),
        ("nnunet_inference", "| nnU-Net | 6 | 6 | 1.5 | 8 | 0.0e+00 |"),
    ],
)
def test_what_trainings_take_has_its_tables(name: str, line: str) -> None:
    assert line in "\n".join(suite_page.section(name, TRAININGS[name])).splitlines()


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("nnU-Net's predictor, same weights: times", ("3", "yes")),
        ("nnU-Net's predictor, same weights: share", ("1", "**no**")),
        ("nnU-Net's predictor, same weights: smallest", ("1", "yes")),
        ("augmentation", ("10", "yes")),
        ("one patch", ("0.05", "yes")),
        ("a step of 0.15 s", ("6", "**no**")),
        ("training: GB", ("1.15", "yes")),
        ("training: s from", ("12", "**no**")),
        ("training: % of an epoch", ("3.3", "yes")),
        ("prepared patients", ("15", "yes")),
        ("threads beside", ("1.2", "yes")),
    ],
)
def test_goals_of_trainings_are_read_from_their_records(name: str, cells: tuple[str, str]) -> None:
    assert goal(name).row(TRAININGS)[2:] == cells


def test_a_whole_ct_shows_each_way_of_running_it() -> None:
    steps = [{"step": "nodes", "cpu": 20.0, "wall": 12.0, "peak_mib": 900.0}] * 2
    slower = [{**steps[0], "cpu": 50.0}]
    ways = {
        "by itself": {"steps": steps, "dice": {"tumor": 0.99999}},
        "by torch": {"steps": slower, "dice": {"tumor": 1.0}},
    }
    found = {"profile": {"ct": {"steps": steps, "ways": ways}}}
    text = "\n".join(suite_page.profile(found))
    assert "| way | CPU s | wall s | Dice tumor |" in text
    assert "| by torch | 50 | 12 | 1.00000 |" in text
    assert goal("whole CT of 384×384×200 mm, shipped bundle: CPU").row({"profile": found})[2:] == (
        "40",
        "yes",
    )
    assert goal("whole CT of 384×384×200 mm, shipped bundle: wall").row({"profile": found})[2:] == (
        "24",
        "yes",
    )


def test_trainings_share_a_store_and_the_last_one_removes_it(tmp_path: Path) -> None:
    order = suite.Order(folder=tmp_path / "records", nnunet="/bin/other")
    store = str(tmp_path / "training_store")
    assert order.words("training_pipeline") == ["--store", store]
    assert order.words("training_scale") == ["--whole", "--store", store]
    names = list(HEADINGS)
    assert names.index("training_pipeline") < names.index("training_scale")
    assert order.words("nnunet_inference")[-2:] == ["--peer", "/bin/other"]
    assert "--peer" not in suite.Order(folder=tmp_path).words("nnunet_inference")


def test_the_store_is_measured_on_a_phantom_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_named: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(suite, "script_record", lambda script, words: {"called": [script, *words]})
    found = suite.store_record()
    assert calls[0][3:5] == ["phantom", found["called"][1]]
    assert found["called"][0] == "prepared_store.py"


def test_without_batchgeneratorsv2_augmentation_is_left_out_and_the_page_says_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert started(monkeypatch, tmp_path, "--only", "augmentation") == 0
    assert "augmentation is left out. It needs batchgeneratorsv2" in capsys.readouterr().out
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Not measured yet. It needs batchgeneratorsv2" in text


@pytest.mark.parametrize("name", sorted(set(HEADINGS) - {"phantoms"}))
def test_every_section_has_a_script_that_takes_what_it_is_told(name: str) -> None:
    script = Path(suite.__file__).parent / suite_sections.FILES.get(name, f"{name}.py")
    text = script.read_text(encoding="utf-8")
    options = [word for word in suite.Order(folder=Path("x")).words(name) if word.startswith("--")]
    shared = ("--json", "--shape", "--runs") if "import" in text and "parser(" in text else ()
    assert all(f'"{option}"' in text or option in shared for option in [*options, "--json"])


def test_panoptica_comes_from_an_environment_that_has_it_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], answers: dict[str, bool]) -> bool:
        asked.append(command)
        return next(answer for word, answer in answers.items() if word in command)

    works = {"venv": True, "import panoptica": False, "install": True}
    monkeypatch.setattr(suite, "run_quietly", lambda command: run(command, works))
    assert suite.panoptica_environment(tmp_path / "p") == str(tmp_path / "p" / "bin" / "python")
    assert len(asked) == 3
    offline = {**works, "install": False}
    monkeypatch.setattr(suite, "run_quietly", lambda command: run(command, offline))
    assert suite.panoptica_environment(tmp_path / "p") is None
    order = suite.Order(folder=tmp_path, panoptica="/bin/other")
    assert order.words("matching")[-2:] == ["--panoptica", "/bin/other"]


@pytest.mark.parametrize("name", patient_profile.HOOKS)
def test_every_function_the_profile_times_is_there(name: str) -> None:
    assert callable(resolve_name(name))


def test_steps_of_one_name_add_up_and_the_largest_memory_stays() -> None:
    profile = patient_profile.Profile()
    for _ in range(2):
        with profile.stage("sum"):
            np.ones(1000).sum()
    assert profile.timed("sum", lambda: 5)() == 5
    (step,) = profile.record()
    assert step["step"] == "sum"
    assert step["wall"] >= 0
    assert step["peak_mib"] is None or step["peak_mib"] > 1


def test_the_exponent_is_the_slope_of_the_logarithms() -> None:
    assert scaling.exponent([100, 200, 400], [1.0, 4.0, 16.0]) == pytest.approx(2.0)
    assert scaling.sizes((10, 20, 30)) == [(10, 20, 30), (13, 25, 38), (16, 32, 48)]


def test_squares_alternate_between_the_phases() -> None:
    one, other = np.zeros((4, 6)), np.ones((4, 6))
    board = registration_pictures.checkerboard(one, other, (9.0, 6.0))  # two rows, three columns a square
    assert board.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[1, 1, 1, 0, 0, 0]] * 2


@pytest.mark.slow
def test_a_patient_is_profiled_from_files_to_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [
        "profile",
        "start",
        "classical",
        "--size",
        "nano",
        "--runs",
        "1",
        "--json",
        str(tmp_path / "p.json"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert patient_profile.main() == 0
    found = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    steps = {step["step"] for step in found["profile"]["classical"]["steps"]}
    assert {"register by DEEDS", "attention map", "write structures and attention"} <= steps
    assert found["environment"]["cores"] >= 1
