import csv
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from lymphct.cascade.registration_check import CHECK_NAME
from lymphct.cascade.settings import ReportSettings
from lymphct.config import Config
from lymphct.core.errors import (
    EnvironmentProblemError,
    InputError,
    LymphctError,
    ModelError,
    OutputInUseError,
    UsageError,
)
from lymphct.core.patient import Multiphase, Prediction
from lymphct.core.terms import Phase
from lymphct.io.images.reading import CT, read_ct
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.patients import reading
from lymphct.patients.predicting import files as prediction_files
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort, predict_single
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page

MASKS = ("structures", "tumor", "nodes", "node_instances", "attention")
CT_ONLY = {"structures": None, "tumor": None, "nodes": None}


@pytest.fixture(scope="session")
def how(bundle: Path, config: Config) -> PredictionRequest:
    return PredictionRequest(bundle=bundle, config=config, device="cpu")


@pytest.fixture
def record(cohort: Manifest) -> PatientRecord:
    return cohort.patients[0]


def _blank(record: PatientRecord, *columns: str) -> PatientRecord:
    cells = {name: value for name, value in record.cells.items() if name not in columns}
    return replace(record, cells=cells, **dict.fromkeys(columns))  # type: ignore[arg-type] # paths become None


def _notices(result: Mapping[str, Any]) -> set[str]:
    return {notice["code"] for notice in result["notices"]}


