"""A run is begun: patients prepared, roles settled, intensities and bands measured, an empty bundle laid."""

import logging
from collections.abc import Mapping, Sequence

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.settings import Config
from lymphct.cascade.sizes import scaled, scaled_sizes
from lymphct.core.terms import StageName, Structure
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.store import clean_leftovers
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.preparation import labels_key
from lymphct.patients.prepared.registration_table import write_registration_table
from lymphct.patients.prepared.whole_cohort import whole_cohort
from lymphct.study.begun import planned_split
from lymphct.study.bundling import lay_bundle
from lymphct.study.needs import parts_needs, require_needs
from lymphct.study.plan import PLAN_FILE, PatientPlan, Plan, Run, SightPlan, kept_plan
from lymphct.study.request import TrainingRequest
from lymphct.study.single.split import split_cohort
from lymphct.study.sources import MaskSources, chosen_sources

logger = logging.getLogger(__name__)


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
    require_foreseen(request, stages)
    return settle_run(request, prepare_all(request), stages)


def require_foreseen(request: TrainingRequest, stages: Sequence[StageName]) -> None:
    """Refuse a cohort that cannot fill the parts of some stages, by what its manifest says.

    Raises:
        InputError: that is so, or patients are too few.

    """
    init = None if request.init is None else read_bundle(request.init).info
    sources = _sources(request, init)
    split = split_cohort(request.teachers, request.seed, None, sources)
    require_needs(split, parts_needs(request.teachers, None, sources), _drawn(request, stages))


def _drawn(request: TrainingRequest, stages: Sequence[StageName]) -> Sequence[StageName]:
    """Return the stages that learn from drawn masks: those of a teacher stand for them."""
    is_taught = request.teaching is not None
    return [stage for stage in stages if not (is_taught and stage is StageName.STRUCTURES)]


def prepare_all(request: TrainingRequest) -> PreparedCohort:
    """Prepare the cohort and write how its phases were registered.

    Raises:
        InputError: patients cannot be read.
        EnvironmentProblemError: no space, no memory; patients that are prepared are kept.

    """
    records = request.teachers
    cohort = whole_cohort(records, request.preparation, jobs=request.jobs)
    write_registration_table(request.folder, request.preparation, records)
    return cohort


def settle_run(request: TrainingRequest, patients: PreparedCohort, stages: Sequence[StageName] = ()) -> Run:
    """Settle who is trained on, measure intensities and bands, and lay an empty bundle.

    Args:
        request: what to train.
        patients: prepared.
        stages: as `start_run`.

    Raises:
        InputError: patients are too few, or lack what a part of the split needs.
        UsageError: the folder holds another run.

    """
    clean_leftovers(Run.bundle_in(request.folder))  # of a kill while a part was added
    records, config, drawn = request.teachers, scaled(request.config), patients.drawn_nodes
    _tell_sizes(request.config)
    init = None if request.init is None else read_bundle(request.init).info
    begun_from = None if request.start_from is None else read_bundle(request.start_from).info
    base = begun_from if init is None else init  # whose statistics, bands and key of ids hold
    sources = _sources(request, init, patients)
    split = _begun_split(request) or split_cohort(records, request.seed, drawn, sources)
    require_needs(split, parts_needs(records, drawn, sources), _drawn(request, stages))
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
        atlas=learned.atlas,
        trapezia=learned.trapezia,
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
    is_known = all(record.n_status is not None for record in request.teachers)
    return None if is_known else planned_split(request)


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
    return learned if init is None else learned.beside(init)


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
