"""Tab. III to V of a cross-validation: from what was measured of test patients."""

from typing import Any

import numpy as np
import pytest

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.evidence import EvidenceSettings, look_at
from lymphct.config import Config
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.loading import models_in
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.preparation import Preparation, prepare_patient
from lymphct.study.nested.mask_tables import mask_tables
from lymphct.study.nested.measuring import measured


def counts(hit: int, extra: int, missed: int) -> dict[str, Any]:
    voxels = {"prediction": 100, "truth": 200, "both": 50}
    return {"true_positives": hit, "false_positives": extra, "false_negatives": missed, "voxels": voxels}


def node(label: int, kind: str, probability: float) -> dict[str, Any]:
    called = probability >= 0.5
    return {"label": label, "class": kind, "probability": probability, "called_positive": called}


def record(hit: int, *nodes: dict[str, Any], dice: float = 0.8) -> dict[str, Any]:
    return {
        "structures": {"aorta": {"dice": dice, "asd": 1.0, "hd": 4.0}},
        "tumor": {"tumor": {"dice": 0.5, "asd": None, "hd": None}},
        "nodes": {
            "groups": {"found": counts(hit, 1, 1)},
            "drawn": [
                {"class": "positive", "short_axis_mm": 4.0, "found": False},
                {"class": "negative", "short_axis_mm": 8.0, "found": True},
            ],
        },
        "true_nodes": list(nodes),
    }


MEASURED = {
    "attention": {
        "a": [record(3, node(1, "positive", 0.9), dice=0.6), record(1, node(1, "positive", 0.7), dice=1.0)],
        "b": [record(1, node(1, "negative", 0.2), node(2, "positive", 0.1))],
    },
    "none": {"a": [record(0)]},
}


def test_a_patient_is_the_mean_of_his_cascades_and_patients_count_alike() -> None:
    tables = {table.name: table for table in mask_tables(MEASURED, 0, ("a note",))}
    assert list(tables) == ["table_3", "table_4", "table_5", "node_sizes"]
    assert all(table.notes[0] == "a note" for table in tables.values())
    aorta, tumor = tables["table_3"].rows
    assert aorta[:2] == ["aorta", "2"]
    assert aorta[2].startswith("0.800 [")  # (0.6 + 1.0) / 2 and 0.8
    assert tumor[:2] == ["tumor", "2"]
    assert tumor[3] == "–"  # no surface distance of an empty mask


def test_nodes_are_judged_by_the_mean_of_the_cascades() -> None:
    ((title, count, area, share, *_),) = next(
        table.rows for table in mask_tables(MEASURED, 0) if table.name == "table_4"
    )
    assert (title, count) == ("with attention", "3 of 2")
    assert area.startswith("0.500")  # 0.8 above 0.2, 0.1 below it
    assert share.startswith("0.667")


def test_instances_are_means_over_patients_and_both_cascades_are_there() -> None:
    rows = next(table.rows for table in mask_tables(MEASURED, 0) if table.name == "table_5")
    other, ours = rows
    assert ours[:3] == ["before identification", "with attention", "2"]
    assert ours[7].startswith(f"{((3 / 4 + 1 / 2) / 2 + 1 / 2) / 2:.3f}")  # recall
    assert other[1:3] == ["without attention", "1"]
    assert other[3].startswith(f"{100 / 300:.3f}")
    sizes = next(table.rows for table in mask_tables(MEASURED, 0) if table.name == "node_sizes")
    found = {(row[0], row[1]): row[3] for row in sizes}
    assert found["with attention", "below 5 mm"].startswith("0.000")
    assert found["with attention", "5 to 10 mm"].startswith("1.000")


def test_of_nothing_there_is_no_table() -> None:
    assert list(mask_tables({}, 0)) == []
    assert list(mask_tables({"attention": {"a": [{}]}}, 0)) == []


def test_a_phantom_is_measured_as_it_is_drawn(
    cohort: Manifest, bundle: Any, config: Config, tmp_path: Any
) -> None:
    models = models_in(bundle, "cpu")
    how = Preparation(folder=tmp_path, spacing=models.spacing, registration=config.registration)
    drawn = cohort.patients[0]
    patient = StoredPatient(drawn.patient_id, prepare_patient(drawn, how))
    settings = EvidenceSettings(attention=AttentionSettings())
    found = look_at(patient, models, settings)
    told: Any = measured(patient, found, models, ())
    assert set(told) == {"structures", "tumor", "nodes", "true_nodes"}
    assert patient.structures is not None
    same = measured(patient, found, models, (StageName.STRUCTURES, StageName.TUMOR))
    assert set(same) == {"nodes", "true_nodes"}
    groups = told["nodes"]["groups"]["found"]
    assert groups["true_positives"] + groups["false_negatives"] == len(told["nodes"]["drawn"])
    assert {n["class"] for n in told["true_nodes"]} <= {"positive", "negative"}
    assert all(0 <= n["probability"] <= 1 for n in told["true_nodes"])
    aorta = told["structures"]["aorta"]["dice"]
    mine = (found.structures.array == 4), (patient.structures.array == 4)
    assert aorta == pytest.approx(
        2 * np.count_nonzero(mine[0] & mine[1]) / max(sum(map(np.count_nonzero, mine)), 1)
    )
