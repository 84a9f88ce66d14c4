"""The bundle of a run in the making: laid empty, then one part after the other."""

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.cascade.parts import Part
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import LeakageError, LymphctError, ModelError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.origin import Origin, united
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import Bundle, read_bundle, update_bundle_part, write_bundle
from lymphct.io.results.fingerprints import code_version
from lymphct.study.model_card import model_card
from lymphct.study.plan import Run

if TYPE_CHECKING:
    from lymphct.io.results.jsonfile import JSON

logger = logging.getLogger(__name__)


def lay_bundle(run: Run, init: BundleInfo | None = None) -> None:
    """Write a bundle without parts, unless it is there; what parts share is that of `init` where given."""
    if (run.bundle / "bundle.json").exists():
        return
    plan = run.plan
    # A random key: whoever holds the bundle can check an id he knows, but not guess ids he does not. Parts
    # that are taken over bring hashes made with their bundle's key.
    salt = f"phantom-{plan.seed:08d}" if plan.is_phantom else secrets.token_hex(16)
    learned = plan.learned
    if init is not None:
        learned = learned.beside(init)
    info = new_description(
        plan.name,
        learned,
        plan.config,
        salt=salt if init is None else init.salt,
        is_phantom=plan.is_phantom,
    )
    origins = united(plan.origins, () if init is None else init.origins)
    info = info.model_copy(update={"code_version": code_version(), "origins": origins})
    write_bundle(run.bundle, info, {}, model_card(plan, info, {}))


def _with_origins(info: BundleInfo, others: Iterable[Origin]) -> "dict[str, JSON]":
    """Return what a bundle says of the data behind it when it takes something from elsewhere."""
    return {"origins": [origin.model_dump(mode="json") for origin in united(info.origins, others)]}


def add_part(run: Run, part: Part, origins: Sequence[Origin] = ()) -> None:
    """Add a trained part to the run's bundle and write its card anew.

    Args:
        run: the run.
        part: the part.
        origins: data sets behind the network it started from.

    """
    changes: dict[str, JSON] = {"thresholds": dict(part.thresholds)}
    if origins:
        changes |= _with_origins(read_bundle(run.bundle).info, origins)
    if part.calibration is not None:
        whose = FittedOn.of(part.calibration.patients).hashed(read_bundle(run.bundle).info.salt)
        changes |= {"calibration": dict(part.calibration.value), "fitted_on": {"calibration": list(whose)}}
    if part.stage is StageName.NODES:
        plan = run.plan
        changes |= {"structures_source": plan.structures_source, "tumor_source": plan.tumor_source}
    described = part.described(read_bundle(run.bundle).info.salt)
    update_bundle_part(
        run.bundle,
        part.stage,
        described,
        part.weights,
        changes,
        card=partial(model_card, run.plan, nodes=run.patients.drawn_nodes),
    )
    logger.info(
        "%s: added to the bundle (%s)", part.stage, ", ".join(f"{k} {v:.3f}" for k, v in part.scores.items())
    )


def write_part_alone(run: Run, bundle: Path, name: str, part: Part) -> None:
    """Write a trained part as a bundle of its own, such as the teacher of a further step.

    Args:
        run: whose plan and key of ids the bundle shares.
        bundle: folder that is made.
        name: of the step.
        part: the part.

    """
    plan, salt = run.plan, read_bundle(run.bundle).info.salt
    info = new_description(
        f"{plan.name}-{name}"[-64:], plan.learned, plan.config, salt=salt, is_phantom=plan.is_phantom
    )
    described = {part.stage: part.described(salt)}
    info = info.model_copy(update={"code_version": code_version(), "parts": described})
    write_bundle(bundle, info, {part.stage: part.weights}, model_card(plan, info, run.patients.drawn_nodes))


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
        thresholds={
            n: bundle.info.thresholds[n] for n in STAGES[name].thresholds if n in bundle.info.thresholds
        },
        chosen=info.chosen,
        sight=Learned.of_bundle(bundle.info).sight(name),
        extra=info.extra,
    )


def init_refusals(
    info: BundleInfo,
    config: Config,
    stage: StageName,
    roles: Roles,
    present: BundleInfo | None = None,
) -> Iterator[LymphctError]:
    """Yield every reason why the parts of a bundle cannot be taken over into a run.

    Args:
        info: of the bundle given with `--init`.
        config: settings of the run.
        stage: that is to be trained.
        roles: who teaches that stage, and who chooses.
        present: of the run's own bundle; None where the run has not begun.

    """
    if stage is StageName.METASTASIS:
        seen = info.fitted_on_anybody
        known = [name for name in roles.everybody if name in seen]
        if known:
            msg = f"the bundle given with --init was fitted on this patient{_others(known)}"
            yield LeakageError(msg, cure="leave the patient out, or train all stages here").at(
                patient=known[0]
            )
    yield from _taught_before(info, stage, roles, present)
    if info.spacing != config.imaging.spacing:
        msg = f"the bundle works at {info.spacing} mm, this run at {config.imaging.spacing} mm"
        yield ModelError(msg, cure="set imaging.spacing to that of the bundle")
    trained, here = info.registration, config.registration.method
    if trained != here:
        msg = f"the bundle was trained on phases registered by method {trained}, this run uses {here}"
        yield ModelError(msg, cure=f"--set registration.method={trained}")
    if present is not None and present.salt != info.salt:
        msg = "the run was begun without this bundle, and the hashes of its patients have another key"
        yield ModelError(msg, cure="begin a new run with --init")


def _taught_before(
    info: BundleInfo, stage: StageName, roles: Roles, present: BundleInfo | None
) -> Iterator[LeakageError]:
    """Yield the stages whose weights the training starts from and that learned from a patient who chooses."""
    if stage is StageName.METASTASIS:  # looks at everybody, and starts from nobody's weights
        return
    for needed in STAGES[stage].needs:
        part = info.parts.get(needed)
        if part is None or (present is not None and needed in present.parts):
            continue
        teachers = FittedOn(hashes=frozenset(part.patients.get("train", ())), salt=info.salt)
        known = [name for name in roles.validation if name in teachers]
        if known:
            msg = (
                f"stage {stage} would be chosen on this patient{_others(known)}, from whom the {needed} "
                "network given with --init learned"
            )
            yield LeakageError(msg, cure=f"train {needed} here, or leave the patient out").at(
                patient=known[0]
            )


def _others(known: Sequence[str]) -> str:
    return f" (and on {len(known) - 1} more)" if len(known) > 1 else ""


def take_over(run: Run, bundle: Bundle, stage: StageName) -> None:
    """Copy the parts of another bundle into the run's, except the stage that is to be trained.

    Raises:
        LeakageError: the status network would be fed by networks that learned from its patients, or a stage
            be chosen on patients from whom the network it starts from learned.
        ModelError: the other bundle works at another spacing or on phases registered otherwise, or the run
            was not begun with it.

    """
    present = read_bundle(run.bundle).info
    for reason in init_refusals(bundle.info, run.plan.config, stage, run.plan.roles(stage), present):
        raise reason
    for name, part in bundle.info.parts.items():
        if name != stage and name not in present.parts:
            kept: dict[str, JSON] = {"thresholds": dict(_part_in(bundle, name).thresholds)}
            kept |= _with_origins(present, bundle.info.origins)
            if name is StageName.NODES:
                kept |= {
                    field: getattr(bundle.info, field) for field in ("structures_source", "tumor_source")
                }
            update_bundle_part(
                run.bundle,
                name,
                part,
                bundle.weights[name],
                kept,
                card=partial(model_card, run.plan, nodes=run.patients.drawn_nodes),
            )
