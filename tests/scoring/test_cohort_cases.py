"""What of a predicted cohort may not be scored: each refusal names patient, file, cause and cure."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume
from lymphct.io.manifest import read_manifest
from lymphct.scoring.cohort_cases import CohortRequest, gather
from lymphct.scoring.cohort_patient import PatientMeasurer
from lymphct.scoring.predicted import STAGES

WriteCohort = Callable[..., Any]


def refusal(there: Any, request: CohortRequest | None = None) -> str:
    with pytest.raises(InputError) as refused:
        gather(read_manifest(there.manifest), there.results, request or CohortRequest())
    assert refused.value.exit_code == 3
    return str(refused.value)


@pytest.mark.parametrize("stage", STAGES)
def test_what_was_given_is_not_scored(write_cohort: WriteCohort, stage: str, patients: Any) -> None:
    patients[2].sources[stage] = "given"
    there = write_cohort(patients)
    told = refusal(there)
    assert told.startswith(f"p2: {stage} w")
    assert "given, not predicted" in told
    assert f"--without {stage}" in told
    kept = gather(
        read_manifest(there.manifest),
        there.results,
        CohortRequest(without=frozenset({stage})),  # type: ignore[arg-type]
    )
    assert all(stage not in case.stages for case in kept.cases)


def test_what_was_given_in_part_is_not_scored(write_cohort: WriteCohort, patients: Any) -> None:
    patients[0].sources["structures"] = "given+network"
    assert "p0: structures were given in part, not predicted" in refusal(write_cohort(patients))


@pytest.mark.parametrize("sources", [None, {"structures": "network", "tumor": "network"}])
def test_results_that_do_not_say_where_masks_come_from_must_be_made_again(
    write_cohort: WriteCohort, sources: Any, patients: Any
) -> None:
    patients[1].sources = sources
    told = refusal(write_cohort(patients))
    assert told.startswith(
        "p1: result.json: the result does not say whether its masks were given or predicted"
    )
    assert told.endswith("predict again")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sources": dict.fromkeys(STAGES, "by hand")}, "not a result of predict (sources.structures)"),
        ({"schema": "lymphct-result-2"}, "not a result of predict (schema)"),
        ({"schema": None}, "not a result of predict (schema)"),
        ({"probability": 1.5}, "not a result of predict (probability)"),
        ({"predicted_n_status": 2}, "not a result of predict (predicted_n_status)"),
        ({"patient_id": "p9"}, "the result is of another patient"),
    ],
)
def test_a_result_that_is_none_of_this_patient_is_refused(
    write_cohort: WriteCohort, change: dict[str, Any], words: str, patients: Any
) -> None:
    patients[0].result = change
    told = refusal(write_cohort(patients))
    assert told.startswith("p0: result.json: ")
    assert words in told


def test_a_damaged_result_is_refused(write_cohort: WriteCohort, patients: Any) -> None:
    there = write_cohort(patients)
    (there.results / "p0" / "result.json").write_text("{")
    assert refusal(there).startswith("p0: result.json: not valid JSON")
    (there.results / "p0" / "result.json").write_text("[]")
    assert "not a result of predict (no object)" in refusal(there)


def test_a_folder_without_results_is_refused(
    write_cohort: WriteCohort, tmp_path: Path, patients: Any
) -> None:
    there = write_cohort(patients, unpredicted=["p0", "p1", "p2", "p3"])
    assert refusal(there).startswith("results: none of 4 patients of cohort.csv has a result here")
    assert "nowhere: no such folder" in refusal(
        SimpleNamespace(manifest=there.manifest, results=tmp_path / "nowhere")
    )


def test_the_folder_of_one_patient_is_no_cohort(write_cohort: WriteCohort, patients: Any) -> None:
    there = write_cohort(patients)
    told = refusal(SimpleNamespace(manifest=there.manifest, results=there.results / "p0"))
    assert told.startswith("p0: this is the result of one patient")


def test_when_the_models_were_fitted_on_everybody_nobody_is_left(
    write_cohort: WriteCohort, patients: Any
) -> None:
    for patient in patients:
        patient.notices = ["seen_in_training"]
    told = refusal(write_cohort(patients))
    assert "the models were fitted on every predicted patient (4): nobody is left" in told
    assert "--allow-seen" in told


def test_whether_the_models_know_a_patient_is_asked_before_his_masks(
    write_cohort: WriteCohort, patients: Any
) -> None:
    patients[1].notices = ["seen_in_training"]
    patients[1].sources["tumor"] = "given"
    there = write_cohort(patients)
    cohort = gather(read_manifest(there.manifest), there.results, CohortRequest())
    assert cohort.seen == ("p1",)
    assert len(cohort.cases) == 3
    assert "p1: tumor was given" in refusal(there, CohortRequest(allow_seen=True))


def test_when_everybody_is_excluded_it_is_said(write_cohort: WriteCohort, patients: Any) -> None:
    for patient in patients:
        patient.columns = {"exclude_reason": "no consent"}
    told = refusal(write_cohort(patients))
    assert told.startswith("every patient of cohort.csv has an exclude_reason")


def test_a_partial_result_is_not_predicted_again_in_vain(write_cohort: WriteCohort, patients: Any) -> None:
    patients[1].notices = ["only_tumor"]
    there = write_cohort(patients)
    for name in ("nodes.csv", "seg/node_instances.nii.gz"):
        (there.results / "p1" / name).unlink()
    told = refusal(there)
    assert told.startswith("p1: ")
    assert told.endswith("leave the stage out: --without nodes")
    without = CohortRequest(without=frozenset({"nodes"}))
    assert len(gather(read_manifest(there.manifest), there.results, without).cases) == 4


def test_files_that_are_missing_are_named(write_cohort: WriteCohort, patients: Any) -> None:
    there = write_cohort(patients)
    (there.results / "p1" / "seg" / "tumor.nii.gz").unlink()
    assert refusal(there).startswith("p1: seg/tumor.nii.gz: the result folder lacks this file")
    (there.manifest.parent / "p0" / "nodes.nii.gz").unlink()
    assert refusal(there).startswith("p0: nodes.nii.gz: nodes: no such file")


def test_ids_and_labels_of_the_manifest_are_checked_and_its_images_are_not(
    write_cohort: WriteCohort, patients: Any
) -> None:
    there = write_cohort(patients)  # the venous images are gone: nobody asks for them
    assert len(gather(read_manifest(there.manifest), there.results, CohortRequest()).cases) == 4
    there.manifest.write_text(there.manifest.read_text().replace(",1,", ",2,"))
    assert refusal(there).startswith("cohort.csv: line 3: n_status is '2'")


def measured(there: Any) -> str:
    cohort = gather(read_manifest(there.manifest), there.results, CohortRequest())
    with pytest.raises(InputError) as refused:
        PatientMeasurer(CohortRequest())(cohort.cases[0])
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node,class\n1,positive\n", "nodes.csv: the column 'probability' is missing"),
        ("node,class,probability\none,positive,0.5\n", "nodes.csv: line 2 is not a lymph node of ours"),
        ("node,class,probability\n1,doubtful,0.5\n", "nodes.csv: line 2 is not a lymph node of ours"),
        ("node,class,probability\n1,positive,0.5\n", "nodes.csv: 1 node in the list, 2 in the map"),
    ],
)
def test_a_list_of_nodes_that_does_not_fit_the_map_is_refused(
    write_cohort: WriteCohort, text: str, words: str, patients: Any
) -> None:
    there = write_cohort(patients)
    (there.results / "p0" / "nodes.csv").write_text(text)
    told = measured(there)
    assert told.startswith("p0: ")
    assert words in told


def test_masks_on_other_voxels_are_refused(write_cohort: WriteCohort, patients: Any) -> None:
    there = write_cohort(patients)
    moved = Geometry(shape=(20, 16, 12), spacing=(0.68, 0.7, 0.8), origin=(5.0, 2.0, 3.0))
    empty = Volume(array=np.zeros(moved.shape, dtype=np.uint8), geometry=moved)
    write_volume(there.results / "p0" / "seg" / "tumor.nii.gz", empty)
    told = measured(there)
    assert told.startswith("p0: ")
    assert "the predicted tumor lies on another voxel grid than the drawn tumor" in told


def test_a_record_names_its_files_by_patient_and_role(
    write_cohort: WriteCohort, patients: Any, new_patient: Any
) -> None:
    there = write_cohort([new_patient("a"), *patients])
    case = gather(read_manifest(there.manifest), there.results, CohortRequest()).cases[0]
    assert sorted(case.files) == [
        "result/a/nodes.csv", "result/a/result.json", "result/a/seg/node_instances.nii.gz",
        "result/a/seg/structures.nii.gz", "result/a/seg/tumor.nii.gz", "truth/a/nodes",
        "truth/a/nodes_json", "truth/a/structures", "truth/a/tumor",
    ]  # fmt: skip
    assert json.loads((case.folder / "result.json").read_text())["patient_id"] == "a"
