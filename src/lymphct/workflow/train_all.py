"""Everything a cohort can teach: preparation, the five stages in their order, one bundle (Sec. IV-A.2)."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lymphct.config import Config
from lymphct.core.errors import InputError
from lymphct.io.bundle import write_bundle
from lymphct.io.bundle_info import BundleInfo, DistanceBand, PhaseIntensity, hash_patient
from lymphct.io.cohort import PatientRecord
from lymphct.io.fingerprint import code_version
from lymphct.io.images import Scheme
from lymphct.io.worker import map_patients
from lymphct.workflow.preparation import Preparation, prepare_cohort
from lymphct.workflow.run import Run, StageName, begin_run
from lymphct.workflow.training import Progress, StageJob, train_stage

logger = logging.getLogger(__name__)

CHAINS: Sequence[tuple[StageName, ...]] = (("nodes", "identification"), ("structures", "tumor"))
"""Stages that do not wait for one another can be trained side by side."""

PHANTOM_NOTICE = (
    "The models were trained on synthetic phantoms. They serve to learn the tool and to test an installation; "
    "their output is meaningless for patients."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """What to train, from whom, and where.

    Attributes:
        folder: of the run.
        name: of the bundle.
        records: the cohort.
        config: settings.
        seed: of split, weights and patches.
        labels: numbering of the structures in the cohort's files.
        device: on which the networks run.
        jobs: processes side by side.
        resume: go on with a run that was interrupted.
        pretrained: ImageNet weights for the status network.

    """

    folder: Path
    name: str
    records: Sequence[PatientRecord]
    config: Config
    seed: int = 0
    labels: Scheme = "lymphct"
    device: str = "auto"
    jobs: int = 1
    resume: bool = False
    pretrained: Mapping[str, torch.Tensor] | None = None


def train_all(order: TrainingOrder, progress: Progress | None = None) -> Path:
    """Train every stage and return the folder of the bundle.

    With two jobs or more, stage 1 and 2 are trained beside structures and tumor.

    Raises:
        InputError: patients cannot be read; the first reason is given.

    """
    start_run(order)
    chains = [_Chain(order, stages) for stages in CHAINS]
    if order.jobs > 1:
        for outcome in map_patients(_train_chain, chains, jobs=order.jobs):
            outcome.result()
    else:
        for chain in chains:
            _train_chain(chain, progress)
    train_stage(_job(order, "metastasis"), progress)
    return order.folder / "bundle"


def train_one(order: TrainingOrder, stage: StageName, progress: Progress | None = None) -> Path:
    """Train one stage and return the folder of the bundle, which may hold other stages already."""
    start_run(order)
    train_stage(_job(order, stage), progress)
    return order.folder / "bundle"


def start_run(order: TrainingOrder) -> Run:
    """Prepare the cohort, settle who is trained on, and lay an empty bundle."""
    preparation = Preparation(
        folder=order.folder / "prepared", spacing=order.config.imaging.spacing, labels=order.labels
    )
    failures = []
    for outcome in prepare_cohort(order.records, preparation, jobs=order.jobs):
        if outcome.error is not None:
            failures.append(outcome.error.at(patient=outcome.item.patient_id))
            logger.error("%s", failures[-1])
    if failures:
        msg = f"{len(failures)} of {len(order.records)} patients cannot be read; the first: {failures[0]}"
        raise InputError(msg, code="E_COHORT", cure="run `lymphct check`, then correct or exclude them")
    run = begin_run(order.folder, order.name, order.records, order.config, order.seed)
    if not (run.bundle / "bundle.json").exists():
        write_bundle(run.bundle, _empty_info(run), {}, model_card(run))
    return run


@dataclass(frozen=True, slots=True)
class _Chain:
    order: TrainingOrder
    stages: tuple[StageName, ...]


def _train_chain(chain: _Chain, progress: Progress | None = None) -> None:
    for stage in chain.stages:
        train_stage(_job(chain.order, stage), progress)


def _job(order: TrainingOrder, stage: StageName) -> StageJob:
    return StageJob(
        stage=stage,
        folder=order.folder,
        device=order.device,
        jobs=order.jobs,
        resume=order.resume,
        pretrained=order.pretrained if stage == "metastasis" else None,
    )


def _empty_info(run: Run) -> BundleInfo:
    plan = run.plan
    # A random key: whoever holds the bundle can check an id he knows, but not guess ids he does not.
    salt = secrets.token_hex(16) if not plan.is_phantom else f"phantom-{plan.seed:08d}"
    fitted = tuple(sorted(hash_patient(name, salt) for name in plan.ids("train")))
    return BundleInfo(
        name=plan.name,
        salt=salt,
        spacing=plan.config.imaging.spacing,
        intensity={
            name: PhaseIntensity(low=low, high=high, mean=mean, sd=sd)
            for name, (low, high, mean, sd) in plan.intensity.items()
        },
        bands={name: DistanceBand(d_min=low, d_max=high) for name, (low, high) in plan.bands.items()},
        fitted_on={"intensity": fitted},
        phase_dropout=plan.phase_dropout,
        is_phantom=plan.is_phantom,
        notice=PHANTOM_NOTICE if plan.is_phantom else "",
        code_version=code_version(),
    )


def model_card(run: Run) -> str:
    """Return the first version of the card: what the bundle was trained on and what it is not."""
    plan = run.plan
    kind = "synthetic phantoms" if plan.is_phantom else "patients"
    lines = [
        f"# {plan.name}",
        "",
        f"Trained by lymphct on {len(plan.ids('train'))} {kind} for structures, tumor and lymph nodes "
        f"(and {len(plan.ids('validation'))} for their thresholds), and on "
        f"{len(plan.ids('fusion_train'))} others for the metastasis status "
        f"(and {len(plan.ids('fusion_validation'))} for its threshold). Seed {plan.seed}.",
        "",
        PHANTOM_NOTICE if plan.is_phantom else "",
        "For research. Not a medical device.",
        "",
    ]
    return "\n".join(lines)
