import csv
import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import LymphctError
from lymphct.core.patient import NodeMap, Prediction, SearchState
from lymphct.core.score import CalibratedScore, NodeChange, ScoreDrivers
from lymphct.core.terms import Source, StageName
from lymphct.evaluation.score_calibration import fit_score_calibration
from lymphct.report.context import ReportContext
from lymphct.report.tables import (
    predicted_n_status,
    result_record,
    safe_text,
    write_nodes,
    write_result,
)

RESULT_KEYS = {
    "schema",
    "patient_id",
    "probability",
    "threshold",
    "predicted_n_status",
    "calibrated",
    "drivers",
    "nodes_search",
    "nodes_total",
    "nodes_positive",
    "largest_positive_volume_mm3",
    "structures_used",
    "structures_missing",
    "notices",
    "checks",
    "sources",
    "structure_sources",
    "structure_confidence",
    "nodes_implausible",
    "nodes_detection",
    "stations",
    "tumor",
    "bundle",
    "versions",
    "research_use",
}
COLUMNS = (
    "node,class,probability,volume_mm3,short_axis_mm,nearest_structure,distance_mm,station,"
    "hu_arterial,hu_venous,x_mm,y_mm,z_mm,source,class_source,flags,"
    "station_probability,station_candidates,detection,detection_mean,node_probability"
)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def without_nodes(prediction: Prediction, **changes: Any) -> Prediction:
    instances = prediction.nodes.instances
    empty = NodeMap(instances=instances.with_array(0 * instances.array), nodes=())
    return replace(prediction, nodes=empty, **changes)


def with_first_node(prediction: Prediction, **changes: Any) -> Prediction:
    first, *others = prediction.nodes.nodes
    nodes = replace(prediction.nodes, nodes=(replace(first, **changes), *others))
    return replace(prediction, nodes=nodes)