def _array(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


def test_everything_the_design_lists_is_written_on_the_grid_of_the_venous_phase(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = predict_single(_blank(record, "nodes"), how, out)
    venous = nib.load(record.venous)
    for name in MASKS:
        mask = nib.load(out / "seg" / f"{name}.nii.gz")
        assert mask.shape == venous.shape
        np.testing.assert_allclose(mask.affine, venous.affine, atol=1e-4)
    assert {path.name for path in out.iterdir()} == {
        "DONE.json", "nodes.csv", "report.html", "result.json", "seg", "timings.json",
    }  # fmt: skip
    assert 0 <= result["probability"] <= 1
    assert result["bundle"]["is_phantom"] is True
    assert "bundle" in _notices(result)


def test_masks_of_the_user_come_back_as_they_were_given(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = predict_single(record, how, out)
    np.testing.assert_array_equal(_array(out / "seg/structures.nii.gz"), _array(record.structures or Path()))
    np.testing.assert_array_equal(_array(out / "seg/tumor.nii.gz"), _array(record.tumor or Path()))
    np.testing.assert_array_equal(_array(out / "seg/node_instances.nii.gz"), _array(record.nodes or Path()))
    assert result["structures_missing"] == []


def test_a_second_prediction_of_the_same_files_costs_nothing_and_changes_nothing(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = predict_single(record, how, out)
    before = (out / "DONE.json").stat().st_mtime_ns
    assert predict_single(record, how, out) == first
    assert (out / "DONE.json").stat().st_mtime_ns == before


def test_two_predictions_differ_in_their_timings_only(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        predict_single(record, how, tmp_path / name)
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    # The digests of DONE.json cover all but the timings: a rerun in another place gives the same bytes.
    assert [name for name in one if one[name] != two[name]] in ([], [Path("timings.json")])
    assert "timings.json" not in json.loads(one[Path("DONE.json")])["outputs"]
    assert json.loads(one[Path("timings.json")])["seconds"]["nodes"] >= 0
    predict_single(record, replace(how, threads=2), tmp_path / "one")  # a folder with timings is replaced


def test_a_missing_arterial_phase_is_predicted_with_a_notice(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    result = predict_single(_blank(record, "arterial", "nodes"), how, tmp_path / "out")
    assert "no_arterial" in _notices(result)
    assert result["probability"] is not None


def test_phases_are_registered_as_in_training_unless_asked_otherwise(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    assert "registration_differs" not in _notices(predict_single(record, how, tmp_path / "as_trained"))
    result = predict_single(record, replace(how, registration="deeds"), tmp_path / "deeds")
    assert "registration_differs" in _notices(result)
    (check,) = [check for check in result["checks"] if check["name"] == CHECK_NAME]
    assert check["passed"] is True
    assert check["value"]["method"] == "deeds"
    assert check["value"]["distance_after"] < check["value"]["distance_before"]
    alone = _blank(record, "arterial", "nodes")
    assert "registration_differs" not in _notices(
        predict_single(alone, replace(how, registration="deeds"), tmp_path / "alone")
    )


def test_without_a_tumor_the_score_is_withheld_and_nodes_are_still_reported(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    image = nib.load(record.tumor or Path())
    empty = tmp_path / "tumor.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), empty)
    cells = {**record.cells, "tumor": str(empty)}
    result = predict_single(replace(record, tumor=empty, cells=cells), how, tmp_path / "out")
    assert result["probability"] is None
    assert "no_tumor" in _notices(result)
    assert result["nodes_total"] > 0


def test_without_any_guiding_structure_nodes_are_not_searched(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    image = nib.load(record.structures or Path())
    liver_only, no_tumor = tmp_path / "structures.nii.gz", tmp_path / "tumor.nii.gz"
    liver = np.where(_array(record.structures or Path()) == 11, 11, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(liver, image.affine), liver_only)
    nib.save(nib.Nifti1Image(np.zeros_like(liver), image.affine), no_tumor)
    cells = {**record.cells, "structures": str(liver_only), "tumor": str(no_tumor)}
    changed = replace(_blank(record, "nodes"), structures=liver_only, tumor=no_tumor, cells=cells)
    result = predict_single(changed, how, tmp_path / "out")
    assert result["nodes_search"] == "not searched"
    assert result["probability"] is None
    assert "no_structures" in _notices(result)
    assert len(result["structures_missing"]) == 10


def test_structures_that_are_missing_can_be_filled_by_the_model(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    image = nib.load(record.structures or Path())
    few = tmp_path / "structures.nii.gz"
    drawn = _array(record.structures or Path())
    nib.save(nib.Nifti1Image(np.where(drawn == 1, 1, 0).astype(np.uint8), image.affine), few)
    changed = replace(record, structures=few, cells={**record.cells, "structures": str(few)})
    alone = predict_single(changed, how, tmp_path / "alone")
    assert "missing_structures" in _notices(alone) or "few_structures_given" in _notices(alone)
    predict_single(changed, replace(how, fill_structures=True), tmp_path / "filled")
    filled = _array(tmp_path / "filled" / "seg" / "structures.nii.gz")
    np.testing.assert_array_equal(filled[drawn == 1], 1)


def test_a_refused_file_leaves_nothing_behind(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    cut = tmp_path / "venous.nii.gz"
    cut.write_bytes(record.venous.read_bytes()[:5000])
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"phantom-9-0000: venous\.nii\.gz"):
        predict_single(replace(record, venous=cut), how, out)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out") or "staging" in path.name]


def test_a_mask_on_another_grid_is_refused(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    image = nib.load(record.tumor or Path())
    shifted = tmp_path / "tumor.nii.gz"
    affine = image.affine.copy()
    affine[:3, 3] += 1.0
    nib.save(nib.Nifti1Image(_array(record.tumor or Path()), affine), shifted)
    with pytest.raises(InputError, match=r"another voxel grid.*\[E_GRID\]"):
        predict_single(replace(record, tumor=shifted), how, tmp_path / "out")


def test_a_folder_that_holds_something_else_is_not_overwritten(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputInUseError, match="not empty"):
        predict_single(record, how, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_bundle_without_a_needed_network_says_which(
    record: PatientRecord, how: PredictionRequest, bundle: Path, tmp_path: Path
) -> None:
    whole = read_bundle(bundle)
    parts = {name: part for name, part in whole.info.parts.items() if name != "tumor"}
    write_bundle(
        tmp_path / "partial",
        whole.info.model_copy(update={"parts": parts}),
        {name: whole.weights[name] for name in parts},
        "# partial\n",
    )
    with pytest.raises(ModelError, match="no tumor network"):
        predict_single(_blank(record, "tumor"), replace(how, bundle=tmp_path / "partial"), tmp_path / "out")


def test_a_bad_patient_never_stops_the_others(
    cohort: Manifest, how: PredictionRequest, tmp_path: Path
) -> None:
    cut = tmp_path / "venous.nii.gz"
    cut.write_bytes(cohort.patients[1].venous.read_bytes()[:5000])
    records = (
        cohort.patients[0],
        replace(cohort.patients[1], venous=cut),
        replace(cohort.patients[2], arterial=tmp_path / "nowhere.nii.gz"),
        cohort.patients[3],
    )
    out = tmp_path / "out"
    outcome = predict_cohort(replace(cohort, patients=records), how, out)
    assert set(outcome.results) == {"phantom-9-0000", "phantom-9-0003"}
    assert set(outcome.failures) == {"phantom-9-0001", "phantom-9-0002"}
    summary = json.loads((out / "summary.json").read_text())
    assert [entry["state"] for entry in summary["patients"]] == ["done", "failed", "failed", "done"]
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {failure["patient_id"] for failure in failures} == set(outcome.failures)
    assert all(failure["exit_code"] == 3 for failure in failures)
    assert isinstance(outcome.failures["phantom-9-0001"], LymphctError)


def test_a_cohort_gets_a_page_that_links_those_who_were_predicted(
    cohort: Manifest, how: PredictionRequest, tmp_path: Path
) -> None:
    first, second, third = cohort.patients[:3]
    records = (
        replace(second, cells={**second.cells, "exclude_reason": "no consent <b>"}),
        replace(third, arterial=tmp_path / "nowhere.nii.gz"),
        first,
    )
    few = replace(cohort, patients=records)
    out = tmp_path / "out"
    predict_cohort(few, how, out)
    content = (out / "index.html").read_bytes()
    page = content.decode()
    links = re.findall(r'href="([^"]+)"', page)
    assert links == 2 * [f"{first.patient_id}/report.html"]  # from the scale of scores and from the table
    assert (out / links[0]).is_file()
    ids = [record.patient_id for record in records]
    table = page[page.index('<table class="cohort"') :]
    assert re.findall(r"<tr[^>]*><td[^>]*>(?:<a[^>]*>)?([\w-]+)", table) == ids
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert f"{third.patient_id} nowhere.nii.gz: arterial: no such file: {third.cells['arterial']}" in words
    assert "check the path E_MISSING" in words
    assert "no consent &lt;b&gt;" in page
    assert words.count("trained on synthetic phantoms") == 1
    predict_cohort(few, how, out)
    assert (out / "index.html").read_bytes() == content


def test_the_tumor_of_a_result_is_measured_on_the_mask_that_is_written(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    result = predict_single(record, how, tmp_path / "out")
    mask = nib.load(tmp_path / "out" / "seg" / "tumor.nii.gz")
    voxel = abs(np.linalg.det(mask.affine[:3, :3]))
    tumor = result["tumor"]
    assert tumor["volume_mm3"] == pytest.approx(np.count_nonzero(np.asarray(mask.dataobj)) * voxel, rel=1e-4)
    assert tumor["largest_diameter_mm"] > 2 * np.cbrt(3 * tumor["volume_mm3"] / (4 * np.pi))
    assert tumor["site_guess"] in {"head/uncinate", "body/tail"}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "nodes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_of_a_manifest_the_images_alone_are_used(
    cohort: Manifest, how: PredictionRequest, tmp_path: Path
) -> None:
    few = replace(cohort, patients=cohort.patients[:1])
    outcome = predict_cohort(few, how, tmp_path / "out")
    result = outcome.results[cohort.patients[0].patient_id]
    assert result["sources"] == {"structures": "network", "tumor": "network", "nodes": "network"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["patients"][0]["sources"] == result["sources"]
    alone = predict_single(
        _blank(cohort.patients[0], "structures", "tumor", "nodes"), how, tmp_path / "alone"
    )
    assert alone == result
    # A mask that is not used need not be there.
    gone = replace(cohort.patients[0], nodes=tmp_path / "gone.nii.gz")
    assert not predict_cohort(replace(few, patients=(gone,)), how, tmp_path / "gone").failures


def test_masks_of_a_manifest_are_used_where_asked_for_and_said_to_be_drawn(
    cohort: Manifest, how: PredictionRequest, tmp_path: Path
) -> None:
    few = replace(cohort, patients=cohort.patients[:1])
    name = cohort.patients[0].patient_id
    given = replace(how, given=("structures", "nodes"))
    result = predict_cohort(few, given, tmp_path / "out").results[name]
    assert result["sources"] == {"structures": "given", "tumor": "network", "nodes": "given"}
    rows = table(tmp_path / "out" / name)
    assert rows
    assert {(row["source"], row["class_source"]) for row in rows} == {("drawn", "drawn")}
    page = (tmp_path / "out" / name / "report.html").read_text()
    words = re.sub(r"<[^>]+>", "", page)
    assert f"{len(rows)} drawn" in words
    assert "found, " not in words
    assert "predicted positive" not in words
    assert "Given by the user, not found by the software: structures, nodes." in words
    if result["probability"] is not None:
        assert "score_from_given" in _notices(result)


def test_a_result_says_where_each_mask_comes_from(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    assert predict_single(record, how, tmp_path / "all")["sources"] == {
        "structures": "given",
        "tumor": "given",
        "nodes": "given",
    }
    alone = _blank(record, "structures", "tumor", "nodes")
    assert set(predict_single(alone, how, tmp_path / "none")["sources"].values()) == {"network"}


def test_a_patient_the_bundle_learned_from_is_said_to_be_no_test(
    cohort: Manifest, how: PredictionRequest, bundle: Path, tmp_path: Path
) -> None:
    record = _blank(cohort.patients[0], "structures", "tumor", "nodes")
    seen = predict_single(record, how, tmp_path / "seen")
    (notice,) = [notice for notice in seen["notices"] if notice["code"] == "seen_in_training"]
    assert set(notice["value"].split()) == set(read_bundle(bundle).info.parts_that_saw(record.patient_id))
    assert "the result is no test of them" in (tmp_path / "seen" / "report.html").read_text()
    stranger = replace(record, patient_id="stranger")
    assert "seen_in_training" not in _notices(predict_single(stranger, how, tmp_path / "stranger"))


def test_the_report_shows_the_arterial_phase_as_the_networks_saw_it(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Multiphase] = []
    as_acquired: list[Any] = []
    original = write_patient_page

    def watch(
        folder: Path, found: Prediction, ct: Multiphase, context: ReportContext, *, viewer: bool
    ) -> Path:
        shown.append(ct)
        as_acquired.append(context.arterial_as_acquired)
        return original(folder, found, ct, context, viewer=viewer)

    monkeypatch.setattr(prediction_files, "write_patient_page", watch)
    for method in ("none", "deeds"):
        predict_single(record, replace(how, registration=method), tmp_path / method)
    unregistered, registered = (ct.arterial for ct in shown)
    assert unregistered is not None
    assert registered is not None
    assert registered.geometry.matches(shown[1].venous.geometry)
    assert np.abs(registered.array - unregistered.array).max() > 1
    nowhere_else, before = as_acquired
    assert nowhere_else is None  # nothing was moved
    assert before is not None
    np.testing.assert_array_equal(before.array, _array(record.arterial or Path()))
    assert "checkerboard before registration" in (tmp_path / "deeds" / "report.html").read_text("utf-8")
    assert 'id="viewer-block-arterial"' in (tmp_path / "none" / "report.html").read_text("utf-8")


def test_a_setting_leaves_the_viewer_out_of_the_report(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    alone = how.config.model_copy(update={"report": ReportSettings(viewer=False)})
    predict_single(record, replace(how, config=alone), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert page.count("<script") == 1  # of the curtain between the phases
    assert "viewer" not in page


def test_how_the_networks_were_run_is_chosen_by_the_settings_and_said_in_the_result(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    choice = how.config.inference.model_copy(update={"mode": "box", "precision": "bfloat16"})
    request = replace(how, config=how.config.model_copy(update={"inference": choice}))
    result = predict_single(_blank(record, "nodes"), request, tmp_path / "out")
    assert {"inference_box", "inference_precision"} <= _notices(result)


def test_a_backend_that_is_not_installed_stops_the_prediction_and_leaves_nothing(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    choice = how.config.inference.model_copy(update={"backend": "openvino"})
    request = replace(how, config=how.config.model_copy(update={"inference": choice}))
    with pytest.raises(EnvironmentProblemError, match=r"pip install 'lymphct\[openvino\]'"):
        predict_single(_blank(record, "nodes"), request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_moved_operating_point_is_another_result_and_says_so(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    images = _blank(record, "nodes", "structures", "tumor")
    own = predict_single(images, how, tmp_path / "out")
    other = predict_single(images, replace(how, operating_points={"patient": 0.875}), tmp_path / "out")
    assert "overrides" not in own["bundle"]
    assert (other["bundle"]["overrides"], other["threshold"]) == ({"patient": 0.875}, 0.875)
    assert "operating_point_changed" in _notices(other) - _notices(own)


def test_an_operating_point_of_nodes_that_are_given_is_refused(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path
) -> None:
    moved = replace(how, operating_points={"node_voxel": 0.2})
    with pytest.raises(UsageError, match="node_voxel has no effect on lymph nodes that are given"):
        predict_single(record, moved, tmp_path / "out")


def test_an_operating_point_of_a_missing_network_stops_a_cohort_before_it_begins(
    record: PatientRecord, how: PredictionRequest, cohort: Manifest, tmp_path: Path
) -> None:
    whole = read_bundle(how.bundle)
    write_bundle(tmp_path / "b", whole.info.model_copy(update={"parts": {}}), {}, "# Card\n")
    request = replace(how, bundle=tmp_path / "b", operating_points={"patient": 0.2})
    with pytest.raises(ModelError, match="patient has no effect: the bundle has no metastasis network"):
        predict_cohort(replace(cohort, patients=(record,)), request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_check_of_both_phases_fails_when_they_may_not_belong_together(
    record: PatientRecord, how: PredictionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict(out: Path) -> Mapping[str, Any]:
        checks = predict_single(record, how, out)["checks"]
        (check,) = [check for check in checks if check["name"] == "both phases of one patient and region"]
        found: Mapping[str, Any] = check
        return found

    assert verdict(tmp_path / "one")["passed"] is True

    def read_in_other_frame(path: Path, *, phase: Phase) -> CT:
        return replace(read_ct(path, phase=phase), frame_key=f"frame of {phase}")

    monkeypatch.setattr(reading, "read_ct", read_in_other_frame)
    doubted = verdict(tmp_path / "two")
    assert doubted["passed"] is False
    assert "frame" in doubted["text"]
