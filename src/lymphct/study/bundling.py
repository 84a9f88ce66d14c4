"""The bundle of a run in the making: laid empty, then one part after the other."""

import logging
import secrets
from collections.abc import Iterable
from pathlib import Path

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.cascade.stages import STAGES, Part
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import PHANTOM_NOTICE, StageName
from lymphct.io.models.bundles import Bundle, read_bundle, update_bundle_part, write_bundle
from lymphct.io.results.fingerprints import code_version
from lymphct.study.plan import Plan, Run

logger = logging.getLogger(__name__)


def lay_bundle(run: Run, init: BundleInfo | None = None) -> None:
    """Write a bundle without parts, unless it is there; statistics are those of `init` where given."""
    if (run.bundle / "bundle.json").exists():
        return
    plan = run.plan
    # A random key: whoever holds the bundle can check an id he knows, but not guess ids he does not. Parts
    # that are taken over bring hashes made with their bundle's key.
    salt = f"phantom-{plan.seed:08d}" if plan.is_phantom else secrets.token_hex(16)
    learned = plan.learned if init is None else Learned.of_bundle(init)
    info = new_description(
        plan.name,
        learned,
        plan.config,
        salt=salt if init is None else init.salt,
        is_phantom=plan.is_phantom,
    )
    write_bundle(run.bundle, info.model_copy(update={"code_version": code_version()}), {}, model_card(plan))


def model_card(plan: Plan) -> str:
    """Return the first version of the card: what the bundle was trained on and what it is not."""
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


def add_part(folder: Path, part: Part) -> None:
    """Add a trained part to a bundle."""
    salt = read_bundle(folder).info.salt
    changes = {"thresholds": dict(part.thresholds)}
    update_bundle_part(folder, part.stage, part.described(salt), part.weights, changes)  # type: ignore[arg-type] # numbers are JSON
    logger.info(
        "%s: added to the bundle (%s)", part.stage, ", ".join(f"{k} {v:.3f}" for k, v in part.scores.items())
    )


def parts_in(bundle: Bundle, names: Iterable[StageName]) -> dict[StageName, Part]:
    """Read parts of a bundle back, to start another stage from."""
    return {name: _part_in(bundle, name) for name in names}


def _part_in(bundle: Bundle, name: StageName) -> Part:
    info = bundle.info.parts[name]
    groups = {
        role: FittedOn(hashes=frozenset(hashes), salt=bundle.info.salt)
        for role, hashes in info.patients.items()
    }
    return Part(
        stage=name,
        settings=STAGES[name].settings.model_validate(info.architecture),
        weights=bundle.weights[name],
        train=groups["train"],
        validation=groups["validation"],
        scores=info.scores,
    )


def take_over(run: Run, bundle: Bundle, stage: StageName) -> None:
    """Copy the parts of another bundle into the run's, except the stage that is to be trained.

    Raises:
        LeakageError: the status network would be fed by networks that learned from its patients.
        ModelError: the other bundle works at another spacing or on phases registered otherwise, or the run
            was not begun with it.

    """
    if stage is StageName.METASTASIS:
        seen = bundle.info.fitted_on_anybody
        for name in run.plan.roles(stage).everybody:
            if name in seen:
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
    present = read_bundle(run.bundle).info
    if present.salt != bundle.info.salt:
        msg = "the run was begun without this bundle, and the hashes of its patients have another key"
        raise ModelError(msg, cure="begin a new run with --init")
    for name, part in bundle.info.parts.items():
        if name != stage and name not in present.parts:
            update_bundle_part(run.bundle, name, part, bundle.weights[name])
