"""Stage 1 trained with an atlas, from the command to the nodes of a patient who never taught it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.attention.atlas import Atlas
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.config import Config
from lymphct.core.terms import StageName
from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.study.bundling import lay_bundle
from lymphct.study.plan import Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_one


@pytest.fixture(scope="module")
def request_of_atlas(
    cohort: Manifest, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> TrainingRequest:
    folder = tmp_path_factory.mktemp("atlas")
    attention = AttentionSettings(prior="atlas", suppress_other_organs=True)
    return TrainingRequest(
        folder=folder / "run",
        name="atlas",
        records=cohort.patients,
        config=config.model_copy(update={"attention": attention}),
        seed=3,
        device="cpu",
        work=folder / "store",
    )


@pytest.fixture(scope="module")
def run(request_of_atlas: TrainingRequest) -> Run:
    bundle = train_one(request_of_atlas, StageName.NODES)
    return Run.open(bundle.parent, request_of_atlas.work)


def test_plan_and_bundle_say_the_same_atlas_and_on_whom_it_was_fitted(run: Run) -> None:
    info = read_bundle(run.bundle).info
    learned = run.plan.learned
    assert isinstance(learned.prior, Atlas)
    assert info.atlas == learned.atlas
    assert info.suppress_other_organs
    taught = learned.fitted_on["atlas"].ids
    assert taught
    assert taught <= set(run.plan.ids("train"))
    assert info.fitted_on["atlas"] == learned.fitted_on["atlas"].hashed(info.salt)
    assert models_in(run.bundle, "cpu").prior == learned.atlas
    record = json.loads((run.bundle / "bundle.json").read_text())
    assert len(record["atlas"]["effects"]["pancreas"]) == len(record["atlas"]["knots"]) - 1


def test_a_run_that_goes_on_keeps_it(run: Run, request_of_atlas: TrainingRequest, tmp_path: Path) -> None:
    before = (run.folder / "plan.json").read_bytes()
    train_one(replace(request_of_atlas, resume=True), StageName.NODES)
    assert (run.folder / "plan.json").read_bytes() == before
    beside = Run(tmp_path / "beside", run.plan, run.work)
    beside.folder.mkdir()
    lay_bundle(beside, read_bundle(run.bundle).info)
    assert (
        read_bundle(beside.bundle).info.fitted_on["atlas"] == read_bundle(run.bundle).info.fitted_on["atlas"]
    )


def test_prediction_uses_the_map_of_the_bundle_without_being_told(
    run: Run, cohort: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = new_app()
    commands.register(app)
    name = run.plan.ids("fusion_train")[0]
    record = next(r for r in cohort.patients if r.patient_id == name)
    images: Any = {key: getattr(record, key) for key in ("venous", "arterial", "structures", "tumor")}
    masks = [word for key, path in images.items() for word in (f"--{key}", str(path))]
    options = [
        "--bundle",
        str(run.bundle),
        "--out",
        str(tmp_path / "out"),
        "--only",
        "nodes",
        "--device",
        "cpu",
    ]
    assert exit_code(app, ["predict", *masks, *options]) == 0, capsys.readouterr().err
    patient = run.patients[name]
    assert patient.structures is not None
    models = models_in(run.bundle, "cpu")
    settings = models.attending(AttentionSettings())
    expected = guiding_attention(patient.structures, patient.tumor, models.prior, settings)
    found = next((tmp_path / "out").rglob("attention.nii.gz"))
    shown = read_volume(found)
    assert 0.0 <= shown.array.min() <= shown.array.max() <= 1.0
    assert_allclose(np.mean(shown.array > 0), np.mean(expected.array > 0), atol=0.02)


def test_the_store_keeps_the_maps_of_bands_and_atlas_apart(run: Run) -> None:
    patient = run.patients[run.plan.ids("train")[0]]
    learned, settings = run.plan.learned, run.plan.config.attention
    maps = [patient.attention_view(prior, settings) for prior in (learned.prior, learned.bands)]
    by_atlas, by_bands = (view.whole().array for view in maps if view is not None)
    assert np.any(by_atlas != by_bands)
    again = patient.attention_view(Atlas.model_validate(learned.atlas), settings)
    assert again is not None
    assert np.array_equal(again.whole().array, by_atlas)