def test_the_result_has_exactly_the_agreed_keys(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    found = read(write_result(tmp_path, prediction, context))
    assert set(found) == RESULT_KEYS
    assert list(found) == sorted(found)
    assert found["patient_id"] == "case-7"
    assert found["probability"] == 0.684
    assert found["predicted_n_status"] == 1
    assert (found["nodes_search"], found["nodes_total"], found["nodes_positive"]) == ("searched", 3, 2)
    assert found["largest_positive_volume_mm3"] == max(n.volume for n in prediction.nodes.nodes[1:])
    assert "aorta" in found["structures_used"]
    assert found["structures_missing"] == ["left_gastric_artery"]
    assert found["notices"][0] == {
        "code": "structures_missing",
        "text": "one structure is missing",
        "value": 1.0,
    }
    assert [check["passed"] for check in found["checks"]] == [True, False, None]
    assert found["bundle"]["sha256"] == "ab" * 32
    assert found["research_use"].startswith("Research use only.")


def test_the_result_says_what_the_score_is_worth_and_what_drove_it(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    plain = read(write_result(tmp_path, prediction, context))
    assert (plain["calibrated"], plain["drivers"]) == (None, None)
    worth = CalibratedScore(
        probability=0.61,
        low=0.42,
        high=0.78,
        method="platt",
        interval="wilson",
        outcomes=("N-", "N+"),
        level=0.9,
        guaranteed_threshold=0.31,
        sensitivity=0.8,
        confidence=0.9,
        positives=30,
        negatives=41,
        calibrated_on="validation",
    )
    drivers = ScoreDrivers(
        score=0.684,
        without_nodes=0.484,
        without_tumor=0.584,
        without_both=0.484,
        nodes=(NodeChange(node=3, change=0.2), NodeChange(node=1, change=0.0)),
    )
    told = replace(prediction, calibrated=worth, drivers=drivers)
    found = read(write_result(tmp_path, told, context))
    assert found["calibrated"] == {
        "probability": 0.61,
        "low": 0.42,
        "high": 0.78,
        "method": "platt",
        "interval": "wilson",
        "set": ["N-", "N+"],
        "level": 0.9,
        "guaranteed_threshold": 0.31,
        "sensitivity": 0.8,
        "confidence": 0.9,
        "patients": {"which": "validation", "positives": 30, "negatives": 41},
        "abstentions": [],
    }
    parts = found["drivers"]
    assert parts["nodes"] == [{"node": 3, "change": 0.2}, {"node": 1, "change": 0.0}]
    assert parts["tumor_part"] == pytest.approx(0.05)
    assert parts["node_part"] == pytest.approx(0.15)
    assert parts["tumor_share"] == pytest.approx(0.25)
    assert (parts["without_nodes"], parts["without_tumor"], parts["without_both"]) == (0.484, 0.584, 0.484)
    assert "by_nodes" not in parts
    learned: Any = result_record(replace(told, drivers=replace(drivers, by_nodes=0.62)), context)["drivers"]
    assert learned == {**parts, "by_nodes": 0.62}


def test_too_few_patients_leave_nothing_but_the_reason(
    prediction: Prediction, context: ReportContext
) -> None:
    few = fit_score_calibration([0.2, 0.8], [0, 1], ["a", "b"]).value.of(0.5)
    told: Any = result_record(replace(prediction, calibrated=few), context)["calibrated"]
    assert (told["probability"], told["low"], told["high"], told["method"]) == (None, None, None, None)
    assert (told["set"], told["guaranteed_threshold"]) == (["N-", "N+"], None)
    assert len(told["abstentions"]) == 3


def test_the_result_measures_the_tumor(prediction: Prediction, context: ReportContext) -> None:
    tumor: Any = result_record(prediction, context)["tumor"]
    assert set(tumor) == {"volume_mm3", "largest_diameter_mm", "site_guess"}
    voxels = np.count_nonzero(prediction.tumor.array)
    assert tumor["volume_mm3"] == pytest.approx(voxels * 1.6 * 2.0 * 2.5)
    assert tumor["largest_diameter_mm"] == pytest.approx(18, abs=2.5)  # voxels of 1.6 × 2.0 × 2.5 mm
    assert tumor["site_guess"] == "head/uncinate"
    unknown = replace(
        prediction, structures=prediction.structures.with_array(0 * prediction.structures.array)
    )
    assert result_record(unknown, context)["tumor"] == {**tumor, "site_guess": None}
    empty = replace(prediction, tumor=prediction.tumor.with_array(0 * prediction.tumor.array))
    assert result_record(empty, context)["tumor"] is None


def test_a_phantom_bundle_marks_every_result_as_meaningless_for_patients(
    prediction: Prediction, context: ReportContext
) -> None:
    phantom = replace(context, bundle={**context.bundle, "is_phantom": True})
    assert "meaningless for patients" in str(result_record(prediction, phantom)["research_use"])
    assert "meaningless" not in str(result_record(prediction, context)["research_use"])


def test_a_withheld_score_is_null(tmp_path: Path, prediction: Prediction, context: ReportContext) -> None:
    found = read(write_result(tmp_path, replace(prediction, probability=None), context))
    assert found["probability"] is None
    assert found["predicted_n_status"] is None
    assert found["threshold"] == 0.47


def test_the_threshold_itself_is_called_positive(prediction: Prediction) -> None:
    assert predicted_n_status(replace(prediction, probability=0.47)) == 1
    assert predicted_n_status(replace(prediction, probability=math.nextafter(0.47, 0))) == 0
    assert predicted_n_status(replace(prediction, threshold=None)) is None


def test_nodes_that_were_not_searched_are_null_not_zero(
    prediction: Prediction, context: ReportContext
) -> None:
    unsearched = result_record(without_nodes(prediction, search=SearchState.NOT_SEARCHED), context)
    assert unsearched["nodes_search"] == "not searched"
    counts = ("nodes_total", "nodes_positive", "largest_positive_volume_mm3")
    assert [unsearched[key] for key in counts] == [None, None, None]
    none_found = result_record(without_nodes(prediction), context)
    assert [none_found[key] for key in counts] == [0, 0, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_never_reaches_the_result(
    tmp_path: Path, prediction: Prediction, context: ReportContext, value: float
) -> None:
    with pytest.raises(LymphctError, match="not finite: probability"):
        write_result(tmp_path, replace(prediction, probability=value), context)
    assert not list(tmp_path.iterdir())


def test_nodes_are_written_in_the_agreed_columns(tmp_path: Path, prediction: Prediction) -> None:
    shuffled = replace(prediction.nodes, nodes=prediction.nodes.nodes[::-1])
    text = write_nodes(tmp_path, replace(prediction, nodes=shuffled)).read_text()
    lines = text.splitlines()
    assert lines[0] == COLUMNS
    first = prediction.nodes.nodes[0]
    place = ",".join(f"{value:.2f}" for value in first.center)
    assert (
        lines[1]
        == f"1,negative,0.200000,{first.volume:.2f},10.00,pancreas,0.00,8a,60.0,80.0,{place},predicted,,,,,,,"
    )
    assert [line.split(",")[1] for line in lines[1:]] == ["negative", "positive", "positive"]
    assert text.endswith("\n")


def test_how_sure_the_stages_are_of_a_found_node_is_written(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    sure = with_first_node(prediction, detection=0.98765432, detection_mean=0.5, node_probability=0.25)
    found = read(write_result(tmp_path, sure, context))
    assert found["nodes_detection"]["1"] == {"peak": 0.98765432, "mean": 0.5}
    assert set(found["nodes_detection"]) == {"1", "2", "3"}
    line = write_nodes(tmp_path, sure).read_text().splitlines()[1]
    assert line.endswith(",0.987654,0.500000,0.250000")


def test_nobody_detected_drawn_nodes_or_where_nobody_searched(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    drawn = replace(prediction, sources={StageName.NODES: Source.GIVEN})
    blind = replace(prediction, search=SearchState.NOT_SEARCHED)
    found = [read(write_result(tmp_path, p, context))["nodes_detection"] for p in (drawn, blind)]
    assert found == [None, None]
    assert read(write_result(tmp_path, without_nodes(prediction), context))["nodes_detection"] == {}


def test_what_is_not_known_of_a_node_is_blank(tmp_path: Path, prediction: Prediction) -> None:
    unknown = ("node_class", "probability", "short_axis", "nearest_structure", "distance", "hu_arterial")
    bare = with_first_node(prediction, station="", hu_venous=None, **dict.fromkeys(unknown))
    cells = write_nodes(tmp_path, bare).read_text().splitlines()[1].split(",")
    assert [cells[i] for i in (1, 2, 4, 5, 6, 7, 8, 9)] == [""] * 8
    assert all(cells[i] for i in (0, 3, 10, 11, 12))


def test_without_nodes_the_table_has_its_header(tmp_path: Path, prediction: Prediction) -> None:
    assert write_nodes(tmp_path, without_nodes(prediction)).read_text() == COLUMNS + "\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_begins_like_a_formula_gets_an_apostrophe(
    tmp_path: Path, prediction: Prediction, start: str
) -> None:
    hostile = f'{start}cmd|" /C calc",1'
    path = write_nodes(tmp_path, with_first_node(prediction, station=hostile))
    rows = list(csv.reader(StringIO(path.read_bytes().decode(), newline="")))
    assert rows[1][7] == "'" + hostile
    assert len(rows) == 4


def test_negative_numbers_stay_numbers(tmp_path: Path, prediction: Prediction) -> None:
    far = with_first_node(prediction, center=(-12.5, -0.0, 3.0), hu_venous=-42.0)
    cells = write_nodes(tmp_path, far).read_text().splitlines()[1].split(",")
    assert cells[9:13] == ["-42.0", "-12.50", "0.00", "3.00"]


def test_harmless_text_stays_as_it_is() -> None:
    assert safe_text("16a2-inter") == "16a2-inter"
    assert safe_text("") == ""


def test_broken_text_does_not_stop_the_table(tmp_path: Path, prediction: Prediction) -> None:
    path = write_nodes(tmp_path, with_first_node(prediction, station="8\ud800"))
    assert "8\\ud800" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measure_that_is_not_finite_never_reaches_the_table(
    tmp_path: Path, prediction: Prediction, value: float
) -> None:
    with pytest.raises(LymphctError, match="distance_mm of lymph node 1 is not finite"):
        write_nodes(tmp_path, with_first_node(prediction, distance=value))
    assert not list(tmp_path.iterdir())


def test_equal_predictions_give_equal_files(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        paths = (write_result(folder, prediction, context), write_nodes(folder, prediction))
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
