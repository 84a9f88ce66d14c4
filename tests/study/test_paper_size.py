"""Every stage learns with the paper's networks and patches from CT of the paper's size, within 8 GB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lymphct.cascade.stages import STAGES
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.settings import load_config
from lymphct.learning.devices import has_bfloat16
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.plan import Run

LIMIT = 8e9
"""Bytes of memory that a training may have at its peak."""

# Stages 1 and 2 need a positive and a negative node in those who teach and in those who choose, the status
# network an N+ and an N- patient in both of its parts: no six patients do with fewer N+ than four.
PATIENTS, SEED = 6, 5

SEGMENTATION = ("structures", "tumor", "nodes")
SHORT = {"epochs": 1, "iterations_per_epoch": 2}

# The program in a process of its own, which tells its peak at the end, however it ends.
PROGRAM = """
import atexit, json, sys, time
from lymphct.cli.main import run
from lymphct.core.system import peak_memory
told = lambda: print(json.dumps({"peak": peak_memory(), "cpu": time.process_time()}), file=sys.stderr)
atexit.register(told)
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
    # Pools of memory per thread would make the peak depend on the number of cores.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return told


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_stage_is_trained_at_the_paper_s_size_within_eight_gigabytes(tmp_path: Path) -> None:
    phantoms = PhantomSettings(size="paper", phase_shift=False, prevalence=0.6)
    cohort = PhantomCohort(folder=tmp_path / "cohort", settings=phantoms, seed=SEED, patients=PATIENTS)
    manifest = write_phantoms(cohort)

    options = [word for setting in settings() for word in ("--set", setting)]
    files = ("--cohort", str(manifest), "--out", str(tmp_path / "run"), "--random-init")
    used = run_program("train", "all", *files, "--config", "paper", "--device", "cpu", *options)

    info = read_bundle(tmp_path / "run" / "bundle").info
    assert set(info.parts) == set(StageName)
    assert used["peak"] < LIMIT
    # What was trained is the paper's: its spacing, networks and patches.
    paper, trained = load_config("paper", []), Run.open(tmp_path / "run").plan.config
    assert trained.imaging.spacing == paper.imaging.spacing == (0.68, 0.68, 0.8)
    for stage in SEGMENTATION:
        assert getattr(trained, stage).unet == getattr(paper, stage).unet
        assert getattr(trained, stage).sampling.patch_size == (160, 192, 80)
    assert trained.identification.unet == paper.identification.unet
    assert trained.metastasis.network.width == 1
