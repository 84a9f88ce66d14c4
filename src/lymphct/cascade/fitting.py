"""Train one stage, or the whole cascade, on patients given by id; nothing here knows a folder (Sec. III)."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from lymphct.cascade.cases import Material
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, assembled
from lymphct.cascade.parts import Part, Parts, Start, load_start
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.sizes import scaled
from lymphct.cascade.stages import CASCADE, STAGES, Stage
from lymphct.cascade.thresholds import Lesson, tell_choice
from lymphct.core.errors import InputError, UsageError
from lymphct.core.evidence import require_out_of_fold
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.settings import Settings
from lymphct.learning.devices import device_failures
from lymphct.learning.keeping import Forget, Keep, followed
from lymphct.learning.training import TrainingState, best_weights
from lymphct.learning.weights import as_stored

if TYPE_CHECKING:
    from lymphct.core.terms import StageName

logger = logging.getLogger(__name__)


_FILL: Final = "fill the columns of the manifest"


def fit_stage(  # noqa: PLR0913, PLR0917 - the six things a training is made of
    stage: Stage, patients: Mapping[str, Prepared], roles: Roles, learned: Learned, start: Start, keep: Keep
) -> Part:
    """Train one stage and choose its operating point.

    Args:
        stage: a row of `STAGES`.
        patients: by id; only those with a role are looked at.
        roles: who teaches, and who chooses.
        learned: intensities and bands.
        start: settings, parts trained before, evidence, seed, device.
        keep: takes the state after each epoch, gives back the last one of an interrupted training.

    Returns:
        The trained part; it says on whom it was fitted: those who had what it learns from.

    Raises:
        InputError: no training patient has what the stage learns from.
        UsageError: a part the stage needs is missing.
        LeakageError: evidence, or found nodes, come from models that learned from the patient.
        LearningStoppedError: the loss is not finite.

    """
    _require_needs(stage, start)
    require_out_of_fold(start.evidence_of(roles.everybody))
    for found in start.found_in(roles.everybody):
        found.fitted_on.require_unseen(found.patient)
    material = Material(patients=patients, learned=learned, config=start.config)
    settings = stage.settings_in(start.config)
    network = stage.build(settings, seed=start.seed).to(start.device)
    if keep.last() is None:
        stage.begin(network, start)
        if start.weights is not None:
            load_start(network, start.weights, stage.name)
    cases, validation = stage.shown(network, material, roles, start)
    if not cases:
        msg = f"no training patient has {stage.learns_from}, which stage {stage.name} learns from"
        # Evidence is of patients whose status is known: what they lack is a tumor that was found.
        cure = "train the tumor network longer, or lower tumor.threshold" if start.evidence else _FILL
        raise InputError(msg, code="E_NO_LABELS", cure=cure)
    training = settings.training  # type: ignore[attr-defined] # every stage has one
    course = partial(stage.fit, network, cases, validation, settings, seed=start.seed)
    state = followed(course, training, keep, f"stage {stage.name}")
    network.load_state_dict(best_weights(state))
    lesson = Lesson(material=material, roles=roles, settings=settings, cases=cases, validation=validation)
    with device_failures():
        choice = stage.choose(network, lesson)
        calibration = stage.calibrate(network, lesson, start)
    tell_choice(stage.name, choice)
    return Part(
        stage=stage.name,
        settings=choice.settings,
        weights=as_stored(network.state_dict()),
        train=FittedOn.of(case.patient for case in cases),
        validation=FittedOn.of(case.patient for case in validation),
        scores={**_best_score(stage, settings, state), **choice.scores},
        thresholds=choice.thresholds,
        chosen=choice.chosen,
        course=_course(state),
        sight=learned.sight(stage.name),
        extra=stage.facts(start),
        calibration=calibration,
    )


def _best_score(stage: Stage, settings: Settings, state: TrainingState) -> dict[str, float]:
    best = state.meta.get("best_score")
    # Dice on patches is no Dice on patients.
    name = f"patch_{stage.score}" if getattr(settings, "validate_on", "") == "patches" else stage.score
    return {name: best} if stage.score and isinstance(best, float) else {}


def _course(state: TrainingState) -> dict[str, float]:
    """Return what the card says of a training: share of patches drawn again, steps left out."""
    drawn, rejected, skipped = (state.meta.get(name) for name in ("drawn", "rejected", "skipped"))
    course: dict[str, float] = {}
    if isinstance(drawn, int) and isinstance(rejected, int) and drawn:
        course["rejected_share"] = rejected / drawn
    if isinstance(skipped, int):
        course["skipped"] = skipped
    return course


def _require_needs(stage: Stage, start: Start) -> None:
    # Evidence stands for the parts that gave it, to the stage that learns from it.
    is_covered = start.evidence is not None and stage.name not in CASCADE
    missing = [name for name in stage.needs if name not in start.parts and not is_covered]
    if missing:
        msg = f"stage {stage.name} needs {', '.join(missing)} first"
        raise UsageError(msg, code="E_STAGE", cure=f"train {missing[0]} before")


def fit_cascade(patients: Mapping[str, Prepared], roles: Roles, start: Start) -> Models:
    """Train the four stages that examine a patient, one after the other, and return them as models.

    Sizes that the settings give at another spacing are scaled to the grid first (decision 0036).

    Raises:
        InputError: no training patient has what a stage learns from.
        UsageError: stage 1 is to be guided by masks of the networks, or stage 2 to learn from what stage 1
            finds: only a run on disk has them.

    """
    config = scaled(start.config)
    if "network" in {config.cascade.structures_source, config.cascade.tumor_source}:
        msg = "a cascade that is trained in memory is guided by drawn structures and tumors"
        raise UsageError(msg, code="E_SOURCE", cure="train a run on disk, or set both sources to given")
    if config.identification.found.learn:
        msg = "a cascade that is trained in memory learns stage 2 from drawn lymph nodes alone"
        raise UsageError(msg, code="E_SOURCE", cure="train a run on disk, or leave identification.found off")
    learned = fit_learned(patients, roles.train, config)
    parts: dict[StageName, Part] = {}
    for name in CASCADE:
        with_parts = Start(config=config, parts=parts, seed=start.seed, device=start.device, pretrained=None)
        parts[name] = fit_stage(STAGES[name], patients, roles, learned, with_parts, Forget())
        logger.info("%s: trained on %d patients", name, len(parts[name].train.ids))
    done: Parts = parts
    return assembled(done, learned, config, start.device)
