"""The masks of a run's networks for the patients stage 1 learns from, and a word on what they find."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.cascade.description import BundleInfo
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.stages import Stage
from lymphct.core.errors import DAMAGED, InputError
from lymphct.core.leakage import Roles
from lymphct.core.terms import StageName, Structure
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models, models_in
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import JSON
from lymphct.learning.devices import chosen_device
from lymphct.learning.keeping import Keep
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.guidance import Guidance
from lymphct.patients.prepared.guided import Drawing, GuidedCohort, network_key, network_masks
from lymphct.patients.prepared.memory import drawing_jobs
from lymphct.study.plan import Run

logger = logging.getLogger(__name__)

LOOKED_AT: Final = 10
"""Patients in whom a new tumor network looks for the tumor, so that it is known at once if it finds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guided:
    """Patients as stage 1 sees them.

    Attributes:
        patients: by id.
        roles: who teaches and who chooses, without those the networks could not look at.
        counts: patients by where their masks come from, for `structures` and `tumor`.

    """

    patients: Mapping[str, Prepared]
    roles: Roles
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, JSON]:
        """Return the counts for a bundle."""
        return {f"guided_by_{name}": dict(counts) for name, counts in self.counts.items()}


def guided_patients(run: Run, *, init: Path | None = None, device: str = "auto", jobs: int = 1) -> Guided:
    """Let the run's networks draw everybody with drawn lymph nodes in the cascade, where they guide stage 1.

    These patients taught the networks, or chose their epoch: their masks are better than those of a new
    patient. Patients of the status network are not looked at (decision 0039).

    Args:
        run: with the networks in its bundle.
        init: bundle whose parts the run took over; patients it prepared are not drawn again.
        device: on which the networks run.
        jobs: processes side by side.

    Raises:
        ModelError: the bundle lacks a network.

    """
    roles, stages = run.plan.roles(StageName.NODES), run.plan.sources.networks
    if not stages:
        return Guided(patients=run.patients, roles=roles)
    drawing = Drawing(
        bundle=run.bundle,
        stages=stages,
        networks=network_key(read_bundle(run.bundle).info, stages),
        device=device,
        prepared=_prepared_by(run, init, stages, device),
    )
    return guided_by(run.patients, drawing, roles, jobs=jobs)


def guided_by(patients: PreparedCohort, drawing: Drawing, roles: Roles, *, jobs: int = 1) -> Guided:
    """Let networks draw everybody with a role who has drawn lymph nodes; leave out whom they refuse.

    Args:
        patients: prepared.
        drawing: which masks are drawn, by which networks.
        roles: who teaches stage 1, and who chooses.
        jobs: processes side by side.

    """
    stages = drawing.stages
    cohort = GuidedCohort(patients, drawing)
    known = [name for name in roles.everybody if patients[name].view("nodes") is not None]
    counts: dict[str, Counter[str]] = {stage.value: Counter() for stage in stages}
    lost = set()
    fitting = drawing_jobs(patients, known, jobs)
    for number, outcome in enumerate(map_patients(cohort.sources, known, jobs=fitting), start=1):
        try:
            for name, source in outcome.result().items():
                counts[name][source] += 1
        except InputError as error:
            if error.code == DAMAGED:  # the next start mends it; without the patient it would be another run
                raise
            logger.warning("left out of stage nodes: %s", error.at(patient=outcome.item))
            lost.add(outcome.item)
        if number == len(known):
            told = "; ".join(f"{name}: {_words(found)}" for name, found in counts.items())
            logger.info("nodes: guided by the masks of the networks in %d patients (%s)", number, told)
    return Guided(
        patients=cohort,
        roles=Roles(
            train=tuple(name for name in roles.train if name not in lost),
            validation=tuple(name for name in roles.validation if name not in lost),
        ),
        counts=counts,
    )


def fit_guided(stage: Stage, seen: Guided, learned: Learned, start: Start, keep: Keep) -> Part:
    """Train a stage on patients as it sees them; the part says how many taught it and whose masks guided it.

    Raises:
        InputError, UsageError, LeakageError, LearningStoppedError: as `fit_stage`.

    """
    part = fit_stage(stage, seen.patients, seen.roles, learned, start, keep)
    counts: JSON = {"train": len(part.train.ids), "validation": len(part.validation.ids)}
    return replace(part, extra={**part.extra, **seen.record, "patients": counts})


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {source}" for source, count in sorted(counts.items())) or "none"


def _prepared_by(run: Run, init: Path | None, stages: Sequence[StageName], device: str) -> Guidance | None:
    """Return how `prepare --bundle INIT` made its masks, where the run has the same networks."""
    if init is None or not _same_networks(read_bundle(init).info, read_bundle(run.bundle).info, stages):
        return None
    models = models_in(init, device)
    settings = models.attending(run.plan.config.attention)
    return Guidance(prior=models.prior, attention=settings, bundle=init, device=device)


def _same_networks(one: BundleInfo, other: BundleInfo, stages: Sequence[StageName]) -> bool:
    digests = [[part.sha256 if (part := info.parts.get(s)) else "" for s in stages] for info in (one, other)]
    return digests[0] == digests[1] and "" not in digests[0]


def tell_tumors(run: Run, *, device: str = "auto") -> None:
    """Warn right after its training if the tumor network finds a tumor in next to nobody.

    Looked at are some patients who did not teach it: those who chose its epoch, then the status network's,
    in whom a tumor must be found. Nothing is chosen by it.
    """
    judges = (*run.plan.roles(StageName.TUMOR).validation, *run.plan.roles(StageName.METASTASIS).train)
    asked = judges[:LOOKED_AT]
    # Read as one: a training beside may give the bundle another part meanwhile.
    models = load_models(read_bundle(run.bundle), chosen_device(device))
    found = looked = 0
    for name in asked:
        try:
            mask = network_masks(run.patients[name], models, (StageName.TUMOR,))["tumor"]
        except InputError as error:  # said again where it matters
            logger.debug("%s", error.at(patient=name))
            continue
        looked += 1
        found += bool(np.any(mask.array))
    if found * LOOKED_AT <= looked:
        logger.warning(
            "tumor: the network finds a tumor in %d of %d patients it did not learn from; the status network "
            "learns only from patients with one: train it longer (tumor.training), or lower tumor.threshold",
            found,
            looked,
        )


def shown_classes(run: Run, names: Sequence[str]) -> dict[str, JSON]:
    """Return in how many of these patients each structure was drawn, if not all were in everybody."""
    drawn = [run.patients[name].labelled for name in names if run.patients[name].view("structures")]
    if all(structures is None for structures in drawn):
        return {}
    return {
        "drawn_in": {
            structure.label: sum(s is None or structure in s for s in drawn) for structure in Structure
        }
    }
