"""Everything a cohort can teach: one split, the five stages in their order, one bundle (Sec. IV-A.2)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.evidence import EvidenceSettings
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.settings import Config
from lymphct.cascade.sizes import scaled, scaled_sizes
from lymphct.cascade.stages import STAGES, Part, Stage, Start
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName, Structure
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume
from lymphct.io.models.bundles import read_bundle
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.store import clean_leftovers
from lymphct.learning.devices import chosen_device
from lymphct.patients.dataset import PreparedCohort
from lymphct.patients.preparation import labels_key
from lymphct.patients.registration_table import write_registration_table
from lymphct.patients.whole_cohort import whole_cohort
from lymphct.study.begun import planned_split
from lymphct.study.bundling import add_part, lay_bundle, parts_in, take_over
from lymphct.study.evidence import Examination, examined_patients
from lymphct.study.few import require_few, with_some_kept_aside
from lymphct.study.guiding import Guided, guided_patients, shown_classes, tell_tumors
from lymphct.study.keeping import Checkpoints
from lymphct.study.needs import parts_needs, require_needs
from lymphct.study.nnunet import Backbone, read_backbone
from lymphct.study.places import free_device
from lymphct.study.plan import (
    PLAN_FILE,
    PatientPlan,
    Plan,
    Run,
    SightPlan,
    has_fusion,
    kept_plan,
    split_cohort,
)
from lymphct.study.progress import Progress, watched
from lymphct.study.request import (
    TrainingRequest,
    require_begun,
    require_nothing_taken_over,
    require_start_weights,
)
from lymphct.study.self_learning import teach_structures
from lymphct.study.sources import MaskSources, chosen_sources, stage_missing, training_rounds
from lymphct.study.starting import StartingPart, require_start_fits, start_refusals
from lymphct.study.tumor_harvest import harvest_tumors

logger = logging.getLogger(__name__)


def train_all(request: TrainingRequest, progress: Progress | None = None) -> Path:
    """Train every stage and return the folder of the bundle.

    With two jobs or more, stages that do not need one another are trained side by side.

    Raises:
        InputError: patients cannot be read; the first reason is given.

    """
    require_begun(request)
    require_nothing_taken_over(request)
    require_start_weights(request)
    run = start_run(request, tuple(STAGES))
    with watched(run.folder / "stages", progress):
        jobs = max(request.jobs, len(request.devices))
        for chains in training_rounds(run.plan.sources):
            if jobs > 1 and len(chains) > 1:
                train = partial(_train_chain, replace(request, jobs=1), run)
                for outcome in map_patients(train, chains, jobs=jobs):
                    outcome.result()
            else:
                for chain in chains:
                    _train_chain(request, run, chain)
        train_stage(run, StageName.METASTASIS, request)
    return run.bundle


def train_one(request: TrainingRequest, stage: StageName, progress: Progress | None = None) -> Path:
    """Train one stage and return the folder of the bundle, which may hold other stages already."""
    request = with_some_kept_aside(request)
    require_begun(request, stage)
    if request.start_from is not None:
        require_start_fits(request.start_from, stage, request.config)
    elif stage is StageName.METASTASIS:
        require_start_weights(request)
    if request.few:
        require_few(request)
    run = start_run(request, (stage,))
    if request.start_from is not None:
        _require_start(request.start_from, request, run, stage)
    if request.init is not None:
        take_over(run, read_bundle(request.init), stage)
    if stage is StageName.STRUCTURES and request.teaching is not None:
        teach_structures(run, request, progress)
        return run.bundle
    if stage is StageName.TUMOR and request.few:
        harvest_tumors(run, request, progress)
        return run.bundle
    with watched(run.folder / "stages", progress):
        train_stage(run, stage, request)
    return run.bundle


def _require_start(start_from: Path, request: TrainingRequest, run: Run, stage: StageName) -> None:
    """Refuse to go on from a network that knows who would choose the epoch, or that works otherwise."""
    given = None if request.init is None else read_bundle(request.init).info
    others = (given, read_bundle(run.bundle).info)
    info = read_bundle(start_from).info
    for reason in start_refusals(info, run.plan.config, stage, run.plan.roles(stage), others):
        raise reason


def start_run(request: TrainingRequest, stages: Sequence[StageName] = ()) -> Run:
    """Prepare the cohort, settle who is trained on, and lay an empty bundle.

    Args:
        request: what to train.
        stages: that will be trained; a cohort that cannot fill their parts is refused, by what the manifest
            says before any work, by the classes of the drawn nodes before any training.

    Raises:
        InputError: patients cannot be read, are too few, or lack what a part of the split needs.
        EnvironmentProblemError: no space, no memory; patients that are prepared are kept.
        UsageError: the folder holds another run.

    """
    clean_leftovers(Run.bundle_in(request.folder))  # of a kill while a part was added
    records = request.teachers
    config = scaled(request.config)
    _tell_sizes(request.config)
    init = None if request.init is None else read_bundle(request.init).info
    begun_from = None if request.start_from is None else read_bundle(request.start_from).info
    base = begun_from if init is None else init  # whose statistics, bands and key of ids hold
    sources = _sources(request, init)
    if request.teaching is not None:  # its masks stand for drawn ones
        stages = [stage for stage in stages if stage is not StageName.STRUCTURES]
    require_needs(
        split_cohort(records, request.seed, None, sources), parts_needs(records, None, sources), stages
    )
    patients = _prepared(request)
    drawn = patients.drawn_nodes
    sources = _sources(request, init, patients)
    split = _begun_split(request) or split_cohort(records, request.seed, drawn, sources)
    require_needs(split, parts_needs(records, drawn, sources), stages)
    train = sorted(name for name, entry in split.items() if entry.part == "train")
    learned = _begun_with(request, config, split) or _learned(patients, train, config, base)
    plan = Plan(
        name=request.name,
        seed=request.seed,
        # One part that learned from phantoms makes every result meaningless for patients.
        is_phantom=any(record.is_synthetic for record in records)
        or any(info is not None and info.is_phantom for info in (init, begun_from)),
        phase_dropout=config.nodes.sampling.phase_dropout > 0,
        labels=labels_key(request.labels),
        config=config,
        intensity={p.value: (s.low, s.high, s.mean, s.sd) for p, s in learned.intensity.items()},
        sights={stage: SightPlan.of(sight) for stage, sight in learned.sights.items()},
        bands={structure.label: (band.d_min, band.d_max) for structure, band in learned.bands.items()},
        # Statistics that are taken over bring the hashes of their own patients.
        learned_from={what: tuple(sorted(group.ids)) for what, group in learned.fitted_on.items()},
        structures_source=sources.structures,
        tumor_source=sources.tumor,
        origins=request.origins,
        patients=split,
    )
    run = Run(request.folder, kept_plan(request.folder, plan), patients.store.folder)
    lay_bundle(run, base)
    return run


def _begun_split(request: TrainingRequest) -> Mapping[str, PatientPlan] | None:
    """Return the split of a run that was begun before patients of unknown status were all in the cascade."""
    return None if has_fusion(request.teachers) else planned_split(request)


def _begun_with(request: TrainingRequest, config: Config, split: Mapping[str, PatientPlan]) -> Learned | None:
    """Return what the run that was begun here has learned of the same patients; measuring it takes hours."""
    if not (request.folder / PLAN_FILE).exists():
        return None
    begun = Run.open(request.folder).plan
    return (
        begun.learned
        if not begun.other_settings(config) and begun.patients == split and begun.sights
        else None
    )


def _learned(
    patients: PreparedCohort, train: Sequence[str], config: Config, init: BundleInfo | None
) -> Learned:
    learned = fit_learned(patients, train, config)
    # What is taken over knows no other bands, nor other statistics than its own.
    return learned if init is None else replace(Learned.of_bundle(init), sights=learned.sights)


def _sources(
    request: TrainingRequest, init: BundleInfo | None, patients: PreparedCohort | None = None
) -> MaskSources:
    """Return whose masks guide stage 1: in a run that was begun, those of its plan."""
    if (request.folder / PLAN_FILE).exists():
        return Run.open(request.folder).plan.sources
    labelled = (
        None
        if patients is None
        else {name: drawn_everywhere(patients[name].unjudged, patients[name].labelled) for name in patients}
    )
    available = () if init is None else tuple(init.parts)
    return chosen_sources(request.config.cascade, request.teachers, labelled, available)


def drawn_everywhere(
    unjudged: Volume | None, labelled: Sequence[Structure] | None
) -> Sequence[Structure] | None:
    """Return the structures that were drawn wherever they are in a patient; None for all.

    Where nobody looked there would be no attention, whatever lies there.

    Args:
        unjudged: where nobody looked, a bit per mask.
        labelled: structures that were drawn; None for all.

    """
    if unjudged is not None and unjudged_in(unjudged.array, StageName.STRUCTURES).any():
        return ()
    return labelled


def _tell_sizes(config: Config) -> None:
    """Say which patches and crops are given at another spacing, and what they are on the grid."""
    for name, given, here in scaled_sizes(config):
        if name.endswith("_size"):  # `config show` tells networks and margins, too
            logger.info("%s: %s, scaled to the grid: %s", name, given, here)


def _prepared(request: TrainingRequest) -> PreparedCohort:
    records = request.teachers
    cohort = whole_cohort(records, request.preparation, jobs=request.jobs)
    write_registration_table(request.folder, request.preparation, records)
    return cohort


def _train_chain(request: TrainingRequest, run: Run, stages: Sequence[StageName]) -> None:
    for stage in stages:
        train_stage(run, stage, request)


def train_stage(run: Run, name: StageName, request: TrainingRequest) -> None:
    """Train one stage and add it to the run's bundle; a stage that is in the bundle is not trained again.

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
    with free_device(run.folder, request.places) as device:
        _train_here(run, stage, replace(request, device=device), keep)


