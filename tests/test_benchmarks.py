"""The quality benchmark measures what it says: on a random bundle, and on records worked out by hand."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lymphct.anatomy.structures import build_structure_network
from lymphct.anatomy.tumor import build_tumor_network
from lymphct.cascade.description import BundleInfo, PartInfo
from lymphct.cascade.patient import predict_patient
from lymphct.config import Config, parse_config
from lymphct.core.errors import LeakageError, UsageError
from lymphct.core.leakage import hash_patient
from lymphct.core.patient import PatientInput
from lymphct.core.terms import Structure
from lymphct.evaluation.detection import instance_scores, match_instances
from lymphct.evaluation.statistics import Interval
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.metastasis.prediction import build_status_network
from lymphct.nodes.identification import build_identification_network
from lymphct.nodes.segmentation import build_node_network
from lymphct.phantom.patient import generate_patient

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import phantom_quality
from benchmarks.quality import subjects, tables
from benchmarks.quality.anatomy import anatomy_tables
from benchmarks.quality.arms import UNREGISTERED
from benchmarks.quality.identification import stage2_tables
from benchmarks.quality.measurement import PARTS, PLAIN_NUMBERS, Measurement
from benchmarks.quality.rivals import numbers_table, rival_table
from benchmarks.quality.stage1 import matches_of, stage1_tables
from benchmarks.quality.status import status_tables
from benchmarks.quality.tables import Aim, Table, over_patients, write_between_marks

UNET = "{unet: {features: [4, 8], strides: [[1, 1, 1], [2, 2, 2]], convolutions_per_stage: 1}, "
SETTINGS = f"""
imaging: {{spacing: [6, 6, 6]}}
structures: {UNET} sampling: {{patch_size: [32, 32, 24]}}}}
tumor: {UNET} sampling: {{patch_size: [32, 32, 24]}}}}
nodes: {UNET} sampling: {{patch_size: [32, 32, 24]}}, min_volume: 3000}}
identification: {UNET} sampling: {{crop_size: [8, 8, 8], box_margin: 1}}}}
metastasis: {{patches: {{crop_size: 32}}, network: {{width: 0.125}}}}
"""
SALT = "of the tests"
BUILDERS: Mapping[str, Callable[..., torch.nn.Module]] = {
    "structures": build_structure_network,
    "tumor": build_tumor_network,
    "nodes": build_node_network,
    "identification": build_identification_network,
    "metastasis": build_status_network,
}


def random_bundle(
    folder: Path, config: Config, parts: tuple[str, ...] = PARTS, trained_on: tuple[str, ...] = ()
) -> Path:
    """Write a bundle of untrained networks."""
    weights = {part: BUILDERS[part](getattr(config, part), seed=7).state_dict() for part in parts}
    hashed = tuple(hash_patient(name, SALT) for name in trained_on)
    described = {
        part: PartInfo(architecture=getattr(config, part).model_dump(mode="json"), patients={"train": hashed})
        for part in parts
    }
    info = BundleInfo.model_validate(
        {
            "name": "random",
            "salt": SALT,
            "spacing": config.imaging.spacing,
            "thresholds": {"patient": 0.5, "largest_positive_volume_mm3": 100.0},
            "is_phantom": True,
            "code_version": "0",
            "parts": described,
        }
    )
    write_bundle(folder, info, weights, "# random\n")
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bundles")
    without = parse_config(SETTINGS, ["nodes.heads.use_attention=false"])
    return (
        random_bundle(folder / "all", parse_config(SETTINGS)),
        random_bundle(folder / "without", without, ("nodes",)),
    )


def options_for(bundle: Path, work: Path, *words: str) -> argparse.Namespace:
    arguments = ["--bundle", str(bundle), "--work", str(work), "--size", "nano", "--patients", "2"]
    arguments += ["--arm-patients", "1", "--baseline-patients", "4", *words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["phantom_quality.py", *arguments])
        return phantom_quality.read_arguments()


@pytest.fixture(scope="module")
def measured(
    bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[phantom_quality.Quality, Measurement, argparse.Namespace]:
    work = tmp_path_factory.mktemp("work")
    options = options_for(bundles[0], work, "--without-attention", str(bundles[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "RESAMPLES", 20)
        quality, plan = phantom_quality.measure(options)
    return quality, plan, options


def test_a_measurement_has_every_table_and_goes_into_json(measured: Any) -> None:
    quality, plan, options = measured
    titles = [table.title for table in quality.tables]
    assert titles[:4] == ["Aims", "Structures and tumor", "Stage 1, lymph nodes", "Attention over none"]
    assert "Bundle `random`" in quality.markdown()
    record = phantom_quality.report(quality, plan, options)
    assert json.loads(json.dumps(record, allow_nan=False))["patients"] == 2


def test_records_are_read_back_instead_of_measured_again(
    measured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan, _ = measured
    before = plan(0)

    def refuse(*_arguments: object, **_named: object) -> None:
        pytest.fail("measured again")

    monkeypatch.setattr(subjects, "generate_patient", refuse)
    assert plan(0) == before
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        dataclasses.replace(plan, parts=("structures",))(0)


def test_the_score_of_a_record_is_that_of_the_whole_cascade(measured: Any) -> None:
    _, plan, _ = measured
    phantom = generate_patient(plan.cohort.phantoms, seed=plan.cohort.seed, index=0)
    patient = PatientInput(patient_id="x", venous=phantom.venous, arterial=phantom.arterial)
    models = subjects.models_of(plan.bundle, None, "cpu")
    prediction = predict_patient(patient, models, Config())
    status = plan(0)["status"]
    assert status["probability"] == prediction.probability
    assert status["nodes"] == len(prediction.nodes.nodes) > 0


def test_a_patient_the_bundle_was_fitted_on_is_refused(tmp_path: Path) -> None:
    config = parse_config(SETTINGS)
    bundle = random_bundle(tmp_path / "seen", config, ("identification",), trained_on=("phantom-2-0001",))
    plan, _ = phantom_quality.plan_of(options_for(bundle, tmp_path))
    with pytest.raises(LeakageError, match="fitted on this patient"):
        plan(1)


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path / "one", parse_config(SETTINGS), ("nodes",))
    plan, missing = phantom_quality.plan_of(options_for(bundle, tmp_path, "--parts", "nodes,tumor"))
    assert plan.parts == ("nodes",)
    assert "tumor: not in the bundle" in missing
    assert "stage 1 with predicted structures: needs the parts structures and tumor" in missing


def test_unknown_parts_and_false_comparisons_are_refused(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part 'organs'"):
        phantom_quality.plan_of(options_for(bundles[0], tmp_path, "--parts", "organs"))
    with pytest.raises(UsageError, match="missing or uses the attention"):
        phantom_quality.plan_of(options_for(bundles[0], tmp_path, "--without-attention", str(bundles[0])))


def test_matches_survive_their_record() -> None:
    truth, found = np.zeros((9, 3, 3), dtype=np.int32), np.zeros((9, 3, 3), dtype=np.int32)
    truth[0:2], truth[4:6], found[0:2], found[7] = 1, 2, 5, 6
    matches = match_instances(found, truth)
    entry = {
        "pairs": [list(pair) for pair in matches.pairs],
        "prediction_voxels": [list(item) for item in matches.prediction_voxels.items()],
        "truth_voxels": [list(item) for item in matches.truth_voxels.items()],
    }
    assert instance_scores([matches_of(json.loads(json.dumps(entry)))]) == instance_scores([matches])
    assert matches_of(entry).spurious == (6,)
    assert matches_of(entry).missed == (2,)


def stage1_record(found: int, false: int, missed: int, sweep: tuple[int, int, int]) -> dict[str, Any]:
    """Return what an arm found in a patient, every node one voxel large."""
    return {
        "voxels": [found + false, found + missed, found],
        "pairs": [[n, n, 1.0] for n in range(1, found + 1)],
        "prediction_voxels": [[n, 1] for n in range(1, found + false + 1)],
        "truth_voxels": [[n, 1] for n in [*range(1, found + 1), *range(101, 101 + missed)]],
        "sweep": [[0, 0, found + missed]] * 20 + [list(sweep)],
    }


def test_attention_is_compared_with_none_at_equal_recall_too() -> None:
    # Attention: recall 4/5, precision 4/5. None: recall 5/5, precision 5/10; at its last threshold recall
    # 4/5 and precision 4/6.
    record = {
        "stage1": {
            "attention, truth": stage1_record(4, 1, 1, (0, 0, 0)),
            "none": stage1_record(5, 5, 0, (4, 2, 1)),
            "none + hard gate, truth": stage1_record(5, 0, 0, (4, 0, 1)),
        }
    }
    found, aims = stage1_tables([record, record])
    over_none, over_gate = found[1].rows
    assert isinstance(over_none[1], Interval)
    assert isinstance(over_none[2], Interval)
    assert_allclose([over_none[1].estimate, over_none[2].estimate], [0.3, -0.2])
    assert over_none[3] == pytest.approx(4 / 5 - 4 / 6)
    assert over_gate[3] == pytest.approx(4 / 5 - 1.0)
    met = {aim.name: aim.is_met for aim in aims}
    assert met["attention, truth over none, precision"] is True
    assert met["attention, truth over none, recall"] is False
    assert met["stage 1 (attention, truth), F"] is False


def test_registration_is_compared_with_none_on_the_same_patients() -> None:
    # Registered: recall and precision 4/5. Not: recall 3/5, precision 3/6.
    record = {
        "stage1": {
            "attention, predicted": stage1_record(4, 1, 1, (0, 0, 0)),
            UNREGISTERED: stage1_record(3, 3, 2, (0, 0, 0)),
        }
    }
    without = {"stage1": {"attention, predicted": stage1_record(0, 9, 9, (0, 0, 0))}}
    found, aims = stage1_tables([record, record, without])
    table = next(table for table in found if table.title == "Registration over none")
    gains = [cell.estimate for cell in table.rows[0] if isinstance(cell, Interval)]
    assert_allclose(gains, [1 / 5, 4 / 5 - 3 / 6, 4 / 5 - 6 / 11, 8 / 10 - 6 / 11])
    assert table.rows[0][-1] == 2
    assert next(aim for aim in aims if aim.name == "stage 1, registered over not, F").is_met is True


def test_the_arm_without_registration_sees_the_phases_as_acquired(measured: Any, tmp_path: Path) -> None:
    _, plan, _ = measured
    cohort = dataclasses.replace(plan.cohort, registration="deeds")
    arms = dataclasses.replace(plan, cohort=cohort, without_attention=None, work=tmp_path)(0)["stage1"]
    as_acquired = plan(0)["stage1"]["attention, predicted"]
    assert arms[UNREGISTERED] == as_acquired
    assert arms["attention, predicted"] != as_acquired
    assert UNREGISTERED not in plan(0)["stage1"]


def test_dice_is_averaged_over_patients_and_an_absent_structure_is_left_out() -> None:
    nothing = {structure.label: [0, 0, 0] for structure in Structure}
    first = {"structures": {**nothing, "aorta": [4, 4, 4], "left_gastric_artery": [0, 5, 0]}}
    second = {"structures": {**nothing, "aorta": [4, 4, 2], "left_gastric_artery": [5, 5, 5]}}
    found, aims = anatomy_tables([first, second])
    reached = {aim.name: aim.reached for aim in aims}
    organs, arteries = reached["Dice, organs and aorta"], reached["Dice, SMA, TC&SA, LGA, CHA&PHA"]
    assert isinstance(organs, Interval)
    assert isinstance(arteries, Interval)
    assert_allclose([organs.estimate, arteries.estimate], [0.75, 0.5])
    shares = {row[0]: row[2] for row in found[0].rows}
    assert shares["left gastric artery"] == 0.5


def test_stage_2_pools_nodes_and_keeps_its_threshold() -> None:
    records = [
        {"patient": "a", "stage2": {"positive": [True, False], "probability": [0.9, 0.4], "features": []}},
        {"patient": "b", "stage2": {"positive": [False, True], "probability": [0.2, 0.3], "features": []}},
        {"patient": "c", "stage2": {"positive": [], "probability": [], "features": []}},
    ]
    found, aims = stage2_tables(records, None, threshold=0.35)
    row = dict(zip(found[0].columns, found[0].rows[0], strict=True))
    assert isinstance(row["AUC"], Interval)
    assert (row["AUC"].estimate, row["Sensitivity"], row["Specificity"]) == (0.75, 0.5, 0.5)
    assert [aim.is_met for aim in aims] == [False]
    assert stage2_tables(records[2:], None, threshold=0.35) == ([], [])


def test_patients_without_a_score_are_left_out_and_counted() -> None:
    def record(n_status: int, score: float | None, volume: float) -> dict[str, Any]:
        status = {"probability": score, "probability_tumor": score, "nodes_alone": volume}
        withheld = None if score is not None else "no_tumor"
        return {
            "n_status": n_status,
            "status": {**status, "withheld": withheld, "nodes": 1, "tumor_mm3": 5.0},
            "stage2": {"volume_mm3": [volume, 999.0], "probability": [0.8, 0.1]},
        }

    records = [record(1, 0.9, 50.0), record(0, 0.2, 0.0), record(1, 0.6, 0.0), record(0, None, 20.0)]
    thresholds = {"patient": 0.5, "largest_positive_volume_mm3": 30.0}
    found, aims = status_tables(records, thresholds, 0.5, "volume")
    rows = {row[0]: dict(zip(found[0].columns, row, strict=True)) for row in found[0].rows}
    assert (rows["combined"]["N+"], rows["combined"]["N-"]) == (2, 1)
    assert "Scores withheld: 1 (no_tumor)" in found[0].note
    assert rows["lymph nodes alone"]["Sensitivity"] == 0.5
    truth = rows["lymph nodes alone, true nodes"]["AUC"]
    assert isinstance(truth, Interval)
    assert_allclose(truth.estimate, (1.0 + 1.0 + 0.5 + 0.0) / 4)
    assert [aim.is_met for aim in aims] == [True]
    assert status_tables(records[:1], {}, 0.5, "volume") == ([], [])
    by_count, _ = status_tables(records, thresholds, 0.5, "expected_count")
    rows = {row[0]: dict(zip(by_count[0].columns, row, strict=True)) for row in by_count[0].rows}
    assert rows["lymph nodes alone"]["Threshold"] is None  # that of a volume is none of a count
    truth = rows["lymph nodes alone, true nodes"]["AUC"]
    assert isinstance(truth, Interval)
    assert truth.estimate == 0.5  # all have the same probabilities
    learned, _ = status_tables(records, thresholds, 0.5, "node_set")
    assert "lymph nodes alone, true nodes" not in {row[0] for row in learned[0].rows}  # it is not known


def test_calibrated_probabilities_are_judged_where_the_bundle_tells_them() -> None:
    def record(n_status: int, p: float | None) -> dict[str, Any]:
        status = {"probability": 0.5, "nodes_alone": 0.5, "calibrated": p, "withheld": None, "nodes": 1}
        return {"n_status": n_status, "status": {**status, "tumor_mm3": 1.0}}

    told = [record(int(n < 8), 0.8) for n in range(10)] + [record(int(n < 2), 0.2) for n in range(10)]
    found, aims = status_tables([*told, record(1, None)], {}, 0.5, "max_probability")
    worth = next(table for table in found if table.title == "What the score is worth")
    assert worth.rows[0][0] == "20 with a calibrated probability"
    assert isinstance(worth.rows[0][1], Interval)
    assert worth.rows[0][1].estimate == pytest.approx(1.0, abs=1e-6)
    assert next(aim for aim in aims if aim.name == "calibration slope - 1").is_met is True
    without, _ = status_tables([record(1, None), record(0, None)], {}, 0.5, "volume")
    assert [table.title for table in without] == ["Patients, N+ or N-"]


def test_a_rival_judges_the_same_nodes_and_is_compared_patient_by_patient(
    bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "RESAMPLES", 20)
    own = read_bundle(bundles[0])
    other = {name: own.weights[name] for name in PARTS[:3]} | {
        name: BUILDERS[name](getattr(parse_config(SETTINGS), name), seed=8).state_dict() for name in PARTS[3:]
    }
    rival = tmp_path / "rival"
    write_bundle(rival, own.info.model_copy(update={"name": "rival"}), other, "# rival\n")
    plan, _ = phantom_quality.plan_of(options_for(bundles[0], tmp_path / "work", "--rival", str(rival)))
    record = plan(0)
    assert record["rivals"][0]["found"]["class"] == record["found"]["class"]
    assert record["rivals"][0]["stage2"]["positive"] == record["stage2"]["positive"]
    assert record["rivals"][0]["stage2"]["probability"] != record["stage2"]["probability"]
    with pytest.raises(UsageError, match="no structures network"):
        phantom_quality.plan_of(options_for(bundles[0], tmp_path / "work", "--rival", str(bundles[1])))


def test_the_gain_over_a_rival_is_that_of_the_patients_both_could_score() -> None:
    def record(n_status: int, own: float, other: float | None) -> dict[str, Any]:
        def judged(score: float | None) -> dict[str, Any]:
            nodes = {"probability": [score or 0.1, 0.1]}
            return {
                "stage2": {"positive": [bool(n_status), False], **nodes},
                "found": {"class": [n_status, 2], **nodes},
                "status": {
                    "probability": score,
                    "nodes_alone": score,
                    "probability_tumor": score,
                    "numbers": dict.fromkeys(PLAIN_NUMBERS, score or 0.97),
                },
            }

        return {"n_status": n_status, **judged(own), "rivals": [judged(own), judged(other)]}

    records = [record(1, 0.9, 0.3), record(0, 0.2, 0.4), record(1, 0.8, 0.6), record(0, 0.95, None)]
    found = rival_table(records, 1, "another")
    assert found.title == "Against another"
    rows = {row[0]: row[1:] for row in found.rows}
    combined = rows["patient, combined"]
    assert [cell.estimate for cell in combined[:3] if isinstance(cell, Interval)] == [1.0, 0.5, 0.5]
    assert combined[3:] == (2, 1)
    assert rows["node, as found"][3:] == (2, 2)
    by_nodes = numbers_table(records, ["own", "itself", "another"])
    assert by_nodes is not None
    assert [row[0] for row in by_nodes.rows[::4]] == ["own", "itself", "another"]
    estimates = [[cell.estimate for cell in row[2:] if isinstance(cell, Interval)] for row in by_nodes.rows]
    # 0.9 and 0.8 against 0.2 and 0.95; 0.3 and 0.6 against 0.4 and 0.97.
    assert estimates == [[0.5, 0.25]] * 8 + [[0.25, 0.0]] * 4
    assert numbers_table(records[:1], ["own"]) is None
    same = {row[0]: row[3] for row in rival_table(records, 0, "itself").rows}
    assert all(isinstance(gain, Interval) and gain.estimate == 0.0 for gain in same.values())


def test_intervals_hold_their_estimate_and_undefined_figures_are_dashes() -> None:
    interval = over_patients(lambda rows: float(np.mean(rows)), 10)
    assert interval.low < interval.estimate < interval.high
    row = ("a", float("nan"), Interval(0.5, 0.25, 0.75, 0.95, 0), None)
    table = Table(title="T", columns=("w", "x", "y", "z"), rows=(row,))
    assert "| a | – | 0.500 (0.250 to 0.750) |  |" in table.markdown()
    assert table.record()["rows"] == [
        {"w": "a", "x": None, "y": {"estimate": 0.5, "low": 0.25, "high": 0.75}, "z": None}
    ]
    assert Aim(name="n", reached=float("nan"), aim=0.5).is_met is None


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "quality.md"
    page.write_text("before\n<!-- quality:begin -->\nold\n<!-- quality:end -->\nafter\n", encoding="utf-8")
    write_between_marks(page, "new")
    expected = "before\n<!-- quality:begin -->\n\nnew\n\n<!-- quality:end -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(UsageError, match="no place for the tables"):
        write_between_marks(page, "new")
