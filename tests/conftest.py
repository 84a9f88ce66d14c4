"""One nano cohort and one tiny training run, made once for all tests of the workflow."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import torch
from tests.offline import forbid_network, without_network

from lymphct.config import Config
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.io.results.locks import exclusive_lock
from lymphct.io.settings import load_config
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_all

forbid_network()
# Imported first by a test, it would close the handlers of pytest (`study.tasks.submission`).
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")

# How long an example takes says more about what else runs on the machine than about the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

PATIENTS = 12

# Enough steps that loss falls and weights move; what is learned is the business of the quality table.
SHORT = [
    f"{stage}.training.{name}={value}"
    for stage in ("structures", "tumor", "nodes", "identification", "metastasis")
    for name, value in (("epochs", 2), ("iterations_per_epoch", 4), ("validate_every", 1))
]
# Windows side by side, which takes a third of the time: what overlaps do is the business of tests/learning.
SHORT += [f"{stage}.inference.step=1.0" for stage in ("structures", "tumor", "nodes")]

# Networks that have learned next to nothing must still find a tumor, or no status network can be trained; and
# of the hundreds of specks that stage 1 sees in everybody the largest will do: each node takes its time.
FINDING = ("tumor.threshold=0.001", "nodes.hard_gate=true", "nodes.min_volume=400")


@contextmanager
def shared(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Hold a folder of all processes of pytest-xdist: the first one fills it, the others find it full."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with exclusive_lock(folder.with_suffix(".lock"), wait=280.0):
        yield folder


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    """Fail a test that tries to reach anything but this machine."""
    with without_network():
        yield


@pytest.fixture(scope="session")
def config() -> Config:
    """Nano settings, a few iterations."""
    torch.set_num_threads(1)
    return load_config("phantom_nano", [*SHORT, *FINDING])


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve nano patients on disk, one folder for all processes: nobody writes into it."""
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    with shared(tmp_path_factory, "cohort") as folder:  # patients that are there already are kept
        return read_manifest(
            write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=9, patients=PATIENTS))
        )


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory, cohort: Manifest, config: Config) -> TrainingRequest:
    """The training of all stages on that cohort."""
    folder = tmp_path_factory.mktemp("run")
    return TrainingRequest(
        folder=folder, name="nano", records=cohort.patients, config=config, seed=3, device="cpu"
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, training: TrainingRequest) -> Path:
    """A bundle with all five parts, trained for seconds: each process has its own copy of the run."""
    with shared(tmp_path_factory, "run") as folder:  # a finished run is not trained again
        trained = train_all(replace(training, folder=folder))
    shutil.copytree(folder, training.folder, dirs_exist_ok=True)
    return training.folder / trained.name
