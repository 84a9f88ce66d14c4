"""Everything a cohort can teach: preparation, the five stages in their order, one bundle (Sec. IV-A.2)."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lymphct.cascade.description import BundleInfo, DistanceBand, PhaseIntensity, hash_patient
from lymphct.cascade.fitting import PARTS_OF_STAGE, Progress, StageJob, train_stage
from lymphct.config import Config
from lymphct.core.errors import InputError, LeakageError, ModelError, UsageError
from lymphct.io.images.reading import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.models.bundles import Bundle, read_bundle, update_bundle_part, write_bundle
from lymphct.io.processes import map_patients
from lymphct.io.results.fingerprints import code_version
from lymphct.patients.memory import affordable_jobs, worker_memory
from lymphct.patients.preparation import Preparation, prepare_cohort
from lymphct.patients.registration_table import write_registration_table
from lymphct.study.plan import PLAN_FILE, Run, StageName, begin_run

logger = logging.getLogger(__name__)

CHAINS: Sequence[tuple[StageName, ...]] = (("tumor",), ("nodes", "identification"), ("structures",))
"""Stages that do not wait for one another can be trained side by side; the longest comes first."""

PHANTOM_NOTICE = (
    "The models were trained on synthetic phantoms. They serve to learn the tool and to test an "
    "installation; their output is meaningless for patients."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
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
        init: bundle whose parts are taken over where this run trains none; fitted on other patients.
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
    init: Path | None = None
    resume: bool = False
    pretrained: Mapping[str, torch.Tensor] | None = None


def train_all(request: TrainingRequest, progress: Progress | None = None) -> Path:
    """Train every stage and return the folder of the bundle.

    With two jobs or more, stages that do not need one another are trained side by side.

    Raises:
        InputError: patients cannot be read; the first reason is given.

    """
    _require_begun(request, request.folder / PLAN_FILE)
    if request.init is not None:
        msg = "all stages are trained here, nothing is taken over from --init"
        raise UsageError(msg, cure="leave out --init, or name the one stage to train")
    start_run(request)
    chains = [_Chain(request, stages) for stages in CHAINS]
    if request.jobs > 1:
        for outcome in map_patients(_train_chain, chains, jobs=request.jobs):
            outcome.result()
    else:
        for chain in chains:
            _train_chain(chain, progress)
    train_stage(_job(request, "metastasis"), progress)
    return request.folder / "bundle"


def _require_begun(request: TrainingRequest, trace: Path) -> None:
    if request.resume and not trace.exists():
        msg = f"there is nothing to resume in {request.folder.name}"
        raise UsageError(msg, code="E_NOT_BEGUN", cure="leave out --resume, or check --out")


def train_one(request: TrainingRequest, stage: StageName, progress: Progress | None = None) -> Path:
    """Train one stage and return the folder of the bundle, which may hold other stages already."""
    _require_begun(request, request.folder / "stages" / stage)
    run = start_run(request)
    if request.init is not None:
        take_over(run, read_bundle(request.init), stage)
    train_stage(_job(request, stage), progress)
    return request.folder / "bundle"


def take_over(run: Run, bundle: Bundle, stage: StageName) -> None:
    """Copy the parts of another bundle into the run's, except the stage that is to be trained.

    Raises:
        LeakageError: the status network would be fed by networks that learned from its patients.
        ModelError: the other bundle works at another spacing or on phases registered otherwise.

    """
    if stage == "metastasis":
        for name in run.plan.ids(*PARTS_OF_STAGE[stage]):
            if bundle.info.has_seen(name):
                msg = "the bundle given with --init was fitted on this patient"
                raise LeakageError(msg, cure="leave the patient out, or train all stages here").at(
                    patient=name
                )
    config = run.plan.config
    if bundle.info.spacing != config.imaging.spacing:
        msg = f"the bundle works at {bundle.info.spacing} mm, this run at {config.imaging.spacing} mm"
        raise ModelError(msg, cure="set imaging.spacing to that of the bundle")
    trained, here = bundle.info.registration, config.registration.method
    if trained != here:
        msg = f"the bundle was trained on phases registered by method {trained}, this run uses {here}"
        raise ModelError(msg, cure=f"--set registration.method={trained}")
    present = read_bundle(run.bundle).info.parts
    for name, part in bundle.info.parts.items():
        if name != stage and name not in present:
            update_bundle_part(run.bundle, name, part, bundle.weights[name])


def start_run(request: TrainingRequest) -> Run:
    """Prepare the cohort, settle who is trained on, and lay an empty bundle."""
    preparation = Preparation(
        folder=request.folder / "prepared",
        spacing=request.config.imaging.spacing,
        registration=request.config.registration,
        labels=request.labels,
    )
    jobs = affordable_jobs(request.jobs, worker_memory(request.records, preparation))
    failures = []
    for outcome in prepare_cohort(request.records, preparation, jobs=jobs):
        if outcome.error is not None:
            failures.append(outcome.error.at(patient=outcome.item.patient_id))
            logger.error("%s", failures[-1])
    if failures:
        msg = f"{len(failures)} of {len(request.records)} patients cannot be read; the first: {failures[0]}"
        raise InputError(msg, code="E_COHORT", cure="run `lymphct check`, then correct or exclude them")
    write_registration_table(preparation, request.records)
    init = None if request.init is None else read_bundle(request.init).info
    run = begin_run(request.folder, request.name, request.records, request.config, request.seed, init=init)
    if not (run.bundle / "bundle.json").exists():
        write_bundle(run.bundle, _empty_info(run, init), {}, model_card(run))
    return run


@dataclass(frozen=True, slots=True)
class _Chain:
    request: TrainingRequest
    stages: tuple[StageName, ...]


def _train_chain(chain: _Chain, progress: Progress | None = None) -> None:
    for stage in chain.stages:
        train_stage(_job(chain.request, stage), progress)


def _job(request: TrainingRequest, stage: StageName) -> StageJob:
    return StageJob(
        stage=stage,
        folder=request.folder,
        device=request.device,
        jobs=request.jobs,
        resume=request.resume,
        pretrained=request.pretrained if stage == "metastasis" else None,
    )


def _empty_info(run: Run, init: BundleInfo | None) -> BundleInfo:
    plan = run.plan
    # A random key: whoever holds the bundle can check an id he knows, but not guess ids he does not. Parts
    # that are taken over bring hashes made with their bundle's key.
    salt = f"phantom-{plan.seed:08d}" if plan.is_phantom else secrets.token_hex(16)
    salt = salt if init is None else init.salt
    fitted = tuple(sorted(hash_patient(name, salt) for name in plan.ids("train")))
    return BundleInfo(
        name=plan.name,
        salt=salt,
        spacing=plan.config.imaging.spacing,
        registration=plan.config.registration.method,
        intensity={
            name: PhaseIntensity(low=low, high=high, mean=mean, sd=sd)
            for name, (low, high, mean, sd) in plan.intensity.items()
        },
        bands={name: DistanceBand(d_min=low, d_max=high) for name, (low, high) in plan.bands.items()},
        fitted_on={"intensity": fitted} if init is None else init.fitted_on,
        phase_dropout=plan.phase_dropout,
        is_phantom=plan.is_phantom,
        notice=PHANTOM_NOTICE if plan.is_phantom else "",
        code_version=code_version(),
    )


def model_card(run: Run) -> str:
    """Return the first version of the card: what the bundle was trained on and what it is not."""
    plan = run.plan
    kind = "synthetic phantoms" if plan.is_phantom else "patients"
    trained_on = (
        f"Trained by lymphct on {len(plan.ids('train'))} {kind} for structures, tumor and lymph nodes "
        f"(and {len(plan.ids('validation'))} for their thresholds), and on {len(plan.ids('fusion_train'))} "
        f"others for the metastasis status (and {len(plan.ids('fusion_validation'))} for its threshold). "
        f"Arterial phases registered by method {plan.config.registration.method}. Seed {plan.seed}."
    )
    notice = PHANTOM_NOTICE if plan.is_phantom else ""
    lines = [f"# {plan.name}", trained_on, notice, "For research. Not a medical device."]
    return "\n\n".join(line for line in lines if line) + "\n"
