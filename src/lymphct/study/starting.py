"""A stage that goes on from the same stage of another bundle (`train --from`): fine-tuning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Part, Weights, load_start
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import Sight
from lymphct.cascade.sizes import scaled
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import LeakageError, LymphctError, ModelError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.origin import Origin
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.jsonfile import JSON

STARTED_FROM: Final = "started_from"
"""Key of the facts of a part under which stands the bundle it started from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPart:
    """What a network goes on from.

    Attributes:
        weights: of the other one.
        sight: how it saw the phases; the one that goes on sees them alike.
        seen: from whom it was learned.
        record: which bundle it was, for the card.
        origins: data sets it was learned from.

    """

    weights: Weights
    sight: Sight
    seen: FittedOn
    record: Mapping[str, JSON]
    origins: tuple[Origin, ...] = ()

    @classmethod
    def of_bundle(cls, folder: Path, stage: StageName) -> Self:
        """Read one part of a bundle.

        Raises:
            ModelError: the bundle is refused, or has no such part.

        """
        bundle = read_bundle(folder)
        if stage not in bundle.info.parts:
            raise _has_no_part(bundle.info, stage)
        part = bundle.info.parts[stage]
        return cls(
            weights=bundle.weights[stage],
            sight=Learned.of_bundle(bundle.info).sight(stage),
            seen=FittedOn(hashes=part.seen, salt=bundle.info.salt),
            record={"bundle": bundle.info.name, "sha256": part.sha256},
            origins=bundle.info.origins,
        )

    def continued(self, part: Part) -> Part:
        """Return a part that went on from it: whoever taught it taught that one, too."""
        group = FittedOn(ids=part.train.ids, hashes=self.seen.hashes, salt=self.seen.salt)
        return replace(part, train=group, extra={**part.extra, STARTED_FROM: dict(self.record)})


def _has_no_part(info: BundleInfo, stage: StageName) -> ModelError:
    have = ", ".join(info.parts) or "none"
    msg = f"the bundle given with --from has no {stage} network (it has {have})"
    return ModelError(msg, code="E_PART", cure="name another bundle, or leave out --from")


def require_start_fits(folder: Path, stage: StageName, config: Config) -> None:
    """Refuse start weights of another form before anything is prepared.

    Raises:
        ModelError: the bundle is refused, lacks the part, or its network has another form.

    """
    found = StartingPart.of_bundle(folder, stage)
    row = STAGES[stage]
    load_start(row.build(row.settings_in(scaled(config)), seed=0), found.weights, stage)


def start_refusals(
    info: BundleInfo,
    config: Config,
    stage: StageName,
    roles: Roles,
    others: tuple[BundleInfo | None, BundleInfo | None] = (None, None),
) -> Iterator[LymphctError]:
    """Yield every reason why a stage cannot go on from that of a bundle.

    Args:
        info: of the bundle given with `--from`.
        config: settings of the run.
        stage: that is to be trained.
        roles: who teaches it, and who chooses.
        others: the bundle given with `--init`, and the run's own; None where there is none.

    """
    if stage not in info.parts:
        yield _has_no_part(info, stage)
        return
    seen = FittedOn(hashes=info.parts[stage].seen, salt=info.salt)
    known = [name for name in roles.validation if name in seen]
    if known:
        more = f" (and on {len(known) - 1} more)" if len(known) > 1 else ""
        msg = f"stage {stage} would be chosen on this patient{more}, whom the network given with --from knows"
        yield LeakageError(msg, cure="leave the patient out").at(patient=known[0])
    if info.spacing != config.imaging.spacing:
        here = config.imaging.spacing
        msg = f"the bundle given with --from works at {info.spacing} mm, this run at {here} mm"
        yield ModelError(msg, cure="set imaging.spacing to that of the bundle")
    given, present = others
    if any(other is not None and other.salt != info.salt for other in (given, present)):
        what = (
            "the bundles of --init and --from" if given is not None else "this run and the bundle of --from"
        )
        msg = f"{what} hash their patients with different keys, so nobody can tell who is in both"
        cure = "give both options the same bundle or one made from it by --init, or begin a new run"
        yield ModelError(msg, code="E_KEY", cure=cure)
