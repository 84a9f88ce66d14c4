"""Training of the five stages (Sec. III, Sec. IV-A.2), each resumable, each adding its part to the bundle."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lymphct.anatomy.structures import build_structure_network, fit_structures
from lymphct.anatomy.tumor import build_tumor_network, fit_tumor
from lymphct.cascade.cases import identification_cases, segmentation_cases
from lymphct.cascade.description import PartInfo, hash_patient
from lymphct.cascade.thresholds import choose_identification, choose_nodes, choose_status
from lymphct.core.errors import InputError, UsageError
from lymphct.core.settings import Settings
from lymphct.io.models.bundles import read_bundle, update_bundle_part
from lymphct.io.models.checkpoints import load_checkpoint, save_checkpoint
from lymphct.io.results.jsonfile import append_json_line
from lymphct.learning.devices import chosen_device
from lymphct.learning.training import EpochRecord, TrainingState, best_weights
from lymphct.metastasis.prediction import build_status_network, fit_status
from lymphct.metastasis.pretrained import initialize
from lymphct.nodes.identification import build_identification_network, fit_identification
from lymphct.nodes.segmentation import build_node_network, fit_node_segmentation
from lymphct.study.evidence import status_cases
from lymphct.study.plan import Part, Run, StageName

logger = logging.getLogger(__name__)

Progress = Callable[[StageName, EpochRecord, int], None]
"""Called after every epoch with the stage, its record and the number of epochs."""

PARTS_OF_STAGE: Mapping[StageName, tuple[Part, Part]] = {
    "structures": ("train", "validation"),
    "tumor": ("train", "validation"),
    "nodes": ("train", "validation"),
    "identification": ("train", "validation"),
    "metastasis": ("fusion_train", "fusion_validation"),
}
"""On whom each stage learns and on whom its best epoch and threshold are chosen (METHOD §9)."""

NEEDED: Mapping[StageName, tuple[StageName, ...]] = {
    "structures": (),
    "tumor": (),
    "nodes": (),
    "identification": ("nodes",),
    "metastasis": ("structures", "tumor", "nodes", "identification"),
}
"""Parts a stage starts from or is fed by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageJob:
    """One training to do.

    Attributes:
        stage: which.
        folder: of the run, begun by `begin_run`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        jobs: processes that examine patients for the status network side by side.
        resume: go on from the last checkpoint where there is one.
        pretrained: ImageNet weights for the status network; None starts from random ones.

    """

    stage: StageName
    folder: Path
    device: str = "auto"
    jobs: int = 1
    resume: bool = False
    pretrained: Mapping[str, torch.Tensor] | None = None


