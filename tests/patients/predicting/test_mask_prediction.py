"""Masks of one stage, by a bundle that has no other network than it needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from lymphct.cascade.examination import Given, Stopwatch
from lymphct.cascade.partial_examination import examine_until, networks_needed, require_networks
from lymphct.config import Config
from lymphct.core.errors import ModelError
from lymphct.core.patient import Multiphase
from lymphct.core.terms import StageName, Structure
from lymphct.io.images.reading import read_labels, write_volume
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.models.loading import models_in
from lymphct.patients.predicting import prediction
from lymphct.patients.predicting.masks import MASKS
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort, predict_single
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.reading import read_patient
from lymphct.patients.sources.naming import named_sources

Make = Callable[..., PredictionRequest]


@pytest.fixture
def record(cohort: Manifest) -> PatientRecord:
    return replace(cohort.patients[0], structures=None, tumor=None, nodes=None)


@pytest.fixture
def asking(bundle: Path, config: Config, tmp_path: Path) -> Make:
    """Return a function that asks a bundle of these parts alone for masks up to a stage."""

    def made(only: StageName | None, *parts: StageName) -> PredictionRequest:
        folder = tmp_path / "bundle"
        whole = read_bundle(bundle)
        info = whole.info.model_copy(update={"parts": {name: whole.info.parts[name] for name in parts}})
        write_bundle(folder, info, {name: whole.weights[name] for name in parts}, "# Card\n")
        return PredictionRequest(bundle=folder, config=config, device="cpu", only=only)

    return made


@pytest.mark.parametrize("last", MASKS)
def test_a_bundle_writes_the_masks_of_its_networks(
    last: StageName, record: PatientRecord, asking: Make, tmp_path: Path
) -> None:
    parts = list(MASKS)[: list(MASKS).index(last) + 1]
    result = predict_single(record, asking(last, *parts), tmp_path / "out")
    masks = {f"{name}.nii.gz" for name in MASKS[last]}
    tables = {f"{name}.ctbl" for name in MASKS[last] if name != "attention"}
    assert {path.name for path in (tmp_path / "out" / "seg").iterdir()} == masks | tables
    assert result["probability"] is result["predicted_n_status"] is result["nodes_positive"] is None
    assert f"only_{last}" in [notice["code"] for notice in result["notices"]]
    assert "no_positive_nodes" not in [notice["code"] for notice in result["notices"]]
    assert (result["nodes_total"] is not None) is (last is StageName.NODES)
    others = {"DONE.json", "result.json", "seg"} | ({"nodes.csv"} if last is StageName.NODES else set())
    assert {path.name for path in (tmp_path / "out").iterdir()} == others


def test_no_other_network_is_run(
    bundle: Path, config: Config, record: PatientRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(self: nn.Module, *_: object) -> None:
        pytest.fail(f"{type(self).__name__} was run")

    models = models_in(bundle, "cpu")
    for part in (models.tumor, models.nodes, models.identification, models.metastasis):
        assert part is not None
        monkeypatch.setattr(part.network, "forward", unwanted.__get__(part.network))
    how = PredictionRequest(bundle=bundle, config=config, device="cpu", only=StageName.STRUCTURES)
    predict_single(record, how, tmp_path / "out")


def test_the_masks_are_those_of_the_whole_prediction(
    bundle: Path, config: Config, record: PatientRecord, tmp_path: Path
) -> None:
    how = PredictionRequest(bundle=bundle, config=config, device="cpu")
    predict_single(record, how, tmp_path / "whole")
    predict_single(record, replace(how, only=StageName.NODES), tmp_path / "masks")
    for name in ("structures", "tumor", "attention"):
        one, other = (tmp_path / run / "seg" / f"{name}.nii.gz" for run in ("whole", "masks"))
        assert one.read_bytes() == other.read_bytes()


def test_a_missing_network_is_told_before_an_image_is_read(
    record: PatientRecord, asking: Make, cohort: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "read_patient", lambda *_, **__: pytest.fail("an image was read"))
    how = asking(None, StageName.STRUCTURES)
    cure = "give --tumor, or ask for masks alone: --only structures"
    with pytest.raises(ModelError, match=f"the bundle has no tumor network .*{cure}"):
        predict_single(record, how, tmp_path / "out")
    images = replace(cohort, patients=(record,))
    with pytest.raises(ModelError, match="the bundle has no tumor network"):
        predict_cohort(images, how, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


def test_what_is_given_needs_no_network_unless_it_is_to_be_filled() -> None:
    every = ["structures", "tumor", "nodes"]
    assert networks_needed(every) == ()
    assert networks_needed(every, fill_structures=True) == (StageName.STRUCTURES,)
    assert networks_needed(["structures", "tumor"]) == (StageName.NODES, StageName.IDENTIFICATION)
    assert networks_needed(["nodes"], last=StageName.STRUCTURES) == (StageName.STRUCTURES,)
    with pytest.raises(ModelError, match=r"no identification network .* - use a bundle with all stages$"):
        require_networks([], [StageName.IDENTIFICATION])


def test_without_guiding_structures_nodes_are_not_searched(
    bundle: Path, config: Config, cohort: Manifest
) -> None:
    models = models_in(bundle, "cpu")
    patient = read_patient(cohort.patients[0])
    assert patient.structures is not None
    empty = patient.structures.with_array(patient.structures.array * 0)
    found = examine_until(
        Multiphase(venous=patient.venous),
        Given(structures=empty, tumor=empty),
        models,
        config.attention,
        Stopwatch(),
        last=StageName.NODES,
    )
    assert (found.searched, found.nodes.nodes, found.used) == (False, (), ())


def test_structures_of_sources_alone_need_no_network_and_say_who_gave_them(
    record: PatientRecord, cohort: Manifest, asking: Make, tmp_path: Path
) -> None:
    drawn = cohort.patients[0].structures
    assert drawn is not None
    sources = named_sources(str(drawn).replace(record.patient_id, "{patient}"))
    request = replace(asking(StageName.STRUCTURES, StageName.NODES), sources=sources)
    result = predict_single(record, request, tmp_path / "out")
    assert set(result["structure_sources"].values()) == {"files"}
    assert result["sources"]["structures"] == "given"
    assert "spleen" in result["structure_sources"]
    written = read_labels(tmp_path / "out" / "seg" / "structures.nii.gz")
    assert (written.array == read_labels(drawn).array).all()


def test_a_patient_without_the_file_of_a_source_fails_alone(
    cohort: Manifest, asking: Make, tmp_path: Path
) -> None:
    two = replace(cohort, patients=cohort.patients[:2])
    first = two.patients[0]
    masks = tmp_path / "masks"
    masks.mkdir()
    assert first.structures is not None
    (masks / f"{first.patient_id}.nii.gz").write_bytes(first.structures.read_bytes())
    sources = named_sources(f"{masks}/{{patient}}.nii.gz")
    request = replace(asking(StageName.STRUCTURES, StageName.NODES), sources=sources)
    outcome = predict_cohort(two, request, tmp_path / "out")
    assert list(outcome.results) == [first.patient_id]
    (error,) = outcome.failures.values()
    assert error.code == "E_MISSING"


def test_a_cohort_needs_no_later_network_and_its_masks_come_as_a_manifest(
    cohort: Manifest, asking: Make, config: Config, tmp_path: Path
) -> None:
    two = replace(cohort, patients=cohort.patients[:2])
    out, store = tmp_path / "out", tmp_path / "store"
    masks = named_sources(f"{masks_of(two, tmp_path)}/{{patient}}.nii.gz")
    request = replace(asking(StageName.STRUCTURES, StageName.STRUCTURES), sources=masks)
    assert not predict_cohort(two, request, out).failures
    again = read_manifest(out / "cohort.csv")
    (first, second) = again.patients
    assert first.structures == out / first.patient_id / "seg" / "structures.nii.gz"
    assert first.labelled is not None
    assert Structure.SPLEEN in first.labelled
    assert Structure.LEFT_GASTRIC_ARTERY not in first.labelled  # nobody gave it
    assert first.venous.samefile(two.patients[0].venous)
    assert first.tumor is not None  # what was drawn stays
    assert second.n_status == two.patients[1].n_status
    asked = PreparationRequest(out=store, config=config)
    outcome = prepare_cohort(again, asked)
    (told, _) = outcome.results.values()
    assert set(told["structure_sources"].values()) == {"files"}
    (images,) = (store / first.patient_id).glob("images-*")
    kept = StoredPatient(first.patient_id, images)
    assert set(kept.structure_sources) == set(first.labelled)
    assert kept.labelled == first.labelled
    before = images.stat().st_mtime_ns
    prepare_cohort(again, asked)
    assert images.stat().st_mtime_ns == before


def masks_of(cohort: Manifest, folder: Path) -> Path:
    """Lay the drawn structures without the left gastric artery."""
    place = folder / "masks"
    place.mkdir()
    for record in cohort.patients:
        assert record.structures is not None
        labels = read_labels(record.structures)
        lacking = np.where(labels.array == Structure.LEFT_GASTRIC_ARTERY, 0, labels.array)
        write_volume(place / f"{record.patient_id}.nii.gz", labels.with_array(lacking))
    return place
