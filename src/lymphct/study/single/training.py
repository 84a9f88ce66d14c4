"""One stage of a run is trained and added to its bundle, after all it learns from (Sec. III)."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lymphct.cascade.evidence import EvidenceSettings
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Start
from lymphct.cascade.stages import STAGES, Stage
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.learning.devices import chosen_device
from lymphct.nodes.found import FoundNodes
from lymphct.study.bundling import add_part, parts_in
from lymphct.study.evidence import Examination, examined_patients
from lymphct.study.found_nodes import Seen, search_out_of_fold
from lymphct.study.guiding import Guided, fit_guided, guided_patients, shown_classes, tell_tumors
from lymphct.study.keeping import Checkpoints
from lymphct.study.nnunet import Backbone, read_backbone
from lymphct.study.places import free_device
from lymphct.study.plan import Run
from lymphct.study.request import FOUND, TrainingRequest
from lymphct.study.sources import stage_missing
from lymphct.study.starting import StartingPart

if TYPE_CHECKING:
    from lymphct.io.results.jsonfile import JSON

logger = logging.getLogger(__name__)


def train_stage(run: Run, name: StageName, request: TrainingRequest) -> None:
    """Train one stage on a device that is free, and add it to the run's bundle.

    Raises:
        InputError, UsageError, LearningStoppedError: as `add_stage`.

    """
    with free_device(run.folder, request.places) as device:
        add_stage(run, name, replace(request, device=device))


def add_stage(run: Run, name: StageName, request: TrainingRequest, refused: Collection[str] = ()) -> None:
    """Train one stage and add it to the run's bundle; a stage that is in the bundle is not trained again.

    Args:
        run: with the bundle.
        name: of the stage.
        request: the device, start weights, and whether a training that was begun goes on.
        refused: patients of the status network whose images were refused when they were examined.

    Raises:
        InputError: no patient has what the stage learns from.
        UsageError: an earlier stage is missing in the bundle, or the stage was begun and is not resumed.
        LearningStoppedError: the loss is not finite.

    """
    stage, bundle = STAGES[name], read_bundle(run.bundle)
    if name in bundle.info.parts:
        logger.info("%s: already in the bundle", name)
        return
    missing = [needed for needed in run.plan.sources.needs(name) if needed not in bundle.info.parts]
    if missing:
        raise stage_missing(name, missing)
    keep = Checkpoints.open(run.stage(name), resume=request.resume)
    _train_here(run, stage, request, keep, refused)


def _train_here(
    run: Run, stage: Stage, request: TrainingRequest, keep: Checkpoints, refused: Collection[str]
) -> None:
    name, bundle = stage.name, read_bundle(run.bundle)
    device = chosen_device(request.device)
    start = Start(config=run.plan.config, seed=run.plan.seed, device=device, pretrained=request.pretrained)
    backbone: Backbone | None = None
    if name is StageName.METASTASIS:
        found = run_evidence(run, device=request.device, jobs=request.jobs, refused=refused)
        start = replace(start, evidence=found)
    else:
        start = replace(start, parts=parts_in(bundle, stage.needs))
    seen = _seen(run, name, request)
    extra: dict[str, JSON] = {}
    if name is StageName.NODES:
        if request.nnunet is not None:
            backbone = read_backbone(request.nnunet, run.plan.config.nodes, run.plan.roles(name))
            start = replace(start, backbone=backbone.tensors)
            extra["init_nnunet"] = dict(backbone.record)
    elif name is StageName.STRUCTURES:
        extra = shown_classes(run, seen.roles.train)
    learned = run.plan.learned.with_parts(bundle.info)
    if name is StageName.IDENTIFICATION and run.plan.config.identification.found.learn:
        start = replace(start, found=_found_nodes(run, request, start, learned))
    before = None if request.start_from is None else StartingPart.of_bundle(request.start_from, name)
    if before is not None:
        learned = replace(learned, sights={**learned.sights, name: before.sight})
        start = replace(start, weights=before.weights)
    part = fit_guided(stage, seen, learned, start, keep)
    if backbone is not None:  # whoever taught what a network starts from has taught the network
        part = replace(part, train=FittedOn.of(part.train.ids | backbone.taught_by))
    part = replace(part, extra={**part.extra, **extra})
    if before is None:
        add_part(run, part)
    else:
        add_part(run, before.continued(part), before.origins)
    if name is StageName.TUMOR:
        tell_tumors(run, device=request.device)


def _seen(run: Run, name: StageName, request: TrainingRequest) -> Guided:
    """Return patients as a stage sees them: as drawn, or with the masks that a new patient will have.

    Those guide stage 1, and stage 2 where it is told the place of a node among them.
    """
    is_placed = name is StageName.IDENTIFICATION and run.plan.config.identification.head.place_features
    if name is StageName.NODES or is_placed:
        return guided_patients(run, init=request.init, device=request.device, jobs=request.jobs)
    return Guided(patients=run.patients, roles=run.plan.roles(name))


def _found_nodes(
    run: Run, request: TrainingRequest, start: Start, learned: Learned
) -> Mapping[str, FoundNodes]:
    """Let stage 1 search those stage 2 learns from, seen as the run's own stage 1 sees them."""
    guided = guided_patients(run, init=request.init, device=request.device, jobs=request.jobs)
    seen = Seen(
        patients=guided.patients,
        learned=learned,
        start=start,
    )
    return search_out_of_fold(run.folder / FOUND, seen, guided.roles)


def run_evidence(
    run: Run, *, device: str = "auto", jobs: int = 1, refused: Collection[str] = ()
) -> Mapping[str, Evidence]:
    """Let the trained cascade of a run examine the patients of its status network whose status is known.

    Args:
        run: with the cascade in its bundle.
        device: on which the networks run.
        jobs: processes side by side.
        refused: patients who are not looked at again.

    Raises:
        LeakageError: the cascade learned from one of them.

    """
    ids = [name for name in examinees(run) if name not in refused]
    examination = Examination(
        patients=run.patients,
        bundle=run.bundle,
        folder=run.evidence,
        settings=EvidenceSettings.of(run.plan.config),
        device=device,
    )
    return examined_patients(examination, ids, jobs=jobs)


def examinees(run: Run) -> tuple[str, ...]:
    """Return the patients of the status network whose status is known."""
    ids = run.plan.roles(StageName.METASTASIS).everybody
    return tuple(name for name in ids if run.plan.patients[name].n_status is not None)
