"""A first look: phantom patients through every stage, optionally after training every stage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lymphct.config import Config
from lymphct.io.manifest import read_manifest
from lymphct.io.models.bundles import read_bundle, shipped_bundle_path
from lymphct.patients.one_by_one import CohortOutcome
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.plan import PLAN_FILE
from lymphct.study.progress import Progress
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_all

DEMO_SEED = 20
"""Phantoms of this seed were never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What the demo shows, and where.

    Attributes:
        out: receives `phantoms`, with training `run`, and a result folder per patient.
        patients: predicted.
        training_patients: trained on first; 0 takes the shipped bundle.
        config: settings; those of the training too.
        device: on which the networks run.
        jobs: processes side by side.

    """

    out: Path
    config: Config
    patients: int = 3
    training_patients: int = 0
    device: str = "auto"
    jobs: int = 1


def demonstrate(
    demo: Demonstration, *, step: Callable[[str], None], progress: Progress | None = None
) -> CohortOutcome:
    """Generate patients, train if asked to, predict; `step` is told what begins."""
    bundle = shipped_bundle_path()
    if demo.training_patients:
        step(f"generating {demo.training_patients} phantoms to train on")
        is_registered = demo.config.registration.method != "none"
        training = _phantoms(demo, "training", demo.training_patients, DEMO_SEED + 1, is_registered)
        step("training the five stages")
        bundle = train_all(
            TrainingRequest(
                folder=demo.out / "run",
                name="phantom_demo",
                records=read_manifest(training).patients,
                config=demo.config,
                device=demo.device,
                jobs=demo.jobs,
                resume=(demo.out / "run" / PLAN_FILE).exists(),
            ),
            progress,
        )
    step(f"generating {demo.patients} phantoms to predict")
    is_registered = read_bundle(bundle).info.registration != "none"
    manifest = _phantoms(demo, "phantoms", demo.patients, DEMO_SEED, is_registered)
    step("predicting from both phases alone: structures, tumor, lymph nodes, status")
    request = PredictionRequest(bundle=bundle, config=demo.config, device=demo.device)
    return predict_cohort(read_manifest(manifest), request, demo.out, jobs=demo.jobs)


def _phantoms(demo: Demonstration, name: str, patients: int, seed: int, is_registered: bool) -> Path:  # noqa: FBT001 - private
    # Models that learned from phases without registration have never seen breathing.
    settings = PhantomSettings(size="tiny", mode="unbiased", phase_shift=is_registered)
    cohort = PhantomCohort(folder=demo.out / name, settings=settings, seed=seed, patients=patients)
    return write_phantoms(cohort, jobs=demo.jobs)