def _train_here(run: Run, stage: Stage, request: TrainingRequest, keep: Checkpoints) -> None:
    name, bundle = stage.name, read_bundle(run.bundle)
    device = chosen_device(request.device)
    start = Start(config=run.plan.config, seed=run.plan.seed, device=device, pretrained=request.pretrained)
    backbone: Backbone | None = None
    if name is StageName.METASTASIS:
        start = replace(start, evidence=run_evidence(run, device=request.device, jobs=request.jobs))
    else:
        start = replace(start, parts=parts_in(bundle, stage.needs))
    seen = Guided(patients=run.patients, roles=run.plan.roles(name))
    extra: dict[str, JSON] = {}
    if name is StageName.NODES:
        if request.nnunet is not None:
            backbone = read_backbone(request.nnunet, run.plan.config.nodes, run.plan.roles(name))
            start = replace(start, backbone=backbone.tensors)
            extra["init_nnunet"] = dict(backbone.record)
        seen = guided_patients(run, init=request.init, device=request.device, jobs=request.jobs)
    elif name is StageName.STRUCTURES:
        extra = shown_classes(run, seen.roles.train)
    learned = run.plan.learned.with_parts(bundle.info)
    before = None if request.start_from is None else StartingPart.of_bundle(request.start_from, name)
    if before is not None:
        learned = replace(learned, sights={**learned.sights, name: before.sight})
        start = replace(start, weights=before.weights)
    part = fit_stage(stage, seen.patients, seen.roles, learned, start, keep)
    extra |= seen.record
    if backbone is not None:  # whoever taught what a network starts from has taught the network
        part = replace(part, train=FittedOn.of(part.train.ids | backbone.taught_by))
    part = replace(part, extra={**part.extra, **extra, **_counted(part)})
    if before is None:
        add_part(run, part)
    else:
        add_part(run, before.continued(part), before.origins)
    if name is StageName.TUMOR:
        tell_tumors(run, device=request.device)


def _counted(part: Part) -> dict[str, JSON]:
    return {"patients": {"train": len(part.train.ids), "validation": len(part.validation.ids)}}


def run_evidence(run: Run, *, device: str = "auto", jobs: int = 1) -> Mapping[str, Evidence]:
    """Let the trained cascade of a run examine the patients of its status network whose status is known.

    Raises:
        LeakageError: the cascade learned from one of them.

    """
    examination = Examination(
        patients=run.patients,
        bundle=run.bundle,
        folder=run.evidence,
        settings=EvidenceSettings.of(run.plan.config),
        device=device,
    )
    ids = run.plan.roles(StageName.METASTASIS).everybody
    known = [name for name in ids if run.plan.patients[name].n_status is not None]
    return examined_patients(examination, known, jobs=jobs)
