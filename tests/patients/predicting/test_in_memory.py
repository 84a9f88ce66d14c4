"""`lymphct.predict` from Python gives the files that `lymphct predict` gives, and refuses what it refuses."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lymphct
from lymphct.cascade.models import Models
from lymphct.config import Config
from lymphct.core.errors import InputError, ModelError, OutputInUseError
from lymphct.core.patient import Prediction
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.patients.predicting.prediction import PredictionRequest, predict_single


@pytest.fixture(scope="module")
def record(cohort: Manifest) -> PatientRecord:
    return cohort.patients[1]


@pytest.fixture(scope="module")
def models(bundle: Path) -> Models:
    return lymphct.load_bundle(bundle, device="cpu")


@pytest.fixture(scope="module")
def images(record: PatientRecord) -> dict[str, lymphct.Volume]:
    return {role: lymphct.read_volume(path) for role, path in record.paths.items()}


@pytest.fixture(scope="module")
def predicted(
    images: dict[str, lymphct.Volume], models: Models, config: Config, record: PatientRecord
) -> Prediction:
    return lymphct.predict(
        images["venous"],
        images["arterial"],
        structures=images["structures"],
        tumor=images["tumor"],
        bundle=models,
        config=config,
        patient_id=record.patient_id,
    )


def contents(folder: Path) -> Iterator[tuple[str, object]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == "timings.json":
            yield name, None
        elif name == "result.json":
            yield name, json.loads(path.read_text("utf-8"))
        elif path.is_file() and name != "DONE.json":
            yield name, path.read_bytes()


def test_images_in_memory_give_the_files_that_the_command_gives(
    predicted: Prediction, record: PatientRecord, bundle: Path, config: Config, tmp_path: Path
) -> None:
    predicted.save(tmp_path / "python")
    cells = {name: value for name, value in record.cells.items() if name != "nodes"}
    request = PredictionRequest(bundle=bundle, config=config, device="cpu")
    predict_single(replace(record, nodes=None, cells=cells), request, tmp_path / "command")
    ours, theirs = dict(contents(tmp_path / "python")), dict(contents(tmp_path / "command"))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_files_give_the_same_as_images(
    predicted: Prediction, record: PatientRecord, bundle: Path, config: Config
) -> None:
    again = lymphct.predict(
        str(record.venous),
        record.arterial,
        structures=record.structures,
        tumor=record.tumor,
        bundle=bundle,
        config=config,
        patient_id=record.patient_id,
    )
    assert again.probability == predicted.probability
    np.testing.assert_array_equal(again.attention.array, predicted.attention.array)
    assert [node.center for node in again.nodes.nodes] == [node.center for node in predicted.nodes.nodes]


def test_a_changed_prediction_is_saved_as_it_is_now(predicted: Prediction, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    predicted.save(out)
    replace(predicted, probability=0.125).save(str(out))
    assert json.loads((out / "result.json").read_text("utf-8"))["probability"] == 0.125
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_of_somebody_else_is_left_alone(predicted: Prediction, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputInUseError, match=r"holds no DONE\.json of ours"):
        predicted.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_drawn_nodes_are_taken_as_a_class_map(
    images: dict[str, lymphct.Volume], models: Models, config: Config
) -> None:
    drawn = np.zeros(images["venous"].geometry.shape, np.uint8)
    drawn[20:23, 20:23, 20:23] = 1
    drawn[40:43, 20:23, 20:23] = 2
    found = lymphct.predict(
        images["venous"],
        images["arterial"],
        structures=images["structures"],
        tumor=images["tumor"],
        nodes=images["venous"].with_array(drawn),
        bundle=models,
        config=config,
    )
    assert len(found.nodes.nodes) == 2
    np.testing.assert_array_equal(found.nodes.instances.array > 0, drawn > 0)


def test_what_does_not_belong_together_is_refused_before_any_network_runs(
    images: dict[str, lymphct.Volume], models: Models, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lymphct.patients.predicting.in_memory.predict_patient", pytest.fail)
    venous, arterial = images["venous"], images["arterial"]
    with pytest.raises(InputError, match="case7: the same image was given as arterial and as venous"):
        lymphct.predict(venous, venous, bundle=models, config=config, patient_id="case7")
    zeros = arterial.with_array(np.zeros_like(arterial.array))
    with pytest.raises(InputError, match="case7: arterial phase: the values are not HU"):
        lymphct.predict(venous, zeros, bundle=models, config=config, patient_id="case7")
    with pytest.raises(InputError, match=r"patient: nothing\.nii\.gz: no such file"):
        lymphct.predict("nothing.nii.gz", bundle=models)


def test_an_id_that_is_no_pseudonym_is_refused_and_not_quoted(images: dict[str, lymphct.Volume]) -> None:
    with pytest.raises(InputError, match="the patient_id is not allowed") as refused:
        lymphct.predict(images["venous"], patient_id="Doe, Jane")
    assert "Jane" not in str(refused.value)


def test_the_shipped_bundle_is_the_default_and_says_in_one_line_what_it_holds() -> None:
    models = lymphct.load_bundle(device="cpu")
    assert models.info.is_phantom
    assert repr(models).startswith(
        "Models(phantom_tiny: structures, tumor, nodes, identification, metastasis; "
    )


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bundle"):
        lymphct.load_bundle(str(tmp_path))