def train_stage(job: StageJob, progress: Progress | None = None) -> None:
    """Train one stage and add it to the run's bundle; a stage that is in the bundle is not trained again.

    Raises:
        InputError: no patient has what the stage learns from.
        UsageError: an earlier stage is missing in the bundle, or nothing to resume from.
        LearningStoppedError: the loss is not finite.

    """
    run = Run.open(job.folder)
    present = read_bundle(run.bundle).info.parts
    if job.stage in present:
        logger.info("%s: already in the bundle", job.stage)
        return
    missing = [stage for stage in NEEDED[job.stage] if stage not in present]
    if missing:
        msg = f"stage {job.stage} needs {', '.join(missing)} in the bundle first"
        raise UsageError(msg, code="E_STAGE", cure=f"lymphct train {missing[0]} with the same --out")
    state = _saved_state(run, job)
    trained = _TRAINERS[job.stage](run, job, state)
    last = _follow(trained.records, run, job.stage, trained.epochs, progress)
    if last is not None:
        state = last
    if state is None:
        msg = f"stage {job.stage} was not trained for a single epoch"
        raise UsageError(msg, code="E_EPOCHS", cure="set its training.epochs to 1 or more")
    trained.network.load_state_dict(best_weights(state))
    settings, scores, thresholds = trained.choose(trained.network)
    _add_part(run, job.stage, trained.network, settings, scores, thresholds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """A training that is ready to run, and how its operating point is chosen afterwards."""

    network: nn.Module
    records: Iterator[EpochRecord]
    epochs: int
    choose: Callable[[nn.Module], tuple[Settings, dict[str, float], dict[str, float]]]


def _structures(run: Run, job: StageJob, state: TrainingState | None) -> _Training:
    settings = run.plan.config.structures
    network = build_structure_network(settings, seed=run.plan.seed).to(chosen_device(job.device))
    cases, validation = (segmentation_cases(run, part, "structures") for part in PARTS_OF_STAGE[job.stage])
    _require(cases, "structures", "a structures mask")
    records = fit_structures(network, cases, validation, settings, seed=run.plan.seed, state=state)
    return _Training(
        network=network, records=records, epochs=settings.training.epochs, choose=lambda _: (settings, {}, {})
    )


def _tumor(run: Run, job: StageJob, state: TrainingState | None) -> _Training:
    settings = run.plan.config.tumor
    network = build_tumor_network(settings, seed=run.plan.seed).to(chosen_device(job.device))
    cases, validation = (segmentation_cases(run, part, "tumor") for part in PARTS_OF_STAGE[job.stage])
    _require(cases, "tumor", "a tumor mask")
    records = fit_tumor(network, cases, validation, settings, seed=run.plan.seed, state=state)
    return _Training(
        network=network, records=records, epochs=settings.training.epochs, choose=lambda _: (settings, {}, {})
    )


def _nodes(run: Run, job: StageJob, state: TrainingState | None) -> _Training:
    settings = run.plan.config.nodes
    network = build_node_network(settings, seed=run.plan.seed).to(chosen_device(job.device))
    cases, validation = (segmentation_cases(run, part, "nodes") for part in PARTS_OF_STAGE[job.stage])
    _require(cases, "nodes", "a nodes mask and structures")
    records = fit_node_segmentation(network, cases, validation, settings, seed=run.plan.seed, state=state)
    return _Training(
        network=network,
        records=records,
        epochs=settings.training.epochs,
        choose=lambda trained: choose_nodes(run, trained),
    )


def _identification(run: Run, job: StageJob, state: TrainingState | None) -> _Training:
    settings = run.plan.config.identification
    stage1 = read_bundle(run.bundle).weights["nodes"]
    network = build_identification_network(settings, stage1=stage1, seed=run.plan.seed)
    network.to(chosen_device(job.device))
    cases, validation = (identification_cases(run, part) for part in PARTS_OF_STAGE[job.stage])
    _require(cases, "identification", "nodes with a class")
    records = fit_identification(network, cases, validation, settings, seed=run.plan.seed, state=state)
    return _Training(
        network=network,
        records=records,
        epochs=settings.training.epochs,
        choose=lambda trained: choose_identification(run, trained, validation),
    )


def _metastasis(run: Run, job: StageJob, state: TrainingState | None) -> _Training:
    settings = run.plan.config.metastasis
    network = build_status_network(settings, seed=run.plan.seed).to(chosen_device(job.device))
    if state is None:
        initialize(network, job.pretrained)
    cases, validation = (
        status_cases(run, part, device=job.device, jobs=job.jobs) for part in PARTS_OF_STAGE[job.stage]
    )
    _require(cases, "metastasis", "an n_status and a tumor that is found")
    records = fit_status(cases, validation, settings, seed=run.plan.seed, state=state, init=network)
    return _Training(
        network=network,
        records=records,
        epochs=settings.training.epochs,
        choose=lambda trained: choose_status(run, trained, validation or cases),
    )


_TRAINERS: Mapping[StageName, Callable[[Run, StageJob, TrainingState | None], _Training]] = {
    "structures": _structures,
    "tumor": _tumor,
    "nodes": _nodes,
    "identification": _identification,
    "metastasis": _metastasis,
}


def _require(cases: object, stage: StageName, what: str) -> None:
    if not cases:
        msg = f"no training patient has {what}, which stage {stage} learns from"
        raise InputError(msg, code="E_NO_LABELS", cure="fill the columns of the manifest")


def _saved_state(run: Run, job: StageJob) -> TrainingState | None:
    saved = load_checkpoint(run.stage(job.stage))
    if saved is None:
        return None
    if not job.resume:
        msg = f"stage {job.stage} was begun here before"
        raise UsageError(msg, code="E_BEGUN", cure="add --resume, or choose another --out")
    tensors, meta = saved
    epoch = int(str(meta.pop("epoch")))
    return TrainingState(epoch=epoch, tensors=tensors, meta=meta)  # type: ignore[arg-type] # scalars, as saved


def _follow(
    records: Iterator[EpochRecord], run: Run, stage: StageName, epochs: int, progress: Progress | None
) -> TrainingState | None:
    """Run a training to its end; keep a checkpoint, a line of the log and a sign of life per epoch."""
    folder = run.stage(stage)
    folder.mkdir(parents=True, exist_ok=True)
    state = None
    for record in records:
        state = record.state
        save_checkpoint(folder, state.tensors, {**state.meta, "epoch": state.epoch})
        append_json_line(
            folder / "log.jsonl",
            {
                "epoch": record.epoch,
                "loss": record.loss,
                "score": record.score,
                "learning_rate": record.learning_rate,
                "seconds": round(record.seconds, 2),
            },
        )
        if progress is not None:
            progress(stage, record, epochs)
    return state


def _add_part(  # noqa: PLR0913, PLR0917 - each is a part of the description
    run: Run,
    stage: StageName,
    network: nn.Module,
    settings: Settings,
    scores: Mapping[str, float],
    thresholds: Mapping[str, float],
) -> None:
    info = read_bundle(run.bundle).info
    hashed = {
        role: tuple(sorted(hash_patient(name, info.salt) for name in run.plan.ids(part)))
        for role, part in zip(("train", "validation"), PARTS_OF_STAGE[stage], strict=True)
    }
    part = PartInfo.model_validate(
        {"architecture": settings.model_dump(mode="json"), "patients": hashed, "scores": dict(scores)}
    )
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    update_bundle_part(run.bundle, stage, part, weights, {"thresholds": dict(thresholds)})
    logger.info("%s: added to the bundle (%s)", stage, ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
