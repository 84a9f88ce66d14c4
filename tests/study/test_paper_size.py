"""Every stage learns with the paper's networks and patches from CT of the paper's size, within 8 GB.

Batches are smaller than the preset's: one patch, two nodes.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lymphct.cascade.stages import STAGES
from lymphct.config import Config
from lymphct.core.terms import StageName
from lymphct.io.manifest import read_manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.settings import load_config
from lymphct.learning.devices import has_bfloat16
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.plan import Run

LIMIT = 8e9
"""Bytes of memory that a training may have at its peak."""

# The fewest who can teach all stages: one with nodes of both classes to learn from and one to choose, and an
# N+ and an N- patient for both parts of the status network.
PATIENTS, SEED = 6, 5

SEGMENTATION = ("structures", "tumor", "nodes")
SHORT = {"epochs": 1, "iterations_per_epoch": 2}

# The program in a process of its own, which tells its peak at the end, however it ends.
PROGRAM = """
import atexit, json, sys, time
from lymphct.cli.main import run
from lymphct.core.system import peak_memory
@atexit.register
def told():
    print(json.dumps({"peak": peak_memory(), "cpu": time.process_time()}), file=sys.stderr)
run()
"""


def settings() -> list[str]:
    """Return what departs from the preset `paper`: how long is trained, on how many patches at once."""
    in_bfloat16 = has_bfloat16(torch.device("cpu"))
    changed: dict[str, object] = {
        f"{stage}.training.{name}": value for stage in STAGES for name, value in SHORT.items()
    }
    for stage in SEGMENTATION:
        changed |= {
            f"{stage}.sampling.batch_size": 1,
            f"{stage}.training.cpu_bfloat16": in_bfloat16,
            f"{stage}.validation_patches": 2,
            f"{stage}.validation_cases": 1,
            # Windows that do not overlap take a fraction of the time, and as much memory for each pass.
            f"{stage}.inference.step": 1.0,
            f"{stage}.inference.precision": "auto",
        }
    changed |= {
        "identification.sampling.batch_size": 2,
        "identification.training.cpu_bfloat16": in_bfloat16,
        "registration.method": "none",
        # Networks that have learned next to nothing must still find something, and one thing rather than
        # thousands: everything is tumor, and all that has attention is one lymph node.
        "tumor.threshold": 0.0,
        "tumor.pancreas_only": False,
        "nodes.threshold": 0.0,
        "nodes.hard_gate": True,
    }
    return [f"{name}={str(value).lower()}" for name, value in changed.items()]


def run_program(*words: str) -> dict[str, float]:
    """Run the program; return the peak of its memory, bytes, and its CPU time, s."""
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return told


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_stage_is_trained_at_the_paper_s_size_within_eight_gigabytes(tmp_path: Path) -> None:
    """About 22 minutes of CPU time with AVX512-BF16: 3 for the phantoms, 18 to train, 1 to predict."""
    phantoms = PhantomSettings(size="paper", phase_shift=False, prevalence=0.6)
    cohort = PhantomCohort(folder=tmp_path / "cohort", settings=phantoms, seed=SEED, patients=PATIENTS)
    manifest, out = write_phantoms(cohort), tmp_path / "run"
    begin = ("--cohort", str(manifest), "--out", str(out), "--random-init", "--config", "paper")
    changes = [word for setting in settings() for word in ("--set", setting)]
    training = run_program("train", "all", "--device", "cpu", *begin, *changes)
    assert training["peak"] < LIMIT
    assert set(read_bundle(out / "bundle").info.parts) == set(StageName)
    require_paper_sizes(Run.open(out).plan.config)

    # The bundle serves: stage 1 and what follows run on a patient whose structures and tumor were drawn.
    patient = read_manifest(manifest).patients[0]
    drawn = ("venous", "arterial", "structures", "tumor")
    files = [word for name in drawn for word in (f"--{name}", str(patient.paths[name]))]
    result = tmp_path / "predicted"
    where = ("--bundle", str(out / "bundle"), "--out", str(result), "--device", "cpu")
    prediction = run_program("predict", *files, *where, "--registration", "none")
    assert prediction["peak"] < LIMIT
    told = json.loads((result / "result.json").read_text())
    assert told["nodes_total"] == 1
    assert 0 <= told["probability"] <= 1


def require_paper_sizes(trained: Config) -> None:
    """Hold what was trained against the paper: its spacing, networks, patches."""
    paper = load_config("paper", [])
    assert trained.imaging.spacing == (0.68, 0.68, 0.8)
    for stage in SEGMENTATION:
        assert getattr(trained, stage).unet == getattr(paper, stage).unet
        assert getattr(trained, stage).sampling.patch_size == (160, 192, 80)
    assert trained.identification.unet == paper.identification.unet
    assert trained.identification.sampling.crop_size == (96, 96, 80)
    assert trained.metastasis.patches == paper.metastasis.patches
    assert trained.metastasis.network.width == 1
