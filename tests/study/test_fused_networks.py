"""The status network of a run whose number of the nodes is learned, on disk and asked (decision 0060)."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.core.errors import LymphctError
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle, verify_bundle
from lymphct.io.models.loading import models_in, tensor_names
from lymphct.io.results.jsonfile import read_json
from lymphct.patients.prediction import PredictionRequest
from lymphct.study.plan import Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single.training import train_stage

STATUS = StageName.METASTASIS


@pytest.fixture
def run(bundle: Path, training: TrainingRequest, tmp_path: Path) -> Run:
    """The run of the session whose status network is still to be trained, by one other word of settings."""
    folder = tmp_path / "run"
    shutil.copytree(bundle.parent, folder)
    shutil.rmtree(folder / "stages" / STATUS)
    print(sorted(p.name for p in folder.iterdir()), bundle)
    return Run.open(folder)


def test_x(run: Run, training: TrainingRequest) -> None:
    print(run.plan.roles(STATUS))
    by = {r.patient_id: r.n_status for r in training.records}
    print({n: by[n] for n in run.plan.roles(STATUS).everybody})
    for p in sorted(run.folder.rglob("*"))[:200]:
        print(p.relative_to(run.folder))
    assert 0
